//! Trust: certificates and revocation lists, each read in one place, and one computation of who is let in.

mod cache;
mod certificate;
mod der;
mod directory;
mod explain;
mod extension;
mod key_kind;
mod list;
mod refusal;
mod revocation;
mod rules;
mod serial;
mod store;

use crate::san::San;

pub use certificate::{Certificate, Constraints, Details, Purpose, fingerprint, san, timestamp};
pub use list::{RevocationList, RevokedCertificate, Scope};
pub use refusal::{Rejection, RejectionReason};
pub use revocation::{Revocation, Use};
pub use serial::{NotASerial, Serial};
pub use store::{Admitted, Algorithms, DenyList, TrustStore};

/// The first element inside a DER SEQUENCE, with its header.
pub(crate) fn first_element(bytes: &[u8]) -> Option<&[u8]> {
    Some(der::element(der::element(bytes)?.contents)?.whole)
}

#[cfg(test)]
mod tests;

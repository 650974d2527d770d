//! Trust: certificates and revocation lists, each read in one place, and one computation of who is let in.

mod cache;
mod certificate;
pub(crate) mod der;
pub(crate) mod directory;
mod explain;
mod extension;
pub mod identity;
pub(crate) mod key_kind;
mod list;
mod refusal;
mod revocation;
mod rules;
mod serial;
mod store;
mod validity;

use crate::san::San;

pub use certificate::{Certificate, Constraints, Details, Purpose, fingerprint, san, timestamp};
pub(crate) use key_kind::verifies_text;
pub use list::{RevocationList, RevokedCertificate, Scope};
pub use refusal::{Rejection, RejectionReason};
pub use revocation::{Revocation, Use};
pub use serial::{NotASerial, Serial};
pub use store::{Admitted, Algorithms, DenyList, TrustStore};
pub use validity::{BACKDATE, EndStage, Validity, time_left};

/// Whether a certificate names a host, by the rules of RFC 6125 as clients apply them.
#[must_use]
pub fn names_host(certificate: &[u8], host: &rustls_pki_types::ServerName<'_>) -> bool {
    let der = rustls_pki_types::CertificateDer::from(certificate);
    webpki::EndEntityCert::try_from(&der)
        .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(host).is_ok())
}

/// The first element inside a DER SEQUENCE, with its header.
pub(crate) fn first_element(bytes: &[u8]) -> Option<&[u8]> {
    Some(der::element(der::element(bytes)?.contents)?.whole)
}

#[cfg(test)]
mod tests;

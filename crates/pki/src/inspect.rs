//! What a certificate says: see [`Certificate`](crate::Certificate), the one reader.

pub use crate::trust::{Certificate as Inspected, Role, fingerprint, timestamp};

/// Reads one DER certificate. Errors are sentences for people; the bytes may come from a peer.
pub fn inspect(der: &[u8]) -> Result<Inspected, String> {
    Inspected::read(der)
}

/// A certificate's subject, in its own bytes.
pub fn raw_subject(der: &[u8]) -> Option<Vec<u8>> {
    Some(Inspected::read(der).ok()?.details.subject)
}

/// The contents of the `subjectAltName` extension, to keep them as they are.
pub fn raw_sans(der: &[u8]) -> Option<Vec<u8>> {
    Inspected::read(der).ok()?.details.raw_sans
}

//! How large an index may become, and who may still write when it is large.
//!
//! Contract: what is issued never takes the room that revocations, denials and lists need: who may ask for certificates
//! cannot keep the owner from taking them back. No write makes an index that cannot be read again.

use super::Index;
use crate::{CertsError, event::IssuedKind};

/// The largest index that is read: some fifty thousand certificates that came by enrolment.
pub const MAX_INDEX_BYTES: u64 = 64 * 1024 * 1024;

/// Above this size nothing is issued and nobody is invited.
pub const ISSUE_INDEX_BYTES: u64 = MAX_INDEX_BYTES / 4 * 3;

/// Above this size it is said that the index is large, and what is of little use goes earlier.
pub const LARGE_INDEX_BYTES: u64 = MAX_INDEX_BYTES / 2;

impl Index {
    /// That more may be issued.
    ///
    /// # Errors
    /// When the rest of the room is kept for revocations.
    pub fn has_room(&self) -> Result<(), CertsError> {
        match self.bytes <= ISSUE_INDEX_BYTES {
            true => Ok(()),
            false => Err(CertsError::Full {
                bytes: self.bytes,
                bound: ISSUE_INDEX_BYTES,
            }),
        }
    }

    /// That a certificate may be issued. The servers' own ones are few, and without them gates hear of no revocation.
    pub(crate) fn has_room_for(&self, kind: IssuedKind, enrolled: bool) -> Result<(), CertsError> {
        match kind == IssuedKind::Client || enrolled {
            true => self.has_room(),
            false => Ok(()),
        }
    }

    /// Size of all lines.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its size with further lines.
    pub(super) fn bytes_with(&self, lines: &[String]) -> Result<u64, CertsError> {
        let added: u64 = lines.iter().map(|line| line.len() as u64 + 1).sum();
        match self.bytes + added {
            bytes if bytes <= MAX_INDEX_BYTES || added == 0 => Ok(bytes),
            _ => Err(too_large("the index with what is to be written")),
        }
    }
}

/// Why an index is not read or written.
pub(super) fn too_large(what: &str) -> CertsError {
    CertsError::refused(
        format!("{what} is larger than {MAX_INDEX_BYTES} bytes"),
        "move lines of certificates that have ended out of the file while no signer runs; what was revoked is on the lists as well",
    )
}

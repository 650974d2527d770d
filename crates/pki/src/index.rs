//! The issuance index: one JSON object a line, appended and synced under the directory's lock.
//!
//! It answers which certificates exist, whose they are and which were revoked. A line cut short by a crash is the last
//! one and is ignored; damage anywhere else is an error that names the line. An event of a kind that this version does not
//! know is passed over, unless a line says that the whole file has another form.

mod append;
mod file;
mod judged;
mod room;
mod spent;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

pub use judged::JudgedSerials;
pub use room::{ISSUE_INDEX_BYTES, LARGE_INDEX_BYTES, MAX_INDEX_BYTES};

use time::OffsetDateTime;

use super::{
    event::{IndexEvent, IndexRevocation, Invitation, Issued, Rollover},
    shared::{SharedDocument, SharedTurn, SharedView},
};

/// The index of one CA, read whole.
#[derive(Debug)]
pub struct Index {
    place: IndexPlace,
    events: Vec<Arc<IndexEvent>>,
    /// Size of all lines.
    bytes: u64,
}

/// Where events are appended.
#[derive(Debug)]
enum IndexPlace {
    /// The file of a directory.
    File(PathBuf),
    /// A store that several signers share, where it is this process's turn to write.
    Shared(Box<dyn SharedTurn>),
    /// Nowhere: it was only read.
    Read,
}

impl Index {
    /// What a store holds that several signers share, to be read.
    #[must_use]
    pub fn of_view(view: &SharedView) -> Self {
        Self {
            place: IndexPlace::Read,
            events: view.events.clone(),
            bytes: view.bytes,
        }
    }

    /// The places of the events that nobody needs any more, if they are worth the work.
    pub(crate) fn spent(view: &SharedView) -> BTreeSet<usize> {
        let events = view.events.iter().map(AsRef::as_ref);
        spent::spent(events, OffsetDateTime::now_utc(), view.bytes)
    }

    /// The same for appending.
    #[must_use]
    pub fn of_turn(turn: Box<dyn SharedTurn>) -> Self {
        Self {
            events: turn.view().events.clone(),
            bytes: turn.view().bytes,
            place: IndexPlace::Shared(turn),
        }
    }

    /// Whether several signers share it, and with it their CA.
    pub(crate) fn shares_a_ca(&self) -> bool {
        match &self.place {
            IndexPlace::Shared(turn) => turn.view().documents.contains_key(&SharedDocument::Ca),
            _ => false,
        }
    }

    /// Whether nothing was recorded so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// All events, oldest first.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &IndexEvent> {
        self.events.iter().map(AsRef::as_ref)
    }

    /// The names of a certificate that nobody asked for.
    #[must_use]
    pub fn chosen(&self, serial: &str) -> &[String] {
        self.issued()
            .find(|issued| issued.serial == serial)
            .map_or(&[], |issued| &issued.chosen)
    }

    /// All certificates signed, oldest first.
    pub fn issued(&self) -> impl DoubleEndedIterator<Item = &Issued> {
        self.events().filter_map(|event| {
            if let IndexEvent::Issued(issued) = event {
                Some(issued)
            } else {
                None
            }
        })
    }

    /// All revocations, oldest first.
    pub fn revoked(&self) -> impl DoubleEndedIterator<Item = &IndexRevocation> {
        self.events().filter_map(|event| {
            if let IndexEvent::Revoked(revoked) = event {
                Some(revoked)
            } else {
                None
            }
        })
    }

    /// The numbers of all revocation lists signed here, those that fit.
    pub fn crl_numbers(&self) -> impl Iterator<Item = u64> {
        self.events().filter_map(|event| {
            if let IndexEvent::Crl { number, .. } = event {
                number.parse().ok()
            } else {
                None
            }
        })
    }

    /// The revocation of a serial number, if any: the last word on it counts.
    pub fn revocation(&self, serial: &str) -> Option<&IndexRevocation> {
        self.events().rev().find_map(|event| match event {
            IndexEvent::Revoked(revoked) if revoked.serial == serial => Some(Some(revoked)),
            IndexEvent::Allowed { serial: lifted, .. } if lifted == serial => Some(None),
            _ => None,
        })?
    }

    /// Whether a certificate was on hold and is good again.
    #[must_use]
    pub fn is_allowed_again(&self, serial: &str) -> bool {
        let said = |event: &IndexEvent| match event {
            IndexEvent::Revoked(revoked) => (revoked.serial == serial).then_some(false),
            IndexEvent::Allowed { serial: lifted, .. } => (lifted == serial).then_some(true),
            _ => None,
        };
        self.events().rev().find_map(said).unwrap_or(false)
    }

    /// The last time that another CA began to take over.
    #[must_use]
    pub fn rollover(&self) -> Option<&Rollover> {
        self.events().rev().find_map(|event| match event {
            IndexEvent::Rollover(rollover) => Some(rollover),
            _ => None,
        })
    }

    /// All invitations, oldest first.
    pub fn invitations(&self) -> impl DoubleEndedIterator<Item = &Invitation> {
        self.events().filter_map(|event| match event {
            IndexEvent::Invited(invitation) => Some(invitation),
            _ => None,
        })
    }

    /// Whether an invitation was taken back.
    #[must_use]
    pub fn is_withdrawn(&self, invitation: &str) -> bool {
        self.events()
            .any(|event| matches!(event, IndexEvent::Withdrawn { id, .. } if id == invitation))
    }

    /// The certificates that an invitation was used for.
    pub fn uses(&self, invitation: &str) -> impl Iterator<Item = &Issued> {
        self.issued().filter(move |issued| {
            issued.enrolled.as_ref().is_some_and(|enrolled| {
                enrolled.invitation == invitation && enrolled.predecessor.is_none()
            })
        })
    }

    /// The certificate that renewed another.
    #[must_use]
    pub fn successor(&self, serial: &str) -> Option<&Issued> {
        let renews = |issued: &&Issued| {
            let enrolled = issued.enrolled.as_ref();
            enrolled.and_then(|it| it.predecessor.as_deref()) == Some(serial)
        };
        self.issued().find(renews)
    }
}

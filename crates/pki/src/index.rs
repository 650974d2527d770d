//! The issuance index: one JSON object a line, appended and synced under the directory's lock.
//!
//! It answers which certificates exist, whose they are and which were revoked. A line cut short by a crash is the last
//! one and is ignored; damage anywhere else is an error that names the line. An event of a kind that this version does not
//! know is passed over, unless a line says that the whole file has another form.

mod append;
mod file;
mod judged;
mod spent;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

pub use judged::JudgedSerials;
pub use spent::TOKEN;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    CertsError,
    shared::{SharedDocument, SharedTurn, SharedView},
};

/// The form of the file that this version reads and writes.
const FORMAT: u32 = 1;

/// The largest index that is read: some fifty thousand certificates that came by enrolment.
pub const MAX_INDEX_BYTES: u64 = 64 * 1024 * 1024;

/// The reason of a revocation that [`IndexEvent::Allowed`] may lift (RFC 5280 §5.3.1).
pub const HOLD: &str = "certificateHold";

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuedKind {
    /// A CA made here.
    Ca,
    /// A server certificate.
    Server,
    /// A client certificate.
    Client,
}

/// One line of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum IndexEvent {
    /// A certificate was signed.
    Issued(Issued),
    /// A certificate was taken back.
    Revoked(IndexRevocation),
    /// A revocation list was signed.
    Crl {
        /// When, RFC 3339.
        at: String,
        /// Its cRLNumber, decimal.
        number: String,
    },
    /// The form of the file.
    Format {
        /// 1 so far.
        version: u32,
    },
    /// Somebody was invited to ask for a certificate.
    Invited(Invitation),
    /// An invitation was taken back.
    Withdrawn {
        /// When, RFC 3339.
        at: String,
        /// Which.
        id: String,
    },
    /// A certificate on hold is good again.
    Allowed {
        /// When, RFC 3339.
        at: String,
        /// Its serial number.
        serial: String,
    },
    /// A serial number or a public key is refused at every gate from now on.
    Denied {
        /// When, RFC 3339.
        at: String,
        /// What.
        #[serde(flatten)]
        what: DeniedEntry,
    },
    /// It is not refused any more.
    Undenied {
        /// When, RFC 3339.
        at: String,
        /// What.
        #[serde(flatten)]
        what: DeniedEntry,
    },
    /// Another CA begins to take the place of the one so far.
    Rollover(Rollover),
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

impl IndexEvent {
    /// Reads one event, as JSON.
    ///
    /// # Errors
    /// When it is not one, or is of a form that this version does not know.
    pub fn read(line: &str) -> Result<Self, CertsError> {
        let read: Self = serde_json::from_str(line).map_err(|error| {
            let why = file::damage(&error);
            CertsError::crypto("read an event of the store", why)
        })?;
        match read.later_form() {
            None => Ok(read),
            Some(form) => Err(CertsError::refused(
                format!("the index in the store has form {form}, expected form {FORMAT}"),
                "a later dockgate has made it: use that one on every host",
            )),
        }
    }

    fn later_form(&self) -> Option<u32> {
        match self {
            Self::Format { version } if *version > FORMAT => Some(*version),
            _ => None,
        }
    }
}

/// Another CA begins to take the place of the one so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollover {
    /// When, RFC 3339.
    pub at: String,
    /// When it begins to sign clients' certificates, RFC 3339.
    pub from: String,
    /// SHA-256 of its certificate, lower-case hex.
    pub sha256: String,
}

impl Rollover {
    /// When the next CA begins to sign clients' certificates; at once if that cannot be read.
    #[must_use]
    pub fn from(&self) -> OffsetDateTime {
        OffsetDateTime::parse(&self.from, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// What every gate refuses, whatever the revocation lists say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeniedEntry {
    /// Certificates with this serial number, lower-case hex.
    #[serde(rename = "serial")]
    Serial(String),
    /// Certificates with a public key of this SHA-256, lower-case hex.
    #[serde(rename = "spki_sha256")]
    Key(String),
}

/// Somebody was invited to ask for a certificate, whose names are all here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// When, RFC 3339.
    pub at: String,
    /// What it is called.
    pub id: String,
    /// SHA-256 of the secret, hex: the secret itself is kept nowhere.
    pub secret_sha256: String,
    /// What the certificate is for.
    pub kind: IssuedKind,
    /// The name.
    pub name: String,
    /// `O`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// `OU`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<String>,
    /// Subject alternative names as a person writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
    /// Life of each certificate, in seconds; the signer's default if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_secs: Option<u64>,
    /// How many certificates it is good for.
    pub uses: u32,
    /// Until when, RFC 3339.
    pub expires: String,
}

/// How a certificate came to be that was asked for over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The invitation that the line began with.
    pub invitation: String,
    /// The serial number of the certificate it renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<String>,
    /// 1 for the first of its line.
    pub generation: u32,
    /// Its life in seconds, which a renewal has too.
    pub life_secs: u64,
    /// The certificate in base64: an answer that was lost is given again. What came by a token is not, and is not kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub der: String,
}

impl Enrolled {
    /// Whether it came by a token of CI, which is good for one certificate and no renewal.
    #[must_use]
    pub fn is_by_token(&self) -> bool {
        self.invitation.starts_with(TOKEN)
    }
}

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// When it was signed (RFC 3339).
    pub at: String,
    /// What it is for.
    pub kind: IssuedKind,
    /// The name it is kept under.
    pub name: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its subject, as text.
    pub subject: String,
    /// When its validity ends (RFC 3339).
    pub not_after: String,
    /// SHA-256 of the certificate.
    pub sha256: String,
    /// SHA-256 of its public key.
    pub spki_sha256: String,
    /// Subject key identifier of the CA: a directory may serve more than one.
    pub issuer_key_id: Option<String>,
    /// The names that nobody asked for: this host's own. They go when the host loses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<String>,
    /// How it came to be, if it was asked for over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<Enrolled>,
}

impl Issued {
    /// Whether its validity has not ended.
    #[must_use]
    pub fn is_alive(&self, now: OffsetDateTime) -> bool {
        // A date that cannot be read must not make a name free.
        self.ends().is_none_or(|end| end > now)
    }

    /// When its validity ends.
    #[must_use]
    pub fn ends(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.not_after, &Rfc3339).ok()
    }
}

/// A certificate that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRevocation {
    /// When it was revoked (RFC 3339).
    pub at: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Why, as RFC 5280 names it.
    pub reason: String,
    /// Subject key identifier of the CA that signed it.
    pub issuer_key_id: Option<String>,
}

/// The index of one CA, read whole.
#[derive(Debug)]
pub struct Index {
    place: IndexPlace,
    events: Vec<Arc<IndexEvent>>,
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
        }
    }

    /// The places of the events that nobody needs any more, if they are worth the work.
    pub(crate) fn spent(view: &SharedView) -> BTreeSet<usize> {
        let events = view.events.iter().map(AsRef::as_ref);
        spent::spent(events, OffsetDateTime::now_utc())
    }

    /// The same for appending.
    #[must_use]
    pub fn of_turn(turn: Box<dyn SharedTurn>) -> Self {
        Self {
            events: turn.view().events.clone(),
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

//! The issuance index: one JSON object a line, appended and synced under the directory's lock.
//!
//! It answers which certificates exist, whose they are and which were revoked. A line cut short by a crash is the last
//! one and is ignored; damage anywhere else is an error that names the line. An event of a kind that this version does not
//! know is passed over, unless a line says that the whole file has another form.

mod spent;

use std::path::{Path, PathBuf};

pub use spent::TOKEN;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Certificate, CertsError, timestamp, write};

/// The form of the file that this version reads and writes.
const FORMAT: u32 = 1;

/// The largest index that is read: some fifty thousand certificates that came by enrolment.
pub const MAX_INDEX_BYTES: u64 = 64 * 1024 * 1024;

/// The reason of a revocation that [`IndexEvent::Allowed`] may lift (RFC 5280 §5.3.1).
pub const HOLD: &str = "certificateHold";

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The index of one directory, read whole.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    pub(crate) events: Vec<IndexEvent>,
}

impl Index {
    /// Reads the index; a missing file is an empty index. A half-written last line is left out: another process may be writing it.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        Ok(Self {
            path: path.into(),
            events: parse(path, whole_lines(&load(path)?))?,
        })
    }

    /// Reads the index for appending, under the directory's lock: half a line can only be what a crash left, and is
    /// cut off, or the next record would be glued to it. Many lines that nobody needs any more are left out too.
    pub fn read_locked(path: &Path) -> Result<Self, CertsError> {
        let bytes = load(path)?;
        let whole = whole_lines(&bytes);
        let mut events = parse(path, whole)?;
        let spent = spent::spent(events.iter(), OffsetDateTime::now_utc());
        if whole.len() < bytes.len() || !spent.is_empty() {
            let kept = lines(whole).enumerate();
            let kept = kept.filter(|(place, _)| !spent.contains(place));
            let kept: Vec<u8> = kept
                .flat_map(|(_, (_, line))| [line, b"\n"].concat())
                .collect();
            write::write(
                path,
                &kept,
                write::FileMode::Public,
                write::Existing::Replace,
            )?;
            let mut place = 0..;
            events.retain(|_| place.next().is_none_or(|it| !spent.contains(&it)));
        }
        Ok(Self {
            path: path.into(),
            events,
        })
    }

    /// Whether nothing was recorded so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Appends one event. The caller holds the directory's lock.
    pub fn append(&mut self, event: IndexEvent) -> Result<(), CertsError> {
        self.append_all([event])
    }

    /// Appends several events with one write; after a crash the first of them may be there without the others.
    pub fn append_all(
        &mut self,
        events: impl IntoIterator<Item = IndexEvent>,
    ) -> Result<(), CertsError> {
        let events: Vec<_> = events.into_iter().collect();
        let lines = events.iter().map(serde_json::to_string);
        let lines: Vec<_> = lines
            .collect::<Result<_, _>>()
            .map_err(|source| CertsError::crypto("encode an index line", source))?;
        if lines.is_empty() {
            return Ok(());
        }
        write::append_line(&self.path, &lines.join("\n"))?;
        self.events.extend(events);
        Ok(())
    }

    /// Records a certificate that is about to be handed out.
    pub fn record(
        &mut self,
        kind: IssuedKind,
        name: &str,
        info: &Certificate,
        chosen: &[String],
        enrolled: Option<Enrolled>,
    ) -> Result<(), CertsError> {
        self.append(IndexEvent::Issued(Issued {
            at: timestamp(OffsetDateTime::now_utc()),
            kind,
            name: name.into(),
            serial: info.serial.clone(),
            subject: info.subject.clone(),
            not_after: timestamp(info.not_after),
            sha256: info.sha256.clone(),
            spki_sha256: info.spki_sha256.clone(),
            issuer_key_id: info.authority_key_id.clone(),
            chosen: chosen.to_vec(),
            enrolled,
        }))
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
        self.events.iter().filter_map(|event| {
            if let IndexEvent::Issued(issued) = event {
                Some(issued)
            } else {
                None
            }
        })
    }

    /// All revocations, oldest first.
    pub fn revoked(&self) -> impl DoubleEndedIterator<Item = &IndexRevocation> {
        self.events.iter().filter_map(|event| {
            if let IndexEvent::Revoked(revoked) = event {
                Some(revoked)
            } else {
                None
            }
        })
    }

    /// The numbers of all revocation lists signed here, those that fit.
    pub fn crl_numbers(&self) -> impl Iterator<Item = u64> {
        self.events.iter().filter_map(|event| {
            if let IndexEvent::Crl { number, .. } = event {
                number.parse().ok()
            } else {
                None
            }
        })
    }

    /// The revocation of a serial number, if any: the last word on it counts.
    pub fn revocation(&self, serial: &str) -> Option<&IndexRevocation> {
        self.events.iter().rev().find_map(|event| match event {
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
        self.events.iter().rev().find_map(said).unwrap_or(false)
    }

    /// The last time that another CA began to take over.
    #[must_use]
    pub fn rollover(&self) -> Option<&Rollover> {
        self.events.iter().rev().find_map(|event| match event {
            IndexEvent::Rollover(rollover) => Some(rollover),
            _ => None,
        })
    }

    /// All invitations, oldest first.
    pub fn invitations(&self) -> impl DoubleEndedIterator<Item = &Invitation> {
        self.events.iter().filter_map(|event| match event {
            IndexEvent::Invited(invitation) => Some(invitation),
            _ => None,
        })
    }

    /// Whether an invitation was taken back.
    #[must_use]
    pub fn is_withdrawn(&self, invitation: &str) -> bool {
        self.events
            .iter()
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

fn load(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CertsError> {
    if path.exists() {
        write::read_at_most(path, MAX_INDEX_BYTES)
    } else {
        Ok(zeroize::Zeroizing::default())
    }
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1)]
}

/// The lines that are not empty, with their numbers from 0.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<IndexEvent>, CertsError> {
    let events: Vec<_> = lines(bytes)
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| CertsError::Unexpected {
                path: path.into(),
                expected: "one JSON object a line",
                found: format!("a damaged line {} ({})", number + 1, damage(&error)),
                hint: Some("restore the file from a backup, or delete that line: crl.pem still lists what is revoked".into()),
            })
        })
        .collect::<Result<_, _>>()?;
    let later = events.iter().find_map(|event| match event {
        IndexEvent::Format { version } if *version > FORMAT => Some(*version),
        _ => None,
    });
    match later {
        None => Ok(events),
        Some(version) => Err(CertsError::Unexpected {
            path: path.into(),
            expected: "the form 1 of the index",
            found: format!("the form {version}"),
            hint: Some("a later dockgate wrote it: use that one".into()),
        }),
    }
}

/// What is wrong with a line, without a word of what it holds: it may be another file.
fn damage(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "not an event of the index",
        serde_json::error::Category::Eof => "cut short",
        _ => "not JSON",
    };
    format!("{what}, at column {}", error.column())
}

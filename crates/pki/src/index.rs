//! The issuance index: one JSON object a line, appended and synced under the directory's lock.
//!
//! It answers which certificates exist, whose they are and which were revoked. A line cut short by a crash is the last
//! one and is ignored; damage anywhere else is an error that names the line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Certificate, CertsError, timestamp, write};

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
}

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    pub at: String,
    pub kind: IssuedKind,
    pub name: String,
    pub serial: String,
    pub subject: String,
    pub not_after: String,
    pub sha256: String,
    pub spki_sha256: String,
    /// Subject key identifier of the CA: a directory may serve more than one.
    pub issuer_key_id: Option<String>,
    /// The names that nobody asked for: this host's own. They go when the host loses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<String>,
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
    pub at: String,
    pub serial: String,
    pub reason: String,
    pub issuer_key_id: Option<String>,
}

/// The index of one directory, read whole.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    events: Vec<IndexEvent>,
}

impl Index {
    /// Reads the index; none is an empty one. A half-written last line is left out: another process may be writing it.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        Ok(Self {
            path: path.into(),
            events: parse(path, whole_lines(&load(path)?))?,
        })
    }

    /// Reads the index for appending, under the directory's lock: half a line can only be what a crash left, and is
    /// cut off, or the next record would be glued to it.
    pub fn read_locked(path: &Path) -> Result<Self, CertsError> {
        let bytes = load(path)?;
        let whole = whole_lines(&bytes);
        let events = parse(path, whole)?;
        if whole.len() < bytes.len() {
            write::write(
                path,
                whole,
                write::FileMode::Public,
                write::Existing::Replace,
            )?;
        }
        Ok(Self {
            path: path.into(),
            events,
        })
    }

    /// Appends one event. The caller holds the directory's lock.
    pub fn append(&mut self, event: IndexEvent) -> Result<(), CertsError> {
        let line = serde_json::to_string(&event)
            .map_err(|source| CertsError::crypto("encode an index line", source))?;
        write::append_line(&self.path, &line)?;
        self.events.push(event);
        Ok(())
    }

    /// Records a certificate that is about to be handed out.
    pub fn record(
        &mut self,
        kind: IssuedKind,
        name: &str,
        info: &Certificate,
        chosen: &[String],
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

    /// The revocation of a serial number, if any.
    pub fn revocation(&self, serial: &str) -> Option<&IndexRevocation> {
        self.revoked().find(|revoked| revoked.serial == serial)
    }
}

fn load(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CertsError> {
    if path.exists() {
        write::read(path)
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

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<IndexEvent>, CertsError> {
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| CertsError::Unexpected {
                path: path.into(),
                expected: "one JSON object a line",
                found: format!("a damaged line {} ({})", number + 1, damage(&error)),
                hint: Some("restore the file from a backup, or delete that line: crl.pem still lists what is revoked".into()),
            })
        })
        .collect()
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

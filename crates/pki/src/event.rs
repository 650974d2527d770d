//! The events of an index, and what each says.
//!
//! An event of a kind that this version does not know is read as [`IndexEvent::Unknown`]; an index of a later form is refused.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::CertsError;

/// The form of the file that this version reads and writes.
const FORMAT: u32 = 1;

/// The reason of a revocation that [`IndexEvent::Allowed`] may lift (RFC 5280 §5.3.1).
pub const HOLD: &str = "certificateHold";

/// What the name of an invitation begins with that is the use of a token of CI.
pub const TOKEN: &str = "oidc:";

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
            let why = damage(&error);
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

    /// The form of the index, if a later version made it.
    pub(crate) fn later_form(&self) -> Option<u32> {
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

/// What is wrong with a line, without a word of what it holds: it may be another file.
pub(crate) fn damage(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "not an event of the index",
        serde_json::error::Category::Eof => "cut short",
        _ => "not JSON",
    };
    format!("{what}, at column {}", error.column())
}

//! The audit record: one JSON line when a request is allowed and one at its end, or one line for a refusal. A hijacked session
//! has a line at its start as well.
//!
//! This module is the record's form only; where lines go and what happens when they cannot is the caller's. A record
//! has no body, query or header as it came, and no environment values or build arguments; what a verdict is about (a
//! field, a parameter, an exec's command line) is quoted in `detail`, `facts` and `command`. Each is bounded, and so is the
//! line ([`MAX_LINE`]). No character of a peer's can end a line or drive a terminal: all control characters are escaped.

pub mod sink;

use std::borrow::Cow;
use std::time::SystemTime;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use pki::identity::Identity;
use policy::{Denied, Permitted, Power, Powers};
use text::escape;

/// The version of the record's form; it changes when a field is removed or changes meaning, not when one is added.
pub const SCHEMA: u32 = 1;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request was allowed, and is about to go on. Another record with the same `request` and `time` follows at its end.
    Decided,
    /// A request ended: it was answered, refused, or given up.
    Request,
    /// A hijacked session began.
    SessionStart,
    /// A hijacked session ended; `reason` says why.
    SessionEnd,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
    /// Forwarded in report mode though the policy refuses it.
    WouldDeny,
}

/// The certificate, as far as a record needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCertificate {
    /// Subject common names.
    pub cn: Vec<String>,
    /// Subject organizations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub o: Vec<String>,
    /// Subject organizational units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ou: Vec<String>,
    /// DNS names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Email addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
    /// URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uri: Vec<String>,
    /// IP addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip: Vec<std::net::IpAddr>,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// `sha256:` and the base64 digest of the SubjectPublicKeyInfo.
    pub spki: String,
    /// The same of the issuer, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_spki: Option<String>,
}

impl AuditCertificate {
    /// The record's view of an identity: of each kind of name the first 16, and 4 KiB in all.
    pub fn of(identity: &Identity) -> AuditCertificate {
        let pin = |digest: &[u8; 32]| format!("sha256:{}", BASE64.encode(digest));
        let mut room = 4096;
        let mut names = |names: &[String]| -> Vec<String> {
            let shown = names.iter().take(MOST_NAMES).map_while(|name| {
                let name = shown(name, 512);
                room = usize::checked_sub(room, escaped_len(&name))?;
                Some(name)
            });
            shown.collect()
        };
        AuditCertificate {
            cn: names(&identity.common_names),
            o: names(&identity.organizations),
            ou: names(&identity.organizational_units),
            dns: names(&identity.dns),
            email: names(&identity.emails),
            uri: names(&identity.uris),
            ip: identity.ips.iter().take(MOST_NAMES).copied().collect(),
            serial: identity.serial.clone(),
            spki: pin(&identity.spki),
            issuer_spki: identity.issuer_spki.as_ref().map(pin),
        }
    }
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the request's head was read, RFC 3339 in UTC.
    pub time: String,
    /// What the record is about.
    pub event: Event,
    /// The request's id, as in the log and in denials.
    pub request: String,
    /// The connection's id.
    pub connection: String,
    /// The client's address and port.
    pub address: String,
    /// The verified certificate.
    pub certificate: AuditCertificate,
    /// The client entry; `-` if none matched.
    pub client: String,
    /// The role; `none` if no entry matched.
    pub role: String,
    /// The operation, `container.create`.
    pub operation: String,
    /// The HTTP method.
    pub method: String,
    /// The path as sent, without its query, at most 2,048 bytes of it.
    pub path: String,
    /// What the operation is on: a container's name or id, an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// The rule that refused, or would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The field and value that were refused, or would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The line of the policy that would let it pass, if one would in a limited role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// `none` without a policy, else `enforce` or `report`.
    pub mode: String,
    /// The status the client got.
    pub status: u16,
    /// Bytes from the client, the head included.
    pub bytes_in: u64,
    /// Bytes to the client, the head included.
    pub bytes_out: u64,
    /// From the request's head to the end of the answer, microseconds.
    pub duration_us: u64,
    /// The part of it spent waiting for the engine's head, microseconds.
    pub upstream_us: u64,
    /// The command line of an `exec.create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What a judged request asked for, as keys of the limits and values; `policy learn` and `policy diff` read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
    /// How much more it asked for than `facts` has room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub facts_omitted: usize,
    /// Why a hijacked session ended, or what was out of the ordinary about a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record {
    /// Notes a permit: the decision, its facts, and what report mode let pass.
    pub fn permitted(&mut self, permitted: &Permitted) {
        self.decision = Decision::Allow;
        if let Some(denied) = permitted.would_deny() {
            self.denied(denied);
            self.decision = Decision::WouldDeny;
        } else {
            self.asked(permitted.asked());
        }
        self.command = permitted.command().map(shown_command);
    }

    /// Notes a denial.
    pub fn denied(&mut self, denied: &Denied) {
        self.decision = Decision::Deny;
        self.rule = Some(denied.rule.to_owned());
        self.detail = Some(shown(
            &escape::without_url_secrets(&denied.detail),
            MAX_DETAIL,
        ));
        self.grant = Some(shown(&denied.grant, MAX_DETAIL)).filter(|line| !line.is_empty());
        self.command = denied.command.as_deref().map(shown_command);
        self.asked(&denied.asked);
    }

    fn asked(&mut self, asked: &Powers) {
        let mut room = MAX_FACTS;
        self.facts.clear();
        self.facts_omitted = asked.omitted;
        for (key, value) in asked.kept.iter().filter_map(Power::fact) {
            // A fact that is cut would be another one.
            let len = key.len() + escaped_len(&value) + 8;
            match room.checked_sub(len) {
                Some(left) => {
                    room = left;
                    self.facts.push((key.to_owned(), value));
                }
                None => self.facts_omitted += 1,
            }
        }
    }

    /// The record as one line, without its line feed.
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_else(|error| {
            // Strings and numbers always serialise; should that change, say so rather than lose the record.
            format!("{{\"schema\":{SCHEMA},\"error\":{:?}}}", error.to_string())
        });
        match escape::lines(&json) {
            Cow::Borrowed(_) => json,
            Cow::Owned(escaped) => escaped,
        }
    }
}

/// Longest line, in bytes. The parts below add up to less.
pub const MAX_LINE: usize = 64 << 10;

/// Bytes, as JSON has them, of what is recorded of a path, of a target's name and of a refused value.
pub const MAX_DETAIL: usize = 2048;

/// Bytes of all facts together.
const MAX_FACTS: usize = 16 << 10;

/// Bytes of a command line.
const MAX_COMMAND: usize = 8 << 10;

/// Names of a kind in a certificate.
const MOST_NAMES: usize = 16;

/// What records show of a text: all of it, or its beginning and an ellipsis, `most` bytes as JSON has them.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    match escape::begun(text, most) {
        begun if begun.len() == text.len() => text.to_owned(),
        begun => format!("{begun}…"),
    }
}

fn shown_command(words: &[String]) -> Vec<String> {
    let mut room = MAX_COMMAND;
    let mut out = Vec::new();
    for word in words {
        let word = shown(word, room);
        let len = escaped_len(&word) + 3;
        let last = room <= len;
        room = room.saturating_sub(len);
        out.push(word);
        if last {
            out.push("…".into());
            break;
        }
    }
    out
}

fn escaped_len(text: &str) -> usize {
    text.chars().map(escape::json_len).sum()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A point in time as records have it: RFC 3339, UTC, always six digits of the second, so that text sorts as time does.
pub fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time.max(SystemTime::UNIX_EPOCH));
    let (date, (hour, minute, second, micro)) = (time.date(), time.time().as_hms_micro());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
}

//! The control socket: how `dockgate ps`, `top`, `kick` and `healthcheck` talk to the running gate.
//!
//! HTTP/1 and JSON over a unix socket of mode 0600: who may open it may end anybody's session, so only the gate's own user and
//! root may. The requests and answers are the types of this module; `docs/reference/control.md` shows them.

pub mod client;
pub mod server;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use data_encoding::HEXLOWER;
use pki::Serial;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::observe::registry::{Entry, Handshake, ProcessLeft, State};
use pki::identity::Identity;

pub use socket::{BindError, ControlSocket};

/// `GET /connections`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// Oldest first; handshakes included.
    pub connections: Vec<Connection>,
    /// Said when the policy, or the lack of one, lets everything through: of whom.
    #[serde(default)]
    pub report_only: Option<String>,
}

/// One live connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number since start.
    pub id: u64,
    /// The client's short name; absent during the handshake, as is all that follows from the certificate.
    pub client: Option<String>,
    /// The certificate's serial number in lower-case hex.
    pub serial: Option<String>,
    /// SHA-256 of the certificate in lower-case hex.
    pub sha256: Option<String>,
    /// SHA-256 of its public key (SPKI) in lower-case hex.
    pub spki_sha256: Option<String>,
    /// The client's address.
    pub address: String,
    /// What it is doing.
    pub state: State,
    /// The operation, or the last one when it is idle; absent before the first request.
    pub operation: Option<String>,
    /// The path of that request, without its query.
    pub path: Option<String>,
    /// Of a connection that was cut in an exec: the exec's process, which goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<ProcessLeft>,
    /// Calls of builds that are in progress inside the tunnel, with what they ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// Requests so far.
    pub requests: u64,
    /// Time since it was accepted.
    pub age_ms: u64,
    /// Time since its state last changed.
    pub state_ms: u64,
    /// Time since a byte last moved.
    pub idle_ms: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

/// `GET /owners`: what clients of roles with a scope have on the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnersReport {
    /// Sorted by name.
    pub owners: Vec<OwnerUse>,
}

/// One owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnerUse {
    /// Its typed name: `…/cn:alice`, `entry:team`.
    pub owner: String,
    /// What it has.
    pub used: OwnerAmounts,
    /// What it may have; absent where the owner's role cannot be told, since it is not connected.
    pub budget: Option<OwnerAmounts>,
}

/// Amounts of what is counted; absent where there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnerAmounts {
    /// Containers.
    pub containers: Option<u64>,
    /// Bytes that containers were granted.
    pub memory: Option<u64>,
    /// Billionths of a CPU that containers were granted.
    pub nano_cpus: Option<u64>,
    /// Processes that containers were granted.
    pub pids: Option<u64>,
    /// Volumes.
    pub volumes: Option<u64>,
    /// Networks.
    pub networks: Option<u64>,
}

/// Looks at the engine for the owners.
pub type OwnersLook = Arc<
    dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<OwnersReport, String>> + Send>>
        + Send
        + Sync,
>;

/// `POST /kick`: whom to cut. A connection has to fit each part that is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kick {
    /// These connections.
    pub ids: Vec<u64>,
    /// Every connection of the certificate with this serial number (hex).
    pub serial: Option<String>,
    /// Every connection of this subject common name.
    pub cn: Option<String>,
    /// Every connection of this client: common name, serial number or fingerprint.
    pub client: Option<String>,
    /// Every connection.
    pub all: bool,
}

/// The answer to [`Kick`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kicked {
    /// What was cut, as it was then.
    pub kicked: Vec<Connection>,
    /// Asked for by number, but not live (or still in its handshake).
    pub missing: Vec<u64>,
}

/// A request for a reload; it is answered with what came of it, or with what is wrong.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, String>>;

/// The answer to `POST /reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force now that was not before, one sentence each.
    pub changed: Vec<String>,
    /// Settings that have changed and take effect at the next start.
    pub next_start: Vec<String>,
    /// The connections that were cut, as they were then.
    pub cut: Vec<CutConnection>,
    /// A revocation list beside the CA's file that the configuration does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_list: Option<PathBuf>,
}

/// A connection that a reload cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutConnection {
    /// The connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// Why.
    pub reason: String,
}

/// `GET /status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// The running version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Time since start.
    pub uptime_ms: u64,
    /// Where it listens.
    pub listen: Vec<String>,
    /// The engine's socket.
    pub upstream: String,
    /// The metrics listener.
    pub metrics: Option<String>,
    /// The policy file.
    pub policy: Option<String>,
    /// Said when the policy, or the lack of one, lets everything through: of whom.
    pub report_only: Option<String>,
    /// Whether it is about to end.
    pub draining: bool,
    /// Live connections, handshakes aside.
    pub connections: usize,
    /// Those of them that are hijacked.
    pub tunnels: usize,
    /// Bytes from clients since start.
    pub bytes_in: u64,
    /// Bytes to clients since start.
    pub bytes_out: u64,
}

/// An answer that is a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRefused {
    /// One sentence.
    pub message: String,
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Connection {
    /// Of a connection in the table.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let activity = entry.activity();
        let (bytes_in, bytes_out) = entry.meter.totals();
        let used = activity.requests > 0;
        Self {
            id: entry.id,
            client: Some(entry.identity.label().to_owned()),
            serial: Some(entry.identity.serial.clone()),
            sha256: Some(HEXLOWER.encode(&entry.identity.fingerprint)),
            spki_sha256: Some(HEXLOWER.encode(&entry.identity.spki)),
            address: entry.peer.to_string(),
            state: entry.state(),
            operation: used.then(|| activity.operation.id().to_owned()),
            path: used.then_some(activity.path),
            left: None,
            calls: activity.calls.into_values().collect(),
            requests: activity.requests,
            age_ms: ms(entry.entered),
            state_ms: ms(activity.since),
            idle_ms: u64::try_from(entry.meter.idle().as_millis()).unwrap_or(u64::MAX),
            bytes_in,
            bytes_out,
        }
    }

    fn shaking(handshake: &Handshake) -> Self {
        let age_ms = ms(handshake.since);
        Self {
            id: handshake.id,
            client: None,
            serial: None,
            sha256: None,
            spki_sha256: None,
            address: handshake.peer.to_string(),
            state: State::Handshake,
            operation: None,
            path: None,
            left: None,
            calls: Vec::new(),
            requests: 0,
            age_ms,
            state_ms: age_ms,
            idle_ms: age_ms,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Whether it belongs to `client`: common name, serial number or fingerprint.
    #[must_use]
    pub fn is_of(&self, client: &str) -> bool {
        let hex = plain_hex(client);
        let same = |own: &Option<String>| own.is_some() && *own == hex;
        self.client.as_deref() == Some(client)
            || self
                .serial
                .as_deref()
                .is_some_and(|own| same_serial(own, client))
            || same(&self.sha256)
            || same(&self.spki_sha256)
    }
}

/// Hex as it is kept here, however it was copied: `0A:BC`, `0x0abc`, `0ABC`. `None` when it is not hex.
fn plain_hex(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let hex: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    (!hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit())).then_some(hex)
}

impl Kick {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a connection fits all that is asked for; an empty question fits none.
    fn matches(&self, entry: &Arc<Entry>) -> bool {
        let identity: &Identity = &entry.identity;
        !self.is_empty()
            && (self.ids.is_empty() || self.ids.contains(&entry.id))
            && self
                .serial
                .as_deref()
                .is_none_or(|s| same_serial(&identity.serial, s))
            && self
                .cn
                .as_ref()
                .is_none_or(|cn| identity.common_names.contains(cn))
            && self.client.as_ref().is_none_or(|client| {
                let hex = plain_hex(client);
                let same = |own: &[u8]| hex.as_deref() == Some(HEXLOWER.encode(own).as_str());
                identity.common_names.contains(client)
                    || identity.label() == client
                    || same_serial(&identity.serial, client)
                    || same(&identity.fingerprint)
                    || same(&identity.spki)
            })
    }
}

/// Serial numbers are numbers: the form they are given in does not count.
fn same_serial(own: &str, text: &str) -> bool {
    text.parse::<Serial>()
        .is_ok_and(|serial| own.parse() == Ok(serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_taken_however_it_was_copied_and_words_are_not_hex() {
        for text in ["0A:BC", "0x0abc", "0abc", " 0ABC "] {
            assert_eq!(plain_hex(text).as_deref(), Some("0abc"));
        }
        assert_eq!(plain_hex("alice"), None);
        assert_eq!(plain_hex(""), None);
    }

    #[test]
    fn a_misspelt_field_is_refused_rather_than_taken_for_nothing() {
        assert!(serde_json::from_str::<Kick>(r#"{"ids":[3]}"#).is_ok());
        assert!(serde_json::from_str::<Kick>(r#"{"id":[3]}"#).is_err());
    }
}

//! Counters and histograms of the running gate.
//!
//! Recording is a handful of relaxed atomic additions at places computed from enums: no lock, no map, no allocation, so a
//! request pays nanoseconds. Names, labels and text exist only in `encode`, when somebody scrapes. Every label comes from a
//! closed set; paths and client names never become labels, since a peer could make as many as it likes.

mod encode;
mod expiry;
mod families;
mod histogram;
mod process;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::docker::{Hijack, Kind, Operation, Risk, Streams};
use crate::registry::Cut;

pub use encode::{Scene, Syntax};
pub use expiry::Expiry;
pub use families::{FAMILIES, Family};
pub use histogram::{BOUNDS, Histogram};

/// How handshakes end: `ok`, then every word of `tls::Outcome::id`.
pub const HANDSHAKES: [&str; 15] = [
    "ok",
    "probe",
    "plain_http",
    "old_version",
    "timed_out",
    "no_certificate",
    "failed",
    "expired",
    "not_yet_valid",
    "unknown_issuer",
    "revoked",
    "revocation_unknown",
    "deny_listed",
    "wrong_usage",
    "invalid",
];

/// The place of `failed`, where a word that is not in [`HANDSHAKES`] is counted.
const HANDSHAKE_FAILED: usize = 6;

/// What became of a request before it went to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let through.
    Allowed,
    /// Refused by the policy.
    Denied,
    /// Let through, although the policy would refuse it once it is enforced.
    WouldDeny,
    /// Refused by a limit.
    Limited,
    /// Refused because it cannot be read, or has two readings.
    Malformed,
}

impl Decision {
    /// Every decision, in order.
    pub const ALL: [Self; 5] = [
        Self::Allowed,
        Self::Denied,
        Self::WouldDeny,
        Self::Limited,
        Self::Malformed,
    ];

    /// The label.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::WouldDeny => "would_deny",
            Self::Limited => "limited",
            Self::Malformed => "malformed",
        }
    }
}

/// A bound that turned somebody away; the label is the name of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections in all.
    Connections,
    /// Connections of one client.
    ConnectionsPerClient,
    /// Handshakes in flight.
    Handshakes,
    /// Size of a head.
    HeadSize,
    /// Lines of a head.
    HeaderLines,
    /// Requests per second of one client.
    RequestsPerSecond,
}

impl Limit {
    /// Every limit, in order.
    pub const ALL: [Self; 6] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::Handshakes,
        Self::HeadSize,
        Self::HeaderLines,
        Self::RequestsPerSecond,
    ];

    /// The setting's name in the configuration file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Connections => "max-connections",
            Self::ConnectionsPerClient => "max-connections-per-client",
            Self::Handshakes => "max-handshakes",
            Self::HeadSize => "max-head-size",
            Self::HeaderLines => "max-header-lines",
            Self::RequestsPerSecond => "max-requests-per-second-per-client",
        }
    }
}

/// How the engine failed a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// There is no socket at the path.
    Missing,
    /// Nobody listens on the socket.
    Refused,
    /// The gate may not open the socket.
    Forbidden,
    /// The accept queue stayed full until the deadline.
    TimedOut,
    /// The connection could not be made for another reason.
    Connect,
    /// It closed without an answer, or its answer was not acceptable.
    NoAnswer,
    /// Its answer broke off.
    CutOff,
}

impl UpstreamError {
    /// Every reason, in order.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Refused,
        Self::Forbidden,
        Self::TimedOut,
        Self::Connect,
        Self::NoAnswer,
        Self::CutOff,
    ];

    /// The label.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::TimedOut => "timed_out",
            Self::Connect => "connect",
            Self::NoAnswer => "no_answer",
            Self::CutOff => "cut_off",
        }
    }

    /// The reason a connection could not be made.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::PermissionDenied => Self::Forbidden,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Connect,
        }
    }
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What the files say is in force.
    Applied,
    /// A fault; the old stays in force.
    Failed,
}

impl Reload {
    /// Every outcome, in order.
    pub const ALL: [Self; 2] = [Self::Applied, Self::Failed];

    /// The label.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Failed => "failed",
        }
    }
}

/// How long an operation may take by its nature; durations of different shapes do not belong in one histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An ordinary request and answer.
    Plain,
    /// A body that is a stream: logs, events, build, pull.
    Stream,
    /// A connection that leaves HTTP: attach, exec.
    Tunnel,
}

impl Shape {
    /// Every shape, in order.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Stream, Self::Tunnel];

    /// The label.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Tunnel => "tunnel",
        }
    }

    /// The shape of an operation.
    #[must_use]
    pub fn of(operation: Operation) -> Self {
        match (operation.hijack(), operation.streams()) {
            (Hijack::None, Streams::None) => Self::Plain,
            (Hijack::None, _) => Self::Stream,
            _ => Self::Tunnel,
        }
    }
}

/// The classes of operations, in the order of [`Risk`]; `none` is for requests that could not be read.
const CLASSES: [&str; 5] = ["read", "sensitive", "write", "root", "none"];
const RISKS: usize = CLASSES.len() - 1;

/// The kinds of operations, in the order of [`Kind`]; `none` is for requests that could not be read.
const KINDS: [&str; 11] = [
    "inspect", "list", "stream", "create", "modify", "delete", "transfer", "exec", "build",
    "admin", "none",
];

/// Classes of status codes; `none` is for requests whose answer never began.
const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

const REQUESTS: usize = CLASSES.len() * KINDS.len() * Decision::ALL.len() * STATUSES.len();

/// Everything that is counted where it happens. What can be read off when asked (live connections, bytes, expiry, the
/// process) is not here: see [`Scene`].
#[derive(Debug)]
pub struct Metrics {
    accepted: AtomicU64,
    handshakes: [AtomicU64; HANDSHAKES.len()],
    requests: Box<[AtomicU64]>,
    durations: [[Histogram; Shape::ALL.len()]; RISKS],
    limits: [AtomicU64; Limit::ALL.len()],
    upstream_connects: AtomicU64,
    upstream_errors: [AtomicU64; UpstreamError::ALL.len()],
    cuts: [AtomicU64; Cut::IDS.len()],
    reloads: [AtomicU64; Reload::ALL.len()],
    /// Milliseconds since the Unix epoch; building the gate counts as the first success.
    last_reload: AtomicU64,
    last_reload_failed: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::default(),
            handshakes: Default::default(),
            requests: (0..REQUESTS).map(|_| AtomicU64::default()).collect(),
            durations: Default::default(),
            limits: Default::default(),
            upstream_connects: AtomicU64::default(),
            upstream_errors: Default::default(),
            cuts: Default::default(),
            reloads: Default::default(),
            last_reload: AtomicU64::new(now_ms()),
            last_reload_failed: AtomicBool::new(false),
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX))
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn class(risk: Risk) -> usize {
    match risk {
        Risk::Read => 0,
        Risk::SensitiveRead => 1,
        Risk::Write => 2,
        Risk::RootEquivalent => 3,
    }
}

fn kind(kind: Kind) -> usize {
    match kind {
        Kind::Inspect => 0,
        Kind::List => 1,
        Kind::Stream => 2,
        Kind::Create => 3,
        Kind::Modify => 4,
        Kind::Delete => 5,
        Kind::Transfer => 6,
        Kind::Exec => 7,
        Kind::Build => 8,
        Kind::Admin => 9,
    }
}

fn status_class(status: Option<u16>) -> usize {
    status.map_or(0, |s| usize::from(s / 100).clamp(1, 5))
}

fn place(class: usize, kind: usize, decision: Decision, status: usize) -> usize {
    ((class * KINDS.len() + kind) * Decision::ALL.len() + decision as usize) * STATUSES.len()
        + status
}

impl Metrics {
    /// Counts an accepted socket.
    pub fn accepted(&self) {
        add(&self.accepted);
    }

    /// Counts a finished handshake by its outcome, `ok` or a word of `tls::Outcome::id`.
    pub fn handshake(&self, outcome: &str) {
        let at = HANDSHAKES.iter().position(|id| *id == outcome);
        add(&self.handshakes[at.unwrap_or(HANDSHAKE_FAILED)]);
    }

    /// Counts a finished request; `status` is `None` when no answer began.
    pub fn request(
        &self,
        operation: Operation,
        decision: Decision,
        status: Option<u16>,
        took: Duration,
    ) {
        let class = class(operation.risk());
        let at = place(
            class,
            kind(operation.kind()),
            decision,
            status_class(status),
        );
        add(&self.requests[at]);
        if matches!(decision, Decision::Allowed | Decision::WouldDeny) {
            self.durations[class][Shape::of(operation) as usize].observe(took);
        }
    }

    /// Counts a request that could not be read, by the status of its refusal.
    pub fn malformed(&self, status: u16) {
        let (class, kind) = (CLASSES.len() - 1, KINDS.len() - 1);
        let at = place(class, kind, Decision::Malformed, status_class(Some(status)));
        add(&self.requests[at]);
    }

    /// Counts somebody turned away by a limit.
    pub fn limited(&self, limit: Limit) {
        add(&self.limits[limit as usize]);
    }

    /// Counts an attempt to connect to the engine.
    pub fn upstream_connect(&self) {
        add(&self.upstream_connects);
    }

    /// Counts a failure of the engine.
    pub fn upstream_error(&self, reason: UpstreamError) {
        add(&self.upstream_errors[reason as usize]);
    }

    /// Counts a connection that was cut.
    pub fn cut(&self, why: &Cut) {
        let at = match why {
            Cut::Drain => 0,
            Cut::Untrusted(_) => 1,
            Cut::Expired => 2,
            Cut::RoleLost => 3,
            Cut::Kicked => 4,
            Cut::TooOld => 5,
        };
        add(&self.cuts[at]);
    }

    /// Counts a reload.
    pub fn reload(&self, outcome: Reload) {
        add(&self.reloads[outcome as usize]);
        self.last_reload_failed
            .store(outcome == Reload::Failed, Relaxed);
        if outcome != Reload::Failed {
            self.last_reload.store(now_ms(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

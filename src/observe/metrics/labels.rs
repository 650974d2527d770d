//! The closed sets that labels come from, and the places of their members.

use docker_api::{Hijack, Operation, OperationKind, Risk, Streams};

/// How handshakes end: `ok`, then every word of `tls::HandshakeOutcome::id`.
pub const HANDSHAKES: [&str; 20] = [
    "ok",
    "probe",
    "plain_http",
    "old_version",
    "timed_out",
    "no_certificate",
    "failed",
    "silent",
    "displaced",
    "proxy_protocol",
    "ssh",
    "expired",
    "not_yet_valid",
    "issuer_expired",
    "unknown_issuer",
    "revoked",
    "revocation_unknown",
    "deny_listed",
    "wrong_usage",
    "invalid",
];

/// The place of `failed`, where a word that is not in [`HANDSHAKES`] is counted.
pub(super) const HANDSHAKE_FAILED: usize = 6;

/// What became of a request before it went to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionLabel {
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

impl DecisionLabel {
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
    /// `max-pending-bodies`
    PendingBodies,
    /// Requests per second of one client.
    RequestsPerSecond,
}

impl Limit {
    /// Every limit, in order.
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::Handshakes,
        Self::HeadSize,
        Self::HeaderLines,
        Self::PendingBodies,
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
            Self::PendingBodies => "max-pending-bodies",
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
pub(super) const CLASSES: [&str; 5] = ["read", "sensitive", "write", "root", "none"];
pub(super) const RISKS: usize = CLASSES.len() - 1;

/// The kinds of operations, in the order of [`OperationKind`]; `none` is for requests that could not be read.
pub(super) const KINDS: [&str; 11] = [
    "inspect", "list", "stream", "create", "modify", "delete", "transfer", "exec", "build",
    "admin", "none",
];

/// Classes of status codes; `none` is for requests whose answer never began.
pub(super) const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The place of a class.
pub(super) fn class(risk: Risk) -> usize {
    match risk {
        Risk::Read => 0,
        Risk::SensitiveRead => 1,
        Risk::Write => 2,
        Risk::RootEquivalent => 3,
    }
}

/// The place of a kind.
pub(super) fn kind(kind: OperationKind) -> usize {
    match kind {
        OperationKind::Inspect => 0,
        OperationKind::List => 1,
        OperationKind::Stream => 2,
        OperationKind::Create => 3,
        OperationKind::Modify => 4,
        OperationKind::Delete => 5,
        OperationKind::Transfer => 6,
        OperationKind::Exec => 7,
        OperationKind::Build => 8,
        OperationKind::Admin => 9,
    }
}

/// The place of a status, if an answer began.
pub(super) fn status_class(status: Option<u16>) -> usize {
    status.map_or(0, |s| usize::from(s / 100).clamp(1, 5))
}

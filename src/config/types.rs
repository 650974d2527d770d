//! The typed configuration: what the program uses, with nothing left to parse.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::Wrong;
use crate::config::listen::Listen;
use crate::config::origin::{Origin, Setting};
use pki::DenyList;
use pki::store::Paths;
use policy::ImagePattern;

/// Everything `serve` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// The engine's unix socket.
    pub upstream: PathBuf,
    /// The server's files; `None` exactly when `auto_certs` is set.
    pub tls: Option<TlsPaths>,
    /// Make certificates where there are none.
    pub auto_certs: Option<AutoCerts>,
    /// The signer beside this gate.
    pub enroll: Option<EnrollSettings>,
    /// The directory of a gate that is enrolled at a signer elsewhere.
    pub enrolled: Option<EnrolledGate>,
    /// Client certificates refused without a CRL.
    pub deny: DenyList,
    /// The policy; without one every certificate of the CA has full access.
    pub policy: Option<PathBuf>,
    /// The key that makes the labels of roles with a scope.
    pub owner_key: Option<PathBuf>,
    /// Where decisions are recorded.
    pub audit: Option<AuditSink>,
    /// What becomes of a request whose record cannot be written.
    pub audit_failure: AuditFailure,
    /// What limited roles are kept away from beside the gate's own files.
    pub protected: ProtectedNames,
    /// Socket of the authorization plugin.
    pub authz_plugin: Option<PathBuf>,
    /// Longest TLS handshake, in total.
    pub handshake_timeout: Duration,
    /// Longest wait for a connection's first request head, in total.
    pub head_timeout: Duration,
    /// How long requests and tunnels may go on after the first SIGTERM.
    pub drain_timeout: Duration,
    /// Longest wait for a connection to the engine.
    pub upstream_connect_timeout: Duration,
    /// How long a client is still read after the engine has ended a tunnel.
    pub tunnel_grace: Duration,
    /// How dead peers are noticed.
    pub tcp_keepalive: TcpKeepalive,
    /// How often files are looked at; `None` for SIGHUP only.
    pub reload_interval: Option<Duration>,
    /// Exit when the engine's socket has been a stale bind mount for this long.
    pub exit_on_stale_socket: Option<Duration>,
    /// Bounds.
    pub limits: SettingLimits,
    /// Worker threads; 0 for one per core.
    pub workers: usize,
    /// Address of the metrics and health listener.
    pub metrics: Option<SocketAddr>,
    /// Socket of `ps`, `top`, `kick` and `healthcheck`.
    pub control_socket: Option<PathBuf>,
    /// The user to become once the addresses are bound.
    pub user: Option<RunAs>,
    /// Whether the kernel confines the process once it serves.
    pub cage: bool,
    /// What is logged and how.
    pub log: LogSettings,
    /// The configuration file that was read.
    pub config_file: Option<PathBuf>,
    /// The files, certificates apart, whose change calls for a reload: configuration, daemon.json, policy.
    pub files: Vec<PathBuf>,
    /// What the operator should know although nothing is wrong; one sentence each.
    pub notes: Vec<String>,
    /// Every setting, in the documented order, with what was written and where.
    pub settings: Vec<Setting>,
}

impl Config {
    /// The TLS files in force: those that are named or found, or those that `auto-certs` makes.
    #[must_use]
    pub fn tls_paths(&self) -> TlsPaths {
        match (&self.tls, &self.auto_certs) {
            (Some(paths), _) => paths.clone(),
            (None, Some(auto)) => {
                // By the names that are there, as `auto::ensure` has them.
                let Paths {
                    ca,
                    server_cert: cert,
                    server_key: key,
                    crl,
                    ..
                } = Paths::of(&auto.dir);
                TlsPaths {
                    ca,
                    cert,
                    key,
                    crl: auto.crl.clone(),
                    crl_if_present: Some(crl),
                }
            }
            (None, None) => unreachable!("a configuration must have TLS files or automatic ones"),
        }
    }

    /// Where the signer's deny list comes to, if this gate has a signer.
    #[must_use]
    pub fn travelled_deny_list(&self) -> Option<PathBuf> {
        let beside = self.enroll.as_ref().map(EnrollSettings::gate);
        let elsewhere = self.enrolled.as_ref().map(|gate| gate.dir.join("trust"));
        beside.or(elsewhere).map(|dir| dir.join("denied.json"))
    }

    /// Where a setting came from, by its name in the file.
    pub fn origin(&self, name: &str) -> &Origin {
        self.settings
            .iter()
            .find(|setting| setting.name == name)
            .map_or(&Origin::Default, |setting| &setting.origin)
    }
}

/// What the operator adds to what limited roles are kept away from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtectedNames {
    /// Paths of the engine's host.
    pub paths: Vec<PathBuf>,
    /// Volumes; `*` stands for any text.
    pub volumes: Vec<String>,
    /// Images.
    pub images: Vec<ImagePattern>,
}

/// The user to run as, with a group in place of the user's own ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// A name or a number.
    pub user: String,
    /// A name or a number.
    pub group: Option<String>,
}

impl RunAs {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        // What useradd(8) accepts, and numbers.
        let name = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-$".contains(&b);
            let is_name = !name.is_empty()
                && name.len() <= 32
                && name.bytes().all(plain)
                && !name.starts_with('-');
            is_name.then(|| name.to_owned())
        };
        let (user, group) = match text.trim().split_once(':') {
            Some((user, group)) => (name(user), Some(name(group))),
            None => (name(text.trim()), None),
        };
        match (user, group) {
            (Some(user), None) => Ok(Self { user, group: None }),
            (Some(user), Some(Some(group))) => Ok(Self {
                user,
                group: Some(group),
            }),
            _ => Err("expected a user's name or number, or USER:GROUP".into()),
        }
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => f.write_str(&self.user),
        }
    }
}

/// The files of a TLS server that verifies its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// CA certificates whose clients are let in.
    pub ca: PathBuf,
    /// The server's certificate chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// Certificate revocation lists: files, or directories of them. Missing ones are errors.
    pub crl: Vec<PathBuf>,
    /// `crl.pem` beside certificates that were found rather than named: used once it is there.
    pub crl_if_present: Option<PathBuf>,
}

impl TlsPaths {
    /// A `crl.pem` beside the CA's file that nothing names, so that it is not read.
    #[must_use]
    pub fn unread_list(&self) -> Option<PathBuf> {
        let path = self.ca.with_file_name("crl.pem");
        let is_unread = self.crl.is_empty() && self.crl_if_present.is_none() && path.is_file();
        is_unread.then_some(path)
    }
}

/// Certificates that the gate makes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoCerts {
    /// Where they are kept.
    pub dir: PathBuf,
    /// Names for the server certificate beyond those found out.
    pub sans: Vec<String>,
    /// Certificate revocation lists beyond `crl.pem` in `dir`.
    pub crl: Vec<PathBuf>,
}

/// The signer that is started beside the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollSettings {
    /// The CA's directory, which the gate itself does not read.
    pub dir: PathBuf,
    /// Where the signer listens.
    pub listen: SocketAddr,
    /// Names for the signer and for the gate's certificate beyond those found out.
    pub sans: Vec<String>,
    /// Its configuration: whose tokens of CI it takes.
    pub config: Option<PathBuf>,
    /// The file that gets its metrics.
    pub metrics_file: Option<PathBuf>,
}

impl EnrollSettings {
    /// Where the signer puts the gate's own certificate and whom it trusts.
    #[must_use]
    pub fn gate(&self) -> PathBuf {
        self.dir.join("gate")
    }
}

/// What a gate that is enrolled elsewhere keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledGate {
    /// With its key, its certificate and whom it trusts.
    pub dir: PathBuf,
    /// How often the signer is asked for news.
    pub interval: Duration,
}

/// Where decisions are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// What becomes of a request whose record cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFailure {
    /// It is refused: no record, no access.
    Deny,
    /// It goes on, and the failure is logged and counted.
    Continue,
}

/// TCP keep-alive, RFC 9293 §3.8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Quiet time before the first probe; whole seconds.
    pub idle: Duration,
    /// Time between probes; whole seconds.
    pub interval: Duration,
    /// Unanswered probes after which the peer is dead.
    pub probes: u32,
}

/// Bounds on what peers can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one client certificate.
    pub connections_per_client: usize,
    /// Handshakes at once.
    pub handshakes: usize,
    /// Bytes of one request head.
    pub head_bytes: usize,
    /// Header lines of one head.
    pub header_lines: usize,
    /// Bytes of all bodies that wait for a decision.
    pub pending_bodies: usize,
    /// Requests per second of one client certificate.
    pub requests_per_second_per_client: Option<NonZeroU32>,
    /// Longest life of a hijacked session.
    pub session_max_age: Option<Duration>,
}

/// What is logged and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether plain requests are logged at level info.
    pub access: bool,
    /// The least level that is logged.
    pub level: LogLevel,
    /// Its form.
    pub format: LogFormat,
}

/// Levels, with dockerd's names accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => Self::TRACE,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Info => Self::INFO,
            LogLevel::Warn => Self::WARN,
            LogLevel::Error => Self::ERROR,
        }
    }
}

impl LogLevel {
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        match text.trim().to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "fatal" => Ok(Self::Error),
            _ => Err("expected trace, debug, info, warn or error".into()),
        }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected auto, text or json".into()),
        }
    }
}

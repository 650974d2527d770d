//! The command line as clap types: what may be written, not what it does.
//!
//! Values of settings stay text here: `config` parses flags, environment and file by the same rules, so that a mistake
//! gets the same words wherever it was made. [`command`] adds the environment variable and the default to each option's
//! help from `config`'s table of keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::key::KEYS;

pub mod certs;
pub mod policy;

/// A mutual-TLS gate in front of the Docker Engine API.
#[derive(Debug, Parser)]
#[command(
    name = "dockgate",
    version,
    propagate_version = true,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The options of `serve`, accepted without its name.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// What to do, with `serve` filled in.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(Box::new(self.serve)))
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Docker Engine API over mutual TLS (the default)
    Serve(Box<ServeArgs>),
    /// Validate configuration, certificates and policy without serving, and print where each value came from
    Check(Box<CheckArgs>),
    /// Make, show, renew and revoke certificates
    Certs(certs::CertsArgs),
    /// Check, explain and learn policies
    Policy(policy::PolicyArgs),
    /// Walk from the socket to the client and name the one thing to fix
    Doctor(Box<DoctorArgs>),
    /// List the live connections of the running gate
    Ps(PsArgs),
    /// Watch the live connections of the running gate
    Top(TopArgs),
    /// Cut live connections of the running gate
    Kick(KickArgs),
    /// Ask the running gate whether it is ready; exit 0 or 1
    Healthcheck(HealthcheckArgs),
}

/// Every setting, as text; see `config/dockgate.toml` for what each one means.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML); without it /etc/dockgate/dockgate.toml is read when it exists [env: DOCKGATE_CONFIG_FILE]
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub config_file: Option<PathBuf>,
    /// Take over tlscacert, tlscert, tlskey and the tcp hosts from dockerd's daemon.json [env: DOCKGATE_FROM_DAEMON_JSON]
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub from_daemon_json: Option<PathBuf>,

    /// Address to listen on: tcp://ADDR:PORT, `tcp://[::]:PORT`, tcp://:PORT (all, both families) or fd:// (systemd); repeatable
    #[arg(short = 'H', long, value_name = "URL", help_heading = "Addresses")]
    pub host: Vec<String>,
    /// The engine's socket
    #[arg(long, value_name = "unix:///PATH", help_heading = "Addresses")]
    pub upstream: Option<String>,
    /// Address of the metrics and health listener (plain HTTP: keep it local), or "off"
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Addresses")]
    pub metrics: Option<String>,
    /// Unix socket of `ps`, `top`, `kick` and `healthcheck`, or "off"
    #[arg(long, value_name = "PATH", help_heading = "Addresses")]
    pub control_socket: Option<String>,
    /// Unix socket of a Docker authorization plugin to ask about each request and answer, or "off"
    #[arg(long, value_name = "PATH", help_heading = "Addresses")]
    pub authz_plugin: Option<String>,

    /// CA certificates whose clients are let in (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tlscacert: Option<String>,
    /// The server's certificate chain (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tlscert: Option<String>,
    /// The server's private key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub tlskey: Option<String>,
    /// Certificate revocation list, file or directory, PEM or DER; repeatable
    #[arg(long, value_name = "PATH", help_heading = "TLS")]
    pub tlscrl: Vec<String>,
    /// Accepted for dockerd's sake: dockgate always verifies clients
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "TLS")]
    pub tlsverify: Option<String>,
    /// Directory in which to make a CA, a server and a first client certificate when it has none
    #[arg(long, value_name = "DIR", help_heading = "TLS")]
    pub auto_certs: Option<String>,
    /// Further DNS name or IP address for the certificate of --auto-certs; repeatable
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub san: Vec<String>,
    /// Serial number (hex) of a client certificate to refuse; repeatable
    #[arg(long, value_name = "HEX", help_heading = "TLS")]
    pub deny_serial: Vec<String>,
    /// SHA-256 (hex) of the public key (SPKI) of a client certificate to refuse; repeatable
    #[arg(long, value_name = "HEX", help_heading = "TLS")]
    pub deny_spki_sha256: Vec<String>,

    /// Policy file, or "off": every certificate of the CA has full access
    #[arg(long, value_name = "FILE", help_heading = "Policy and audit")]
    pub policy: Option<String>,
    /// Path of the engine's host to keep every limited role away from, beside the gate's own files; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Policy and audit")]
    pub protected_path: Vec<String>,
    /// Volume to keep every limited role away from; repeatable
    #[arg(long, value_name = "NAME", help_heading = "Policy and audit")]
    pub protected_volume: Vec<String>,
    /// Image name that no limited role may write; repeatable
    #[arg(long, value_name = "NAME", help_heading = "Policy and audit")]
    pub protected_image: Vec<String>,
    /// Where to write the audit record of each decision: "stdout", a file, or "off"
    #[arg(long, value_name = "SINK", help_heading = "Policy and audit")]
    pub audit: Option<String>,
    /// What to do with a request whose audit record cannot be written
    #[arg(long, value_name = "deny|continue", help_heading = "Policy and audit")]
    pub audit_failure: Option<String>,

    /// Longest TLS handshake
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub handshake_timeout: Option<String>,
    /// Longest wait for the first request's head
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub head_timeout: Option<String>,
    /// How long requests and sessions may go on after SIGTERM
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub drain_timeout: Option<String>,
    /// Longest wait for the engine to accept a connection
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub upstream_connect_timeout: Option<String>,
    /// How long a client may go on sending after the engine has ended a hijacked session
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub tunnel_grace: Option<String>,
    /// Longest life of a hijacked session, or "off"
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub session_max_age: Option<String>,
    /// Quiet time before the first TCP keep-alive probe
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub tcp_keepalive_idle: Option<String>,
    /// Time between TCP keep-alive probes
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub tcp_keepalive_interval: Option<String>,
    /// Unanswered TCP keep-alive probes after which a peer is dead
    #[arg(long, value_name = "N", help_heading = "Deadlines")]
    pub tcp_keepalive_probes: Option<String>,
    /// How often to look for changed certificates, CRLs, policy and configuration, or "off"
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub reload_interval: Option<String>,
    /// Exit when the engine's socket has been a stale bind mount for this long, or "off"
    #[arg(long, value_name = "TIME", help_heading = "Deadlines")]
    pub exit_on_stale_socket: Option<String>,

    /// Most connections at once
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections: Option<String>,
    /// Most connections at once of one client certificate
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_connections_per_client: Option<String>,
    /// Most handshakes at once
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_handshakes: Option<String>,
    /// Largest request head
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub max_head_size: Option<String>,
    /// Most header lines in one head
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_header_lines: Option<String>,
    /// Most requests per second of one client certificate, or "off"
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_requests_per_second_per_client: Option<String>,
    /// Worker threads; 0 for one per core
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub workers: Option<String>,

    /// trace, debug, info, warn or error
    #[arg(short = 'l', long, value_name = "LEVEL", help_heading = "Log")]
    pub log_level: Option<String>,
    /// auto (text on a terminal, JSON otherwise), text or json
    #[arg(long, value_name = "FORMAT", help_heading = "Log")]
    pub log_format: Option<String>,
}

impl ServeArgs {
    /// Each setting by the name its flag has, with what was written; empty when it was not.
    pub fn settings(&self) -> Vec<(&'static str, &[String])> {
        vec![
            ("host", &self.host),
            ("upstream", self.upstream.as_slice()),
            ("metrics", self.metrics.as_slice()),
            ("control-socket", self.control_socket.as_slice()),
            ("authz-plugin", self.authz_plugin.as_slice()),
            ("tlscacert", self.tlscacert.as_slice()),
            ("tlscert", self.tlscert.as_slice()),
            ("tlskey", self.tlskey.as_slice()),
            ("tlscrl", &self.tlscrl),
            ("tlsverify", self.tlsverify.as_slice()),
            ("auto-certs", self.auto_certs.as_slice()),
            ("san", &self.san),
            ("deny-serial", &self.deny_serial),
            ("deny-spki-sha256", &self.deny_spki_sha256),
            ("policy", self.policy.as_slice()),
            ("protected-path", &self.protected_path),
            ("protected-volume", &self.protected_volume),
            ("protected-image", &self.protected_image),
            ("audit", self.audit.as_slice()),
            ("audit-failure", self.audit_failure.as_slice()),
            ("handshake-timeout", self.handshake_timeout.as_slice()),
            ("head-timeout", self.head_timeout.as_slice()),
            ("drain-timeout", self.drain_timeout.as_slice()),
            (
                "upstream-connect-timeout",
                self.upstream_connect_timeout.as_slice(),
            ),
            ("tunnel-grace", self.tunnel_grace.as_slice()),
            ("session-max-age", self.session_max_age.as_slice()),
            ("tcp-keepalive-idle", self.tcp_keepalive_idle.as_slice()),
            (
                "tcp-keepalive-interval",
                self.tcp_keepalive_interval.as_slice(),
            ),
            ("tcp-keepalive-probes", self.tcp_keepalive_probes.as_slice()),
            ("reload-interval", self.reload_interval.as_slice()),
            ("exit-on-stale-socket", self.exit_on_stale_socket.as_slice()),
            ("max-connections", self.max_connections.as_slice()),
            (
                "max-connections-per-client",
                self.max_connections_per_client.as_slice(),
            ),
            ("max-handshakes", self.max_handshakes.as_slice()),
            ("max-head-size", self.max_head_size.as_slice()),
            ("max-header-lines", self.max_header_lines.as_slice()),
            (
                "max-requests-per-second-per-client",
                self.max_requests_per_second_per_client.as_slice(),
            ),
            ("workers", self.workers.as_slice()),
            ("log-level", self.log_level.as_slice()),
            ("log-format", self.log_format.as_slice()),
        ]
    }
}

/// `dockgate check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Look at configuration and files only: do not try the listening addresses nor the engine
    #[arg(long)]
    pub offline: bool,
    /// What `serve` would be given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// `dockgate doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// A gate or engine to examine from here as a client would, tcp://HOST:PORT; without it, this host is examined
    #[arg(value_name = "tcp://HOST:PORT")]
    pub target: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// Longest wait for each step, such as 5s
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// On the host what `serve` would be given; with a target --tlscacert, --tlscert and --tlskey are the client's.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// How to reach the running gate.
#[derive(Debug, Clone, Default, Args)]
pub struct ControlArgs {
    /// The running gate's control socket [env: DOCKGATE_CONTROL_SOCKET]
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<String>,
    /// The running gate's configuration file [env: DOCKGATE_CONFIG_FILE]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

/// `dockgate ps`.
#[derive(Debug, Clone, Default, Args)]
pub struct PsArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Only connections of this client (common name, serial or fingerprint)
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate top`.
#[derive(Debug, Clone, Default, Args)]
pub struct TopArgs {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate kick`.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub struct KickTargets {
    /// Connection numbers as `dockgate ps` shows them
    #[arg(value_name = "CONNECTION")]
    pub connections: Vec<u64>,
    /// Every connection of this client (common name, serial or fingerprint)
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// Every connection of the certificate with this serial number
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// Every connection of this subject common name
    #[arg(long, value_name = "NAME")]
    pub cn: Option<String>,
    /// Every connection
    #[arg(long)]
    pub all: bool,
}

/// `dockgate kick`.
#[derive(Debug, Clone, Default, Args)]
pub struct KickArgs {
    /// Whom to cut.
    #[command(flatten)]
    pub targets: KickTargets,
    /// Print JSON instead of sentences
    #[arg(long)]
    pub json: bool,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate healthcheck`.
#[derive(Debug, Clone, Default, Args)]
pub struct HealthcheckArgs {
    /// Longest wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub timeout: u64,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// The clap command, with environment variable and default in each setting's help.
pub fn command() -> clap::Command {
    let mut command = with_sources(Cli::command());
    for name in ["serve", "check", "doctor"] {
        command = command.mut_subcommand(name, with_sources);
    }
    command
}

/// Parses arguments (the program's name first); the error knows its text, its stream and its exit code (2, or 0 for help).
pub fn parse(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches_from(args)?)
}

fn with_sources(mut command: clap::Command) -> clap::Command {
    for key in KEYS {
        command = command.mut_arg(key.flag.replace('-', "_"), |arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let default = if key.default.is_empty() {
                String::new()
            } else {
                format!(" [default: {}]", key.default)
            };
            arg.help(format!("{help} [env: {}]{default}", key.env()))
        });
    }
    command
}

//! The one table of settings.
//!
//! To add a setting: a row here, a field in [`Config`](crate::config::Config) with its line in `config::load`, and its paragraph in
//! config/dockgate.toml. Flag, variable, file key, `check` and the reference page follow; tests compare them.

use super::{Group, Key, SettingChange, SettingKind};

const TIME: SettingKind = SettingKind::Text {
    expected: "a time with its unit such as \"10s\" or \"5m\"",
};
const OPTIONAL_TIME: SettingKind = SettingKind::Text {
    expected: "a time with its unit such as \"10s\" or \"5m\", or \"off\"",
};
const SIZE: SettingKind = SettingKind::Text {
    expected: "a size with its unit such as \"64KiB\"",
};
const PATH: SettingKind = SettingKind::Text { expected: "a path" };
const OPTIONAL_PATH: SettingKind = SettingKind::Text {
    expected: "a path, or \"off\"",
};

const fn text(expected: &'static str) -> SettingKind {
    SettingKind::Text { expected }
}

const fn list(expected: &'static str) -> SettingKind {
    SettingKind::List { expected }
}

const fn key(group: Group, name: &'static str, kind: SettingKind, default: &'static str) -> Key {
    Key {
        name,
        flag: name,
        short: None,
        kind,
        default,
        placeholder: "VALUE",
        group,
        change: SettingChange::Restart,
        help: "",
    }
}

impl Key {
    /// The flag of a list, which is repeated and hence in the singular.
    const fn flag(self, flag: &'static str) -> Self {
        Self { flag, ..self }
    }

    const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }

    /// A reload changes it.
    const fn live(self) -> Self {
        Self {
            change: SettingChange::Live,
            ..self
        }
    }

    const fn help(self, placeholder: &'static str, help: &'static str) -> Self {
        Self {
            placeholder,
            help,
            ..self
        }
    }
}

/// Every setting, in the order `config/dockgate.toml` documents them and `check` prints them.
pub const KEYS: &[Key] = &[
    key(Group::Addresses, "hosts", list("tcp://ADDRESS:PORT or fd://"), "tcp://:2376").flag("host").short('H').help("URL", "Address to listen on: tcp://ADDR:PORT, tcp://[::]:PORT, tcp://:PORT (every address, both families) or fd:// (systemd); repeatable"),
    key(Group::Addresses, "upstream", text("the engine's socket as unix:///PATH"), "unix:///var/run/docker.sock").help("unix:///PATH", "The engine's socket"),
    key(Group::Tls, "tlscacert", PATH, "").live().help("FILE", "CA certificates whose clients are let in (PEM)"),
    key(Group::Tls, "tlscert", PATH, "").live().help("FILE", "The server's certificate chain (PEM)"),
    key(Group::Tls, "tlskey", PATH, "").live().help("FILE", "The server's private key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted)"),
    key(Group::Tls, "tlscrl", list("a path"), "").live().help("PATH", "Certificate revocation list, file or directory, PEM or DER; repeatable"),
    key(Group::Tls, "tlsverify", SettingKind::Switch, "true").live().help("BOOL", "Accepted for compatibility with dockerd: dockgate always verifies clients"),
    key(Group::Tls, "auto-certs", OPTIONAL_PATH, "off").live().help("DIR", "Directory in which to make a CA, a server and a first client certificate when it has none"),
    key(Group::Tls, "sans", list("a DNS name or IP address"), "").flag("san").live().help("NAME", "Additional DNS name or IP address for the certificate of --auto-certs; repeatable"),
    key(Group::Tls, "enroll", text("tcp://ADDRESS:PORT or \"off\""), "off").help("URL", "Start the signer of --auto-certs as a process of its own that hands out certificates at this address, or \"off\""),
    key(Group::Tls, "enroll-config", OPTIONAL_PATH, "off").help("FILE", "Configuration of the signer of --enroll: issuers whose tokens of CI become certificates, or \"off\""),
    key(Group::Tls, "enroll-metrics-file", OPTIONAL_PATH, "off").help("FILE", "File that gets metrics of the signer of --enroll every 15 seconds, for the textfile collector of Prometheus' node exporter, or \"off\""),
    key(Group::Tls, "enrolled", OPTIONAL_PATH, "off").help("DIR", "Directory that `dockgate join --server` made: serve with its certificate, keep it and the trust current, or \"off\""),
    key(Group::Tls, "trust-interval", TIME, "10s").help("TIME", "How often a gate that is enrolled asks its signer for news where the signer cannot tell them at once"),
    key(Group::Tls, "deny-serials", list("a serial number in hex"), "").flag("deny-serial").live().help("HEX", "Serial number (hex) of a client certificate to refuse; repeatable"),
    key(Group::Tls, "deny-spki-sha256", list("a SHA-256 in hex"), "").live().help("HEX", "SHA-256 (hex) of the public key (SPKI) of a client certificate to refuse; repeatable"),
    key(Group::Policy, "policy", OPTIONAL_PATH, "off").live().help("FILE", "Policy file, or \"off\": every certificate of the CA has full access"),
    key(Group::Policy, "owner-key", OPTIONAL_PATH, "off").live().help("FILE", "Key file of roles with a scope, made at the first start with mode 0600 and shared by the gates of one engine, or \"off\""),
    key(Group::Policy, "protected-paths", list("an absolute path"), "").flag("protected-path").live().help("PATH", "Path of the engine's host that limited roles may not reach, in addition to the gate's own files; repeatable"),
    key(Group::Policy, "protected-volumes", list("a volume's name"), "").flag("protected-volume").live().help("NAME", "Volume that limited roles may not use; repeatable"),
    key(Group::Policy, "protected-images", list("an image's name"), "").flag("protected-image").live().help("NAME", "Image name that limited roles may not write; repeatable"),
    key(Group::Policy, "audit", text("\"stdout\", a path or \"off\""), "off").help("SINK", "Where to write the audit record of each decision: \"stdout\", a file, or \"off\""),
    key(Group::Policy, "audit-failure", text("\"deny\" or \"continue\""), "deny").help("deny|continue", "What to do with a request whose audit record cannot be written"),
    key(Group::Policy, "authz-plugin", OPTIONAL_PATH, "off").help("PATH", "Unix socket of a Docker authorization plugin to ask about each request and answer, or \"off\""),
    key(Group::Deadlines, "handshake-timeout", TIME, "10s").help("TIME", "TLS handshake timeout"),
    key(Group::Deadlines, "head-timeout", TIME, "30s").help("TIME", "Timeout for the first request's head"),
    key(Group::Deadlines, "drain-timeout", TIME, "10s").help("TIME", "Time that requests and sessions have to finish after SIGTERM"),
    key(Group::Deadlines, "upstream-connect-timeout", TIME, "10s").help("TIME", "Timeout for connecting to the engine"),
    key(Group::Deadlines, "tunnel-grace", TIME, "10s").help("TIME", "Time a client may continue to send after the engine has ended a hijacked session"),
    key(Group::Deadlines, "session-max-age", OPTIONAL_TIME, "off").help("TIME", "Maximum duration of a hijacked session, or \"off\""),
    key(Group::Deadlines, "tcp-keepalive-idle", TIME, "30s").help("TIME", "Idle time before the first TCP keep-alive probe"),
    key(Group::Deadlines, "tcp-keepalive-interval", TIME, "10s").help("TIME", "Time between TCP keep-alive probes"),
    key(Group::Deadlines, "tcp-keepalive-probes", SettingKind::Count, "3").help("N", "Unanswered TCP keep-alive probes after which a peer counts as dead"),
    key(Group::Deadlines, "reload-interval", OPTIONAL_TIME, "10s").help("TIME", "How often to look for changed certificates, CRLs, policy and configuration, or \"off\""),
    key(Group::Deadlines, "exit-on-stale-socket", OPTIONAL_TIME, "off").help("TIME", "Exit when the engine's socket has been a stale bind mount for this long, or \"off\""),
    key(Group::Limits, "max-connections", SettingKind::Count, "10000").help("N", "Maximum concurrent connections"),
    key(Group::Limits, "max-connections-per-client", SettingKind::Count, "5000").help("N", "Maximum concurrent connections per client certificate; by default half of max-connections"),
    key(Group::Limits, "max-handshakes", SettingKind::Count, "1000").help("N", "Maximum concurrent TLS handshakes"),
    key(Group::Limits, "max-head-size", SIZE, "1088KiB").help("SIZE", "Maximum size of a request head"),
    key(Group::Limits, "max-header-lines", SettingKind::Count, "500").help("N", "Maximum number of header lines in a request head"),
    key(Group::Limits, "max-pending-bodies", SIZE, "256MiB").help("SIZE", "Maximum memory of all request bodies that wait for a decision, of the engine's answers to look-ups, and of those that the gate holds for clients in a scope. One client holds at most a quarter of it, or 16 MiB where that is more, and its only request up to half"),
    key(Group::Limits, "max-requests-per-second-per-client", SettingKind::OptionalCount, "off").help("N", "Maximum requests per second per client certificate, or \"off\""),
    key(Group::Limits, "workers", SettingKind::Count, "0").help("N", "Worker threads; 0 for one per core"),
    key(Group::Addresses, "metrics", text("ADDRESS:PORT, or \"off\""), "off").help("ADDR:PORT", "Address of the metrics and health listener (plain HTTP: keep it local), or \"off\""),
    key(Group::Addresses, "control-socket", OPTIONAL_PATH, "/run/dockgate/control.sock").help("PATH", "Unix socket of `ps`, `top`, `kick`, `reload` and `healthcheck`, or \"off\""),
    key(Group::Process, "user", text("a user's name or number, USER:GROUP, or \"off\""), "off").help("USER[:GROUP]", "User to become once the addresses are bound, in its groups or in GROUP alone, or \"off\""),
    key(Group::Process, "unsafe-no-cage", SettingKind::Switch, "false").help("BOOL", "Do without the cage, by which the kernel keeps the running gate to its own files, sockets and system calls"),
    key(Group::Log, "log-level", text("\"trace\", \"debug\", \"info\", \"warn\" or \"error\""), "info").short('l').live().help("LEVEL", "trace, debug, info, warn or error"),
    key(Group::Log, "access-log", text("\"on\" or \"off\""), "off").help("on|off", "Log every request at level info; otherwise denials, sessions and faults, and plain requests at debug"),
    key(Group::Log, "log-format", text("\"auto\", \"text\" or \"json\""), "auto").help("FORMAT", "auto (text on a terminal, JSON otherwise), text or json"),
];

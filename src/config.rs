//! Configuration: flags, environment and file, parsed once into the [`Config`] the program uses.
//!
//! Precedence, for each setting by itself: flag, then `DOCKGATE_*` variable, then file, then dockerd's `daemon.json` when
//! `--from-daemon-json` names it, then default. A list in a higher place replaces the one below. Values carry their unit
//! (`"10s"`, `"64KiB"`) everywhere. Relative paths in a file are relative to that file, elsewhere to the working directory.
//!
//! [`load`] reports everything that is wrong at once, never panics, and reads nothing but the files named (or searched, see
//! [`search`]) and the name service for host names in `hosts`. It does not open certificates: `tls::files` does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::certificates::ChosenCertificates;
use crate::config::error::{ConfigError, ConfigProblem, Wrong};
use crate::config::listen::Listen;
use crate::config::origin::{Origin, Setting};
use crate::config::resolve::Resolver;
use crate::config::search::Places;
use crate::config::sources::{Sources, Variables, variables};
use args::{ControlArgs, ServeArgs};
use policy::ImagePattern;

pub mod args;
mod certificates;
mod daemon_json;
pub mod error;
pub mod file;
pub mod key;
pub mod layer;
pub mod listen;
pub mod origin;
mod resolve;
pub mod search;
mod service_link;
mod sources;
mod types;
pub mod value;

pub use types::*;

/// Certificates that the gate makes for itself name this machine as it sees itself. Who wants more says so.
const LOCAL_ONLY: &str = "auto-certs without hosts and sans listens on this machine only";

/// How to open it.
const OPENS: &str = "-H tcp://:2376 opens it to others, --san NAME names it for them";

/// Reads the configuration that `serve` was given.
pub fn load(
    cli: &ServeArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let vars = variables(env);
    let home = vars.home.clone();
    load_from(
        cli,
        &vars,
        &Places::below(Path::new("/"), Path::new(""), home.as_deref()),
    )
}

/// As [`load`], with the places searched when nothing is named.
pub fn load_within(
    cli: &ServeArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    places: &Places,
) -> Result<Config, ConfigError> {
    load_from(cli, &variables(env), places)
}

/// The control socket by the same rules, for the commands that need nothing else; `None` when it is off.
pub fn control_socket(
    args: &ControlArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<PathBuf>, ConfigError> {
    of_running_gate(args, env, "control-socket", |resolver| {
        resolver.optional_path("control-socket", value::socket_path)
    })
}

/// The address of the metrics listener by the same rules; `None` when it is off.
pub fn metrics(
    args: &ControlArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<SocketAddr>, ConfigError> {
    of_running_gate(args, env, "metrics", |resolver| {
        resolver.optional("metrics", value::address)
    })
}

fn of_running_gate<T>(
    args: &ControlArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    name: &str,
    resolve: impl FnOnce(&mut Resolver) -> T,
) -> Result<T, ConfigError> {
    let mut cli = ServeArgs {
        config_file: args.config_file.clone(),
        ..ServeArgs::default()
    };
    if let Some(path) = &args.control_socket {
        cli = cli.with("control-socket", path);
    }
    let vars = variables(env);
    let sources = Sources::read(
        &cli,
        &vars,
        &Places::below(Path::new("/"), Path::new(""), None),
    );
    // Somebody who names the socket can talk to the gate although its file is being edited.
    let named = sources.layers[..2]
        .iter()
        .any(|layer| layer.contains_key(name));
    let foreign = |problem: &ConfigProblem| {
        matches!(problem.origin, Origin::Env(_)) && problem.message.starts_with("unknown")
    };
    let problems = sources
        .problems
        .into_iter()
        .filter(|problem| !named && !foreign(problem))
        .collect();
    let mut resolver = Resolver::new(sources.layers, problems, sources.whole);
    let value = resolve(&mut resolver);
    if resolver.problems.is_empty() {
        Ok(value)
    } else {
        Err(ConfigError {
            problems: resolver.problems,
        })
    }
}

fn load_from(cli: &ServeArgs, vars: &Variables, places: &Places) -> Result<Config, ConfigError> {
    let Sources {
        layers,
        problems,
        mut notes,
        files,
        config_file,
        whole,
    } = Sources::read(cli, vars, places);
    let mut r = Resolver::new(layers, problems, whole);

    let upstream = r.value("upstream", value::upstream);
    let mut missing = None;
    let ChosenCertificates {
        tls,
        auto_certs,
        enroll,
        enrolled,
    } = certificates::choose(&mut r, places, &mut missing);
    let made = auto_certs.as_ref().map(|auto| &auto.sans);
    let made = made.or(enroll.as_ref().map(|enroll| &enroll.sans));
    let listen = addresses(&mut r, made.is_some_and(Vec::is_empty), &mut notes);
    certificates::tls_verify(&mut r, &mut notes);
    let connections = r.value("max-connections", |text| value::count(text, 1));

    let config = Config {
        listen,
        upstream,
        tls,
        auto_certs,
        enroll,
        enrolled,
        deny: deny_list(&mut r),
        policy: r.guard_path("policy", value::path),
        owner_key: r.guard_path("owner-key", value::path),
        protected: protected(&mut r),
        audit: audit(&mut r),
        audit_failure: r.value("audit-failure", audit_failure),
        authz_plugin: r.guard_path("authz-plugin", value::socket_path),
        handshake_timeout: r.value("handshake-timeout", value::time),
        head_timeout: r.value("head-timeout", value::time),
        drain_timeout: r.value("drain-timeout", value::time),
        upstream_connect_timeout: r.value("upstream-connect-timeout", value::time),
        tunnel_grace: r.value("tunnel-grace", value::time),
        tcp_keepalive: tcp_keepalive(&mut r),
        reload_interval: r.optional("reload-interval", value::time),
        exit_on_stale_socket: r.optional("exit-on-stale-socket", value::time),
        limits: limits(&mut r, connections),
        workers: r.value("workers", |text| ranged(text, 0, 1024)),
        metrics: r.optional::<SocketAddr>("metrics", value::address),
        control_socket: r.optional_path("control-socket", value::socket_path),
        user: r.guard("user", RunAs::parse),
        cage: !r.value("unsafe-no-cage", value::switch),
        log: log(&mut r),
        config_file,
        files,
        notes,
        settings: Vec::new(),
    };
    if r.problems.is_empty() {
        r.problems.extend(missing);
    }
    finish(config, r)
}

/// What to listen on. Certificates that name nothing but this machine (`local`) are served on this machine alone.
fn addresses(r: &mut Resolver, local: bool, notes: &mut Vec<String>) -> Vec<Listen> {
    let listed = r.list("hosts", |text, _| listen::parse(text));
    let listen = listen::reconcile(listed);
    if local && r.origin("hosts").is_none() {
        r.record("hosts", Listen::LOCAL.to_string(), Origin::Default);
        notes.push(format!("{LOCAL_ONLY}: {OPENS}"));
        return vec![Listen::LOCAL];
    }
    if listen.is_empty() && r.problems.is_empty() {
        r.problems.push(ConfigProblem::new(
            r.origin("hosts").cloned().unwrap_or(Origin::Default),
            "hosts is empty; expected at least one address to listen on",
        ));
    }
    listen
}

fn deny_list(r: &mut Resolver) -> pki::DenyList {
    pki::DenyList {
        serials: r
            .list("deny-serials", |text, _| value::serial(text))
            .into_iter()
            .collect(),
        spki_sha256: r
            .list("deny-spki-sha256", |text, _| value::sha256(text))
            .into_iter()
            .collect(),
    }
}

fn tcp_keepalive(r: &mut Resolver) -> TcpKeepalive {
    TcpKeepalive {
        idle: r.value("tcp-keepalive-idle", whole_seconds),
        interval: r.value("tcp-keepalive-interval", whole_seconds),
        probes: r.value("tcp-keepalive-probes", |text| ranged(text, 1, 127)),
    }
}

fn limits(r: &mut Resolver, connections: usize) -> SettingLimits {
    SettingLimits {
        session_max_age: r.optional("session-max-age", value::time),
        connections,
        connections_per_client: connections_per_client(r, connections),
        handshakes: r.value("max-handshakes", |text| value::count(text, 1)),
        head_bytes: r.value("max-head-size", head_size),
        header_lines: r.value("max-header-lines", |text| ranged(text, 16, 10_000)),
        pending_bodies: r.value("max-pending-bodies", pending_bodies),
        requests_per_second_per_client: r
            .optional::<NonZeroU32>("max-requests-per-second-per-client", value::rate),
    }
}

fn log(r: &mut Resolver) -> LogSettings {
    LogSettings {
        level: r.value("log-level", LogLevel::parse),
        access: r.value("access-log", |text| match text.trim() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("expected \"on\" or \"off\"".into()),
        }),
        format: r.value("log-format", LogFormat::parse),
    }
}

fn audit_failure(text: &str) -> Result<AuditFailure, Wrong> {
    match text.trim() {
        "deny" => Ok(AuditFailure::Deny),
        "continue" => Ok(AuditFailure::Continue),
        _ => Err("expected \"deny\" or \"continue\"".into()),
    }
}

/// Sorts the record of settings into the documented order; every problem is an error.
fn finish(mut config: Config, r: Resolver) -> Result<Config, ConfigError> {
    if !r.problems.is_empty() {
        return Err(ConfigError {
            problems: r.problems,
        });
    }
    if let Some(policy) = &config.policy {
        config.files.push(policy.clone());
    }
    config.files.extend(config.owner_key.clone());
    config.settings = r.settings;
    config
        .settings
        .sort_by_key(|setting: &Setting| key::KEYS.iter().position(|key| key.name == setting.name));
    Ok(config)
}

fn protected(r: &mut Resolver) -> ProtectedNames {
    ProtectedNames {
        paths: r.list("protected-paths", |text, _| {
            let path = Path::new(text);
            match path.is_absolute() {
                true => Ok(path.to_owned()),
                false => Err("expected an absolute path of the engine's host".into()),
            }
        }),
        volumes: r.list("protected-volumes", |text, _| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-*".contains(&b);
            match !text.is_empty() && text.len() <= 255 && text.bytes().all(plain) {
                true => Ok(text.to_owned()),
                false => Err("expected a volume's name; `*` stands for any text".into()),
            }
        }),
        images: r.list("protected-images", |text, _| {
            ImagePattern::parse(text).map_err(Into::into)
        }),
    }
}

fn audit(r: &mut Resolver) -> Option<AuditSink> {
    const STDOUT: &str = "stdout";
    let sink = |text: &str, base: Option<&Path>| {
        if text == STDOUT {
            Ok(STDOUT.into())
        } else {
            value::path(text, base)
        }
    };
    r.guard_path("audit", sink).map(|path| {
        if path == Path::new(STDOUT) {
            AuditSink::Stdout
        } else {
            AuditSink::File(path)
        }
    })
}

/// Where it is not written, half of all connections: one client alone never takes every place.
fn connections_per_client(r: &mut Resolver, connections: usize) -> usize {
    const NAME: &str = "max-connections-per-client";
    let written = r.value(NAME, |text| value::count(text, 1));
    if r.origin(NAME).is_some() {
        return written;
    }
    let half = connections.div_ceil(2);
    r.record(NAME, half.to_string(), Origin::Default);
    half
}

/// The kernel counts keep-alive in seconds.
fn whole_seconds(text: &str) -> Result<Duration, Wrong> {
    let time = value::time(text)?;
    if time.subsec_nanos() != 0 || time > Duration::from_secs(32_767) {
        return Err("expected whole seconds, at most 32767s".into());
    }
    Ok(time)
}

/// Room for one body of the longest `max_body`, at the least.
fn pending_bodies(text: &str) -> Result<usize, Wrong> {
    let bytes = value::size(text)?;
    match bytes {
        bytes if bytes >= 16 << 20 => Ok(bytes),
        _ => Err("expected at least 16MiB".into()),
    }
}

fn head_size(text: &str) -> Result<usize, Wrong> {
    let size = value::size(text)?;
    if (8 << 10..=64 << 20).contains(&size) {
        Ok(size)
    } else {
        Err("expected 8KiB to 64MiB".into())
    }
}

fn ranged<T: TryFrom<usize>>(text: &str, least: usize, most: usize) -> Result<T, Wrong> {
    let number = value::count(text, least)?;
    let wrong = || Wrong::from(format!("expected at most {most}"));
    if number > most {
        Err(wrong())
    } else {
        T::try_from(number).map_err(|_| wrong())
    }
}

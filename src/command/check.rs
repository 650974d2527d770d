//! `dockgate check`: looks at everything `serve` would use, without serving.
//!
//! Prints each setting with its value and where it came from, then one finding a line; answers with the exit code. Opens and
//! closes the listening addresses, connects to the authorization plugin and to the engine and pings that, unless told to stay
//! offline. The policy is read by the caller, which keeps this module below it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Access, OFlags, access};
use socket2::{Domain, SockAddr, Socket, Type};
use time::OffsetDateTime;

use crate::cli::CheckArgs;
use crate::command::exposure;
use crate::command::output::{Exit, Output};
use crate::config::error::ConfigError;
use crate::config::listen::Listen;
use crate::config::origin::Setting;
use crate::config::{self, AuditSink, Config};
use crate::finding::{Finding, Severity};
use crate::reload;
use crate::socket;
use crate::tls::files;
use text::escape;

/// Longest wait for the engine's answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the check and answers with the exit code: 0, or 78 (2 for a mistake on the command line). `policy` reads the policy:
/// the file it is given, else what stands in for one; it finds nothing where there is none.
pub fn run(
    args: &CheckArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    policy: impl FnOnce(Option<&Path>) -> Vec<Finding>,
    out: &mut Output<'_>,
) -> Exit {
    report(config::load(&args.serve, env), args.offline, policy, out)
}

/// As [`run`], with the configuration read.
pub fn report(
    config: Result<Config, ConfigError>,
    offline: bool,
    policy: impl FnOnce(Option<&Path>) -> Vec<Finding>,
    out: &mut Output<'_>,
) -> Exit {
    let config = match config {
        Ok(config) => config,
        Err(err) => {
            for problem in &err.problems {
                let text = problem.to_string();
                let text = text.split("\nhint: ").next().unwrap_or_default();
                let finding = Finding {
                    hint: problem.hint.clone(),
                    ..Finding::error(text)
                };
                out.finding(None, &finding);
            }
            return Exit::of(err.exit_code());
        }
    };
    settings(&config, out);
    out.line("");
    let mut findings: Vec<Finding> = config.notes.iter().map(Finding::warning).collect();
    findings.extend(certificates(&config));
    findings.extend(exposure::findings(&config));
    let restraints = policy(config.policy.as_deref());
    match &config.authz_plugin {
        _ if !restraints.is_empty() => findings.extend(restraints),
        Some(path) => findings.push(Finding::ok(format!(
            "no policy: the authorization plugin at {} alone decides what a client may do",
            path.display()
        ))),
        None => findings.push(
            Finding::warning("no policy: every certificate of the CA has full access, which is root on this host")
                .hint("start with a policy in report mode, then `dockgate policy learn`"),
        ),
    }
    if let Some(AuditSink::File(path)) = &config.audit {
        findings.push(audit(path));
    }
    if !offline {
        findings.extend(config.authz_plugin.as_deref().map(plugin));
        findings.extend(config.listen.iter().flat_map(listening));
        findings.extend(engine(&config.upstream));
    }
    for finding in &findings {
        out.finding(None, finding);
    }
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    if failed {
        Exit::CONFIGURATION
    } else {
        Exit::OK
    }
}

fn settings(config: &Config, out: &mut Output<'_>) {
    let rows: Vec<_> = config
        .settings
        .iter()
        .map(|setting| {
            [
                setting.name.to_owned(),
                value(setting),
                setting.origin.to_string(),
            ]
        })
        .collect();
    out.table(&rows, &[]);
}

/// A value as the table has it; what must not be seen is not there.
fn value(setting: &Setting) -> String {
    if setting.value.is_empty() {
        return "-".to_owned();
    }
    match escape::secret(&setting.value) {
        Some(what) => format!("({what}, not shown)"),
        None => escape::line(&escape::without_credentials(&setting.value)).into_owned(),
    }
}

pub(crate) fn certificates(config: &Config) -> Vec<Finding> {
    let paths = reload::paths(config);
    if let Some(auto) = &config.auto_certs
        && [&paths.ca, &paths.cert, &paths.key]
            .iter()
            .all(|path| !path.exists())
    {
        let dir = auto.dir.display();
        return vec![Finding::ok(format!(
            "certificates will be made in {dir} at the first start"
        ))];
    }
    match files::load(&paths) {
        Ok(material) => files::inspect(&material, &paths, OffsetDateTime::now_utc()),
        Err(err) => vec![Finding {
            hint: err.hint(),
            ..Finding::error(err.to_string())
        }],
    }
}

/// Whether records could be appended; a file that is not there is not made.
fn audit(path: &Path) -> Finding {
    let opened = OpenOptions::new()
        .append(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let outcome = match opened {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = parent.unwrap_or(Path::new("."));
            access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
        other => other.map(drop),
    };
    let path = path.display();
    match outcome {
        Ok(()) => Finding::ok(format!("audit records can be written to {path}")),
        Err(err) => Finding::error(format!("audit records cannot be written to {path}: {err}")),
    }
}

/// Connects and lets go.
fn plugin(path: &Path) -> Finding {
    let outcome = connect(path);
    let path = path.display();
    match outcome {
        Ok(_) => Finding::ok(format!("the authorization plugin listens on {path}")),
        Err(err) => Finding::error(format!(
            "cannot connect to the authorization plugin on {path}: {err}"
        ))
        .hint("every request is refused while it cannot be asked"),
    }
}

/// Binds and lets go. An address in use is no fault: most likely the running gate has it.
pub(crate) fn listening(listen: &Listen) -> Vec<Finding> {
    let outcome = match listen {
        Listen::Systemd { .. } => {
            return vec![Finding::ok(format!(
                "{listen} will be passed in by systemd"
            ))];
        }
        Listen::Any { port } => bind(
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, *port)),
            false,
        )
        .or_else(|_| {
            bind(
                SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, *port)),
                false,
            )
        }),
        Listen::Tcp { addr, only_v6 } => bind(*addr, *only_v6),
    };
    let Err(err) = outcome else {
        return vec![Finding::ok(format!("{listen} can be listened on"))];
    };
    let (finding, hint) = match err.kind() {
        io::ErrorKind::AddrInUse => (
            Finding::warning(format!("{listen} is in use")),
            "if not by the running gate, find out with `ss -ltnp`".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            Finding::error(format!("{listen} is not an address of this machine")),
            "`ip address` lists them; tcp://:2376 means all".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            Finding::error(format!("no permission to listen on {listen}")),
            "ports below 1024 need CAP_NET_BIND_SERVICE, or a socket from systemd (fd://)"
                .to_owned(),
        ),
        _ => return vec![Finding::error(format!("cannot listen on {listen}: {err}"))],
    };
    vec![finding.hint(hint)]
}

fn bind(addr: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1)?;
    Ok(socket.into())
}

/// Connects and pings.
pub(crate) fn engine(path: &Path) -> Vec<Finding> {
    let stream = match connect(path) {
        Ok(stream) => stream,
        Err(err) => {
            let problem = socket::diagnose(path, &err);
            return vec![Finding {
                hint: problem.hint(),
                ..Finding::error(problem.message())
            }];
        }
    };
    let path = path.display();
    match ping(stream) {
        Ok(engine) => vec![Finding::ok(format!(
            "the engine answers on {path} ({engine})"
        ))],
        Err(err) => vec![
            Finding::error(format!(
                "{path} accepts connections, but does not answer as a Docker Engine: {err}"
            ))
            .hint("is it the engine's socket? `journalctl -u docker` may say more"),
        ],
    }
}

/// A unix connect ends at once or not at all; the latter (a full backlog) must not hold us.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// `GET /_ping`; what the engine says of itself.
fn ping(mut stream: UnixStream) -> io::Result<String> {
    const MAX_ANSWER: usize = 16 << 10;
    let deadline = Instant::now() + PING_TIMEOUT;
    stream.set_write_timeout(Some(PING_TIMEOUT))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while answer.len() < MAX_ANSWER {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {}s", PING_TIMEOUT.as_secs()),
                ));
            }
            Err(err) => return Err(err),
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(&answer)
        .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {err}")))?;
    match response.code {
        Some(200) if parsed.is_complete() => {}
        Some(code) => return Err(io::Error::other(format!("status {code}"))),
        None => {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "an empty answer",
            ));
        }
    }
    let header = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::to_owned)
    };
    match (header("Server"), header("Api-Version")) {
        (Some(server), Some(version)) => Ok(format!("{server}, API {version}")),
        (None, Some(version)) => Ok(format!("API {version}")),
        (_, None) => Err(io::Error::other("its answer to /_ping has no Api-Version")),
    }
}

//! The walk from a client: files, name, TCP, TLS both ways, API, hijack.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use time::OffsetDateTime;

use crate::cli::ServeArgs;
use crate::command::doctor::Report;
use crate::command::doctor::probe::Probe;
use crate::config::TlsPaths;
use crate::config::listen::DEFAULT_PORT;
use crate::finding::Finding;
use crate::tls::files;

/// HOST:PORT of a gate or engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DoctorTarget {
    /// A name or a bare address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl DoctorTarget {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected tcp://HOST:PORT";
        let rest = text
            .strip_prefix("tcp://")
            .or_else(|| text.strip_prefix("https://"))
            .unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, tail) = inner.split_once(']').ok_or(EXPECTED)?;
                (host, tail.strip_prefix(':'))
            }
            None => rest
                .split_once(':')
                .map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| EXPECTED))?;
        if host.is_empty() || host.contains('/') {
            return Err(EXPECTED);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    pub(super) fn url(&self) -> String {
        if self.host.contains(':') {
            format!("tcp://[{}]:{}", self.host, self.port)
        } else {
            format!("tcp://{}:{}", self.host, self.port)
        }
    }
}

pub(super) fn examine(
    target: &DoctorTarget,
    args: &ServeArgs,
    directory: &Path,
    timeout: Duration,
) -> Report {
    let mut report = Report::default();
    let paths = client_paths(args, directory);
    let material = match files::load_client(&paths) {
        Ok(material) => material,
        Err(err) => {
            report.note(
                "files",
                [Finding {
                    hint: err.hint(),
                    ..Finding::error(err.to_string())
                }],
            );
            return report;
        }
    };
    let own = files::inspect_client(
        &material.cert_chain[0],
        &paths.cert,
        OffsetDateTime::now_utc(),
    );
    if !report.note("files", own) {
        return report;
    }
    let addrs = match lookup(target, timeout) {
        Ok(addrs) => addrs,
        Err(finding) => {
            report.note("name", [finding]);
            return report;
        }
    };
    let list = addrs
        .iter()
        .map(|addr| addr.ip().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    report.note("name", [Finding::ok(format!("{} is {list}", target.host))]);

    let addr = match reach(target, &addrs, timeout) {
        Ok(addr) => addr,
        Err(finding) => {
            report.note("tcp", [finding]);
            return report;
        }
    };
    report.note("tcp", [Finding::ok(format!("{addr} accepts connections"))]);

    let probe = Probe {
        target,
        addr,
        timeout,
        material: &material,
        paths: &paths,
    };
    let _healthy = report.note("tls", probe.handshake())
        && report.note("api", probe.ping())
        && report.note("hijack", [probe.hijack()]);
    report
}

/// `--tls…`, then the directory where docker has them.
fn client_paths(args: &ServeArgs, directory: &Path) -> TlsPaths {
    let path = |setting: &str, name: &str| {
        args.get(setting)
            .map_or_else(|| directory.join(name), PathBuf::from)
    };
    TlsPaths {
        ca: path("tlscacert", "ca.pem"),
        cert: path("tlscert", "cert.pem"),
        key: path("tlskey", "key.pem"),
        crl: Vec::new(),
        crl_if_present: None,
    }
}

/// The resolver has no deadline of its own, so it works on a thread that is left behind when it takes too long.
fn lookup(target: &DoctorTarget, timeout: Duration) -> Result<Vec<SocketAddr>, Finding> {
    let (host, port) = (target.host.clone(), target.port);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        send.send(
            (host.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect::<Vec<_>>),
        )
    });
    let wrong = |what: String| {
        Finding::error(format!("the name {:?} cannot be looked up: {what}", target.host))
            .hint(format!("is it spelt right? try `getent hosts {}`, or use the address if the certificate has it", target.host))
    };
    match receive.recv_timeout(timeout) {
        Ok(Ok(addrs)) if !addrs.is_empty() => Ok(addrs),
        Ok(Ok(_)) => Err(wrong("it has no address".into())),
        Ok(Err(err)) => Err(wrong(err.to_string())),
        Err(_) => Err(wrong(format!("no answer within {timeout:?}"))),
    }
}

/// The first address that accepts; the failure is that of the last.
fn reach(
    target: &DoctorTarget,
    addrs: &[SocketAddr],
    timeout: Duration,
) -> Result<SocketAddr, Finding> {
    let mut last = Finding::error("no address to connect to");
    for addr in addrs {
        match TcpStream::connect_timeout(addr, timeout) {
            Ok(_) => return Ok(*addr),
            Err(err) => last = unreachable(target, *addr, &err, timeout),
        }
    }
    Err(last)
}

fn unreachable(
    target: &DoctorTarget,
    addr: SocketAddr,
    err: &io::Error,
    timeout: Duration,
) -> Finding {
    let port = target.port;
    match err.kind() {
        io::ErrorKind::ConnectionRefused => Finding::error(format!(
            "{addr} refuses connections: nothing listens on port {port}"
        ))
        .hint(
            "start the gate there (`dockgate doctor` on that host says more), or correct the port",
        ),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Finding::error(format!(
            "{addr} does not answer within {timeout:?}: most likely a firewall drops the packets"
        ))
        .hint(format!(
            "let TCP port {port} through on the host, its cloud's security group, and in between"
        )),
        _ => Finding::error(format!("{addr} cannot be reached: {err}"))
            .hint("check the route: `ip route get` with this address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_docker_host_is_written() {
        let target = |host: &str, port| {
            Ok(DoctorTarget {
                host: host.into(),
                port,
            })
        };
        assert_eq!(
            DoctorTarget::parse("tcp://gate.example:99"),
            target("gate.example", 99)
        );
        assert_eq!(
            DoctorTarget::parse("gate.example"),
            target("gate.example", 2376)
        );
        assert_eq!(DoctorTarget::parse("tcp://[::1]:1/"), target("::1", 1));
        for text in ["", "tcp://", "tcp://h:x", "tcp://[::1", "tcp://h/path"] {
            assert!(DoctorTarget::parse(text).is_err(), "{text:?}");
        }
    }
}

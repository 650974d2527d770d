//! Where to listen: `-H`/`--host` URLs in dockerd's notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::config::error::Wrong;

/// The port of Docker's API over TLS (IANA `docker-s`).
pub const DEFAULT_PORT: u16 = 2376;

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Every address of the machine, both families: one dual-stack socket on `[::]`, IPv4 alone where the kernel has no IPv6.
    Any {
        /// The TCP port.
        port: u16,
    },
    /// One address.
    Tcp {
        /// The address; `[::]` is dual-stack unless `only_v6`.
        addr: SocketAddr,
        /// Bind with `IPV6_V6ONLY`: the address is a specific IPv6 one, or IPv4 has a listener of its own on this port.
        only_v6: bool,
    },
    /// Sockets passed in by the service manager (`LISTEN_FDS`).
    Systemd {
        /// Descriptor number or `FileDescriptorName`; all of them when nothing is named.
        name: Option<String>,
    },
}

impl Listen {
    /// This machine alone.
    pub const LOCAL: Self = Self::Tcp {
        addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
        only_v6: false,
    };

    /// The TCP port, unless a service manager chooses it.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Any { port } => Some(*port),
            Self::Tcp { addr, .. } => Some(addr.port()),
            Self::Systemd { .. } => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any { port } => write!(f, "tcp://:{port}"),
            Self::Tcp { addr, .. } => write!(f, "tcp://{addr}"),
            Self::Systemd { name } => write!(f, "fd://{}", name.as_deref().unwrap_or_default()),
        }
    }
}

/// Reads the address of a signer: `tcp://ADDRESS:PORT`, or `tcp://:PORT` for every address.
///
/// # Errors
/// When it is not an address with a port.
pub fn signer(text: &str) -> Result<SocketAddr, Wrong> {
    let text = text.trim();
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
    match (port, rest.parse()) {
        (Some(port), _) => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        (_, Ok(address)) => Ok(address),
        _ => Err("expected tcp://ADDRESS:PORT, or tcp://:2377 for every address".into()),
    }
}

/// Reads one URL. A host name may stand for several addresses; each is listened on.
///
/// Blocks while the name is looked up.
pub fn parse(text: &str) -> Result<Vec<Listen>, Wrong> {
    let text = text.trim();
    let expected = "expected tcp://ADDRESS:PORT, tcp://[IPV6]:PORT, tcp://:PORT or fd://";
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        None if text.is_empty() => return Err(expected.into()),
        None => return Err(Wrong::from(expected).hint(format!("write \"tcp://{text}\""))),
    };
    match scheme {
        "tcp" => tcp(rest.strip_suffix('/').unwrap_or(rest)),
        "fd" => Ok(vec![Listen::Systemd {
            name: Some(rest)
                .filter(|name| !name.is_empty() && *name != "*")
                .map(str::to_owned),
        }]),
        "unix" => Err(Wrong::from("dockgate listens on tcp only")
            .hint("the engine's socket is named with --upstream unix:///PATH")),
        "http" | "https" => Err(Wrong::from(expected).hint(format!("write \"tcp://{rest}\""))),
        _ => Err(expected.into()),
    }
}

/// Removes doubles, and lets `[::]` and `0.0.0.0` share one port.
pub fn reconcile(listen: Vec<Listen>) -> Vec<Listen> {
    let mut kept: Vec<Listen> = Vec::new();
    for one in listen {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    let any: Vec<u16> = kept
        .iter()
        .filter_map(|l| {
            if let Listen::Any { port } = l {
                Some(*port)
            } else {
                None
            }
        })
        .collect();
    kept.retain(|l| !matches!(l, Listen::Tcp { addr, .. } if addr.port() != 0 && any.contains(&addr.port())));
    let v4: Vec<u16> = kept
        .iter()
        .filter_map(|l| {
            if let Listen::Tcp {
                addr: SocketAddr::V4(a),
                ..
            } = l
            {
                Some(a.port())
            } else {
                None
            }
        })
        .collect();
    for l in &mut kept {
        if let Listen::Tcp {
            addr: SocketAddr::V6(addr),
            only_v6,
        } = l
        {
            *only_v6 = *addr.ip() != Ipv6Addr::UNSPECIFIED || v4.contains(&addr.port());
        }
    }
    kept
}

fn tcp(rest: &str) -> Result<Vec<Listen>, Wrong> {
    let (host, port) = split_port(rest)?;
    if host.is_empty() {
        return Ok(vec![Listen::Any { port }]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![Listen::Tcp {
            addr: SocketAddr::new(ip, port),
            only_v6: false,
        }]);
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '%' | ':');
    if !host.chars().all(valid) {
        return Err("expected a host name or an address before the port".into());
    }
    let found: Vec<Listen> = (host, port)
        .to_socket_addrs()
        .map_err(|err| Wrong::from(format!("cannot look up the host name {host:?}: {err}")))?
        .map(|addr| Listen::Tcp {
            addr,
            only_v6: false,
        })
        .collect();
    if found.is_empty() {
        return Err(format!("the host name {host:?} has no address").into());
    }
    Ok(found)
}

fn split_port(rest: &str) -> Result<(&str, u16), Wrong> {
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, tail) = inner
            .split_once(']')
            .ok_or("expected a closing bracket after the IPv6 address")?;
        match tail.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if tail.is_empty() => (host, None),
            None => return Err("expected :PORT after the IPv6 address".into()),
        }
    } else {
        if rest.matches(':').count() > 1 {
            return Err(Wrong::from("expected brackets around the IPv6 address")
                .hint("write \"tcp://[::1]:2376\""));
        }
        match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let port = match port {
        None | Some("") => DEFAULT_PORT,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port
            .parse()
            .map_err(|_| Wrong::from("expected a port between 0 and 65535"))?,
        Some(_) => return Err("expected a numeric port".into()),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(addr: &str, only_v6: bool) -> Listen {
        Listen::Tcp {
            addr: addr.parse().unwrap(),
            only_v6,
        }
    }

    #[test]
    fn each_notation_is_understood() {
        assert_eq!(
            parse("tcp://0.0.0.0:2376"),
            Ok(vec![tcp("0.0.0.0:2376", false)])
        );
        assert_eq!(
            parse("tcp://127.0.0.1"),
            Ok(vec![tcp("127.0.0.1:2376", false)])
        );
        assert_eq!(parse("tcp://[::1]:99/"), Ok(vec![tcp("[::1]:99", false)]));
        assert_eq!(parse("tcp://[::]"), Ok(vec![tcp("[::]:2376", false)]));
        assert_eq!(parse("tcp://:1234"), Ok(vec![Listen::Any { port: 1234 }]));
        assert_eq!(parse("tcp://"), Ok(vec![Listen::Any { port: 2376 }]));
        assert_eq!(parse("fd://"), Ok(vec![Listen::Systemd { name: None }]));
        assert_eq!(
            parse("fd://web"),
            Ok(vec![Listen::Systemd {
                name: Some("web".into())
            }])
        );
        assert!(
            parse("tcp://localhost:1")
                .unwrap()
                .iter()
                .all(|l| matches!(l, Listen::Tcp { addr, .. } if addr.ip().is_loopback()))
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "",
            "0.0.0.0:1",
            "tcp://::1:2376",
            "tcp://[::1",
            "tcp://[::1]2",
            "tcp://h:x",
            "tcp://1.1.1.1:65536",
            "unix:///x",
            "https://h",
            "ftp://h",
            "tcp://a b:1",
            "tcp://user@host:1",
            "tcp://h/path:1",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken for an address");
        }
    }

    #[test]
    fn both_wildcards_can_share_a_port() {
        let both = reconcile(vec![
            tcp("0.0.0.0:1", false),
            tcp("[::]:1", false),
            tcp("0.0.0.0:1", false),
        ]);
        assert_eq!(both, [tcp("0.0.0.0:1", false), tcp("[::]:1", true)]);
        assert_eq!(
            reconcile(vec![tcp("[::]:1", false)]),
            [tcp("[::]:1", false)],
            "alone it is dual-stack, as in dockerd"
        );
        assert_eq!(
            reconcile(vec![Listen::Any { port: 1 }, tcp("0.0.0.0:1", false)]),
            [Listen::Any { port: 1 }]
        );
        assert_eq!(
            reconcile(vec![tcp("[::1]:1", false)]),
            [tcp("[::1]:1", true)]
        );
    }
}

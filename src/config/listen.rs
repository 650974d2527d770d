//! Where to listen: `-H`/`--host` URLs in dockerd's notation.

use std::fmt;
use std::io;
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
    /// The addresses of a host name, which [`looked_up`] finds when they are bound. A reload does not look.
    Named {
        /// The host name.
        host: String,
        /// The TCP port.
        port: u16,
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
            Self::Any { port } | Self::Named { port, .. } => Some(*port),
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
            // An address with a zone has colons of its own.
            Self::Named { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Named { host, port } => write!(f, "tcp://{host}:{port}"),
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
        _ => Err("expected tcp://ADDRESS:PORT, or tcp://:2378 for every address".into()),
    }
}

/// A host name among the addresses to listen on that leads to none.
#[derive(Debug, thiserror::Error)]
pub enum HostNameError {
    /// The name service does not say.
    #[error("cannot look up the host name {host:?} of {listen}")]
    Failed {
        /// The name.
        host: String,
        /// The address as configured.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// It has no address.
    #[error("the host name {host:?} of {listen} has no address")]
    Empty {
        /// The name.
        host: String,
        /// The address as configured.
        listen: Listen,
    },
}

/// Puts the addresses of host names in their place. A name may have several; each is listened on.
///
/// Blocks while names are looked up. That is done before the cage, in which there is no name service.
///
/// # Errors
/// When a name leads to no address.
pub fn looked_up(listen: &[Listen]) -> Result<Vec<Listen>, HostNameError> {
    let mut found = Vec::new();
    for one in listen {
        let Listen::Named { host, port } = one else {
            found.push(one.clone());
            continue;
        };
        let (host, listen) = (host.clone(), one.clone());
        let addresses = match (host.as_str(), *port).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(source) => {
                return Err(HostNameError::Failed {
                    host,
                    listen,
                    source,
                });
            }
        };
        let before = found.len();
        found.extend(addresses.map(|addr| Listen::Tcp {
            addr,
            only_v6: false,
        }));
        if found.len() == before {
            return Err(HostNameError::Empty { host, listen });
        }
    }
    Ok(reconcile(found))
}

/// Reads one URL.
pub fn parse(text: &str) -> Result<Listen, Wrong> {
    let text = text.trim();
    let expected = "expected tcp://ADDRESS:PORT, tcp://[IPV6]:PORT, tcp://:PORT or fd://";
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        None if text.is_empty() => return Err(expected.into()),
        None => return Err(Wrong::from(expected).hint(format!("write \"tcp://{text}\""))),
    };
    match scheme {
        "tcp" => tcp(rest.strip_suffix('/').unwrap_or(rest)),
        "fd" => Ok(Listen::Systemd {
            name: Some(rest)
                .filter(|name| !name.is_empty() && *name != "*")
                .map(str::to_owned),
        }),
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

fn tcp(rest: &str) -> Result<Listen, Wrong> {
    let (host, port) = split_port(rest)?;
    if host.is_empty() {
        return Ok(Listen::Any { port });
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Listen::Tcp {
            addr: SocketAddr::new(ip, port),
            only_v6: false,
        });
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '%' | ':');
    if !host.chars().all(valid) {
        return Err("expected a host name or an address before the port".into());
    }
    Ok(Listen::Named {
        host: host.to_owned(),
        port,
    })
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

    fn named(host: &str, port: u16) -> Listen {
        let host = host.to_owned();
        Listen::Named { host, port }
    }

    #[test]
    fn each_notation_is_understood_and_names_are_not_looked_up() {
        let web = Some("web".to_owned());
        for (text, wanted) in [
            ("tcp://0.0.0.0:2376", tcp("0.0.0.0:2376", false)),
            ("tcp://127.0.0.1", tcp("127.0.0.1:2376", false)),
            ("tcp://[::1]:99/", tcp("[::1]:99", false)),
            ("tcp://[::]", tcp("[::]:2376", false)),
            ("tcp://:1234", Listen::Any { port: 1234 }),
            ("tcp://", Listen::Any { port: 2376 }),
            ("tcp://localhost:1", named("localhost", 1)),
            (
                "tcp://no-such-host.invalid",
                named("no-such-host.invalid", 2376),
            ),
            ("tcp://[fe80::1%lo]:5", named("fe80::1%lo", 5)),
            ("fd://", Listen::Systemd { name: None }),
            ("fd://web", Listen::Systemd { name: web }),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&wanted), "{text}");
            // What is shown is read again.
            assert_eq!(parse(&wanted.to_string()), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_name_becomes_its_addresses_once_and_one_without_is_an_error() {
        let listen = [
            named("localhost", 1),
            Listen::Any { port: 2 },
            tcp("127.0.0.1:1", false),
        ];
        let found = looked_up(&listen).expect("localhost has an address");
        assert!(found.contains(&Listen::Any { port: 2 }), "{found:?}");
        let own = found.iter().filter(|one| one.port() == Some(1));
        let own: Vec<_> = own.map(ToString::to_string).collect();
        assert!(own.contains(&"tcp://127.0.0.1:1".to_owned()), "{own:?}");
        let once: std::collections::BTreeSet<_> = own.iter().collect();
        assert_eq!(once.len(), own.len(), "{own:?}");

        let error = looked_up(&[named("no-such-host.invalid", 7)]).expect_err("no address");
        let text = error.to_string();
        assert!(
            text.contains("\"no-such-host.invalid\" of tcp://no-such-host.invalid:7"),
            "{text}"
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

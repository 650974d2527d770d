//! Hosts that the engine may be made to connect to on a client's behalf, and how they are read from addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The names of Docker Hub, which every role may reach.
pub(super) const HUB: &[&str] = &["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Last labels of names that are not of the public DNS: what they lead to is this machine's or its neighbours'.
const PRIVATE: &[&str] = &[
    "arpa",
    "consul",
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localhost",
    "private",
    "svc",
];

/// A host and its port, as an entry of `limits.fetch` and a request are compared: lower case, without a final dot, and
/// without the port that its scheme implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Reads `name`, `name:port`, an address, or one in brackets; `None` if a resolver or the engine might read something else.
    pub fn parse(text: &str) -> Option<Host> {
        let text = text.to_ascii_lowercase();
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, port) = rest.split_once(']')?;
                inner.parse::<Ipv6Addr>().ok()?;
                (format!("[{inner}]"), port)
            }
            None => match text.find(':') {
                Some(at) => (text[..at].to_owned(), &text[at..]),
                None => (text.clone(), ""),
            },
        };
        let name = name.strip_suffix('.').unwrap_or(&name);
        let plain = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let readable = name.starts_with('[') || name.len() <= 253 && name.split('.').all(plain);
        if !readable {
            return None;
        }
        if !port.is_empty() {
            let digits = port.strip_prefix(':')?;
            digits.parse::<u16>().ok().filter(|port| *port != 0)?;
            return Some(Host(format!("{name}:{digits}")));
        }
        Some(Host(name.to_owned()))
    }

    /// The host of an address with or without a scheme, less the user before its last `@` and its scheme's own port.
    pub fn of_address(address: &str) -> Option<Host> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let own_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        let short = authority
            .strip_suffix(own_port)
            .filter(|_| !own_port.is_empty());
        Host::parse(short.unwrap_or(authority))
    }

    /// The host without its port.
    fn name(&self) -> &str {
        match self.0.rfind(':') {
            Some(at) if !self.0[at..].contains(']') => &self.0[..at],
            _ => &self.0,
        }
    }

    /// Whether a name is one of this machine, of its neighbours or of a cloud's metadata: such a host is reached only where it
    /// is listed as itself, since what answers there trusts what comes from this address.
    pub fn is_near(&self) -> bool {
        let name = self.name();
        let labels = || name.split('.');
        let last = labels().next_back().unwrap_or_default();
        // Resolvers read `127.1`, `0x7f000001` and `2130706433` as addresses.
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        name.starts_with('[')
            || numeric
            || name.parse::<Ipv4Addr>().is_ok()
            || labels().count() == 1
            // Some distributions' hosts files have `localhost4.localdomain4`.
            || last.starts_with("localdomain")
            || PRIVATE.contains(&last)
    }

    /// Whether a cloud gives out its credentials here.
    pub fn is_metadata(&self) -> bool {
        let name = self.name();
        name.starts_with("169.254.") || name.starts_with("[fe80") || name.contains("metadata")
    }

    /// Whether this is Docker Hub.
    pub fn is_hub(&self) -> bool {
        HUB.contains(&self.0.as_str())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of `limits.fetch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, and this port of it.
    One(Host),
    /// The hosts below this domain.
    Below(String),
    /// Every host that is not near.
    Any,
}

impl HostPattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<HostPattern, String> {
        let expected = || {
            "expected a host such as \"files.example.com\", \"10.0.0.5:5000\" or \"*.example.com\", without scheme and path"
                .to_owned()
        };
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if let Some(domain) = text.strip_prefix("*.") {
            let host = Host::parse(domain).ok_or_else(expected)?;
            return if host.name() == host.0 && host.0.contains('.') && !host.is_near() {
                Ok(HostPattern::Below(host.0))
            } else {
                Err(expected())
            };
        }
        Host::parse(text).map(HostPattern::One).ok_or_else(expected)
    }

    /// Whether the entry admits a host.
    pub fn admits(&self, host: &Host) -> bool {
        match self {
            HostPattern::One(one) => one == host,
            HostPattern::Below(domain) => {
                let below = host.0.strip_suffix(domain.as_str());
                below.is_some_and(|name| name.len() > 1 && name.ends_with('.')) && !host.is_near()
            }
            HostPattern::Any => !host.is_near(),
        }
    }

    /// Whether the entry leads to what trusts its neighbours: everything, or a host that is near.
    pub fn reaches_near(&self) -> bool {
        match self {
            HostPattern::One(host) => host.is_near(),
            HostPattern::Below(_) => false,
            HostPattern::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::One(host) => host.fmt(f),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

//! PublishedPort ports: `PORT`, `ADDRESS:PORT`, each with a range and a protocol.

use std::fmt;
use std::net::IpAddr;

/// Ports of the host; `None` is one that the engine picks.
type PortSpan = Option<(u16, u16)>;

/// A published port in normal form: what a body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    /// `None` is every address of the host.
    address: Option<IpAddr>,
    span: PortSpan,
    protocol: String,
}

impl PublishedPort {
    /// Reads a binding as the engine does; `None` if it has no reading here, and the engine may have another.
    pub(crate) fn read(address: &str, port: &str, protocol: &str) -> Option<PublishedPort> {
        let address = match address {
            "" => None,
            text => {
                Some(text.parse::<IpAddr>().ok()?.to_canonical()).filter(|ip| !ip.is_unspecified())
            }
        };
        let span = match port {
            "" | "0" => None,
            text => Some(span(text)?),
        };
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "" => "tcp".to_owned(),
            known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
            _ => return None,
        };
        Some(PublishedPort {
            address,
            span,
            protocol,
        })
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, self.address)?;
        f.write_str(":")?;
        match self.span {
            Some(span) => write_span(f, span)?,
            None => f.write_str("*")?,
        }
        write!(f, "/{}", self.protocol)
    }
}

/// What a role may publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPattern {
    /// `None` is any address, and every address.
    address: Option<IpAddr>,
    /// `None` is any port, and one that the engine picks.
    span: PortSpan,
    /// `None` is any.
    protocol: Option<String>,
}

impl PortPattern {
    /// Reads `8080`, `8000-8999`, `127.0.0.1:8080`, `[::1]:53/udp`, `127.0.0.1:*` or `*`.
    pub(super) fn parse(text: &str) -> Option<PortPattern> {
        let (place, protocol) = match text.split_once('/') {
            Some((place, protocol @ ("tcp" | "udp" | "sctp"))) => {
                (place, Some(protocol.to_owned()))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let (address, port) = place.rsplit_once(':').unwrap_or(("*", place));
        let address = match address {
            "*" => None,
            text => {
                let bare = text
                    .strip_prefix('[')
                    .and_then(|text| text.strip_suffix(']'));
                // An IPv6 address without brackets would take its last group for the port.
                let ip: IpAddr = match bare {
                    Some(bare) => IpAddr::V6(bare.parse().ok()?),
                    None => IpAddr::V4(text.parse().ok()?),
                };
                Some(ip.to_canonical()).filter(|ip| !ip.is_unspecified())
            }
        };
        let span = match port {
            "*" => None,
            text => Some(span(text)?),
        };
        Some(PortPattern {
            address,
            span,
            protocol,
        })
    }

    /// Whether it lets everything pass.
    pub(super) fn is_everything(&self) -> bool {
        self.address.is_none() && self.span.is_none() && self.protocol.is_none()
    }

    /// Whether a published port passes.
    pub(super) fn admits(&self, asked: &PublishedPort) -> bool {
        let address = self.address.is_none() || self.address == asked.address;
        let span = match (self.span, asked.span) {
            (None, _) => true,
            (Some((first, last)), Some((from, to))) => first <= from && to <= last,
            (Some(_), None) => false,
        };
        let protocol = self
            .protocol
            .as_ref()
            .is_none_or(|own| *own == asked.protocol);
        address && span && protocol
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.is_some() {
            write_address(f, self.address)?;
            f.write_str(":")?;
        }
        match self.span {
            Some(span) => write_span(f, span)?,
            None => f.write_str("*")?,
        }
        match &self.protocol {
            Some(protocol) => write!(f, "/{protocol}"),
            None => Ok(()),
        }
    }
}

/// The TCP ports of the host of which a published port takes one or all; `None` if the engine picks one. What has no reading here may have
/// any at the engine.
pub(crate) fn tcp_ports(text: &str) -> Option<(u16, u16)> {
    match shown(text) {
        Some(asked) if asked.protocol != "tcp" => None,
        Some(asked) => asked.span,
        None => Some((1, u16::MAX)),
    }
}

/// Reads what [`PublishedPort`] shows.
pub(super) fn shown(text: &str) -> Option<PublishedPort> {
    let (place, protocol) = text.rsplit_once('/')?;
    let (address, port) = place.rsplit_once(':')?;
    let address = match address {
        "*" => "",
        text => text.trim_start_matches('[').trim_end_matches(']'),
    };
    PublishedPort::read(address, if port == "*" { "" } else { port }, protocol)
}

fn span(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| -> Option<u16> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse::<u16>().ok()).flatten()?;
        (number > 0).then_some(number)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some((first, last))
}

fn write_address(f: &mut fmt::Formatter<'_>, address: Option<IpAddr>) -> fmt::Result {
    match address {
        None => f.write_str("*"),
        Some(IpAddr::V4(address)) => write!(f, "{address}"),
        Some(IpAddr::V6(address)) => write!(f, "[{address}]"),
    }
}

fn write_span(f: &mut fmt::Formatter<'_>, (first, last): (u16, u16)) -> fmt::Result {
    match first == last {
        true => write!(f, "{first}"),
        false => write!(f, "{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{PortPattern, PublishedPort, shown};

    #[test]
    fn a_pattern_admits_its_addresses_ports_and_protocols_alone() {
        let admits = |pattern: &str, address: &str, port: &str, protocol: &str| {
            let pattern = PortPattern::parse(pattern).expect("a pattern");
            PublishedPort::read(address, port, protocol).is_some_and(|asked| pattern.admits(&asked))
        };
        for (pattern, address, port, protocol) in [
            ("*", "", "", "sctp"),
            ("8080", "", "8080", "tcp"),
            ("8080", "127.0.0.1", "8080", "udp"),
            ("8000-8999", "10.0.0.1", "8100-8200", ""),
            ("127.0.0.1:8080", "127.0.0.1", "8080", "tcp"),
            ("127.0.0.1:8080", "::ffff:127.0.0.1", "08080", "tcp"),
            ("127.0.0.1:*", "127.0.0.1", "0", "tcp"),
            ("[::1]:53/udp", "::1", "53", "UDP"),
            ("0.0.0.0:80", "", "80", "tcp"),
            ("0.0.0.0:80", "::", "80", "tcp"),
        ] {
            assert!(
                admits(pattern, address, port, protocol),
                "{pattern} {address}:{port}/{protocol}"
            );
        }
        for (pattern, address, port, protocol) in [
            ("8080", "", "8081", "tcp"),
            ("8080", "", "", "tcp"),
            ("8080", "", "0", "tcp"),
            ("8000-8999", "", "8900-9000", "tcp"),
            ("8080", "", "8080-8081", "tcp"),
            ("8080", "", "+8080", "tcp"),
            ("8080", "", " 8080", "tcp"),
            ("8080/tcp", "", "8080", "udp"),
            ("127.0.0.1:8080", "", "8080", "tcp"),
            ("127.0.0.1:8080", "0.0.0.0", "8080", "tcp"),
            ("127.0.0.1:8080", "::", "8080", "tcp"),
            ("127.0.0.1:8080", "::ffff:0.0.0.0", "8080", "tcp"),
            ("127.0.0.1:8080", "127.0.0.2", "8080", "tcp"),
            ("127.0.0.1:8080", "localhost", "8080", "tcp"),
            ("*:8080", "fe80::1%eth0", "8080", "tcp"),
            ("8080", "", "8080", "ip"),
        ] {
            assert!(
                !admits(pattern, address, port, protocol),
                "{pattern} {address}:{port}/{protocol}"
            );
        }
        for wrong in [
            "",
            "0",
            "80-",
            "90-80",
            "65536",
            "::1:80",
            "host:80",
            "80/icmp",
            "[10.0.0.1]:80",
            "80-90-100",
        ] {
            assert_eq!(PortPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same_again() {
        for (address, port, protocol) in [
            ("", "", ""),
            ("::1", "53", "udp"),
            ("10.0.0.1", "80-90", "tcp"),
        ] {
            let asked = PublishedPort::read(address, port, protocol).expect("a port");
            assert_eq!(shown(&asked.to_string()), Some(asked.clone()));
            let pattern = PortPattern::parse(&asked.to_string()).expect("a pattern too");
            assert!(pattern.admits(&asked));
        }
    }
}

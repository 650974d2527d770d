//! Subject alternative names: what a server certificate answers to, typed as RFC 5280 §4.2.1.6 wants it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use rcgen::SanType;
use serde::{Serialize, Serializer};

use super::{CertsError, interfaces};
use text::escape;

/// The most names one certificate gets: a handshake carries all of them.
pub const MAX_SANS: usize = 200;

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum San {
    /// A host name in lower case, with at most one leading wildcard label.
    Dns(String),
    /// An address, in four or sixteen octets.
    Ip(IpAddr),
    /// A URI, such as a SPIFFE identity.
    Uri(String),
    /// A mail address; read from certificates, never issued as a server name.
    Email(String),
    /// Any other kind, as text for display only.
    Other(String),
}

impl San {
    /// Reads what a person wrote after `--san`: a host name, an address, or either with its type in front
    /// (`DNS:host`, `IP:10.0.0.1`). What clients would never match is refused with what to write instead.
    pub fn parse(text: &str) -> Result<Self, CertsError> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) if kind.eq_ignore_ascii_case("dns") => (Some(SanKind::Dns), value),
            Some((kind, value)) if kind.eq_ignore_ascii_case("ip") => (Some(SanKind::Ip), value),
            _ => (None, text),
        };
        match (kind, value.parse::<IpAddr>()) {
            (Some(SanKind::Dns), Ok(address)) => Err(refused(
                text,
                "is an address typed as DNS",
                &format!("write IP:{address}"),
            )),
            (_, Ok(address)) => check_address(text, address),
            (Some(SanKind::Ip), Err(_)) => Err(refused(
                text,
                "is typed as IP but is not an address",
                "write IP:192.0.2.10, or DNS:host.example for a name",
            )),
            (_, Err(_)) => check_host(text, value),
        }
    }

    /// Whether a certificate with this name is good for `wanted`: equal, or a wildcard that covers its first label.
    pub fn covers(&self, wanted: &San) -> bool {
        match (self, wanted) {
            (San::Dns(have), San::Dns(want)) => {
                have.eq_ignore_ascii_case(want)
                    || have.strip_prefix("*.").is_some_and(|base| {
                        want.split_once('.').is_some_and(|(label, rest)| {
                            label != "*" && rest.eq_ignore_ascii_case(base)
                        })
                    })
            }
            _ => self == wanted,
        }
    }

    /// The name as `rcgen` takes it.
    ///
    /// # Errors
    /// When it is not ASCII.
    pub fn to_rcgen(&self) -> Result<SanType, CertsError> {
        let ia5 = |text: &str| {
            rcgen::string::Ia5String::from_str(text)
                .map_err(|source| CertsError::crypto("encode a subject alternative name", source))
        };
        Ok(match self {
            San::Dns(name) => SanType::DnsName(ia5(name)?),
            San::Ip(address) => SanType::IpAddress(*address),
            San::Uri(uri) => SanType::URI(ia5(uri)?),
            San::Email(mail) => SanType::Rfc822Name(ia5(mail)?),
            San::Other(text) => {
                return Err(CertsError::refused(
                    format!("subject alternative name {text} has a type dockgate does not issue"),
                    "use DNS names, IP addresses or URIs",
                ));
            }
        })
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            San::Dns(name) => write!(f, "DNS:{name}"),
            San::Ip(address) => write!(f, "IP:{address}"),
            San::Uri(uri) => write!(f, "URI:{uri}"),
            San::Email(mail) => write!(f, "email:{mail}"),
            San::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for San {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a list of names, without repeats, in the order given.
pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<San>, CertsError> {
    let mut sans = Vec::new();
    for text in texts {
        let san = San::parse(text.as_ref().trim())?;
        if !sans.contains(&san) {
            sans.push(san);
        }
    }
    if sans.len() > MAX_SANS {
        return Err(CertsError::refused(
            format!(
                "{} names are more than the {MAX_SANS} one certificate gets",
                sans.len()
            ),
            "use a wildcard such as *.hosts.example, or several certificates",
        ));
    }
    Ok(sans)
}

/// Checks a URI for a client certificate: an absolute one, in ASCII (RFC 5280 §4.2.1.6).
pub fn parse_uri(text: &str) -> Result<San, CertsError> {
    let scheme_ok = text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !rest.is_empty()
    });
    if !scheme_ok || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CertsError::refused(
            format!("--uri {text:?} is not an absolute URI"),
            "write for example --uri spiffe://example.org/ci",
        ));
    }
    Ok(San::Uri(text.into()))
}

/// The names a server is reached by from here: localhost, the host name, every interface address. IPv6 link-local
/// addresses are left out: they need a zone to be dialled, so no client can match them, and on a Docker host they
/// change with every container.
pub fn of_this_host() -> Vec<San> {
    let mut sans = vec![San::Dns("localhost".into())];
    let uname = rustix::system::uname();
    if let Some(host) = uname
        .nodename()
        .to_str()
        .ok()
        .and_then(|name| San::parse(&name.to_ascii_lowercase()).ok())
    {
        sans.push(host);
    }
    let mut addresses = interfaces::addresses(MAX_SANS / 2);
    // Without any interface the loopback names still make a certificate that works locally.
    addresses.extend([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] as [IpAddr; 2]);
    sans.extend(addresses.into_iter().map(San::Ip));
    sans.dedup();
    sans
}

enum SanKind {
    Dns,
    Ip,
}

fn refused(text: &str, why: &str, instead: &str) -> CertsError {
    CertsError::refused(
        format!("subject alternative name {} {why}", escape::quoted(text)),
        instead,
    )
}

fn check_address(text: &str, address: IpAddr) -> Result<San, CertsError> {
    if address.is_unspecified() {
        return Err(refused(
            text,
            "is the address to listen on, which no client dials",
            "write the addresses clients use, such as 192.0.2.10",
        ));
    }
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(refused(
            text,
            "is an IPv4 address in IPv6 form, which clients do not match",
            &format!("write {v4}"),
        ));
    }
    Ok(San::Ip(address))
}

fn check_host(text: &str, host: &str) -> Result<San, CertsError> {
    let refuse = |why: &str, instead: &str| Err(refused(text, why, instead));
    if host.is_empty() {
        return refuse(
            "is empty",
            "write a host name such as docker.example or an address such as 192.0.2.10",
        );
    }
    check_written(text, host)?;
    if host.contains('@') {
        return refuse(
            "is a mail address; a server is named by host",
            "write the part after the @, if that is the host",
        );
    }
    if let Some(bare) = host.strip_suffix('.') {
        return refuse(
            "ends with a dot, which no client matches",
            &format!("write {}", bare.trim_end_matches('.')),
        );
    }
    if !host.is_ascii() {
        return refuse(
            "is not ASCII",
            "write the name in its xn-- form (IDNA), as DNS has it",
        );
    }
    check_labels(text, host)?;
    Ok(San::Dns(host.to_ascii_lowercase()))
}

fn check_labels(text: &str, host: &str) -> Result<(), CertsError> {
    let refuse = |why: &str, instead: &str| Err(refused(text, why, instead));
    if host.len() > 253 {
        return refuse(
            "is longer than 253 characters",
            "no DNS name is that long (RFC 1035 §3.1): check what was pasted",
        );
    }
    let base = match host.strip_prefix("*.") {
        Some(base) if !base.contains('.') => {
            return refuse(
                "is a wildcard over a whole top-level domain, which clients ignore",
                "write *.hosts.example",
            );
        }
        Some(base) => base,
        None => host,
    };
    if base.contains('*') {
        return refuse(
            "has a wildcard that is not the whole first label, which clients ignore",
            "write *.hosts.example, or list the names one by one",
        );
    }
    for label in base.split('.') {
        check_label(text, label)?;
    }
    // A last label of digits only can never be a top-level domain (RFC 3696 §2): it is a mistyped address.
    if base
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
    {
        return refuse(
            "looks like an address but is not one",
            "write four numbers from 0 to 255, such as 192.0.2.10",
        );
    }
    Ok(())
}

/// What is written is a host alone: not a URL, a network, a zone or a port.
fn check_written(text: &str, host: &str) -> Result<(), CertsError> {
    let refuse = |why: &str, instead: &str| Err(refused(text, why, instead));
    if let Some((_, rest)) = host.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return refuse(
            "is a URL; a certificate names hosts",
            &format!("write {}", bare_host(authority)),
        );
    }
    if let Some(inner) = host.strip_prefix('[') {
        return refuse(
            "has brackets, which belong to URLs only",
            &format!("write {}", inner.split(']').next().unwrap_or_default()),
        );
    }
    if let Some((address, mask)) = host.split_once('/') {
        let why = if mask.bytes().all(|b| b.is_ascii_digit()) && address.parse::<IpAddr>().is_ok() {
            "is a network; a certificate names single addresses"
        } else {
            "contains a slash"
        };
        return refuse(why, &format!("write {address}"));
    }
    if let Some((address, _)) = host.split_once('%') {
        return refuse(
            "has a zone, which no client matches",
            &format!("use a name or a global address instead of {address}"),
        );
    }
    if let Some((name, port)) = host.rsplit_once(':') {
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let (why, instead) = if is_port && !name.contains(':') {
            let bare = format!("write {name}");
            ("has a port; a certificate is good for every port", bare)
        } else {
            let prefix = "write DNS:name or IP:address".to_owned();
            ("contains a colon but is not an IPv6 address", prefix)
        };
        return refuse(why, &instead);
    }
    Ok(())
}

fn check_label(text: &str, label: &str) -> Result<(), CertsError> {
    let refuse = |why: &str, instead: &str| Err(refused(text, why, instead));
    if label.is_empty() {
        return refuse(
            "has an empty label",
            "write labels with single dots between them",
        );
    }
    if label.len() > 63 {
        return refuse(
            "has a label longer than 63 characters",
            "no DNS label is that long (RFC 1035 §2.3.4)",
        );
    }
    if !label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return refuse(
            "contains a character no host name has",
            "use letters, digits, dashes and dots; separate names with a comma or repeat --san",
        );
    }
    if label.starts_with('-') || label.ends_with('-') {
        return refuse(
            "has a label that starts or ends with a dash",
            "check the name",
        );
    }
    Ok(())
}

/// The host of `user@host:port`, for advice.
fn bare_host(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default();
    }
    let host = host.split(':').next().unwrap_or_default();
    if host.is_empty() {
        "the host name alone"
    } else {
        host
    }
}

#[cfg(test)]
mod tests;

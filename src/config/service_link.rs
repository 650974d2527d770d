//! Variables that Kubernetes sets in every pod for each Service of the namespace, and `docker run --link` for each link.
//!
//! A Service called "dockgate" or "dockgate-metrics" makes `DOCKGATE_PORT=tcp://10.0.0.1:2376` or `DOCKGATE_METRICS_PORT=…`, and
//! refusing them would keep the gate from starting there. Name and value must both have the form, so that a setting that
//! somebody misspelt is still an error.

use std::net::IpAddr;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether a variable is one of a service link.
pub(super) fn is_one(name: &str, value: &str) -> bool {
    let value = value.trim();
    if name.ends_with("_SERVICE_HOST") {
        return is_address(value);
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_port(value);
    }
    if name.ends_with("_NAME") {
        // `docker run --link`: "/this/other".
        return value.starts_with('/') && value[1..].contains('/');
    }
    match name.split("_PORT").last() {
        Some("") if !ends_in_numbered_port(name) => PROTOCOLS.iter().any(|of| is_url(value, of)),
        _ => is_numbered(name, value),
    }
}

/// `…_PORT_2376_TCP_PORT` ends like `…_PORT`, and is of another form.
fn ends_in_numbered_port(name: &str) -> bool {
    name.strip_suffix("_PORT")
        .is_some_and(|before| PROTOCOLS.iter().any(|of| numbered(before, of).is_some()))
}

/// `…_PORT_2376_TCP`, and that with `_PROTO`, `_PORT` or `_ADDR` behind it.
fn is_numbered(name: &str, value: &str) -> bool {
    PROTOCOLS.iter().any(|of| {
        let part = |suffix: &str| numbered(name.strip_suffix(suffix)?, of);
        numbered(name, of).is_some_and(|port| is_url(value, of) && ends_in(value, port))
            || part("_PROTO").is_some() && value.eq_ignore_ascii_case(of)
            || part("_PORT").is_some_and(|port| value == port)
            || part("_ADDR").is_some() && is_address(value)
    })
}

/// The number in `…_PORT_2376_TCP`.
fn numbered<'a>(name: &'a str, protocol: &str) -> Option<&'a str> {
    let before = name.strip_suffix(protocol)?.strip_suffix('_')?;
    let (_, number) = before.rsplit_once("_PORT_")?;
    is_port(number).then_some(number)
}

fn is_url(value: &str, protocol: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else {
        return false;
    };
    scheme.eq_ignore_ascii_case(protocol)
        && rest
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_address(host) && is_port(port))
}

fn ends_in(url: &str, port: &str) -> bool {
    url.rsplit_once(':').is_some_and(|(_, own)| own == port)
}

fn is_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match bare {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_service_link_is_known() {
        for service in [
            "DOCKGATE",
            "DOCKGATE_METRICS",
            "DOCKGATE_PORT",
            "DOCKGATE_MY_2_API",
        ] {
            for (protocol, scheme) in [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")] {
                for (url_host, host) in [
                    ("10.0.0.1", "10.0.0.1"),
                    ("[fd00::1]", "fd00::1"),
                    ("[fd00::1]", "[fd00::1]"),
                    ("fd00::1", "fd00::1"),
                ] {
                    let url = format!("{scheme}://{url_host}:9323");
                    for (suffix, value) in [
                        ("SERVICE_HOST", host),
                        ("SERVICE_PORT", "9323"),
                        ("SERVICE_PORT_HTTP_METRICS", "9323"),
                        ("PORT", &url),
                        (&format!("PORT_9323_{protocol}"), &url),
                        (&format!("PORT_9323_{protocol}_PROTO"), scheme),
                        (&format!("PORT_9323_{protocol}_PORT"), "9323"),
                        (&format!("PORT_9323_{protocol}_ADDR"), host),
                    ] {
                        let name = format!("{service}_{suffix}");
                        assert!(is_one(&name, value), "{name}={value}");
                    }
                }
            }
        }
        assert!(is_one("DOCKGATE_NAME", "/web/dockgate"));
    }

    #[test]
    fn what_only_looks_like_a_link_is_not_one() {
        for (name, value) in [
            ("DOCKGATE_PORT", "2376"),
            ("DOCKGATE_METRICS_PORT", "9323"),
            ("DOCKGATE_METRICS_PORT", ":9323"),
            ("DOCKGATE_PORT", "127.0.0.1:2376"),
            ("DOCKGATE_PORT", "tcp://:2376"),
            ("DOCKGATE_PORT", "tcp://10.0.0.1"),
            ("DOCKGATE_PORT", "tcp://10.0.0.1:0"),
            ("DOCKGATE_PORT", "tcp://host:2376"),
            ("DOCKGATE_PORT", "http://10.0.0.1:2376"),
            ("DOCKGATE_PORT_2376_TCP", "tcp://10.0.0.1:1"),
            ("DOCKGATE_PORT_2376_TCP", "udp://10.0.0.1:2376"),
            ("DOCKGATE_PORT_2376_TCP_PROTO", "udp"),
            ("DOCKGATE_PORT_2376_TCP_ADDR", "host"),
            ("DOCKGATE_PORT_2376_TCP_PORT", "1"),
            ("DOCKGATE_PORT_2376", "tcp://10.0.0.1:2376"),
            ("DOCKGATE_SERVICE_HOST", "gate.example"),
            ("DOCKGATE_SERVICE_PORT", "tcp"),
            ("DOCKGATE_SERVICE_PORT_HTTPS", "99999"),
            ("DOCKGATE_NAME", "gate"),
            ("DOCKGATE_SERVICE", "on"),
        ] {
            assert!(!is_one(name, value), "{name}={value}");
        }
    }
}

//! Request targets in absolute form, `http://host/path`, which a server has to accept (RFC 9112 §3.2.2).

use std::borrow::Cow;

use super::TargetError;

/// A target in absolute form, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absolute<'t> {
    /// Host and port, which count instead of the `Host` field.
    pub authority: &'t str,
    /// The origin form that it means: a path and an optional query, or `*`.
    pub origin: Cow<'t, str>,
}

/// Takes a target in absolute form apart; `None` for one in another form.
///
/// # Errors
/// [`TargetError::BadAuthority`] for a scheme other than `http` and `https`, user information, and a host or port that is
/// not one (RFC 9110 §4.2.1, §4.2.4).
pub fn absolute<'t>(method: &str, target: &'t str) -> Result<Option<Absolute<'t>>, TargetError> {
    if matches!(target.as_bytes().first(), None | Some(b'/' | b'*')) || method == "CONNECT" {
        return Ok(None);
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::BadAuthority);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(TargetError::BadAuthority);
    }
    let origin = match origin.as_bytes().first() {
        Some(b'/') => Cow::Borrowed(origin),
        None if method == "OPTIONS" => Cow::Borrowed("*"),
        None => Cow::Borrowed("/"),
        Some(_) => Cow::Owned(format!("/{origin}")),
    };
    Ok(Some(Absolute { authority, origin }))
}

/// `host[:port]`, the host a name, an IPv4 address or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (is_host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        (address.parse::<std::net::Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        (!name.is_empty() && name.bytes().all(is_name), port)
    };
    let is_port = |digits: &str| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.is_empty() || digits.parse::<u16>().is_ok())
    };
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_means_its_origin_form() {
        for (method, target, authority, origin) in [
            ("GET", "http://docker/_ping", "docker", "/_ping"),
            (
                "GET",
                "HTTPS://Docker:2376/a?b=http://c",
                "Docker:2376",
                "/a?b=http://c",
            ),
            ("GET", "http://[::1]:2376/a", "[::1]:2376", "/a"),
            ("GET", "http://127.0.0.1:", "127.0.0.1:", "/"),
            ("GET", "http://docker?a=1", "docker", "/?a=1"),
            ("OPTIONS", "http://docker", "docker", "*"),
            ("OPTIONS", "http://docker/", "docker", "/"),
        ] {
            let found = absolute(method, target).expect(target).expect(target);
            assert_eq!(
                (found.authority, &*found.origin),
                (authority, origin),
                "{target}"
            );
        }
        for target in ["/a", "/http://b", "*", "a:80", ""] {
            assert_eq!(absolute("GET", target), Ok(None), "{target}");
        }
    }

    #[test]
    fn an_authority_with_two_readings_is_refused() {
        for target in [
            "http:///_ping",
            "http://user@docker/_ping",
            "http://docker@/_ping",
            "http://a\\b/_ping",
            "http://a%2fb/_ping",
            "http://a b/_ping",
            "http://docker:x/_ping",
            "http://docker:65536/_ping",
            "http://docker:1:2/_ping",
            "http://::1/_ping",
            "http://[::1/_ping",
            "http://[::1]x/_ping",
            "http://[docker]/_ping",
            "ftp://docker/_ping",
            "unix:///_ping",
            "://docker/_ping",
        ] {
            assert_eq!(
                absolute("GET", target),
                Err(TargetError::BadAuthority),
                "{target}"
            );
        }
    }
}

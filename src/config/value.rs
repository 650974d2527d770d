//! Text to value: times, sizes, counts, fingerprints. One rule for flags, environment and file: values carry their unit.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use crate::config::error::Wrong;
use pki::{NotASerial, Serial};
use text::escape;

/// No deadline of a gate is longer; keeps sums of instants far from overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes that fit into a unix socket's address with its closing zero (`sockaddr_un`).
const SOCKET_PATH_MAX: usize = 107;

/// A time with unit(s): `500ms`, `10s`, `5m`, `1h30m`, `2d`. More than zero, at most a year.
pub fn time(text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        Wrong::from("expected a time with its unit (ms, s, m, h, d) such as \"10s\" or \"1h30m\"")
    };
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if number.bytes().any(|digit| digit != b'0') => {
                return Err(wrong().hint(format!("write {:?} for seconds", format!("{text}s"))));
            }
            _ => return Err(wrong()),
        };
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(millis))
            .ok_or_else(wrong)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    if total.is_zero() {
        return Err("expected more than zero".into());
    }
    if total > LONGEST {
        return Err("expected at most 365d".into());
    }
    Ok(total)
}

/// A size with unit: `4096B`, `64KiB`, `1MiB`. Powers of 1024 only, so that nobody has to guess.
pub fn size(text: &str) -> Result<usize, Wrong> {
    let wrong =
        || Wrong::from("expected a size with its unit (B, KiB, MiB, GiB) such as \"64KiB\"");
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .parse::<usize>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(wrong)
}

/// A whole number of at least `least`.
pub fn count(text: &str, least: usize) -> Result<usize, Wrong> {
    let number: usize = text
        .trim()
        .parse()
        .map_err(|_| Wrong::from("expected a whole number"))?;
    if number < least {
        return Err(format!("expected at least {least}").into());
    }
    if number > u32::MAX as usize {
        return Err(format!("expected at most {}", u32::MAX).into());
    }
    Ok(number)
}

/// A whole number of at least one.
pub fn rate(text: &str) -> Result<NonZeroU32, Wrong> {
    text.trim()
        .parse()
        .map_err(|_| "expected a whole number of at least 1, or \"off\"".into())
}

/// true or false.
pub fn switch(text: &str) -> Result<bool, Wrong> {
    match text.trim() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// A path, relative ones taken from `base`.
pub fn path(text: &str, base: Option<&Path>) -> Result<PathBuf, Wrong> {
    if text.is_empty() || text.contains('\0') {
        return Err("expected a path".into());
    }
    if let Some(what) = escape::secret(text) {
        return Err(format!("expected a path, found {what}").into());
    }
    if text.contains("://") {
        return Err("expected a path, not a URL".into());
    }
    Ok(base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
}

/// A path short enough for a unix socket.
pub fn socket_path(text: &str, base: Option<&Path>) -> Result<PathBuf, Wrong> {
    let path = path(text, base)?;
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        return Err(format!(
            "a unix socket's path has at most {SOCKET_PATH_MAX} bytes; this has {length}"
        )
        .into());
    }
    Ok(path)
}

/// The engine's socket, `unix:///PATH`: the gate forwards to nothing else.
pub fn upstream(text: &str) -> Result<PathBuf, Wrong> {
    const EXPECTED: &str = "expected the engine's socket as unix:///PATH";
    if let Some(path) = text.strip_prefix("unix://") {
        if path.starts_with('/') {
            return socket_path(path, None);
        }
        return Err(Wrong::from(EXPECTED).hint(format!(
            "write \"unix:///{path}\" with three slashes and an absolute path"
        )));
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    Err(match scheme {
        None if text.starts_with('/') => Wrong::from(EXPECTED).hint(format!("write \"unix://{text}\"")),
        Some(scheme @ ("tcp" | "http" | "https")) => Wrong::from(format!("{EXPECTED}; {scheme} is not forwarded to"))
            .hint("dockgate runs beside the engine and owns the only way in: remove the tcp host from dockerd and name its socket"),
        Some(scheme) => format!("{EXPECTED}; {scheme}:// is not supported").into(),
        None => EXPECTED.into(),
    })
}

/// ADDRESS:PORT of a local plain listener.
pub fn address(text: &str) -> Result<SocketAddr, Wrong> {
    let text = text
        .trim()
        .trim_start_matches("http://")
        .trim_start_matches("tcp://");
    let filled = if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    };
    filled.parse().map_err(|_| {
        Wrong::from("expected ADDRESS:PORT with a numeric address, or \"off\"")
            .hint("write \"127.0.0.1:9323\"")
    })
}

/// A certificate's serial number, in any form a tool prints.
pub fn serial(text: &str) -> Result<Serial, Wrong> {
    text.parse().map_err(|wrong: NotASerial| {
        Wrong::from(wrong.to_string())
            .hint("`dockgate certs show FILE` and `openssl x509 -serial -noout -in FILE` print it")
    })
}

/// The SHA-256 of a public key: 64 hex digits (colons allowed), `sha256:BASE64` as in a policy, or curl's `sha256//BASE64`.
pub fn sha256(text: &str) -> Result<[u8; 32], Wrong> {
    let text = text.trim();
    let pin = text
        .strip_prefix("sha256//")
        .or_else(|| text.strip_prefix("sha256:"));
    let bytes = match pin {
        Some(base64) => BASE64.decode(base64.as_bytes()).ok(),
        None => {
            let hex: String = text.chars().filter(|c| *c != ':').collect();
            HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()
        }
    };
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            Wrong::from(
                "expected the SHA-256 of a public key (SPKI): 64 hex digits, or sha256:BASE64",
            )
            .hint("`dockgate certs show FILE` prints it")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in [
            "",
            "10",
            "s",
            "10 s",
            "-1s",
            "1.5s",
            "0s",
            "366d",
            "10S",
            "99999999999999999999s",
            "10s5",
        ] {
            assert!(time(text).is_err(), "{text:?} was taken for a time");
        }
        assert_eq!(
            time("10").unwrap_err().hint.as_deref(),
            Some("write \"10s\" for seconds")
        );
    }

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(size("1088KiB"), Ok((1 << 20) + (64 << 10)));
        assert_eq!(size("512B"), Ok(512));
        for text in [
            "",
            "64",
            "64K",
            "64KB",
            "KiB",
            "-1B",
            "99999999999999999999GiB",
        ] {
            assert!(size(text).is_err(), "{text:?} was taken for a size");
        }
    }

    #[test]
    fn upstream_is_a_unix_socket_and_nothing_else() {
        assert_eq!(
            upstream("unix:///run/docker.sock"),
            Ok(PathBuf::from("/run/docker.sock"))
        );
        for text in [
            "",
            "/run/docker.sock",
            "unix://docker.sock",
            "unix:/run/docker.sock",
            "tcp://h:2375",
            "npipe:////./pipe/x",
        ] {
            assert!(
                upstream(text).is_err(),
                "{text:?} was taken for a unix socket"
            );
        }
        assert!(upstream(&format!("unix:///{}", "a".repeat(107))).is_err());
    }

    #[test]
    fn serials_and_fingerprints_are_compared_as_bytes() {
        let is = |text, der: &[u8]| assert_eq!(serial(text), Ok(Serial::from_der(der)));
        is("00:4F:3a", &[0x4f, 0x3a]);
        is("0x4f3", &[0x04, 0xf3]);
        is("0", &[0]);
        is("-01", &[0xff]);
        assert!(serial("xyz").is_err() && serial("").is_err() && serial(&"f".repeat(81)).is_err());
        let hex = "AB".repeat(32);
        assert_eq!(sha256(&hex), Ok([0xab; 32]));
        assert_eq!(
            sha256(&format!("sha256//{}", BASE64.encode(&[0xab; 32]))),
            Ok([0xab; 32])
        );
        assert!(sha256(&hex[2..]).is_err() && sha256("sha256//!").is_err());
    }
}

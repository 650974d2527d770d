//! HTTP Basic (RFC 7617), of which the signer reads the `Authorization` field.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::token::Secret;

/// The longest field that is read: an invitation's is below a hundred bytes.
pub const MAX_FIELD_BYTES: usize = 512;

/// Reads user and password; nothing if the field is of another kind or damaged.
#[must_use]
pub fn read(field: &[u8]) -> Option<(String, Secret)> {
    if field.len() > MAX_FIELD_BYTES {
        return None;
    }
    let (scheme, value) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(value.trim_ascii()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password.to_owned())))
}

/// Writes the field.
#[must_use]
pub fn write(user: &str, password: &Secret) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{user}:{}", password.expose()));
    let encoded = Zeroizing::new(BASE64.encode(plain.as_bytes()));
    Zeroizing::new(format!("Basic {}", *encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_it_was_written() {
        let secret = Secret::new("pass:word".to_owned());
        let field = write("user", &secret);
        assert_eq!(read(field.as_bytes()), Some(("user".to_owned(), secret)));
        let lower = field.replace("Basic", "basic");
        assert!(read(lower.as_bytes()).is_some());
    }

    #[test]
    fn other_fields_are_not_read() {
        let long = format!("Basic {}", "QUFB".repeat(200));
        for field in [
            "",
            "Basic",
            "Basic ",
            "Bearer dXNlcjpwYXNz",
            "Basic dXNlcg==",
            "Basic dXNlcjpwYXNz!",
            "Basic /zpw",
            long.as_str(),
        ] {
            assert_eq!(read(field.as_bytes()), None, "{field:?}");
        }
    }
}

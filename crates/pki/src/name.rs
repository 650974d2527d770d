//! Client names: a common name, and the directory that holds the client's files.

use super::CertsError;
use text::escape;

/// Upper bound of a common name, in characters (RFC 5280 appendix A.1, `ub-common-name`).
pub const MAX_NAME_CHARS: usize = 64;

/// Names that mean something else to `renew`, `revoke` and `list`.
const RESERVED: [&str; 3] = ["server", "ca", "crl"];

/// Checks a client name: it becomes the certificate's CN, a directory below `clients/`, and an argument of later
/// commands, so it may not be a path, an option or another thing's name.
pub fn check(name: &str) -> Result<(), CertsError> {
    let advice = "write a short name such as `ci`, `alice` or `alice@laptop`";
    let refuse = |why: &str| {
        Err(CertsError::refused(
            format!("client name {name:?} {why}"),
            advice,
        ))
    };
    if name.trim().is_empty() {
        return refuse("is empty");
    }
    if name.trim() != name {
        return refuse("starts or ends with a space");
    }
    if name.contains(['/', '\\']) {
        return refuse("contains a path separator; --out chooses where the files go");
    }
    if name.starts_with('.') || name.starts_with('-') {
        return refuse("starts with a dot or a dash");
    }
    if name.chars().any(is_invisible) {
        return refuse("contains a character that cannot be seen");
    }
    if name.contains(['=', ',', ';', '"', '<', '>']) {
        return refuse("contains a character that separates the parts of a subject (= , ; \" < >)");
    }
    if name.contains(':') {
        return refuse("contains a colon, which `docker run -v` would split it at");
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return refuse("is longer than 64 characters, the most a common name may have");
    }
    if is_reserved(name) {
        return refuse("is taken: it names one of dockgate's own certificates");
    }
    if name.len() >= 16 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return refuse("looks like a serial number, which `certs revoke` takes too");
    }
    Ok(())
}

/// Whether a name means one of dockgate's own certificates, in whatever case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let name = name.trim();
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Whether a reader would take two names for the same.
#[must_use]
pub fn are_alike(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// Controls, separators, and what Unicode has to shape text without being seen: two names that differ in it look the same.
fn is_invisible(c: char) -> bool {
    escape::is_unsafe(c)
        || c.is_whitespace() && c != ' '
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Checks an `O` or `OU` value (RFC 5280 appendix A.1: at most 64 characters).
pub fn check_attribute(option: &str, value: &str) -> Result<(), CertsError> {
    if value.trim().is_empty()
        || value.chars().any(is_invisible)
        || value.chars().count() > MAX_NAME_CHARS
    {
        return Err(CertsError::refused(
            format!("{option} {value:?} must have 1 to 64 printable characters"),
            format!("write for example {option} builders"),
        ));
    }
    Ok(())
}

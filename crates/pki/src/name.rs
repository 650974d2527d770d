//! Client names: a common name, and the directory that holds the client's files.

use super::CertsError;

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
    if name.chars().any(char::is_control) {
        return refuse("contains a control character");
    }
    if name.contains(':') {
        return refuse("contains a colon, which `docker run -v` would split it at");
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return refuse("is longer than 64 characters, the most a common name may have");
    }
    if RESERVED.contains(&name) {
        return refuse("is taken: it names one of dockgate's own certificates");
    }
    Ok(())
}

/// Checks an `O` or `OU` value (RFC 5280 appendix A.1: at most 64 characters).
pub fn check_attribute(option: &str, value: &str) -> Result<(), CertsError> {
    if value.trim().is_empty()
        || value.chars().any(char::is_control)
        || value.chars().count() > MAX_NAME_CHARS
    {
        return Err(CertsError::refused(
            format!("{option} {value:?} must have 1 to 64 printable characters"),
            format!("write for example {option} builders"),
        ));
    }
    Ok(())
}

//! What a person reads has no words of the program's own code in it.

/// The beginnings of what `{:?}` writes of an error or an option.
const FORMS: &[&str] = &[
    "Other(",
    "OtherError",
    "Error {",
    "Error(",
    "Some(",
    "None)",
    "Ok(",
    "Err(",
    "Os {",
    "Custom {",
    "Kind(",
    "kind:",
    "Utf8Error",
    "ParseError",
    "ParseIntError",
    "IoError",
    "Elapsed(",
    "Arc {",
    "Box<",
    "&str",
    "PathBuf",
    "SocketAddr",
    "unwrap()",
    "panicked at",
    "RUST_BACKTRACE",
    "{ .. }",
    "{..}",
];

/// Names of variants, which say nothing where they are alone.
const VARIANTS: &[&str] = &[
    "AddrInUse",
    "AddrNotAvailable",
    "AlreadyExists",
    "AlertReceived",
    "BadDer",
    "BadEncoding",
    "BadSignature",
    "BrokenPipe",
    "CertExpired",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "DecryptError",
    "HandshakeFailure",
    "InvalidCertificate",
    "InvalidData",
    "InvalidInput",
    "InvalidMessage",
    "IsADirectory",
    "NoCertificatesPresented",
    "NotADirectory",
    "NotFound",
    "NotValidForName",
    "PeerIncompatible",
    "PeerMisbehaved",
    "PermissionDenied",
    "TimedOut",
    "UnexpectedEof",
    "UnhandledCriticalExtension",
    "UnknownCA",
    "UnknownIssuer",
    "UnsupportedCertVersion",
    "WouldBlock",
];

/// What of the code shows in a text, if anything does.
#[must_use]
pub fn of_the_code(text: &str) -> Option<String> {
    let form = FORMS.iter().find(|form| text.contains(**form));
    if let Some(form) = form {
        return Some((*form).to_owned());
    }
    let words = || text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    if let Some(variant) = words().find(|word| VARIANTS.contains(word)) {
        return Some(variant.to_owned());
    }
    path(text).or_else(|| structure(text))
}

/// A path of Rust's, `a::b`; an address such as `fe80::1` is none.
fn path(text: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_hex = |word: &str| word.chars().all(|c| c.is_ascii_hexdigit());
    text.match_indices("::").find_map(|(at, _)| {
        let before = text[..at]
            .rsplit(|c| !is_word(c))
            .next()
            .unwrap_or_default();
        let after = text[at + 2..]
            .split(|c| !is_word(c))
            .next()
            .unwrap_or_default();
        let is_address = is_hex(before) && is_hex(after);
        let is_path = !before.is_empty() && !after.is_empty() && !is_address;
        is_path.then(|| format!("{before}::{after}"))
    })
}

/// A name in camel case with something in brackets behind it, as of a variant or a structure.
fn structure(text: &str) -> Option<String> {
    text.match_indices(['(', '{']).find_map(|(at, _)| {
        let before = text[..at].strip_suffix(' ').unwrap_or(&text[..at]);
        // A word and a remark in brackets have a space between them.
        if text[..at].ends_with(' ') && text[at..].starts_with('(') {
            return None;
        }
        let word = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
        let humps = word.chars().filter(char::is_ascii_uppercase).count();
        let is_name = humps >= 2
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains(|c: char| c.is_ascii_lowercase());
        is_name.then(|| format!("{word}{}", &text[at..=at]))
    })
}

/// Fails where something of the code shows in a text that a person reads.
#[track_caller]
pub fn assert_plain(what: &str, text: &str) {
    if let Some(found) = of_the_code(text) {
        panic!("{what}: {found:?} is not for people:\n{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::of_the_code;

    #[test]
    fn what_the_code_calls_things_is_told_from_what_people_call_them() {
        for text in [
            "Other(OtherError(UnsupportedCertVersion))",
            "Os { code: 2, kind: NotFound, message: \"No such file\" }",
            "invalid peer certificate: BadSignature",
            "std::io::Error",
            "error: InvalidCertificate(UnknownIssuer)",
            "PolicyFault { line: 3 }",
            "expected Some(3)",
            "thread 'main' panicked at src/main.rs",
        ] {
            assert!(of_the_code(text).is_some(), "{text}");
        }
        for text in [
            "tcp://[::]:2376 is in use",
            "fe80::1 and ::1 and fd00::ab:1",
            "HostConfig.Binds[0]=/etc:/x (allowed: none)",
            "the key usage lacks keyCertSign (RFC 5280)",
            "No such file or directory (os error 2)",
            "a NotBefore date",
            "DockerRootDir (the engine's data)",
        ] {
            assert_eq!(of_the_code(text), None, "{text}");
        }
    }
}

//! How an error is told: itself and its causes in one line.

use std::error::Error;

use crate::net::words;
use text::escape;

/// An error and its causes as one line, without anything of a key. A cause that the text above it has quoted already is not
/// said twice.
#[must_use]
pub fn report(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(source) = cause {
        let said = in_words(source);
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    escape::redact(text)
}

/// A cause in words: the TLS library's own texts name its variants.
fn in_words(source: &(dyn Error + 'static)) -> String {
    match (source.downcast_ref(), source.downcast_ref()) {
        (Some(tls), _) => words::tls_error(tls),
        (_, Some(io)) => words::io_error(io),
        _ => source.to_string(),
    }
}

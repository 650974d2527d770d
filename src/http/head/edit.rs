//! Changes to a head that is ready to go: another target, a length in place of chunks, an `Expect` that was answered.

use super::head_len;

/// What to change in a head that is otherwise ready to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edit<'a> {
    /// Another request target.
    pub target: Option<&'a str>,
    /// `Content-Length` in place of a transfer coding.
    pub length: Option<usize>,
    /// No `Expect`: it has been answered.
    pub expect_answered: bool,
}

/// The head at the start of `message` with `edit` applied, and what follows it left out.
///
/// `message` must start with a head that [`super::request`] has written.
#[must_use]
pub fn edit(message: &[u8], edit: Edit<'_>) -> Vec<u8> {
    let end = head_len(message, 0).unwrap_or(message.len());
    let mut out = Vec::with_capacity(end + 64);
    for (at, line) in message[..end].split_inclusive(|b| *b == b'\n').enumerate() {
        let is = |name: &str| {
            line.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        match (at, edit.target) {
            (0, Some(target)) => {
                let mut parts = line.splitn(3, |b| *b == b' ');
                out.extend_from_slice(parts.next().unwrap_or_default());
                out.push(b' ');
                out.extend_from_slice(target.as_bytes());
                out.push(b' ');
                out.extend_from_slice(parts.nth(1).unwrap_or_default());
            }
            _ if edit.length.is_some() && (is("transfer-encoding:") || is("trailer:")) => {}
            _ if edit.expect_answered && is("expect:") => {}
            _ if line == b"\r\n" => {
                if let Some(length) = edit.length {
                    out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
                }
                out.extend_from_slice(line);
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

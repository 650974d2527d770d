//! Query strings as Go's `net/url` reads them, which is how the engine does.

use std::borrow::Cow;

/// What `+` means: itself in a path, a space in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// A plus sign.
    Kept,
    /// A space.
    Space,
}

/// Decodes percent-escapes once; `None` if one of them is malformed.
pub fn unescape(text: &str, plus: Plus) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus == Plus::Space => b' ',
            byte => byte,
        });
    }
    Some(out)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Why a query cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `;` separates nothing in Go since 1.17; the engine answers 400.
    #[error("query has a `;`")]
    Semicolon,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("query has a bad percent-escape")]
    BadEscape,
    /// A key or value is not UTF-8 once decoded.
    #[error("query does not decode to UTF-8")]
    NotUtf8,
}

/// The pairs of a query in order, decoded once. Empty pairs are skipped, a key without `=` has an empty value.
pub fn pairs(
    query: &str,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), QueryError>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains(';') {
                return Err(QueryError::Semicolon);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        })
}

/// The first value of `key`, as the engine's `Form.Get`; pairs the engine would refuse are passed over.
pub fn first<'q>(query: &'q str, key: &str) -> Option<Cow<'q, str>> {
    pairs(query)
        .filter_map(Result::ok)
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

/// The engine's reading of a boolean parameter: everything is true but these.
pub fn boolean(value: &str) -> bool {
    !matches!(
        value.trim().to_lowercase().as_str(),
        "" | "0" | "no" | "false" | "none"
    )
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = unescape(text, Plus::Space).ok_or(QueryError::BadEscape)?;
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| QueryError::NotUtf8)
}

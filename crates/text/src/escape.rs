//! Text that came from elsewhere (a peer, a file, an option, a variable), and is shown to people and their terminals.
//!
//! One place decides what a terminal must not be shown ([`is_unsafe`]), how it is written instead ([`line()`], [`json`]), and
//! what of a value is nobody's business ([`quoted`], [`redacted`], [`without_pem`]): private keys, passwords and tokens.
//! Pure: no files, no clock.

use std::borrow::Cow;
use std::fmt::Write;

/// Values are quoted up to this many characters.
const LONGEST: usize = 120;

/// This many characters of base64 in a row are taken for a part of a key.
const KEY_CHARS: usize = 24;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const DASHES: &str = "-----";

/// Whether a character ends a line, drives a terminal or turns the reading direction: control characters, the line and
/// paragraph separators, and Unicode's bidirectional controls (UAX #9). They are escaped wherever a peer's text is shown.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
}

/// The text on one line, with everything a terminal would obey as `\n`, `\u001b` and the like.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// As much of the beginning of `text` as takes at most `most` bytes once [`json`] has escaped it.
#[must_use]
pub fn begun(text: &str, most: usize) -> &str {
    let mut room = most;
    for (at, c) in text.char_indices() {
        match room.checked_sub(json_len(c)) {
            Some(left) => room = left,
            None => return &text[..at],
        }
    }
    text
}

/// The most bytes that a character takes once [`json`] has escaped it.
#[must_use]
pub fn json_len(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if is_unsafe(c) => 6,
        c => c.len_utf8(),
    }
}

/// Appends text with JSON's escapes (RFC 8259 §7); what a terminal obeys is escaped too.
pub fn json(text: &str, out: &mut String) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if c != '"' && c != '\\' && !is_unsafe(c) {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c => push_escaped(c, out),
        }
    }
    out.push_str(&text[plain..]);
}

/// As [`line()`], but line feeds stay. In a JSON document, which has no line feed within its strings, this escapes what JSON
/// lets pass: DEL, C1, separators and bidirectional controls.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe(c))
}

/// A TOML basic string, quotes included.
#[must_use]
pub fn toml(text: &str) -> String {
    let mut out = String::from("\"");
    // TOML has every escape that JSON has.
    json(text, &mut out);
    out.push('"');
    out
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if bad(c) {
            push_escaped(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn push_escaped(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => _ = write!(out, "\\u{:04x}", u32::from(c)),
    }
}

/// A value as messages quote it: `"tcp://…@host/?…"`.
///
/// It is on one line and not longer than a line. What looks like a key is not shown at all; what is before an `@` (a user
/// and a password) and after a `?` (a query, where tokens are) is left out, with and without a scheme.
#[must_use]
pub fn quoted(value: &str) -> String {
    if let Some(what) = secret(value) {
        return format!("({what}, not shown)");
    }
    let value = without_credentials(value);
    let mut out = String::from("\"");
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            json(&value[..end], &mut out);
            out.push('…');
        }
        None => json(&value, &mut out),
    }
    out.push('"');
    out
}

/// What a value seems to hold that must not be shown: `a private key`, `PEM`, `what may be a key`.
#[must_use]
pub fn secret(value: &str) -> Option<&'static str> {
    let pem = [BEGIN, END, "PRIVATE KEY-", "BEGIN PRIVATE", "END PRIVATE"];
    if pem.iter().any(|mark| value.contains(mark)) {
        return Some(if value.contains("PRIVATE KEY") {
            "a private key"
        } else {
            "PEM"
        });
    }
    runs(value)
        .any(|(start, run)| is_key_like(&value[..start], run))
        .then_some("what may be a key")
}

/// A value without the user and password before an `@`, and without the query after a `?`, with and without a scheme. The `@`
/// before the digest of an image is another one.
#[must_use]
pub fn without_credentials(value: &str) -> Cow<'_, str> {
    let rest = value.find("://").map_or(0, |scheme| scheme + "://".len());
    let host = user_end(&value[rest..]).map(|at| rest + at);
    let query = value[host.unwrap_or(rest)..]
        .find('?')
        .map(|at| host.unwrap_or(rest) + at);
    if host.is_none() && query.is_none() {
        return Cow::Borrowed(value);
    }
    let end = query.unwrap_or(value.len());
    let mut out = match host {
        Some(at) => format!("{}…{}", &value[..rest], &value[at..end]),
        None => value[..end].to_owned(),
    };
    if query.is_some() {
        out.push_str("?…");
    }
    Cow::Owned(out)
}

/// Where what is before a host ends: at the last `@` that no digest follows.
fn user_end(text: &str) -> Option<usize> {
    text.rmatch_indices('@')
        .map(|(at, _)| at)
        .find(|at| !is_digest(&text[at + 1..]))
}

/// Whether a text begins with the digest of an image, as names and paths have it.
fn is_digest(text: &str) -> bool {
    let hex = ["sha256", "sha384", "sha512"]
        .iter()
        .find_map(|algorithm| text.strip_prefix(algorithm))
        .and_then(|rest| {
            [":", "%3A", "%3a"]
                .iter()
                .find_map(|colon| rest.strip_prefix(colon))
        });
    hex.is_some_and(|hex| hex.bytes().take_while(u8::is_ascii_hexdigit).count() >= 32)
}

/// A message without the credentials and queries of the URLs in it. A user without a password, as in `ssh://git@host`, is shown.
#[must_use]
pub fn without_url_secrets(message: &str) -> Cow<'_, str> {
    const SEPARATOR: &str = "://";
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\\');
    let mut out = String::new();
    let mut done = 0;
    while let Some(found) = message[done..].find(SEPARATOR) {
        let at = done + found;
        let word = at + message[at..].find(ends).unwrap_or(message.len() - at);
        out.push_str(&message[done..at]);
        let url = &message[at..word];
        let user = url[SEPARATOR.len()..].split_once('@');
        let plain = message[..at].ends_with("ssh")
            && user.is_some_and(|(user, host)| {
                !user.contains([':', '/', '?']) && !host.contains(['@', '?'])
            });
        match plain {
            true => out.push_str(url),
            false => out.push_str(&without_credentials(url)),
        }
        done = word;
    }
    if done == 0 {
        return Cow::Borrowed(message);
    }
    out.push_str(&message[done..]);
    if out == message {
        return Cow::Borrowed(message);
    }
    Cow::Owned(out)
}

/// The path of a request without what is before an `@` in the name of an object: an image may be written as a URL.
#[must_use]
pub fn public_path(path: &str) -> Cow<'_, str> {
    let last = |sign: &str| {
        path.rmatch_indices(sign)
            .map(|(at, _)| at)
            .find(|at| !is_digest(&path[at + sign.len()..]))
    };
    let Some(at) = last("@").max(last("%40")) else {
        return Cow::Borrowed(path);
    };
    // Behind the version and the kind of object.
    let before = &path[..at];
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let skipped = 2 + usize::from(is_version(before.trim_start_matches('/')));
    let parts = before.split_inclusive('/').take(skipped);
    let start: usize = parts.filter(|part| part.ends_with('/')).map(str::len).sum();
    Cow::Owned(format!("{}…{}", &path[..start], &path[at..]))
}

/// A message without PEM, without anything that looks like a part of a key, and without credentials and queries of URLs: the
/// net under every error that is printed or logged, no matter where its text comes from.
#[must_use]
pub fn redacted(message: &str) -> Cow<'_, str> {
    let text = match without_url_secrets(message) {
        Cow::Borrowed(message) => without_pem(message),
        Cow::Owned(message) => Cow::Owned(without_pem(&message).into_owned()),
    };
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (start, run) in runs(&text) {
        let tail = found
            .last()
            .is_some_and(|(_, end)| is_tail(&text[*end..start], run));
        if tail || is_key_like(&text[..start], run) {
            found.push((start, start + run.len()));
        }
    }
    if found.is_empty() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in found {
        out.push_str(&text[done..start]);
        out.push_str("(not shown)");
        done = end;
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// [`redacted`], for text that is at hand as a `String`.
#[must_use]
pub fn redact(message: String) -> String {
    match redacted(&message) {
        Cow::Borrowed(whole) if whole.len() == message.len() => message,
        other => other.into_owned(),
    }
}

/// A text without the contents of PEM blocks, ended or not.
#[must_use]
pub fn without_pem(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    // A block whose beginning is missing.
    if let Some(end) = rest.find(END)
        && !rest[..end].contains(BEGIN)
    {
        let content =
            |c: char| c.is_ascii() && (is_base64(c as u8) || matches!(c, '\\' | '\n' | '\r' | ' '));
        let start = rest[..end].trim_end_matches(content).len();
        if end - start >= 12 {
            out.push_str(&rest[..start]);
            out.push_str("(PEM, not shown) ");
            rest = &rest[end..];
        }
    }
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        out.push_str(before);
        let end = block_end(block);
        out.push_str(if end == BEGIN.len() {
            BEGIN
        } else {
            "(PEM, not shown)"
        });
        rest = &block[end..];
    }
    if out.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where a block that begins at 0 ends; right after `BEGIN` if nothing secret follows, as in advice.
fn block_end(block: &str) -> usize {
    let marked = block[BEGIN.len()..]
        .find(END)
        .map(|at| BEGIN.len() + at + END.len());
    let quote = block.find(['"', '\'', '`']).unwrap_or(block.len());
    if let Some(marked) = marked {
        let tail = block[marked..].find(DASHES);
        return tail.map_or(quote.max(marked), |tail| marked + tail + DASHES.len());
    }
    let label = block[BEGIN.len()..].find(DASHES);
    let body = label.map_or(BEGIN.len(), |label| BEGIN.len() + label + DASHES.len());
    let content = block[body..].trim_start_matches(['\\', 'n', 'r', '\n', '\r', ' ', '\u{fffd}']);
    let base64 = content.bytes().take_while(|b| is_base64(*b)).count();
    if base64 >= 8 || label.is_none() && quote > BEGIN.len() {
        quote.max(BEGIN.len())
    } else {
        BEGIN.len()
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The runs of base64's characters, with their places. A run ends before the `\` of an escaped line feed, not within it.
fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(|c: char| !c.is_ascii() || !is_base64(c as u8))
        .map(move |run| {
            let start = at;
            at = start
                + run.len()
                + text[start + run.len()..]
                    .chars()
                    .next()
                    .map_or(0, char::len_utf8);
            (start, run)
        })
        .filter(|(_, run)| !run.is_empty())
}

/// Whether a run is as random as a key, and neither a digest, a number nor a path. The digests that policies and deny lists
/// have (`sha256:`, `sha256//`) are public.
fn is_key_like(before: &str, run: &str) -> bool {
    let pin = run.len() == 44 && before.to_ascii_lowercase().ends_with("sha256:")
        || run.len() == 52 && run.to_ascii_lowercase().starts_with("sha256//");
    let hex = run.bytes().all(|b| b.is_ascii_hexdigit());
    if pin || hex || run.len() < KEY_CHARS || is_path(run) {
        return false;
    }
    let class = |b: u8| (b.is_ascii_uppercase(), b.is_ascii_lowercase());
    let bytes: Vec<u8> = run.bytes().filter(|b| !matches!(b, b'/' | b'=')).collect();
    let share = |count: usize| count * 100 / bytes.len().max(1);
    let count = |of: fn(&u8) -> bool| bytes.iter().filter(|b| of(b)).count();
    let changes = bytes
        .windows(2)
        .filter(|pair| class(pair[0]) != class(pair[1]))
        .count();
    // Random base64 has 40 % of each case and changes between classes at two of three places; words do not.
    share(count(u8::is_ascii_uppercase)) >= 20
        && share(count(u8::is_ascii_lowercase)) >= 12
        && share(changes) >= 20
        && bytes.iter().any(|b| b.is_ascii_digit() || *b == b'+')
}

/// Whether a run is a part of a path: a key has a slash at one of 64 places, and is random on both sides of each.
/// One name may look random, as those of temporary directories do.
fn is_path(run: &str) -> bool {
    let names = || run.split('/');
    let random = |name: &&str| {
        let inner = name.bytes().skip(1).any(|b| b.is_ascii_uppercase());
        inner
            && name
                .bytes()
                .any(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let slashes = names().count() - 1;
    slashes * 12 >= run.len()
        && names().all(|name| name.len() < KEY_CHARS)
        && names().filter(random).count() <= 1
}

/// The last line of a key is short: what follows a part of a key after a line break or a space belongs to it.
fn is_tail(gap: &str, run: &str) -> bool {
    let apart = !gap.is_empty() && gap.chars().all(|c| c.is_whitespace() || c == '\\');
    let mixed = run.bytes().any(|b| b.is_ascii_uppercase())
        && run
            .bytes()
            .any(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    apart && (mixed && run.len() >= 4 || run.ends_with('='))
}

/// A word for a POSIX shell, for commands that people paste.
#[must_use]
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@+%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    if !word.chars().any(is_unsafe) {
        return Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")));
    }
    // POSIX.1-2024 §2.2.4: what a terminal would obey can be written, and pasted, as escapes.
    let mut out = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_unsafe(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;

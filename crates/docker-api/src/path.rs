//! One reading of a request target, the one the engine's router (gorilla/mux on the decoded path) would have.
//!
//! Two callers share it. Without a policy the gate forwards the target verbatim and must know which
//! endpoints may hijack the connection: [`Classified::operation`] and [`Classified::hijack`]. With a policy, a target
//! outside the plain grammar is an unknown operation: [`Classified::judged`].
//!
//! The common case, a target without `%`, allocates nothing.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::operation::{Hijack, Operation};
use super::query;
use super::route::{Routed, route};

/// Why a target has no single reading, and so is refused before anything else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `http://host/path`: [`super::absolute()`] takes it apart first.
    #[error("request target is in absolute form, expected a path")]
    Absolute,
    /// Absolute form with a scheme, host or port that is not one.
    #[error(
        "request target is in absolute form, expected http:// or https://, a host, an optional port and a path"
    )]
    BadAuthority,
    /// `CONNECT`, or a target that is neither a path nor `*`.
    #[error("request target is in authority form, expected a path")]
    Authority,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("request target has a bad percent-escape")]
    BadEscape,
    /// A raw control character or space.
    #[error("request target has a raw control character or space")]
    ControlCharacter,
    /// A `#`: some parsers cut there, the engine does not.
    #[error("request target has a fragment")]
    Fragment,
}

/// The form of a request target (RFC 9112 §3.2) that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path and an optional query.
    Origin,
    /// `*`.
    Asterisk,
}

/// Why a target is outside the plain grammar, though the engine may serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irregular {
    /// `//`, `.` or `..`: the engine redirects instead of routing.
    Unclean,
    /// A version prefix other than `/v<digits>.<digits>`.
    Version,
    /// A resource name outside its grammar, a slash in a container's name for example.
    Name,
    /// Control characters once decoded.
    ControlCharacter,
    /// Not UTF-8 once decoded.
    NotUtf8,
}

impl fmt::Display for Irregular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Irregular::Unclean => "the path has an empty, `.` or `..` segment",
            Irregular::Version => "the version prefix is not of the form /v1.51",
            Irregular::Name => "the resource name is outside its grammar",
            Irregular::ControlCharacter => "the path decodes to control characters",
            Irregular::NotUtf8 => "the path does not decode to UTF-8",
        })
    }
}

/// A request target as the engine will read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified<'t> {
    /// What the engine's router would run; [`Operation::Unknown`] if nothing, or if the table does not know it.
    pub operation: Operation,
    /// How the engine may take the connection out of HTTP here; known for Podman's own paths too.
    pub hijack: Hijack,
    /// The target's form.
    pub form: Form,
    /// The first reason, if any, why the target is outside the plain grammar.
    pub irregular: Option<Irregular>,
    path: Cow<'t, str>,
    version: Range<usize>,
    name: Option<Range<usize>>,
    checkpoint: Option<Range<usize>>,
    query: Option<Cow<'t, str>>,
}

impl<'t> Classified<'t> {
    /// The operation a policy judges: a target outside the plain grammar is an unknown operation.
    pub fn judged(&self) -> Operation {
        if self.irregular.is_some() {
            Operation::Unknown
        } else {
            self.operation
        }
    }

    /// The path, decoded once, version prefix included.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The resource's name, decoded: a container's name or id, an image reference.
    pub fn name(&self) -> Option<&str> {
        self.name.clone().map(|range| &self.path[range])
    }

    /// The checkpoint named by `checkpoint.delete`.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.clone().map(|range| &self.path[range])
    }

    /// The API version of the prefix, without its `v`: `1.51`.
    pub fn version(&self) -> Option<&str> {
        (!self.version.is_empty()).then(|| &self.path[self.version.clone()])
    }

    /// The query as sent, without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The same, independent of the buffer it was read from.
    pub fn into_owned(self) -> Classified<'static> {
        Classified {
            operation: self.operation,
            hijack: self.hijack,
            form: self.form,
            irregular: self.irregular,
            path: Cow::Owned(self.path.into_owned()),
            version: self.version,
            name: self.name,
            checkpoint: self.checkpoint,
            query: self.query.map(|query| Cow::Owned(query.into_owned())),
        }
    }
}

/// Reads `method` and `target` (as they are in the request line) the way the engine will.
///
/// # Errors
/// [`TargetError`] if the target has two readings; answer 400 and close.
#[expect(clippy::too_many_lines, reason = "table")]
pub fn classify<'t>(method: &str, target: &'t str) -> Result<Classified<'t>, TargetError> {
    if method == "CONNECT" {
        return Err(TargetError::Authority);
    }
    let bytes = target.as_bytes();
    match bytes.first() {
        Some(b'/') => {}
        Some(b'*') if bytes.len() == 1 => return Ok(asterisk(method, target)),
        _ if target.contains("://") => return Err(TargetError::Absolute),
        _ => return Err(TargetError::Authority),
    }
    if bytes.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(TargetError::ControlCharacter);
    }
    if memchr::memchr(b'#', bytes).is_some() {
        return Err(TargetError::Fragment);
    }
    let (raw, query) = match memchr::memchr(b'?', bytes) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let (path, irregular) = decode(raw)?;
    let decoded = matches!(path, Cow::Owned(_));
    if unclean(path.as_bytes()) {
        return Ok(Classified {
            operation: Operation::Unknown,
            hijack: Hijack::None,
            form: Form::Origin,
            irregular: Some(Irregular::Unclean),
            path,
            version: 0..0,
            name: None,
            checkpoint: None,
            query: query.map(Cow::Borrowed),
        });
    }
    let version = version_prefix(path.as_bytes());
    let start = if version.is_empty() { 0 } else { version.end };
    let rest = &path[start..];
    let mut routed = route(method, rest, query, !version.is_empty());
    if decoded && rest.contains('\n') && !routed.is_one_segment() {
        // The router's `.*` stops at a line feed; its `[^/]+` does not.
        routed = Routed::UNKNOWN;
    }
    let shift = |range: Range<usize>| range.start + start..range.end + start;
    let irregular = irregular
        .or_else(|| {
            ((decoded || !path.is_ascii()) && path.chars().any(char::is_control))
                .then_some(Irregular::ControlCharacter)
        })
        .or_else(|| version_irregular(&path, &version).then_some(Irregular::Version))
        .or_else(|| name_irregular(routed.operation, rest, &routed).then_some(Irregular::Name));
    let hijack = match routed.operation {
        Operation::Unknown => libpod_hijack(method, rest),
        operation => operation.hijack(),
    };
    Ok(Classified {
        operation: routed.operation,
        hijack,
        form: Form::Origin,
        irregular,
        version,
        name: routed.name.map(shift),
        checkpoint: routed.checkpoint.map(shift),
        query: query.map(Cow::Borrowed),
        path,
    })
}

/// The path as the engine reads it, and what is odd about it.
fn decode(raw: &str) -> Result<(Cow<'_, str>, Option<Irregular>), TargetError> {
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Ok((Cow::Borrowed(raw), None));
    }
    let bytes = query::unescape(raw, query::Plus::Kept).ok_or(TargetError::BadEscape)?;
    Ok(match String::from_utf8(bytes) {
        Ok(path) => (Cow::Owned(path), None),
        Err(error) => {
            let path = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (Cow::Owned(path), Some(Irregular::NotUtf8))
        }
    })
}

fn asterisk<'t>(method: &str, target: &'t str) -> Classified<'t> {
    // Go's server answers `OPTIONS *` itself; with any other method the router redirects to `/%2A`.
    let options = method == "OPTIONS";
    Classified {
        operation: if options {
            Operation::SystemOptions
        } else {
            Operation::Unknown
        },
        hijack: Hijack::None,
        form: Form::Asterisk,
        irregular: (!options).then_some(Irregular::Unclean),
        path: Cow::Borrowed(target),
        version: 0..0,
        name: None,
        checkpoint: None,
        query: None,
    }
}

/// Whether Go's `path.Clean` would change the path (a trailing slash is kept by the router).
fn unclean(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        // path[at] is a slash
        let next = memchr::memchr(b'/', &path[at + 1..]).map(|offset| at + 1 + offset);
        let segment = &path[at + 1..next.unwrap_or(path.len())];
        if segment == b"." || segment == b".." || (segment.is_empty() && next.is_some()) {
            return true;
        }
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// The range of `[0-9.]+` in a leading `/v[0-9.]+/`; empty if there is none.
fn version_prefix(path: &[u8]) -> Range<usize> {
    if !path.starts_with(b"/v") {
        return 0..0;
    }
    let len = path[2..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    if len > 0 && path.get(2 + len) == Some(&b'/') {
        2..2 + len
    } else {
        0..0
    }
}

fn version_irregular(path: &str, version: &Range<usize>) -> bool {
    if version.is_empty() {
        return false;
    }
    match path[version.clone()].split_once('.') {
        Some((major, minor)) => {
            let plain = |part: &str| {
                !part.is_empty()
                    && part.len() <= 4
                    && !(part.len() > 1 && part.starts_with('0'))
                    && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            !plain(major) || !plain(minor)
        }
        None => true,
    }
}

/// Podman's own attach and exec start hijack as Docker's do, and are otherwise unknown here.
fn libpod_hijack(method: &str, path: &str) -> Hijack {
    let Some(rest) = path.strip_prefix("/libpod/") else {
        return Hijack::None;
    };
    let attach = rest.starts_with("containers/")
        && rest.len() > "containers//attach".len()
        && rest.ends_with("/attach");
    let start =
        rest.starts_with("exec/") && rest.len() > "exec//start".len() && rest.ends_with("/start");
    if method == "POST" && (attach || start) {
        Hijack::Tcp
    } else {
        Hijack::None
    }
}

/// Whether a name strays from the grammar of its resource, so that two tools might read it differently.
fn name_irregular(operation: Operation, path: &str, routed: &Routed) -> bool {
    let plain = |name: &str| {
        name.len() <= 255
            && name
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    if routed
        .checkpoint
        .clone()
        .is_some_and(|range| !plain(&path[range]))
    {
        return true;
    }
    let Some(name) = routed.name.clone().map(|range| &path[range]) else {
        return false;
    };
    match operation.resource() {
        "image" | "plugin" | "distribution" => {
            name.len() > 1024
                || name.split('/').any(|part| {
                    !part
                        .bytes()
                        .next()
                        .is_some_and(|byte| byte.is_ascii_alphanumeric())
                })
                || !name.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'_' | b'.' | b'-' | b':' | b'/' | b'@')
                })
        }
        "network" => name.is_empty() || name.len() > 1024 || name.contains(['/', '\\']),
        _ => !plain(name),
    }
}

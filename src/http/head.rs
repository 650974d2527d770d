//! Reads message heads strictly, and writes the heads that go on.
//!
//! What is judged is what is sent: a head is parsed once, and the bytes of its lines travel on unchanged, in order and in
//! their own case, less the hop-by-hop fields (RFC 9110 §7.6.1). A head with two readings is refused: bare CR or LF, folded
//! lines, space before a colon, two lengths, a length beside a transfer coding, any coding but a single `chunked`, a field that
//! decides something on two lines. A target in absolute form goes on in origin form, with its authority as `Host`.
//!
//! httparse does the tokenizing; the rules above are on top, and `tests/wire` compares the result with hyper's reading.

mod fields;

use std::borrow::Cow;
use std::ops::Range;

use httparse::{ParserConfig, Status};
use memchr::{memchr_iter, memmem};

use super::framing::Framing;
use docker_api::TargetError;
use fields::{HeadFields, HeadLines, place, write_lines};
use policy::EngineHeaders;

pub use fields::Expect;
pub(crate) use fields::head_only;

/// Header lines accepted in one head; the engine (Go 1.27) has the same bound.
pub const MAX_LINES: usize = 500;

/// Bytes accepted in one head. The engine takes 1 MiB + 4 KiB.
pub const MAX_HEAD: usize = (1 << 20) + (64 << 10);

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// More lines than allowed.
    #[error("too many header lines")]
    TooManyLines,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("not HTTP/1.0 or HTTP/1.1")]
    Version,
    /// An expectation that nobody here can meet (RFC 9110 §10.1.1).
    #[error("the Expect header asks for something other than 100-continue")]
    Expectation,
    /// An absolute target without an authority.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A fault with one reading only: wrong.
    #[error("{0}")]
    Malformed(&'static str),
}

/// What a request head says about its connection and body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Where the method is in the head.
    pub method: Range<usize>,
    target: SentTarget,
    /// Whether it is HTTP/1.0.
    pub http10: bool,
    /// Whether the client keeps the connection open afterwards.
    pub persistent: bool,
    /// Whether it carries an `Upgrade` field.
    pub upgrade: bool,
    /// What the client waits for before it sends the body.
    pub expect: Expect,
    /// How the body ends.
    pub framing: Framing,
    /// Where the value of `Content-Type` is in the head.
    pub content_type: Option<Range<usize>>,
    /// Where the value of `Content-Encoding` is in the head.
    pub content_encoding: Option<Range<usize>>,
    /// Which of the engine's own fields are there.
    pub engine: EngineHeaders,
}

/// The request target in origin form.
#[derive(Clone, Debug)]
enum SentTarget {
    /// As it is in the head.
    Sent(Range<usize>),
    /// What a target in absolute form means.
    Meant(String),
}

/// What a head says of its connection after the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    /// Whether the request is HTTP/1.0.
    pub http10: bool,
    /// Whether the client keeps the connection open.
    pub persistent: bool,
}

impl RequestHead {
    /// What it says of its connection.
    #[must_use]
    pub fn connection(&self) -> Persistence {
        Persistence {
            http10: self.http10,
            persistent: self.persistent,
        }
    }

    /// The request target in origin form, as it goes on; `head` is the head that was read.
    #[must_use]
    pub fn target<'a>(&'a self, head: &'a [u8]) -> Cow<'a, str> {
        match &self.target {
            SentTarget::Sent(range) => String::from_utf8_lossy(&head[range.clone()]),
            SentTarget::Meant(origin) => Cow::Borrowed(origin),
        }
    }
}

/// What a response head says.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Status code, 100 to 999.
    pub status: u16,
    /// Whether the engine keeps the connection open afterwards.
    pub persistent: bool,
    /// Whether it is HTTP/1.0.
    pub http10: bool,
    /// Whether the content type is one of Docker's raw streams.
    pub raw_stream: bool,
    /// How the body ends; [`Framing::until_eof`] where the head does not say.
    pub framing: Framing,
}

/// The length of the head at the start of `buf`, its last empty line included; `None` while it is incomplete.
/// `scanned` is how much an earlier call has seen.
///
/// A head that ends by bare line feeds is complete as well: the parser refuses it now, instead of a deadline later.
#[must_use]
pub fn head_len(buf: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let rest = buf.get(from..)?;
    if let Some(at) = memmem::find(rest, b"\r\n\r\n") {
        return Some(from + at + 4);
    }
    let bare = memmem::find(rest, b"\n\n").map(|at| at + 2);
    let mixed = memmem::find(rest, b"\n\r\n").map(|at| at + 3);
    bare.into_iter().chain(mixed).min().map(|len| from + len)
}

/// Every CR must be followed by LF and every LF preceded by CR: a parser that takes one alone as a line end sees other
/// fields than one that does not.
fn strict_lines(head: &[u8], most: usize) -> Result<(), HeadError> {
    let mut lines = 0;
    for lf in memchr_iter(b'\n', head) {
        if lf == 0 || head[lf - 1] != b'\r' {
            return Err(HeadError::Malformed(
                "a line feed without carriage return in the head",
            ));
        }
        lines += 1;
    }
    if memchr_iter(b'\r', head).count() != lines {
        return Err(HeadError::Malformed(
            "a carriage return without line feed in the head",
        ));
    }
    // The start line and the empty line are not header lines.
    if lines > most + 2 {
        return Err(HeadError::TooManyLines);
    }
    Ok(())
}

const PARSER: fn() -> ParserConfig = ParserConfig::default;

/// Parses a complete request head and appends the head that goes upstream to `out`.
///
/// `takes_over` is asked, given method and target, whether the body belongs before the hand-over (attach and exec start):
/// there a `Expect: 100-continue` is answered by the gate and not passed on.
///
/// # Errors
/// [`HeadError`], with `out` unchanged.
pub fn request(
    head: &[u8],
    out: &mut Vec<u8>,
    takes_over: impl FnOnce(&str, &str) -> bool,
) -> Result<RequestHead, HeadError> {
    request_within(head, MAX_LINES, out, takes_over)
}

/// As [`request`], with at most `most` header lines.
///
/// # Errors
/// [`HeadError`], with `out` unchanged.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub fn request_within(
    head: &[u8],
    most: usize,
    out: &mut Vec<u8>,
    takes_over: impl FnOnce(&str, &str) -> bool,
) -> Result<RequestHead, HeadError> {
    strict_lines(head, most)?;
    // httparse skips empty lines in front; the engine does not, and the ranges below count from the first byte.
    if head.first() == Some(&b'\r') {
        return Err(HeadError::Malformed(
            "an empty line before the request line",
        ));
    }
    let mut usual = [const { std::mem::MaybeUninit::uninit() }; MAX_LINES];
    let mut unusual = Vec::new();
    let storage = if most <= MAX_LINES {
        &mut usual[..]
    } else {
        unusual.resize_with(most, std::mem::MaybeUninit::uninit);
        &mut unusual[..]
    };
    let mut parsed = httparse::Request::new(&mut []);
    match PARSER().parse_request_with_uninit_headers(&mut parsed, head, storage) {
        Ok(Status::Complete(n)) if n == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed("an incomplete head")),
        Err(e) => return Err(tokenize(e)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadError::Malformed("incomplete request line"));
    };
    let fields = HeadFields::read(parsed.headers)?;
    let mut engine = EngineHeaders::default();
    for header in parsed.headers.iter() {
        engine.note(header.name);
    }
    let http10 = minor == 0;
    let framing = request_framing(&fields, http10)?;
    let absolute = docker_api::absolute(method, target)?;
    let start_line = absolute
        .as_ref()
        .map(|target| format!("{method} {} HTTP/1.{minor}\r\n", target.origin));
    let origin = absolute.as_ref().map_or(target, |target| &target.origin);
    let lines = HeadLines {
        upgrade: fields.upgrade,
        drop_expect: fields.expect == Expect::Continue && takes_over(method, origin),
        origin: start_line
            .as_deref()
            .zip(absolute.as_ref().map(|target| target.authority)),
    };
    write_lines(head, parsed.headers, &fields, lines, out);
    if http10 && fields.keep_alive && !fields.close && !fields.upgrade {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    let start = method.len() + 1;
    let target = match absolute {
        Some(target) => SentTarget::Meant(target.origin.into_owned()),
        None => SentTarget::Sent(start..start + target.len()),
    };
    Ok(RequestHead {
        method: 0..method.len(),
        target,
        http10,
        persistent: !fields.close && (!http10 || fields.keep_alive),
        upgrade: fields.upgrade,
        // Nobody who speaks HTTP/1.0 knows interim answers.
        expect: if http10 {
            Expect::Nothing
        } else {
            fields.expect
        },
        framing,
        content_type: place(head, fields.content_type),
        content_encoding: place(head, fields.content_encoding),
        engine,
    })
}

/// How the body of a request is delimited.
fn request_framing(fields: &HeadFields<'_>, http10: bool) -> Result<Framing, HeadError> {
    if !fields.host && !http10 {
        return Err(HeadError::Malformed("a request needs one Host header"));
    }
    if http10 && fields.chunked {
        return Err(HeadError::Malformed("a transfer coding in HTTP/1.0"));
    }
    Ok(match (fields.chunked, fields.length) {
        (true, _) => Framing::chunked_by_line(),
        (false, Some(n)) => Framing::length(n),
        (false, None) => Framing::none(),
    })
}

/// How a response head goes on to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// As it is, hop-by-hop fields included: `101`, and the raw-stream `200` that becomes a tunnel.
    Verbatim,
    /// Less the hop-by-hop fields, with this `Connection` line if any.
    Connection(Option<&'static str>),
    /// Not at all.
    Nothing,
}

/// Parses a complete response head; `plan` says how it goes on, and it is appended to `out` so. `bodyless` says that the
/// request was a HEAD.
///
/// # Errors
/// [`HeadError`], with `out` unchanged.
pub fn response(
    head: &[u8],
    bodyless: bool,
    out: &mut Vec<u8>,
    plan: impl FnOnce(&ResponseHead) -> Emit,
) -> Result<ResponseHead, HeadError> {
    strict_lines(head, MAX_LINES)?;
    let mut storage = [const { std::mem::MaybeUninit::uninit() }; MAX_LINES];
    let mut parsed = httparse::Response::new(&mut []);
    match PARSER().parse_response_with_uninit_headers(&mut parsed, head, &mut storage) {
        Ok(Status::Complete(n)) if n == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed("an incomplete head")),
        Err(e) => return Err(tokenize(e)),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(HeadError::Malformed("incomplete status line"));
    };
    if status < 100 {
        return Err(HeadError::Malformed("a status below 100"));
    }
    let fields = HeadFields::read(parsed.headers)?;
    let http10 = minor == 0;
    if http10 && fields.chunked {
        return Err(HeadError::Malformed("a transfer coding in HTTP/1.0"));
    }
    let has_body = fields.chunked || fields.length.is_some_and(|n| n > 0);
    if has_body && (status < 200 || status == 204) {
        // RFC 9112 §6.3: no body whatever the head says, yet there are clients that believe the head.
        return Err(HeadError::Malformed("a body on a status that has none"));
    }
    let framing = match (fields.chunked, fields.length) {
        _ if bodyless || status < 200 || status == 204 || status == 304 => Framing::none(),
        (true, _) => Framing::chunked(),
        (false, Some(n)) => Framing::length(n),
        (false, None) => Framing::until_eof(),
    };
    let response = ResponseHead {
        status,
        persistent: !fields.close && (!http10 || fields.keep_alive) && !framing.is_until_eof(),
        http10,
        raw_stream: fields.raw_stream,
        framing,
    };
    let emit = plan(&response);
    if emit != Emit::Nothing {
        let lines = HeadLines {
            upgrade: emit == Emit::Verbatim,
            ..HeadLines::default()
        };
        write_lines(head, parsed.headers, &fields, lines, out);
        if let Emit::Connection(Some(value)) = emit {
            out.extend_from_slice(b"Connection: ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(response)
}

fn tokenize(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyLines,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => HeadError::Malformed(
            "malformed header name (no space before the colon, no folded lines)",
        ),
        httparse::Error::HeaderValue => {
            HeadError::Malformed("a control character in a header value")
        }
        httparse::Error::NewLine => HeadError::Malformed("malformed line end"),
        httparse::Error::Status => HeadError::Malformed("malformed status line"),
        httparse::Error::Token => HeadError::Malformed("malformed request line"),
    }
}

#[cfg(test)]
mod tests;

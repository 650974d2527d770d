//! What the header lines of a head say together, and which of them go on (RFC 9110 §7.6.1).
//!
//! There is one reading of each field that decides something. Such a field is on one line, in ASCII, and no `Connection`
//! option may take it away, so that the policy, the plugin, the gate and the engine cannot each read another value.

use std::ops::Range;

use httparse::Header;
use memchr::memchr_iter;

use super::HeadError;

/// A field this proxy has to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownField {
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Expect,
    Host,
    HopByHop,
    RegistryAuth,
    RegistryConfig,
    Trailer,
    TransferEncoding,
    Upgrade,
    Other,
}

impl KnownField {
    fn of(name: &[u8]) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::Trailer,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            12 if is("content-type") => Self::ContentType,
            13 if is("authorization") => Self::Authorization,
            14 if is("content-length") => Self::ContentLength,
            15 if is("x-registry-auth") => Self::RegistryAuth,
            16 if is("content-encoding") => Self::ContentEncoding,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-registry-config") => Self::RegistryConfig,
            19 if is("proxy-authorization") => Self::HopByHop,
            _ => Self::Other,
        }
    }

    /// Whether what happens to a message depends on its value: the engine reads the first line, others the last, and lists
    /// differently again.
    fn decides(self) -> bool {
        matches!(
            self,
            Self::Authorization
                | Self::ContentEncoding
                | Self::ContentLength
                | Self::ContentType
                | Self::Expect
                | Self::Host
                | Self::RegistryAuth
                | Self::RegistryConfig
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// Why it may not be repeated.
    fn repeated(self) -> &'static str {
        match self {
            Self::Authorization => "more than one Authorization header",
            Self::ContentEncoding => "more than one Content-Encoding header",
            Self::ContentLength => "more than one Content-Length header",
            Self::ContentType => "more than one Content-Type header",
            Self::Expect => "more than one Expect header",
            Self::Host => "more than one Host header",
            Self::RegistryAuth => "more than one X-Registry-Auth header",
            Self::RegistryConfig => "more than one X-Registry-Config header",
            Self::TransferEncoding => "more than one Transfer-Encoding header",
            Self::Upgrade => "more than one Upgrade header",
            Self::Connection | Self::HopByHop | Self::Trailer | Self::Other => "a repeated header",
        }
    }
}

/// What a client wants to hear before it sends its body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    #[default]
    Nothing,
    /// `100 Continue`.
    Continue,
}

/// Options of all `Connection` lines together.
const MAX_OPTIONS: usize = 64;

/// Fields that a trailer may not carry (RFC 9110 §6.5.1): they frame or route the message, say who sends it or how its
/// content is read, or are for one hop.
const HEAD_ONLY: [&str; 22] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-registry-auth",
    "x-registry-config",
];

/// The name of a field as its rules have it, if only a head may carry it.
pub(crate) fn head_only(name: &[u8]) -> Option<&'static str> {
    HEAD_ONLY
        .iter()
        .find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        .copied()
}

/// What the header lines of either kind of head say together.
#[derive(Default)]
pub(super) struct HeadFields<'h> {
    pub(super) host: bool,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) upgrade: bool,
    pub(super) expect: Expect,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) raw_stream: bool,
    pub(super) content_type: Option<&'h [u8]>,
    pub(super) content_encoding: Option<&'h [u8]>,
    /// Whether any line has to be left out.
    pub(super) edit: bool,
    /// Fields that a `Connection` line names, besides the usual options.
    named: Vec<&'h [u8]>,
}

impl<'h> HeadFields<'h> {
    pub(super) fn read(headers: &[Header<'h>]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        let (mut seen, mut options) = (0_u32, 0);
        for header in headers {
            let field = KnownField::of(header.name.as_bytes());
            if field.decides() {
                let bit = 1 << field as u32;
                if seen & bit != 0 {
                    return Err(HeadError::Malformed(field.repeated()));
                }
                seen |= bit;
                if !header.value.is_ascii() {
                    return Err(HeadError::Malformed(
                        "a character outside ASCII in a header that decides something",
                    ));
                }
            }
            fields.note(field, header.value, &mut options)?;
        }
        if fields.chunked && fields.length.is_some() {
            return Err(HeadError::Malformed(
                "both Content-Length and Transfer-Encoding",
            ));
        }
        Ok(fields)
    }

    fn note(
        &mut self,
        field: KnownField,
        value: &'h [u8],
        options: &mut usize,
    ) -> Result<(), HeadError> {
        match field {
            KnownField::Other
            | KnownField::Authorization
            | KnownField::RegistryAuth
            | KnownField::RegistryConfig => {}
            KnownField::Host => {
                self.host = true;
                if value.iter().any(|b| b"/ \t@\\".contains(b)) {
                    return Err(HeadError::Malformed("malformed Host header"));
                }
            }
            KnownField::Expect => self.expect = expect(value)?,
            KnownField::ContentType => {
                self.raw_stream = matches!(
                    value,
                    b"application/vnd.docker.raw-stream"
                        | b"application/vnd.docker.multiplexed-stream"
                );
                if is_list(value) {
                    return Err(HeadError::Malformed("a list of types in Content-Type"));
                }
                self.content_type = Some(value);
            }
            KnownField::ContentEncoding => self.content_encoding = Some(value),
            KnownField::ContentLength => self.length = Some(length(value)?),
            KnownField::TransferEncoding => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::Malformed(
                        "a transfer coding other than a single chunked",
                    ));
                }
                self.chunked = true;
            }
            KnownField::Trailer => {
                if tokens(value).any(|name| head_only(name).is_some()) {
                    return Err(HeadError::Malformed(
                        "Trailer names a field that only a head may carry",
                    ));
                }
            }
            KnownField::Upgrade => self.upgrade = true,
            KnownField::HopByHop => self.edit = true,
            KnownField::Connection => {
                self.edit = true;
                self.options(value, options)?;
            }
        }
        Ok(())
    }

    fn options(&mut self, value: &'h [u8], count: &mut usize) -> Result<(), HeadError> {
        for option in tokens(value) {
            *count += 1;
            if *count > MAX_OPTIONS {
                return Err(HeadError::Malformed("more than 64 options in Connection"));
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                match KnownField::of(option) {
                    KnownField::Upgrade => {}
                    field if field.decides() => {
                        return Err(HeadError::Malformed(
                            "Connection names a field that must stay",
                        ));
                    }
                    _ => self.named.push(option),
                }
            }
        }
        Ok(())
    }

    /// Whether some `Connection` line names `name`.
    fn names(&self, name: &str) -> bool {
        self.named
            .iter()
            .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Where `value`, a part of `head`, is in it.
pub(super) fn place(head: &[u8], value: Option<&[u8]>) -> Option<Range<usize>> {
    let value = value?;
    let start = (value.as_ptr() as usize).checked_sub(head.as_ptr() as usize)?;
    Some(start..start + value.len())
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|t| !t.is_empty())
}

/// Whether a comma outside quotes makes a list of it: two types in one line are two types.
fn is_list(value: &[u8]) -> bool {
    let mut quoted = false;
    value.iter().any(|b| {
        quoted ^= *b == b'"';
        *b == b',' && !quoted
    })
}

fn expect(value: &[u8]) -> Result<Expect, HeadError> {
    if value.is_empty() {
        Ok(Expect::Nothing)
    } else if value.eq_ignore_ascii_case(b"100-continue") {
        Ok(Expect::Continue)
    } else {
        Err(HeadError::Expectation)
    }
}

fn length(value: &[u8]) -> Result<u64, HeadError> {
    let malformed = HeadError::Malformed("a Content-Length that is not a number");
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|v| v.parse().ok())
        .ok_or(malformed)
}

/// How the lines of a head go on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadLines<'a> {
    /// Keeps `Connection` and all it names, since on an upgrade they concern both ends.
    pub(super) upgrade: bool,
    /// Leaves `Expect` out.
    pub(super) drop_expect: bool,
    /// A start line and a host in place of the head's own: a target in absolute form goes on in origin form.
    pub(super) origin: Option<(&'a str, &'a str)>,
}

/// Appends the head to `out`: start line and header lines as they are in `head`, less what is for one hop only.
pub(super) fn write_lines(
    head: &[u8],
    headers: &[Header<'_>],
    fields: &HeadFields<'_>,
    how: HeadLines<'_>,
    out: &mut Vec<u8>,
) {
    let whole = how.upgrade || !fields.edit && !fields.upgrade;
    if whole && !how.drop_expect && how.origin.is_none() {
        out.extend_from_slice(&head[..head.len() - 2]);
        return;
    }
    let mut lines = memchr_iter(b'\n', head);
    let mut start = lines.next().map_or(head.len(), |lf| lf + 1);
    match how.origin {
        Some((line, _)) => out.extend_from_slice(line.as_bytes()),
        None => out.extend_from_slice(&head[..start]),
    }
    for (header, lf) in headers.iter().zip(lines) {
        let line = &head[start..=lf];
        start = lf + 1;
        let keep = match (KnownField::of(header.name.as_bytes()), how.origin) {
            (KnownField::Host, Some((_, host))) => {
                out.extend_from_slice(b"Host: ");
                out.extend_from_slice(host.as_bytes());
                out.extend_from_slice(b"\r\n");
                false
            }
            (KnownField::Connection | KnownField::Upgrade | KnownField::HopByHop, _) => how.upgrade,
            (KnownField::Expect, _) => !how.drop_expect,
            (KnownField::Other | KnownField::Trailer, _) => {
                how.upgrade || !fields.names(header.name)
            }
            _ => true,
        };
        if keep {
            out.extend_from_slice(line);
        }
    }
}

//! What the header lines of a head say together, and which of them go on (RFC 9110 §7.6.1).

use httparse::Header;
use memchr::memchr_iter;

use super::HeadError;

/// A field this proxy has to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Connection,
    ContentLength,
    ContentType,
    Expect,
    Host,
    HopByHop,
    TransferEncoding,
    Upgrade,
    Other,
}

pub(super) fn field(name: &str) -> Field {
    let is = |other| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Field::HopByHop,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::Upgrade,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::HopByHop,
        12 if is("content-type") => Field::ContentType,
        14 if is("content-length") => Field::ContentLength,
        16 if is("proxy-connection") => Field::HopByHop,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        19 if is("proxy-authorization") => Field::HopByHop,
        _ => Field::Other,
    }
}

/// The fields that frame or route the message: no `Connection` option may take them away.
const UNREMOVABLE: [&str; 3] = ["content-length", "host", "transfer-encoding"];

/// What the header lines of either kind of head say together.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) hosts: usize,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) upgrade: bool,
    pub(super) expect: usize,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) raw_stream: bool,
    /// Whether any line has to be left out.
    pub(super) edit: bool,
}

impl Fields {
    pub(super) fn read(headers: &[Header<'_>]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for header in headers {
            match field(header.name) {
                Field::Other => {}
                Field::Host => {
                    fields.hosts += 1;
                    if header.value.contains(&b'/') || header.value.contains(&b' ') {
                        return Err(HeadError::Malformed("malformed Host header"));
                    }
                }
                Field::Expect => fields.expect += 1,
                Field::ContentType => {
                    fields.raw_stream |= matches!(
                        header.value,
                        b"application/vnd.docker.raw-stream"
                            | b"application/vnd.docker.multiplexed-stream"
                    );
                }
                Field::ContentLength => {
                    if fields.length.is_some() {
                        return Err(HeadError::Malformed("more than one Content-Length"));
                    }
                    fields.length = Some(length(header.value)?);
                }
                Field::TransferEncoding => {
                    if fields.chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(HeadError::Malformed(
                            "a transfer coding other than a single chunked",
                        ));
                    }
                    fields.chunked = true;
                }
                Field::Upgrade => fields.upgrade = true,
                Field::HopByHop => fields.edit = true,
                Field::Connection => {
                    fields.edit = true;
                    fields.options(header.value)?;
                }
            }
        }
        if fields.chunked && fields.length.is_some() {
            return Err(HeadError::Malformed(
                "both Content-Length and Transfer-Encoding",
            ));
        }
        Ok(fields)
    }

    fn options(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in tokens(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if UNREMOVABLE
                .iter()
                .any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
            {
                return Err(HeadError::Malformed(
                    "Connection names a field that must stay",
                ));
            }
        }
        Ok(())
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|t| !t.is_empty())
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

/// Whether some `Connection` line among `headers` names `name`.
fn named(headers: &[Header<'_>], name: &str) -> bool {
    headers
        .iter()
        .filter(|h| field(h.name) == Field::Connection)
        .any(|h| tokens(h.value).any(|option| option.eq_ignore_ascii_case(name.as_bytes())))
}

/// Appends the head to `out`: start line and header lines as they stand in `head`, less what is for one hop only.
/// `upgrade` keeps `Connection` and all it names, since on an upgrade they concern both ends.
pub(super) fn write_lines(
    head: &[u8],
    headers: &[Header<'_>],
    fields: &Fields,
    upgrade: bool,
    drop_expect: bool,
    out: &mut Vec<u8>,
) {
    if !drop_expect && (upgrade || !fields.edit && !fields.upgrade) {
        out.extend_from_slice(&head[..head.len() - 2]);
        return;
    }
    let mut lines = memchr_iter(b'\n', head);
    let mut start = lines.next().map_or(head.len(), |lf| lf + 1);
    out.extend_from_slice(&head[..start]);
    for (header, lf) in headers.iter().zip(lines) {
        let keep = match field(header.name) {
            Field::Connection | Field::Upgrade | Field::HopByHop => upgrade,
            Field::Expect => !drop_expect,
            Field::Other | Field::ContentType => upgrade || !named(headers, header.name),
            Field::Host | Field::ContentLength | Field::TransferEncoding => true,
        };
        if keep {
            out.extend_from_slice(&head[start..=lf]);
        }
        start = lf + 1;
    }
}

//! Where a message body ends (RFC 9112 §6.3), checked while its bytes pass unchanged.
//!
//! A body that streams is not re-framed: a chunked one travels with the sender's own chunk sizes and trailers. One that is
//! judged is read whole and goes on as its content, with a length and without trailers. The scanner accepts
//! exactly the grammar of RFC 9112 §7.1, so that what it counts is what the engine counts.

use policy::BodyLength;

use super::head::head_only;

/// Chunk extensions and trailers, together, per message.
const MAX_OVERHEAD_BYTES: usize = 64 * 1024;

/// Hex digits of a chunk size: 60 bits, far above any body.
const MAX_SIZE_DIGITS: u32 = 15;

/// Bytes of a trailer's name that are compared with those of fields which only a head may carry.
const NAME: usize = 20;

/// A chunked body that is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    /// It does not follow the grammar.
    #[error("malformed chunked body: {0}")]
    Grammar(&'static str),
    /// A trailer has a field that frames, routes or describes the message (RFC 9110 §6.5.1).
    #[error("malformed chunked body: the trailer has {0}, which only a head may carry")]
    Trailer(&'static str),
}

/// How much of a body is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing(FramingKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum FramingKind {
    Length(u64),
    Chunked(Chunks),
    UntilEof,
}

/// A chunked body on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chunks {
    state: Chunk,
    overhead: usize,
    /// Whether a line goes on only when it is whole.
    by_line: bool,
    /// A line, or the last one and the trailers, of which the end has not come.
    held: Vec<u8>,
    /// The same once it may go on.
    whole: Vec<u8>,
    /// The beginning of the current trailer's name.
    name: [u8; NAME],
    name_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { value: u64, digits: u32 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// What [`Framing::take`] says of the bytes it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken<'a> {
    /// How many of them belong to the body.
    pub used: usize,
    /// Bytes of earlier calls that may go on now, before `data`.
    pub front: &'a [u8],
    /// Those of these bytes that may go on now. The rest of the used ones is held back, until its line is whole.
    pub data: &'a [u8],
}

impl Taken<'_> {
    /// Appends what may go on.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.front);
        out.extend_from_slice(self.data);
    }
}

impl Framing {
    /// No body.
    #[must_use]
    pub fn none() -> Self {
        Self(FramingKind::Length(0))
    }

    /// A body of exactly `n` bytes.
    #[must_use]
    pub fn length(n: u64) -> Self {
        Self(FramingKind::Length(n))
    }

    /// The chunked body of an answer, which goes on as it comes.
    #[must_use]
    pub fn chunked() -> Self {
        Self::chunks(false)
    }

    /// The chunked body of a request, whose lines go on when they are whole.
    #[must_use]
    pub fn chunked_by_line() -> Self {
        Self::chunks(true)
    }

    fn chunks(by_line: bool) -> Self {
        Self(FramingKind::Chunked(Chunks {
            state: Chunk::Size {
                value: 0,
                digits: 0,
            },
            overhead: 0,
            by_line,
            held: Vec::new(),
            whole: Vec::new(),
            name: [0; NAME],
            name_len: 0,
        }))
    }

    /// A body that ends with its connection.
    #[must_use]
    pub fn until_eof() -> Self {
        Self(FramingKind::UntilEof)
    }

    /// Whether only the end of the connection ends this body.
    #[must_use]
    pub fn is_until_eof(&self) -> bool {
        self.0 == FramingKind::UntilEof
    }

    /// Whether this is a chunked body.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        matches!(self.0, FramingKind::Chunked(_))
    }

    /// How long the body is, as far as the head tells.
    #[must_use]
    pub fn announced(&self) -> BodyLength {
        match self.0 {
            FramingKind::Length(0) => BodyLength::Empty,
            FramingKind::Length(n) => BodyLength::Exact(n),
            FramingKind::Chunked(_) | FramingKind::UntilEof => BodyLength::Unknown,
        }
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            FramingKind::Length(left) => *left == 0,
            FramingKind::Chunked(chunks) => chunks.state == Chunk::Done,
            FramingKind::UntilEof => false,
        }
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.0 {
            FramingKind::Chunked(chunks) => chunks.held.len(),
            FramingKind::Length(_) | FramingKind::UntilEof => 0,
        }
    }

    /// Takes the next bytes of the connection and says which of them may go on. A line of a request's chunked body goes on
    /// when all of it has come and is well formed, the last chunk's line with the trailers behind it: nothing of what will be
    /// refused reaches the engine, which never takes a body for complete that is not.
    ///
    /// # Errors
    /// When a chunk does not follow the grammar; nothing of `data` may then be passed on.
    pub fn take<'a>(&'a mut self, data: &'a [u8]) -> Result<Taken<'a>, BadChunk> {
        match &mut self.0 {
            FramingKind::UntilEof => Ok(Taken {
                used: data.len(),
                front: &[],
                data,
            }),
            FramingKind::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= used as u64;
                Ok(Taken {
                    used,
                    front: &[],
                    data: &data[..used],
                })
            }
            FramingKind::Chunked(chunks) => chunks.take(data),
        }
    }
}

/// The content of a whole chunked body that [`Framing::take`] has accepted.
#[must_use]
pub fn content(mut raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    while let Some(end) = memchr::memchr(b'\n', raw) {
        let digits = raw[..end].iter().take_while(|b| b.is_ascii_hexdigit());
        let size = digits.fold(0, |size, digit| {
            size << 4 | (*digit as char).to_digit(16).unwrap_or_default() as usize
        });
        let Some(chunk) = raw.get(end + 1..end + 1 + size).filter(|_| size > 0) else {
            break;
        };
        out.extend_from_slice(chunk);
        raw = raw.get(end + 1 + size + 2..).unwrap_or_default();
    }
    out
}

impl Chunks {
    fn take<'a>(&'a mut self, data: &'a [u8]) -> Result<Taken<'a>, BadChunk> {
        self.whole.clear();
        let (mut used, mut whole) = (0, 0);
        while used < data.len() && self.state != Chunk::Done {
            if let Chunk::Data { left } = &mut self.state {
                let n = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(data.len() - used);
                *left -= n as u64;
                used += n;
                whole = used;
                if *left == 0 {
                    self.state = Chunk::DataCr;
                }
                continue;
            }
            let ends_data = self.state == Chunk::DataLf;
            self.line_byte(data[used])?;
            used += 1;
            if ends_data || matches!(self.state, Chunk::Data { .. } | Chunk::Done) {
                whole = used;
            }
        }
        if !self.by_line {
            whole = used;
        }
        if whole > 0 {
            std::mem::swap(&mut self.held, &mut self.whole);
        }
        self.held.extend_from_slice(&data[whole..used]);
        Ok(Taken {
            used,
            front: &self.whole,
            data: &data[..whole],
        })
    }

    /// Goes on by one byte that is not a chunk's data.
    fn line_byte(&mut self, byte: u8) -> Result<(), BadChunk> {
        let counts = matches!(
            self.state,
            Chunk::Extension { .. }
                | Chunk::TrailerStart
                | Chunk::TrailerName
                | Chunk::TrailerValue
        );
        self.overhead += usize::from(counts);
        if self.overhead > MAX_OVERHEAD_BYTES {
            return Err(BadChunk::Grammar("extensions and trailers above 64 KiB"));
        }
        let before = self.state;
        self.state = step(before, byte)?;
        match (before, self.state) {
            (_, Chunk::TrailerStart) => self.name_len = 0,
            (_, Chunk::TrailerName) => {
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = byte;
                }
                self.name_len = self.name_len.saturating_add(1);
            }
            (Chunk::TrailerName, Chunk::TrailerValue) => {
                let name = self.name.get(..self.name_len);
                if let Some(known) = name.and_then(head_only) {
                    return Err(BadChunk::Trailer(known));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn step(state: Chunk, byte: u8) -> Result<Chunk, BadChunk> {
    Ok(match (state, byte) {
        (Chunk::Size { value, digits }, b) if b.is_ascii_hexdigit() => {
            if digits >= MAX_SIZE_DIGITS {
                return Err(BadChunk::Grammar("chunk size too large"));
            }
            let digit = (b as char).to_digit(16).unwrap_or_default();
            Chunk::Size {
                value: value << 4 | u64::from(digit),
                digits: digits + 1,
            }
        }
        (Chunk::Size { digits: 0, .. }, _) => {
            return Err(BadChunk::Grammar("a chunk size was expected"));
        }
        (Chunk::Size { value, .. }, b'\r') => Chunk::SizeLf { size: value },
        (Chunk::Size { value, .. }, b';') => Chunk::Extension { size: value },
        (Chunk::Size { .. }, _) => {
            return Err(BadChunk::Grammar("a chunk size is hexadecimal digits only"));
        }
        (Chunk::Extension { size, .. }, b'\r') => Chunk::SizeLf { size },
        (Chunk::Extension { .. }, b) if text(b) => state,
        (Chunk::Extension { .. }, _) => {
            return Err(BadChunk::Grammar(
                "a control character in a chunk extension",
            ));
        }
        (Chunk::SizeLf { size: 0 }, b'\n') => Chunk::TrailerStart,
        (Chunk::SizeLf { size }, b'\n') => Chunk::Data { left: size },
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size {
            value: 0,
            digits: 0,
        },
        (Chunk::TrailerStart, b'\r') => Chunk::EndLf,
        (Chunk::TrailerStart | Chunk::TrailerName, b) if token(b) => Chunk::TrailerName,
        (Chunk::TrailerName, b':') => Chunk::TrailerValue,
        (Chunk::TrailerValue, b'\r') => Chunk::TrailerLf,
        (Chunk::TrailerValue, b) if text(b) => state,
        (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
        (Chunk::TrailerStart | Chunk::TrailerName | Chunk::TrailerValue, _) => {
            return Err(BadChunk::Grammar("malformed trailer"));
        }
        (Chunk::EndLf, b'\n') => Chunk::Done,
        (
            Chunk::SizeLf { .. } | Chunk::DataCr | Chunk::DataLf | Chunk::TrailerLf | Chunk::EndLf,
            _,
        ) => {
            return Err(BadChunk::Grammar("a line must end with CR LF"));
        }
        (Chunk::Data { .. } | Chunk::Done, _) => {
            unreachable!("data and the end are handled by the caller")
        }
    })
}

/// field-vchar, space and tab (RFC 9110 §5.5).
fn text(b: u8) -> bool {
    b == b'\t' || b >= b' ' && b != 0x7f
}

/// tchar (RFC 9110 §5.6.2).
fn token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests;

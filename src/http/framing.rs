//! Where a message body ends (RFC 9112 §6.3), checked while its bytes pass unchanged.
//!
//! A body that streams is not re-framed: a chunked one travels with the sender's own chunk sizes and trailers. One that is
//! judged is read whole and goes on as its content, with a length and without trailers. The scanner accepts
//! exactly the grammar of RFC 9112 §7.1, so that what it counts is what the engine counts.

use policy::BodyLength;

/// Chunk extensions and trailers, together, per message.
const MAX_OVERHEAD_BYTES: usize = 64 * 1024;

/// Hex digits of a chunk size: 60 bits, far above any body.
const MAX_SIZE_DIGITS: u32 = 15;

/// A chunked body that does not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body: {0}")]
pub struct BadChunk(&'static str);

/// How much of a body is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Length(u64),
    Chunked { state: Chunk, overhead: usize },
    UntilEof,
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

impl Framing {
    /// No body.
    #[must_use]
    pub fn none() -> Self {
        Self(Kind::Length(0))
    }

    /// A body of exactly `n` bytes.
    #[must_use]
    pub fn length(n: u64) -> Self {
        Self(Kind::Length(n))
    }

    /// A chunked body with trailers.
    #[must_use]
    pub fn chunked() -> Self {
        Self(Kind::Chunked {
            state: Chunk::Size {
                value: 0,
                digits: 0,
            },
            overhead: 0,
        })
    }

    /// A body that ends with its connection.
    #[must_use]
    pub fn until_eof() -> Self {
        Self(Kind::UntilEof)
    }

    /// Whether only the end of the connection ends this body.
    #[must_use]
    pub fn is_until_eof(&self) -> bool {
        self.0 == Kind::UntilEof
    }

    /// Whether this is a chunked body.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        matches!(self.0, Kind::Chunked { .. })
    }

    /// How long the body is, as far as the head tells.
    #[must_use]
    pub fn announced(&self) -> BodyLength {
        match self.0 {
            Kind::Length(0) => BodyLength::Empty,
            Kind::Length(n) => BodyLength::Exact(n),
            Kind::Chunked { .. } | Kind::UntilEof => BodyLength::Unknown,
        }
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(
            self.0,
            Kind::Length(0)
                | Kind::Chunked {
                    state: Chunk::Done,
                    ..
                }
        )
    }

    /// Takes the next bytes of the connection and says how many of them belong to this body.
    ///
    /// # Errors
    /// When a chunk does not follow the grammar; nothing of `data` may then be passed on.
    pub fn take(&mut self, data: &[u8]) -> Result<usize, BadChunk> {
        match &mut self.0 {
            Kind::UntilEof => Ok(data.len()),
            Kind::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= n as u64;
                Ok(n)
            }
            Kind::Chunked { state, overhead } => chunks(state, overhead, data),
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

fn chunks(state: &mut Chunk, overhead: &mut usize, data: &[u8]) -> Result<usize, BadChunk> {
    let mut at = 0;
    while at < data.len() && *state != Chunk::Done {
        if let Chunk::Data { left } = state {
            let n = usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(data.len() - at);
            *left -= n as u64;
            at += n;
            if *left == 0 {
                *state = Chunk::DataCr;
            }
            continue;
        }
        let counts = matches!(
            state,
            Chunk::Extension { .. }
                | Chunk::TrailerStart
                | Chunk::TrailerName
                | Chunk::TrailerValue
        );
        *overhead += usize::from(counts);
        if *overhead > MAX_OVERHEAD_BYTES {
            return Err(BadChunk("extensions and trailers above 64 KiB"));
        }
        *state = step(*state, data[at])?;
        at += 1;
    }
    Ok(at)
}

fn step(state: Chunk, byte: u8) -> Result<Chunk, BadChunk> {
    Ok(match (state, byte) {
        (Chunk::Size { value, digits }, b) if b.is_ascii_hexdigit() => {
            if digits >= MAX_SIZE_DIGITS {
                return Err(BadChunk("chunk size too large"));
            }
            let digit = (b as char).to_digit(16).unwrap_or_default();
            Chunk::Size {
                value: value << 4 | u64::from(digit),
                digits: digits + 1,
            }
        }
        (Chunk::Size { digits: 0, .. }, _) => return Err(BadChunk("a chunk size was expected")),
        (Chunk::Size { value, .. }, b'\r') => Chunk::SizeLf { size: value },
        (Chunk::Size { value, .. }, b';') => Chunk::Extension { size: value },
        (Chunk::Size { .. }, _) => return Err(BadChunk("a chunk size is hexadecimal digits only")),
        (Chunk::Extension { size, .. }, b'\r') => Chunk::SizeLf { size },
        (Chunk::Extension { .. }, b) if text(b) => state,
        (Chunk::Extension { .. }, _) => {
            return Err(BadChunk("a control character in a chunk extension"));
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
            return Err(BadChunk("malformed trailer"));
        }
        (Chunk::EndLf, b'\n') => Chunk::Done,
        (
            Chunk::SizeLf { .. } | Chunk::DataCr | Chunk::DataLf | Chunk::TrailerLf | Chunk::EndLf,
            _,
        ) => {
            return Err(BadChunk("a line must end with CR LF"));
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(data: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut framing = Framing::chunked();
        framing.take(data).map(|n| (n, framing.is_done()))
    }

    #[test]
    fn a_chunked_body_ends_after_its_trailers_and_leaves_what_follows() {
        let body = b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        assert_eq!(whole(body), Ok((body.len() - 5, true)));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"+5\r\nhello",
            b"5 \r\nhello",
            b"0x5\r\nhello",
            b"5\nhello",
            b"5\r\nhello\n",
            b"5\r\nhelloX",
            b"ffffffffffffffff\r\n",
            b"5;\0\r\n",
            b"0\r\nbad trailer\r\n\r\n",
            b"0\r\n folded: 1\r\n\r\n",
            b"-1\r\n",
        ] {
            assert!(whole(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn the_content_of_a_chunked_body_is_its_chunks() {
        assert_eq!(
            content(b"5;a=b\r\nhello\r\nA\r\n, the gate\r\n0\r\nX: 1\r\n\r\n"),
            b"hello, the gate"
        );
        assert_eq!(content(b"0\r\n\r\n"), b"");
    }

    #[test]
    fn overhead_is_bounded() {
        let mut body = b"1;".to_vec();
        body.resize(MAX_OVERHEAD_BYTES + 10, b'a');
        assert!(whole(&body).is_err());
    }

    #[test]
    fn a_length_counts_down_to_the_byte() {
        let mut framing = Framing::length(3);
        assert_eq!(framing.take(b"ab"), Ok(2));
        assert!(!framing.is_done());
        assert_eq!(framing.take(b"cdef"), Ok(1));
        assert!(framing.is_done());
    }

    proptest! {
        #[test]
        fn the_reading_does_not_depend_on_how_bytes_arrive(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 1usize..17,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut framing = Framing::chunked();
            let mut total = 0;
            for piece in body.chunks(cut) {
                total += framing.take(piece).expect("well-formed");
            }
            prop_assert_eq!(total, body.len());
            prop_assert!(framing.is_done());
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = whole(&data);
        }
    }
}

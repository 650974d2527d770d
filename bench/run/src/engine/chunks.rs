//! Reads a chunked body, for the engine and for the client.

use std::io;

use crate::pattern::Tally;

/// A chunked body (RFC 9112 §7.1), fed piece by piece.
#[derive(Default)]
pub(crate) struct ChunkedBody {
    left: usize,
    /// Whether the data of a chunk were read and its CRLF is next.
    after: bool,
    /// Whether the last chunk and its empty line were read.
    pub(crate) done: bool,
}

impl ChunkedBody {
    /// Tallies the data in `input` and returns how many bytes were used; a cut line is left for the next call.
    pub(crate) fn feed(&mut self, input: &[u8], tally: &mut Tally) -> io::Result<usize> {
        self.feed_with(input, |data| tally.add(data))
    }

    /// The same, with the data given to `sink`.
    pub(crate) fn feed_with(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        let mut at = 0;
        while !self.done && at < input.len() {
            let rest = &input[at..];
            if self.left > 0 {
                let take = self.left.min(rest.len());
                sink(&rest[..take]);
                self.left -= take;
                self.after = self.left == 0;
                at += take;
                continue;
            }
            let Some(end) = rest.iter().take(64).position(|byte| *byte == b'\n') else {
                if rest.len() >= 64 {
                    return Err(io::Error::other("chunk line too long"));
                }
                break;
            };
            let line = rest[..end]
                .strip_suffix(b"\r")
                .ok_or_else(|| io::Error::other("bare LF in chunk line"))?;
            if self.after {
                if !line.is_empty() {
                    return Err(io::Error::other("no CRLF after chunk data"));
                }
                self.after = false;
                at += end + 1;
                continue;
            }
            let text = std::str::from_utf8(line).map_err(io::Error::other)?;
            let size = usize::from_str_radix(text, 16).map_err(io::Error::other)?;
            if size == 0 {
                // The empty line is needed too, so that the next request begins after it.
                if rest.len() < end + 3 {
                    break;
                }
                at += end + 3;
                self.done = true;
            } else {
                self.left = size;
                at += end + 1;
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_reads_the_same_however_it_is_cut() {
        let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nNEXT";
        for cut in 1..body.len() {
            let (mut chunks, mut tally) = (ChunkedBody::default(), Tally::default());
            let mut pending = Vec::new();
            for part in [&body[..cut], &body[cut..]] {
                pending.extend_from_slice(part);
                let used = chunks
                    .feed(&pending, &mut tally)
                    .expect("the body must be read");
                pending.drain(..used);
            }
            assert!(chunks.done, "cut at {cut}");
            assert_eq!(tally.bytes(), 11, "cut at {cut}");
            assert_eq!(pending, b"NEXT", "cut at {cut}");
        }
    }

    #[test]
    fn a_chunk_without_its_crlf_is_refused() {
        let (mut chunks, mut tally) = (ChunkedBody::default(), Tally::default());
        assert!(chunks.feed(b"2\r\nabc\r\n", &mut tally).is_err());
    }
}

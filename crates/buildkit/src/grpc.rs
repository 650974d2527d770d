//! gRPC's framing of messages on a stream.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

/// Largest message that is read, which is the engine's own bound.
pub const MAX_MESSAGE: usize = 16 << 20;

/// Bytes in front of a message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

/// Why a body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// It has no message, or ends inside it.
    #[error("the call ends inside its message")]
    Truncated,
    /// Something follows the message.
    #[error("the call has more than one message")]
    More,
    /// It is larger than [`MAX_MESSAGE`].
    #[error("the message is larger than {} MiB", MAX_MESSAGE >> 20)]
    TooLarge,
    /// The compression is unknown, or was not announced as gzip.
    #[error("the message is compressed in an unknown way")]
    Compression,
    /// The compressed bytes cannot be read.
    #[error("the message is not gzip")]
    Gzip,
}

/// How many bytes the body has at least, its prefix included, once `begun` tells; checked against [`MAX_MESSAGE`].
///
/// # Errors
/// When the message is too large.
pub fn announced(begun: &[u8]) -> Result<Option<usize>, BadBody> {
    let Some(prefix) = begun.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [_, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| BadBody::TooLarge)?;
    match length <= MAX_MESSAGE {
        true => Ok(Some(PREFIX + length)),
        false => Err(BadBody::TooLarge),
    }
}

/// The only message of a whole body, without its prefix and inflated; `gzip` says whether that was announced.
///
/// # Errors
/// When the body is not exactly one message within [`MAX_MESSAGE`].
pub fn only_message(body: &[u8], gzip: bool) -> Result<Vec<u8>, BadBody> {
    let whole = announced(body)?.ok_or(BadBody::Truncated)?;
    match body.len().cmp(&whole) {
        std::cmp::Ordering::Less => return Err(BadBody::Truncated),
        std::cmp::Ordering::Greater => return Err(BadBody::More),
        std::cmp::Ordering::Equal => {}
    }
    let (flag, content) = (body[0], &body[PREFIX..]);
    match (flag, gzip) {
        (0, _) => Ok(content.to_vec()),
        (1, true) => inflate(content),
        _ => Err(BadBody::Compression),
    }
}

fn inflate(content: &[u8]) -> Result<Vec<u8>, BadBody> {
    let mut inflated = Vec::new();
    MultiGzDecoder::new(content)
        .take(MAX_MESSAGE as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| BadBody::Gzip)?;
    match inflated.len() <= MAX_MESSAGE {
        true => Ok(inflated),
        false => Err(BadBody::TooLarge),
    }
}

/// Takes messages out of a stream of them, as their bytes come.
#[derive(Debug, Default)]
pub struct Messages {
    held: Vec<u8>,
    taken: usize,
}

impl Messages {
    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.taken);
        self.taken = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next message with its prefix, once it is complete. As long as every message is taken, what is held is less
    /// than one message and what was pushed last.
    ///
    /// # Errors
    /// When the message is larger than [`MAX_MESSAGE`].
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, BadBody> {
        let rest = &self.held[self.taken..];
        match announced(rest)? {
            Some(whole) if whole <= rest.len() => {
                let at = self.taken;
                self.taken += whole;
                Ok(Some(&self.held[at..self.taken]))
            }
            _ => Ok(None),
        }
    }

    /// How many bytes wait for the rest of their message.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len() - self.taken
    }
}

/// The content of a message that came with its prefix; `None` where it is compressed.
#[must_use]
pub fn content(message: &[u8]) -> Option<&[u8]> {
    match message.split_at_checked(PREFIX)? {
        ([0, ..], content) => Some(content),
        _ => None,
    }
}

/// `message` with its prefix, uncompressed; `None` if it is too large to be sent.
#[must_use]
pub fn framed(message: &[&[u8]]) -> Option<Vec<u8>> {
    let length: usize = message.iter().map(|part| part.len()).sum();
    let announced = u32::try_from(length).ok()?;
    if length > MAX_MESSAGE {
        return None;
    }
    let mut out = Vec::with_capacity(PREFIX + length);
    out.push(0);
    out.extend_from_slice(&announced.to_be_bytes());
    for part in message {
        out.extend_from_slice(part);
    }
    Some(out)
}

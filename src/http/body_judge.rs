//! Shows a body that streams to the policy, piece by piece, before it goes on.

use policy::upload::{Context, ContextJudge};
use policy::{BodyLength, Denied, Mode};

use super::framing::Taken;

/// Where a body's content is in its bytes.
#[derive(Debug)]
enum BodyLayout {
    /// Every byte is content; so many are to come.
    Plain(u64),
    Chunked(ChunkPlace),
}

/// A place in a chunked body whose grammar has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkPlace {
    /// In the digits of a size, or behind them.
    Size {
        value: u64,
        digits: bool,
    },
    Data(u64),
    /// In the line end behind data.
    DataEnd,
    Last,
}

/// The judge of one request's body.
#[derive(Debug)]
pub struct BodyJudge {
    judge: ContextJudge,
    mode: Mode,
    layout: BodyLayout,
    finished: bool,
    /// In report mode, the denial that was not enforced.
    pub reported: Option<Box<Denied>>,
}

impl BodyJudge {
    /// A judge for a body of this length.
    #[must_use]
    pub fn new(context: &Context, length: BodyLength) -> Self {
        Self {
            judge: context.judge(),
            mode: context.mode(),
            layout: match length {
                BodyLength::Empty => BodyLayout::Plain(0),
                BodyLength::Exact(length) => BodyLayout::Plain(length),
                BodyLength::Unknown => BodyLayout::Chunked(ChunkPlace::Size {
                    value: 0,
                    digits: true,
                }),
            },
            finished: false,
            reported: None,
        }
    }

    /// Looks at bytes that are about to go on.
    ///
    /// # Errors
    /// The denial, if they must not go on.
    pub fn look(&mut self, taken: &Taken<'_>) -> Result<(), Box<Denied>> {
        self.look_at(taken.front)?;
        self.look_at(taken.data)
    }

    /// Looks at a part of the body, framing included.
    ///
    /// # Errors
    /// The denial, if it must not go on.
    pub fn look_at(&mut self, raw: &[u8]) -> Result<(), Box<Denied>> {
        if self.finished || self.reported.is_some() {
            return Ok(());
        }
        match self.judged(raw) {
            Err(denied) if self.mode == Mode::Report => {
                self.reported = Some(denied);
                Ok(())
            }
            judged => judged,
        }
    }

    fn judged(&mut self, mut raw: &[u8]) -> Result<(), Box<Denied>> {
        loop {
            let content = match &mut self.layout {
                BodyLayout::Plain(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(raw.len());
                    *left -= n as u64;
                    n
                }
                BodyLayout::Chunked(ChunkPlace::Data(left)) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(raw.len());
                    *left -= n as u64;
                    if *left == 0 {
                        self.layout = BodyLayout::Chunked(ChunkPlace::DataEnd);
                    }
                    n
                }
                BodyLayout::Chunked(chunk) => {
                    let Some((byte, rest)) = raw.split_first() else {
                        return Ok(());
                    };
                    *chunk = chunk.step(*byte);
                    raw = rest;
                    0
                }
            };
            self.judge.push(&raw[..content])?;
            raw = &raw[content..];
            if matches!(
                self.layout,
                BodyLayout::Plain(0) | BodyLayout::Chunked(ChunkPlace::Last)
            ) {
                self.finished = true;
                return self.judge.finish();
            }
            if raw.is_empty() {
                return Ok(());
            }
        }
    }
}

impl ChunkPlace {
    /// The place behind one byte of a line.
    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (
                Self::Size {
                    value,
                    digits: true,
                },
                b,
            ) if b.is_ascii_hexdigit() => {
                let digit = (b as char).to_digit(16).unwrap_or_default();
                Self::Size {
                    value: value << 4 | u64::from(digit),
                    digits: true,
                }
            }
            (Self::Size { value: 0, .. }, b'\n') => Self::Last,
            (Self::Size { value, .. }, b'\n') => Self::Data(value),
            (Self::Size { value, .. }, _) => Self::Size {
                value,
                digits: false,
            },
            (Self::DataEnd, b'\n') => Self::Size {
                value: 0,
                digits: true,
            },
            (other, _) => other,
        }
    }
}

//! Moves bytes between the two sides, with back-pressure and bounded memory: what a read brought (a bulk buffer at most), and
//! what of it the other side has not taken yet.
//!
//! [`Relay`] does the moving; `exchange` and `proxy::tunnel` decide what an end means. Each direction reads only when
//! what it read before has been written, so a slow reader stops the other side instead of filling memory.

use std::io;
use std::task::{Context, Poll, ready};

use super::body_judge::BodyJudge;
use super::client::ClientStream;
use super::framing::{BadChunk, Framing, Taken};
use crate::engine::EngineStream;
use crate::net;
use crate::observe::registry::Meter;

/// Bytes one direction may move before other connections of this worker get their turn.
const TURN: usize = 1 << 20;

/// Plaintext of a full TLS record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// Bytes on their way that the next socket has not taken yet.
#[derive(Debug, Default)]
pub struct OutBuffer {
    data: Vec<u8>,
    sent: usize,
}

impl OutBuffer {
    /// Queues `data` as a whole.
    #[must_use]
    pub fn new(data: Vec<u8>) -> Self {
        Self { data, sent: 0 }
    }

    /// Whether everything has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.data.len()
    }

    /// The unwritten rest.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.data[self.sent..]
    }

    /// Starts again from the first byte.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Queues more behind what is there.
    pub fn push(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    fn advance(&mut self, n: usize) {
        self.sent += n;
    }

    /// Gives the memory up once everything was written.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What one direction has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The body is complete and written.
    Done,
    /// The sender ended before the body was complete.
    Ended,
}

/// Which side failed, and how.
#[derive(Debug)]
pub enum RelayFault {
    /// The client's connection failed.
    Client(io::Error),
    /// Reading from the engine failed.
    EngineRead(io::Error),
    /// Writing to the engine failed; its answer may still be readable.
    EngineWrite(io::Error),
    /// The client's chunked body is malformed.
    ClientChunk(BadChunk),
    /// The engine's chunked body is malformed.
    EngineChunk(BadChunk),
    /// The policy refuses a part of the client's body.
    Refused(Box<policy::Denied>),
}

/// The two sides of one client connection while bytes move.
#[derive(Debug)]
pub struct Relay<'a> {
    /// The client.
    pub client: &'a mut ClientStream,
    /// The engine.
    pub engine: &'a mut EngineStream,
    /// Bytes for the engine.
    pub up: OutBuffer,
    /// Bytes for the client.
    pub down: OutBuffer,
    /// Counts the bytes.
    pub meter: &'a Meter,
    /// Whether the engine sent bytes behind a complete body; its connection must not be used again.
    pub surplus: bool,
    /// Looks at the client's body before it goes on, where the policy wants to.
    pub judge: Option<Box<BodyJudge>>,
}

impl Relay<'_> {
    /// Writes what is queued for the engine.
    pub fn poll_up_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayFault>> {
        while !self.up.is_empty() {
            let n = ready!(self.engine.poll_write(cx, self.up.rest()))
                .map_err(RelayFault::EngineWrite)?;
            self.up.advance(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is queued for the client, down to the socket.
    pub fn poll_down_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayFault>> {
        while !self.down.is_empty() {
            let n =
                ready!(self.client.poll_write(cx, self.down.rest())).map_err(RelayFault::Client)?;
            self.down.advance(n);
            self.meter.down(n);
        }
        self.down.clear();
        self.client.poll_flush(cx).map_err(RelayFault::Client)
    }

    /// Moves the client's body to the engine until it is complete or the client ends.
    pub fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Framing,
    ) -> Poll<Result<Progress, RelayFault>> {
        let mut moved = 0;
        loop {
            ready!(self.poll_up_pending(cx))?;
            if body.is_done() {
                return Poll::Ready(Ok(Progress::Done));
            }
            self.up.clear();
            if moved > TURN {
                return again(cx);
            }
            match ready!(self.poll_up_once(cx, body))? {
                0 => return Poll::Ready(Ok(Progress::Ended)),
                n => moved += n,
            }
        }
    }

    /// Sends what one record holds, or, when more records wait behind it, a bulk buffer full of them in one go.
    fn poll_up_once(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Framing,
    ) -> Poll<Result<usize, RelayFault>> {
        if ready!(self.client.poll_lend(cx))
            .map_err(RelayFault::Client)?
            .is_empty()
        {
            return Poll::Ready(Ok(0));
        }
        let more = self.client.has_more();
        let lent = ready!(self.client.poll_lend(cx)).map_err(RelayFault::Client)?;
        let taken = body.take(lent).map_err(RelayFault::ClientChunk)?;
        if let Some(judge) = &mut self.judge {
            judge.look(&taken).map_err(RelayFault::Refused)?;
        }
        let used = taken.used;
        if !more {
            // What the engine does not take at once has to outlive the loan.
            let written = if taken.front.is_empty() && !taken.data.is_empty() {
                settle(self.engine.poll_write(cx, taken.data))
            } else {
                self.up.push(taken.front);
                Ok(0)
            };
            self.up
                .push(&taken.data[*written.as_ref().unwrap_or(&taken.data.len())..]);
            // Used up also if the engine has gone: the body counts it as taken, and the next request begins behind it.
            self.client.consume(used);
            self.meter.up(used);
            return Poll::Ready(written.map(|_| used).map_err(RelayFault::EngineWrite));
        }
        let mut bulk = net::take_bulk();
        let mut filled = fill(&mut bulk, 0, &taken);
        self.client.consume(used);
        let gathered = self.gather(cx, body, &mut bulk, &mut filled);
        let result = gathered.and_then(|more| {
            self.meter.up(used + more);
            let written = match filled {
                0 => 0,
                _ => settle(self.engine.poll_write(cx, &bulk[..filled]))
                    .map_err(RelayFault::EngineWrite)?,
            };
            self.up.push(&bulk[written..filled]);
            Ok(used + more)
        });
        net::give_bulk(bulk);
        Poll::Ready(result)
    }

    /// Fills `bulk` from `filled` on with the body bytes that have come already; how many were used.
    fn gather(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Framing,
        bulk: &mut [u8],
        filled: &mut usize,
    ) -> Result<usize, RelayFault> {
        let mut used = 0;
        while bulk.len() - *filled >= RECORD + body.held()
            && !body.is_done()
            && self.client.has_more()
        {
            // The end or a fault of the client's side is found again by the next read, after these bytes are on their way.
            let Poll::Ready(Ok(lent)) = self.client.poll_lend(cx) else {
                break;
            };
            if lent.is_empty() || lent.len() + body.held() > bulk.len() - *filled {
                break;
            }
            let taken = body.take(lent).map_err(RelayFault::ClientChunk)?;
            if let Some(judge) = &mut self.judge {
                judge.look(&taken).map_err(RelayFault::Refused)?;
            }
            let n = taken.used;
            *filled = fill(bulk, *filled, &taken);
            self.client.consume(n);
            used += n;
        }
        Ok(used)
    }

    /// Moves the engine's body to the client until it is complete or the engine ends.
    pub fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Framing,
    ) -> Poll<Result<Progress, RelayFault>> {
        let mut moved = 0;
        loop {
            ready!(self.poll_down_pending(cx))?;
            if body.is_done() {
                return Poll::Ready(Ok(Progress::Done));
            }
            if moved > TURN {
                return again(cx);
            }
            let mut bulk = net::take_bulk();
            let moving = self.poll_down_once(cx, body, &mut bulk);
            net::give_bulk(bulk);
            match ready!(moving)? {
                0 => return Poll::Ready(Ok(Progress::Ended)),
                n => moved += n,
            }
        }
    }

    fn poll_down_once(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Framing,
        bulk: &mut [u8],
    ) -> Poll<Result<usize, RelayFault>> {
        let read = ready!(self.engine.poll_read(cx, bulk)).map_err(RelayFault::EngineRead)?;
        let taken = body.take(&bulk[..read]).map_err(RelayFault::EngineChunk)?;
        self.surplus |= taken.used < read;
        if !taken.front.is_empty() {
            self.down.push(taken.front);
            self.down.push(taken.data);
            return Poll::Ready(Ok(read));
        }
        let mut sent = 0;
        while sent < taken.data.len() {
            match self.client.poll_write(cx, &taken.data[sent..]) {
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(RelayFault::Client(e))),
                Poll::Pending => break,
            }
        }
        self.meter.down(sent);
        self.down.push(&taken.data[sent..]);
        Poll::Ready(Ok(read))
    }
}

/// Puts what may go on behind the `filled` bytes of `bulk`; how many there are then.
fn fill(bulk: &mut [u8], filled: usize, taken: &Taken<'_>) -> usize {
    let data = filled + taken.front.len();
    let end = data + taken.data.len();
    bulk[filled..data].copy_from_slice(taken.front);
    bulk[data..end].copy_from_slice(taken.data);
    end
}

/// What a write took; nothing if it has to wait.
fn settle(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Ok(0),
    }
}

fn again<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

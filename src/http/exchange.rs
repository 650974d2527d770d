//! One request and its answer, both directions at once.
//!
//! The request body is pumped while the answer is awaited, and the answer is relayed while the body is still coming
//! (docker-transport R19): an engine that refuses early is heard, and a full-duplex build works. Heads and chunks are
//! written as they come. Nothing here has a time limit except the two graces for a side that has already ended.
//!
//! Cancel safety: dropping an exchange drops the engine connection's bytes in flight, so the caller must drop the
//! connection with it.

mod answer;
mod outcome;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::framing::Framing;
use super::relay::{Progress, Relay, RelayFault};
use super::response_authorization::{Question, ResponseAuthorization};

pub use outcome::{ExchangeEnd, ExchangeFacts, ExchangeFailure};

/// How long an answer may still be relayed after the client ended its side of an ordinary request.
const GONE_GRACE: Duration = Duration::from_secs(1);

/// How long the rest of a request body is pumped after its answer is complete.
const BODY_GRACE: Duration = Duration::from_secs(5);

/// Bytes a client may send ahead of the answer (pipelined requests, early stdin) before it has to wait.
const AHEAD: usize = 64 * 1024;

#[derive(Debug)]
enum ExchangeUp {
    Sending,
    Sent,
    /// Writing to the engine failed; it may have answered all the same.
    Failed(Option<io::Error>),
}

#[derive(Debug)]
enum Down {
    Head,
    /// More of the body is awaited behind the head at the front of `engine_in`, for the plugin to see.
    Gathering {
        head: usize,
        framing: Framing,
    },
    /// The plugin is asked about the head at the front of `engine_in`, and what has come behind it.
    Asking(Box<Question>),
    Body(Framing),
    Done,
}

/// The state of one exchange.
#[derive(Debug)]
pub struct Exchange<'a> {
    relay: Relay<'a>,
    facts: ExchangeFacts,
    body: Framing,
    up: ExchangeUp,
    down: Down,
    engine_in: Vec<u8>,
    scanned: usize,
    close: bool,
    draining: &'a CancellationToken,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Who has to be asked before an answer goes back, until that has been done.
    pub authorization: Option<ResponseAuthorization>,
    /// The engine has ended its side behind what is in `engine_in`.
    engine_ended: bool,
    /// The final status, once its head has come.
    pub status: Option<u16>,
    /// When that was.
    pub answered: Option<Instant>,
}

impl<'a> Exchange<'a> {
    /// Starts an exchange; `relay.up` holds the request head. Once `draining` is cancelled, answers ask the client
    /// to close.
    #[must_use]
    pub fn new(
        relay: Relay<'a>,
        facts: ExchangeFacts,
        body: Framing,
        draining: &'a CancellationToken,
    ) -> Self {
        Self {
            relay,
            facts,
            body,
            up: ExchangeUp::Sending,
            down: Down::Head,
            engine_in: Vec::new(),
            scanned: 0,
            close: false,
            draining,
            deadline: None,
            authorization: None,
            engine_ended: false,
            status: None,
            answered: None,
        }
    }

    /// What the client has still to send of its body.
    #[must_use]
    pub fn body(&self) -> &Framing {
        &self.body
    }

    /// Gives the relay back for what follows the exchange.
    #[must_use]
    pub fn into_relay(self) -> Relay<'a> {
        self.relay
    }

    /// Drives both directions to the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeEnd> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(if matches!(self.down, Down::Done) {
                ExchangeEnd::Close
            } else {
                ExchangeEnd::ClientGone
            });
        }
        if let Some(end) = self.poll_up(cx) {
            return Poll::Ready(end);
        }
        if let Some(end) = self.poll_down(cx) {
            return Poll::Ready(end);
        }
        if !matches!(self.down, Down::Done) {
            return Poll::Pending;
        }
        match self.up {
            _ if self.close || self.relay.surplus => Poll::Ready(ExchangeEnd::Close),
            ExchangeUp::Sent if self.relay.client.ended() => Poll::Ready(ExchangeEnd::Close),
            ExchangeUp::Sent => Poll::Ready(ExchangeEnd::Reuse),
            ExchangeUp::Failed(_) => Poll::Ready(ExchangeEnd::Close),
            // The engine often answers a load before it has read the last chunk, and keeps its connection.
            ExchangeUp::Sending => {
                self.arm(BODY_GRACE, cx);
                Poll::Pending
            }
        }
    }

    fn arm(&mut self, grace: Duration, cx: &mut Context<'_>) {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(grace)));
        if deadline.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Option<ExchangeEnd> {
        if matches!(self.up, ExchangeUp::Sending) {
            match self.relay.poll_up(cx, &mut self.body) {
                Poll::Pending => return None,
                Poll::Ready(Ok(Progress::Done)) => self.up = ExchangeUp::Sent,
                Poll::Ready(Ok(Progress::Ended) | Err(RelayFault::Client(_))) => {
                    return Some(ExchangeEnd::ClientGone);
                }
                Poll::Ready(Err(RelayFault::ClientChunk(bad))) => {
                    return Some(self.fail(ExchangeFailure::Request(bad)));
                }
                Poll::Ready(Err(RelayFault::EngineWrite(e) | RelayFault::EngineRead(e))) => {
                    self.up = ExchangeUp::Failed(Some(e));
                }
                Poll::Ready(Err(RelayFault::EngineChunk(bad))) => {
                    return Some(self.fail(ExchangeFailure::EngineChunk(bad)));
                }
                Poll::Ready(Err(RelayFault::Refused(denied))) => {
                    return Some(self.fail(ExchangeFailure::Policy(denied)));
                }
            }
        }
        if matches!(self.up, ExchangeUp::Sent) && self.deadline.is_none() {
            return self.watch(cx);
        }
        None
    }

    /// Notices a client that goes away while the engine works, and keeps what it sends ahead.
    fn watch(&mut self, cx: &mut Context<'_>) -> Option<ExchangeEnd> {
        while self.relay.client.held().len() < AHEAD {
            match self.relay.client.poll_hold(cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok(true)) => {}
                // The end of stdin, to be passed on once the tunnel is there.
                Poll::Ready(Ok(false)) if self.facts.may_switch || self.facts.may_take_over => {
                    return None;
                }
                Poll::Ready(Ok(false)) => {
                    // As dockerd sees it: the end of the client's side cancels the request. A quick answer still arrives.
                    self.relay.engine.end();
                    self.close = true;
                    self.arm(GONE_GRACE, cx);
                    return None;
                }
                Poll::Ready(Err(_)) => return Some(ExchangeEnd::ClientGone),
            }
        }
        None
    }

    fn fail(&self, failure: ExchangeFailure) -> ExchangeEnd {
        if self.status.is_none() {
            ExchangeEnd::Unanswered(failure)
        } else {
            ExchangeEnd::Cut(failure)
        }
    }
}

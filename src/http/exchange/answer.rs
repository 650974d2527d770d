//! The way of the answer: its head is read and judged, shown to the plugin, and relayed with the body.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::super::framing::Framing;
use super::super::head::{self, Emit, MAX_HEAD, ResponseHead};
use super::super::relay::{OutBuffer, Progress, RelayFault};
use super::super::response_authorization::ResponseAuthorization;
use super::{Down, Exchange, ExchangeEnd, ExchangeFailure, ExchangeUp};
use crate::net;

impl Exchange<'_> {
    /// Relays what the engine answers, as far as it goes now.
    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Option<ExchangeEnd> {
        loop {
            match &mut self.down {
                Down::Done => return None,
                Down::Head => {
                    // An interim head has to be on its way before the next one is read.
                    match self.relay.poll_down_pending(cx) {
                        Poll::Pending => return None,
                        Poll::Ready(Err(_)) => return Some(ExchangeEnd::ClientGone),
                        Poll::Ready(Ok(())) => {}
                    }
                    match head::head_len(&self.engine_in, self.scanned) {
                        Some(len) => {
                            if let Some(end) = self.on_head(len) {
                                return Some(end);
                            }
                        }
                        None => {
                            if let Some(end) = self.read_head(cx)? {
                                return Some(end);
                            }
                        }
                    }
                }
                Down::Gathering { head, framing } => {
                    let (head, framing) = (*head, framing.clone());
                    if !self.gather(cx, head, &framing) {
                        return None;
                    }
                    self.down = Down::Head;
                }
                Down::Asking(question) => match question.poll(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Ok(())) => {
                        self.authorization = None;
                        self.down = Down::Head;
                    }
                    Poll::Ready(Err(denied)) => {
                        return Some(ExchangeEnd::Unanswered(ExchangeFailure::Plugin(denied)));
                    }
                },
                Down::Body(framing) => {
                    let whole = framing.is_until_eof();
                    match self.relay.poll_down(cx, framing) {
                        Poll::Pending => return None,
                        Poll::Ready(Ok(Progress::Done)) => self.down = Down::Done,
                        Poll::Ready(Ok(Progress::Ended)) if whole => self.down = Down::Done,
                        Poll::Ready(Ok(Progress::Ended)) => {
                            return Some(self.fail(ExchangeFailure::EngineClosed(None)));
                        }
                        Poll::Ready(Err(fault)) => return Some(self.cut_off(fault)),
                    }
                }
            }
        }
    }

    /// The end of an answer whose body cannot be relayed.
    fn cut_off(&mut self, fault: RelayFault) -> ExchangeEnd {
        let failure = match fault {
            RelayFault::EngineRead(e) | RelayFault::EngineWrite(e) => {
                ExchangeFailure::EngineClosed(Some(e))
            }
            RelayFault::EngineChunk(bad) | RelayFault::ClientChunk(bad) => {
                ExchangeFailure::EngineChunk(bad)
            }
            RelayFault::Refused(denied) => ExchangeFailure::Policy(denied),
            RelayFault::Client(_) => return ExchangeEnd::ClientGone,
        };
        self.fail(failure)
    }

    /// Reads more of the head: `None` while there is nothing to read, else whether that was the end.
    #[allow(
        clippy::option_option,
        reason = "pending, going on, and ended are three cases of a poll step"
    )]
    fn read_head(&mut self, cx: &mut Context<'_>) -> Option<Option<ExchangeEnd>> {
        self.scanned = self.engine_in.len();
        if self.scanned > MAX_HEAD {
            return Some(Some(self.fail(ExchangeFailure::EngineHeadSize)));
        }
        let error = match self.read_more(cx) {
            Poll::Pending => return None,
            Poll::Ready(Ok(n)) if n > 0 => return Some(None),
            Poll::Ready(Ok(_)) => None,
            Poll::Ready(Err(e)) => Some(e),
        };
        let stale =
            self.engine_in.is_empty() && !self.relay.engine.is_fresh() && self.facts.replayable;
        if stale && self.status.is_none() {
            return Some(Some(ExchangeEnd::Stale));
        }
        let cause = match (&mut self.up, error) {
            (_, Some(e)) => Some(e),
            (ExchangeUp::Failed(e), None) => e.take(),
            _ => None,
        };
        Some(Some(self.fail(ExchangeFailure::EngineClosed(cause))))
    }

    fn on_head(&mut self, len: usize) -> Option<ExchangeEnd> {
        let facts = self.facts;
        let ahead = !self.relay.client.held().is_empty();
        let early = !matches!(self.up, ExchangeUp::Sent);
        let draining = self.draining.is_cancelled();
        let mut close = self.close;
        let mut out = Vec::with_capacity(self.engine_in.len() + 32);
        let parsed = head::response(&self.engine_in[..len], facts.is_head, &mut out, |r| {
            if facts.tunnels(r) {
                return Emit::Verbatim;
            }
            if r.status == 101 {
                return Emit::Nothing;
            }
            if r.status < 200 {
                // Who speaks HTTP/1.0 takes an interim answer for the final one (RFC 9110 §15.2).
                return match facts.http10 {
                    true => Emit::Nothing,
                    false => Emit::Connection(None),
                };
            }
            // What a client sent ahead of a switch that did not come is no request (RFC 9931).
            let hoped = facts.upgrade || facts.may_take_over;
            let refused =
                (facts.upgrade && facts.may_switch || facts.may_take_over) && r.status >= 400;
            close |= !r.persistent
                || !facts.persistent
                || draining
                || hoped && ahead
                || refused
                || early && r.status >= 400;
            Emit::Connection(facts.connection(close))
        });
        let response = match parsed {
            Ok(response) => response,
            Err(e) => return Some(self.fail(ExchangeFailure::EngineHead(e))),
        };
        let tunnel = facts.tunnels(&response);
        if let Some(down) = self.authorized(len, &response, tunnel) {
            self.down = down;
            return None;
        }
        let rest = self.engine_in.split_off(len);
        self.engine_in = Vec::new();
        self.scanned = 0;
        if tunnel {
            self.status = Some(response.status);
            self.answered = Some(Instant::now());
            // The head is flushed as a TLS record of its own before the first stream byte (docker-transport R6).
            self.relay.down = OutBuffer::new(out);
            return Some(ExchangeEnd::Tunnel(rest));
        }
        if response.status == 101 {
            return Some(self.fail(ExchangeFailure::EngineSwitched));
        }
        if response.status < 200 {
            self.relay.down = OutBuffer::new(out);
            self.engine_in = rest;
            return None;
        }
        self.close = close;
        self.on_final_head(response, out, &rest)
    }

    /// Relays the last head of the answer, and `rest`, what has come behind it.
    fn on_final_head(
        &mut self,
        response: ResponseHead,
        mut out: Vec<u8>,
        rest: &[u8],
    ) -> Option<ExchangeEnd> {
        self.answered = Some(Instant::now());
        self.status = Some(response.status);
        // It will not be sent again, and the answer may be a stream of hours.
        if matches!(self.up, ExchangeUp::Sent) {
            self.relay.up.clear();
        }
        let mut framing = response.framing;
        match framing.take(rest) {
            Ok(taken) => {
                self.relay.surplus |= taken.used < rest.len();
                taken.append_to(&mut out);
            }
            Err(bad) => return Some(self.fail(ExchangeFailure::EngineChunk(bad))),
        }
        self.relay.down = OutBuffer::new(out);
        self.down = Down::Body(framing);
        None
    }

    /// What has to happen with the plugin before the answer whose head is at the front of `engine_in` may go back.
    fn authorized(&self, len: usize, response: &ResponseHead, tunnel: bool) -> Option<Down> {
        let authorization = self.authorization.as_ref()?;
        if response.status < 200 && !tunnel {
            return None;
        }
        let framing = &response.framing;
        let (head, body) = self.engine_in.split_at(len);
        if !tunnel && !self.engine_ended && authorization.waits(head, framing, body) {
            return Some(Down::Gathering {
                head: len,
                framing: framing.clone(),
            });
        }
        let mut rest = framing.clone();
        let used = rest.take(body).map(|taken| taken.used);
        let complete = match used {
            _ if tunnel => None,
            Ok(n) if rest.is_done() || rest.is_until_eof() && self.engine_ended => Some(&body[..n]),
            _ => None,
        };
        let question = authorization.ask(response.status, head, framing, complete);
        Some(Down::Asking(Box::new(question)))
    }

    /// Reads more of an answer that the plugin is to see whole; whether enough has come.
    fn gather(&mut self, cx: &mut Context<'_>, head: usize, framing: &Framing) -> bool {
        loop {
            match self.read_more(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(n)) if n > 0 => {}
                // How it ended is the relay's to find out again.
                Poll::Ready(_) => {
                    self.engine_ended = true;
                    return true;
                }
            }
            let (head, body) = self.engine_in.split_at(head);
            let waits =
                |authorization: &ResponseAuthorization| authorization.waits(head, framing, body);
            if !self.authorization.as_ref().is_some_and(waits) {
                return true;
            }
        }
    }

    /// Appends what the engine has sent to `engine_in`.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bulk = net::take_bulk();
        let read = self.relay.engine.poll_read(cx, &mut bulk);
        if let Poll::Ready(Ok(n)) = &read {
            self.engine_in.extend_from_slice(&bulk[..*n]);
        }
        net::give_bulk(bulk);
        read
    }
}

//! What an exchange has to know of its request, and what it can come to.

use std::io;

use super::super::framing::BadChunk;
use super::super::head::{HeadError, MAX_HEAD, ResponseHead};
use crate::plugin::PluginDenied;

/// What an exchange has to know of its request.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeFacts {
    /// The method is HEAD: the answer has no body.
    pub is_head: bool,
    /// The request is HTTP/1.0.
    pub http10: bool,
    /// The client keeps its connection afterwards.
    pub persistent: bool,
    /// It carries an `Upgrade` field.
    pub upgrade: bool,
    /// The endpoint may switch protocols (`101`).
    pub may_switch: bool,
    /// The endpoint may take the connection over without an upgrade (attach, exec start).
    pub may_take_over: bool,
    /// It is a bodyless GET or HEAD: safe to send again on a new connection.
    pub replayable: bool,
}

impl ExchangeFacts {
    /// The option of the answer's `Connection` field.
    pub(super) fn connection(&self, close: bool) -> Option<&'static str> {
        match (close, self.http10) {
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        }
    }

    /// Whether an answer makes a tunnel of the connection.
    pub(super) fn tunnels(&self, answer: &ResponseHead) -> bool {
        let switched = answer.status == 101 && self.upgrade && self.may_switch;
        let raw = answer.raw_stream && answer.framing.is_until_eof();
        switched || answer.status == 200 && self.may_take_over && raw
    }
}

/// How an exchange ended.
#[derive(Debug)]
pub enum ExchangeEnd {
    /// Both connections may carry another exchange.
    Reuse,
    /// Answered in full; the client's connection has to close, the engine's is not to be used again.
    Close,
    /// The connection is a tunnel now; the engine's bytes behind the head are given.
    Tunnel(Vec<u8>),
    /// A connection that had been used before was dead, nothing was answered, and the request may be sent again.
    Stale,
    /// The client went away.
    ClientGone,
    /// Nothing of an answer has been sent.
    Unanswered(ExchangeFailure),
    /// An answer was cut off in the middle; the client's connection has to show it.
    Cut(ExchangeFailure),
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeFailure {
    /// The client's chunked body is malformed.
    #[error(transparent)]
    Request(BadChunk),
    /// The engine closed, or its connection failed.
    #[error("the Docker Engine closed the connection{}", .0.as_ref().map(|e| format!(" ({e})")).unwrap_or_default())]
    EngineClosed(Option<io::Error>),
    /// The engine's answer is not acceptable HTTP.
    #[error("the Docker Engine sent a malformed answer: {0}")]
    EngineHead(#[from] HeadError),
    /// The engine's chunked body is not acceptable.
    #[error("the Docker Engine sent a {0}")]
    EngineChunk(BadChunk),
    /// The engine's head is too large.
    #[error("the Docker Engine sent a head above {MAX_HEAD} bytes")]
    EngineHeadSize,
    /// The authorization plugin does not let the answer back.
    #[error(transparent)]
    Plugin(PluginDenied),
    /// The policy does not let the request's body go on.
    #[error("{0}")]
    Policy(Box<policy::Denied>),
    /// The engine switched protocols unasked.
    #[error("the Docker Engine switched protocols on a request that does not allow it")]
    EngineSwitched,
}

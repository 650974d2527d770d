//! A hijacked connection: two independent copies, and what each end means (docker-transport §2).
//!
//! The client's end (close_notify or a bare FIN) is the end of stdin: it half-closes the engine's side, and output goes on
//! without limit. The engine's end is the end of everything: what it sent is flushed, and a write towards it that blocks is
//! given up, since after its end the engine never reads again. No timer runs in here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::framing::Framing;
use super::relay::{Progress, Relay, RelayFault};

/// How a tunnel ended.
#[derive(Debug)]
pub enum TunnelEnd {
    /// The engine ended its output; all of it is written.
    Engine,
    /// The engine's connection failed: the client must not take it for a regular end.
    EngineFailed(io::Error),
    /// The client's connection failed.
    Client(io::Error),
}

impl TunnelEnd {
    /// The word used in logs, from a closed set.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Engine => "engine_ended",
            Self::EngineFailed(_) => "engine_failed",
            Self::Client(_) => "client_gone",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum TunnelUp {
    Open,
    Ended,
}

/// A tunnel in progress.
pub struct Tunnel<'a> {
    relay: Relay<'a>,
    up: TunnelUp,
    inbound: Framing,
    outbound: Framing,
    /// A reset, or TCP keep-alive's verdict: after the client's end nothing else would show that it is dead.
    dead: Pin<Box<dyn Future<Output = io::Error> + Send>>,
}

impl<'a> Tunnel<'a> {
    /// Joins the two sides; what `relay` has queued goes first.
    #[must_use]
    pub fn new(relay: Relay<'a>) -> Self {
        let tcp = relay.client.tcp();
        Self {
            relay,
            up: TunnelUp::Open,
            inbound: Framing::until_eof(),
            outbound: Framing::until_eof(),
            dead: Box::pin(died(tcp)),
        }
    }

    /// Drives both directions to the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        if let Poll::Ready(e) = self.dead.as_mut().poll(cx) {
            return Poll::Ready(TunnelEnd::Client(e));
        }
        if self.up == TunnelUp::Open {
            match self.relay.poll_up(cx, &mut self.inbound) {
                Poll::Pending => {}
                Poll::Ready(Err(RelayFault::Client(e))) => {
                    return Poll::Ready(TunnelEnd::Client(e));
                }
                Poll::Ready(Ok(Progress::Ended | Progress::Done)) => {
                    self.relay.engine.end();
                    self.up = TunnelUp::Ended;
                }
                // The engine reads no more; what it still has to say comes the other way.
                Poll::Ready(Err(_)) => self.up = TunnelUp::Ended,
            }
        }
        match self.relay.poll_down(cx, &mut self.outbound) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(_)) => Poll::Ready(TunnelEnd::Engine),
            Poll::Ready(Err(RelayFault::Client(e))) => Poll::Ready(TunnelEnd::Client(e)),
            Poll::Ready(Err(RelayFault::EngineRead(e) | RelayFault::EngineWrite(e))) => {
                Poll::Ready(TunnelEnd::EngineFailed(e))
            }
            Poll::Ready(Err(RelayFault::ClientChunk(bad) | RelayFault::EngineChunk(bad))) => {
                Poll::Ready(TunnelEnd::EngineFailed(io::Error::other(bad)))
            }
            Poll::Ready(Err(RelayFault::Refused(denied))) => Poll::Ready(TunnelEnd::EngineFailed(
                io::Error::other(denied.to_string()),
            )),
        }
    }
}

async fn died(tcp: Arc<TcpStream>) -> io::Error {
    match tcp.ready(Interest::ERROR).await {
        Ok(_) => match tcp.take_error() {
            Ok(Some(e)) | Err(e) => e,
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        },
        Err(e) => e,
    }
}

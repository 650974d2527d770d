//! The Docker socket: one connection at most for each client connection, made when its first request may go on.
//!
//! There is no pool to share, but for the gate's own questions (`ask`). A client that goes away takes its engine connection along, which is how the engine learns to
//! cancel a build, a wait or an event stream.

pub mod ask;
pub mod diagnose;
pub mod lookup;
pub mod ping;

use std::io;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::net::UnixStream;

use crate::net;
use policy::Permitted;

/// Where the engine listens.
#[derive(Clone, Debug)]
pub struct Upstream {
    path: PathBuf,
    connect_timeout: Duration,
}

/// The engine could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the Docker Engine at unix://{}", path.display())]
pub struct ConnectError {
    /// The socket's path.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Upstream {
    /// Names the socket; it is opened per client.
    #[must_use]
    pub fn new(path: PathBuf, connect_timeout: Duration) -> Self {
        Self {
            path,
            connect_timeout,
        }
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects, for a request that the policy has permitted: there is no other way to the engine for what a client sends.
    /// The path is resolved again each time, so an engine that was restarted is found.
    ///
    /// # Errors
    /// When the socket cannot be opened, or its accept queue stays full until the deadline.
    pub async fn connect(&self, _permit: &Permitted) -> Result<EngineStream, ConnectError> {
        match net::connect(&self.path, self.connect_timeout).await {
            Ok(socket) => Ok(EngineStream {
                socket,
                fresh: true,
                untried: true,
            }),
            Err(source) => Err(ConnectError {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

/// One connection to the engine.
#[derive(Debug)]
pub struct EngineStream {
    socket: UnixStream,
    fresh: bool,
    /// Nothing has been written, so there is room to write and no event to wait for.
    untried: bool,
}

impl EngineStream {
    /// Whether no exchange has been carried on it yet: only a used connection may have died unnoticed.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Marks the connection as having carried an exchange.
    pub fn reuse(&mut self) {
        self.fresh = false;
    }

    /// Whether the engine has neither closed nor sent anything: the state between two exchanges.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        matches!(self.socket.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads some bytes; `Ok(0)` at the engine's end.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        net::poll_read(&self.socket, cx, buf)
    }

    /// Writes some of `data`.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.untried)
            && let Ok(n) = rustix::net::send(&self.socket, data, SendFlags::NOSIGNAL)
        {
            return Poll::Ready(Ok(n));
        }
        net::poll_write(&self.socket, cx, data)
    }

    /// Writes some of these pieces, in order.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        net::poll_write_vectored(&self.socket, cx, pieces)
    }

    /// Ends the write side: the end of a tunnel's stdin, or a client that went away.
    pub fn end(&self) {
        // It can only fail when the engine has closed already.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
    }
}

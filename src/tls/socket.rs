//! The client's TCP socket as rustls sees it: wide reads, and nothing held while idle.
//!
//! rustls asks for 4 KiB at a time. [`WideSocket`] reads as much as the kernel has into a pooled buffer and hands it on in
//! the pieces rustls wants: a gigabyte of upload costs 8,000 reads instead of 260,000.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net;

/// A TCP socket with a read buffer that exists only while it holds bytes.
#[derive(Debug)]
pub struct WideSocket {
    tcp: Arc<TcpStream>,
    wide: Option<Wide>,
}

#[derive(Debug)]
struct Wide {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl WideSocket {
    /// Wraps a socket.
    #[must_use]
    pub fn new(tcp: Arc<TcpStream>) -> Self {
        Self { tcp, wide: None }
    }

    /// The socket itself, for its options and its error state.
    #[must_use]
    pub fn tcp(&self) -> &Arc<TcpStream> {
        &self.tcp
    }

    /// Waits for the first bytes and shows them without consuming; empty at the end of the stream.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        poll_fn(|cx| self.poll_fill(cx)).await?;
        Ok(self.buffered())
    }

    /// Reads and drops raw bytes until the peer ends, fails, or `limit` bytes have come. The caller sets the deadline.
    async fn drain(&mut self, limit: usize) {
        let mut seen = 0;
        while seen < limit {
            if poll_fn(|cx| self.poll_fill(cx)).await.is_err() || self.buffered().is_empty() {
                break;
            }
            seen += self.buffered().len();
            self.consume(self.buffered().len());
        }
    }

    /// Ends the write side, then drops what the peer still sends, within `time` and `limit` bytes, so that what was written last
    /// arrives: an immediate close would reset the connection and destroy it in the peer's buffer.
    pub async fn linger_and_close(mut self, time: Duration, limit: usize) {
        if rustix::net::shutdown(&*self.tcp, rustix::net::Shutdown::Write).is_ok() {
            let _ = timeout(time, self.drain(limit)).await;
        }
    }

    /// What has been read and not yet used.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.wide.as_ref().map_or(&[], |w| &w.buf[w.start..w.end])
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wide.is_some() {
            return Poll::Ready(Ok(()));
        }
        let mut buf = net::take_bulk();
        match net::poll_read(&*self.tcp, cx, &mut buf) {
            Poll::Ready(Ok(end)) if end > 0 => {
                self.wide = Some(Wide { buf, start: 0, end });
                Poll::Ready(Ok(()))
            }
            other => {
                net::give_bulk(buf);
                other.map_ok(|_| ())
            }
        }
    }

    fn consume(&mut self, n: usize) {
        if let Some(wide) = &mut self.wide {
            wide.start += n;
            if wide.start >= wide.end
                && let Some(empty) = self.wide.take()
            {
                net::give_bulk(empty.buf);
            }
        }
    }
}

impl Drop for WideSocket {
    fn drop(&mut self) {
        if let Some(wide) = self.wide.take() {
            net::give_bulk(wide.buf);
        }
    }
}

impl AsyncRead for WideSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let n = self.buffered().len().min(out.remaining());
        out.put_slice(&self.buffered()[..n]);
        self.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WideSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        net::poll_write(&*self.tcp, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [one] => net::poll_write(&*self.tcp, cx, one),
            _ => net::poll_write_vectored(&*self.tcp, cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(
            match rustix::net::shutdown(&*self.tcp, rustix::net::Shutdown::Write) {
                // The peer has gone already: nothing is left to end.
                Err(rustix::io::Errno::NOTCONN) | Ok(()) => Ok(()),
                Err(e) => Err(e.into()),
            },
        )
    }
}

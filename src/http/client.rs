//! The client's side of a connection: decrypted bytes in, plain bytes out.
//!
//! Bytes that were read but not yet used (a head in progress, a pipelined request, early bytes of a hijack) wait in `held`,
//! whose size the callers bound; bulk bytes are lent straight from rustls and never copied here.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::tls::socket::WideSocket;

/// A client connection after its handshake.
#[derive(Debug)]
pub struct ClientStream {
    tls: Box<TlsStream<WideSocket>>,
    held: Vec<u8>,
    ended: bool,
}

impl ClientStream {
    /// Wraps a finished handshake.
    #[must_use]
    pub fn new(tls: Box<TlsStream<WideSocket>>) -> Self {
        Self {
            tls,
            held: Vec::new(),
            ended: false,
        }
    }

    /// The TCP socket, for its error state.
    #[must_use]
    pub fn tcp(&self) -> Arc<TcpStream> {
        self.tls.get_ref().0.tcp().clone()
    }

    /// Bytes read and not yet used.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Drops the first `n` held bytes; the buffer is given up when none are left.
    pub fn release(&mut self, n: usize) {
        if n >= self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..n);
        }
    }

    /// Whether the client has ended its side, by close_notify or a bare FIN (which Python, Ruby and netty use).
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Reads more into `held`. `Ok(false)` at the end of the stream.
    ///
    /// # Errors
    /// When the connection was reset or the TLS layer failed.
    pub fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { tls, held, ended } = self;
        let chunk = ready!(lend(tls, ended, cx))?;
        held.extend_from_slice(chunk);
        let n = chunk.len();
        Pin::new(&mut *tls).consume(n);
        Poll::Ready(Ok(n > 0))
    }

    /// Lends the next bytes, held ones first; empty at the end of the stream. [`Self::consume`] what was used.
    ///
    /// # Errors
    /// When the connection was reset or the TLS layer failed.
    pub fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.held.is_empty() {
            lend(&mut self.tls, &mut self.ended, cx)
        } else {
            Poll::Ready(Ok(&self.held))
        }
    }

    /// Whether ciphertext has been read behind what is lent: more may come without waiting.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.ended && self.held.is_empty() && !self.tls.get_ref().0.buffered().is_empty()
    }

    /// Uses up `n` lent bytes.
    pub fn consume(&mut self, n: usize) {
        if self.held.is_empty() {
            Pin::new(&mut *self.tls).consume(n);
        } else {
            self.release(n);
        }
    }

    /// Encrypts and writes some of `data`, as TLS records of its own.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.tls).poll_write(cx, data)
    }

    /// The same of several pieces, in order.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.tls).poll_write_vectored(cx, pieces)
    }

    /// Writes out what [`Self::poll_write`] could not.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tls).poll_flush(cx)
    }

    /// Sends close_notify and FIN; reading goes on.
    ///
    /// # Errors
    /// When the connection failed.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tls).poll_shutdown(cx)
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let n = poll_fn(|cx| self.poll_write(cx, data)).await?;
            data = &data[n..];
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Writes all of `head` and of `data`, without putting them together first.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn write_both(&mut self, mut head: &[u8], mut data: &[u8]) -> io::Result<()> {
        while !head.is_empty() {
            let pieces = [IoSlice::new(head), IoSlice::new(data)];
            let n = poll_fn(|cx| self.poll_write_vectored(cx, &pieces)).await?;
            let of_head = n.min(head.len());
            head = &head[of_head..];
            data = &data[n - of_head..];
        }
        self.write_all(data).await
    }

    /// Ends the connection so that what was written last arrives: close_notify, FIN, then the rest of what the client still
    /// sends is dropped, within `time` and `limit` bytes (an immediate close would reset the connection and destroy the
    /// answer in the client's buffer).
    pub async fn linger_and_close(mut self, time: Duration, limit: usize) {
        let _ = timeout(time, async {
            if poll_fn(|cx| self.poll_shutdown(cx)).await.is_ok() {
                self.tls.into_inner().0.linger_and_close(time, limit).await;
            }
        })
        .await;
    }
}

fn lend<'a>(
    tls: &'a mut TlsStream<WideSocket>,
    ended: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<&'a [u8]>> {
    if *ended {
        return Poll::Ready(Ok(&[]));
    }
    match ready!(Pin::new(tls).poll_fill_buf(cx)) {
        Ok(chunk) => {
            *ended = chunk.is_empty();
            Poll::Ready(Ok(chunk))
        }
        // A FIN without close_notify is a routine end (docker-transport §2).
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            *ended = true;
            Poll::Ready(Ok(&[]))
        }
        Err(e) => Poll::Ready(Err(e)),
    }
}

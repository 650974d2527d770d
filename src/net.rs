//! Non-blocking socket reads and writes through a shared reference, and the buffers they use.
//!
//! tokio's own `AsyncRead` wants `&mut`, and its `try_read` leaves a stale readiness behind after a short read, which costs
//! one `EAGAIN` system call per request. [`poll_read`] and [`poll_write`] clear the readiness themselves. Both are cancel
//! safe: nothing is read or written unless `Ready` is returned.

pub mod holder;
pub mod words;

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

/// Bytes of one bulk buffer: large enough that system calls stop to matter, small enough that a stalled connection holding
/// one is cheap.
pub const BULK: usize = 128 * 1024;

/// Bulk buffers that an idle worker keeps ready; the rest go back to the allocator.
const POOLED: usize = 4;

/// A stream socket registered with the current runtime.
pub trait Socket: AsFd {
    /// Waits until the socket may be readable, or writable: `interest` is one of the two.
    fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Runs `f`, and clears the readiness of `interest` when it answers `WouldBlock`.
    fn attempt(&self, interest: Interest, f: impl FnOnce() -> io::Result<()>) -> io::Result<()>;
}

macro_rules! socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn poll_ready(&self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                if interest.is_readable() {
                    self.poll_read_ready(cx)
                } else {
                    self.poll_write_ready(cx)
                }
            }
            fn attempt(
                &self,
                interest: Interest,
                f: impl FnOnce() -> io::Result<()>,
            ) -> io::Result<()> {
                self.try_io(interest, f)
            }
        }
    };
}
socket!(TcpStream);
socket!(UnixStream);

/// Reads into `buf`; `Ok(0)` is the end of the stream. `buf` must not be empty.
pub fn poll_read(
    socket: &impl Socket,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    debug_assert!(!buf.is_empty());
    poll_with(socket, cx, Interest::READABLE, buf.len(), |fd| {
        rustix::net::recv(fd, &mut *buf, rustix::net::RecvFlags::empty()).map(|(n, _)| n)
    })
}

/// Writes some of `buf`; returns how much. `buf` must not be empty.
pub fn poll_write(
    socket: &impl Socket,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    poll_with(socket, cx, Interest::WRITABLE, buf.len(), |fd| {
        rustix::net::send(fd, buf, rustix::net::SendFlags::NOSIGNAL)
    })
}

/// Writes some of `bufs`, in order; returns how much.
pub fn poll_write_vectored(
    socket: &impl Socket,
    cx: &mut Context<'_>,
    bufs: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let len = bufs.iter().map(|b| b.len()).sum();
    poll_with(socket, cx, Interest::WRITABLE, len, |fd| {
        rustix::io::writev(fd, bufs)
    })
}

/// Moves at most `len` bytes with `call`, once the socket is ready for it.
fn poll_with(
    socket: &impl Socket,
    cx: &mut Context<'_>,
    interest: Interest,
    len: usize,
    mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_ready(interest, cx))?;
        let mut outcome = Err(io::ErrorKind::WouldBlock.into());
        let attempt = socket.attempt(interest, || {
            outcome = call(socket.as_fd()).map_err(io::Error::from);
            match &outcome {
                // A short read drained the socket, a short write filled it: the next one waits for an event instead of
                // meeting EAGAIN.
                Ok(n) if *n > 0 && *n < len => Err(io::ErrorKind::WouldBlock.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                _ => Ok(()),
            }
        });
        match outcome {
            Ok(n) => return Poll::Ready(Ok(n)),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Poll::Ready(Err(e)),
        }
        drop(attempt);
    }
}

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Takes a buffer of [`BULK`] bytes from this worker's pool.
pub fn take_bulk() -> Vec<u8> {
    POOL.with(|pool| pool.borrow_mut().pop())
        .unwrap_or_else(|| vec![0; BULK])
}

/// Gives a buffer back, so that an idle connection holds none.
pub fn give_bulk(buf: Vec<u8>) {
    debug_assert_eq!(buf.len(), BULK);
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            pool.push(buf);
        }
    });
}

/// Wait before trying again when a unix socket's accept queue is full.
pub(crate) const BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// Connects to a unix socket. That happens at once or fails (unix(7)), so unlike tokio's own connect this waits for no event;
/// only a full accept queue, which answers EAGAIN, is tried again for as long as `patience`.
///
/// # Errors
/// When the socket cannot be opened, or its queue stays full.
pub async fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + patience;
    loop {
        match connect_now(path) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(BACKLOG_RETRY).await;
            }
            done => return done,
        }
    }
}

fn connect_now(path: &Path) -> io::Result<UnixStream> {
    UnixStream::from_std(open(path)?.into())
}

/// Whether a unix socket takes connections: connects and lets go.
///
/// # Errors
/// When it cannot be opened, or its queue is full.
pub fn probe(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

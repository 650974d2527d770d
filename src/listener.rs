//! Accepts connections, as long as there is a place for a handshake; nothing else stops it for longer than a moment.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;
use tracing::warn;

/// Connections the kernel keeps for us between two accepts.
const BACKLOG: i32 = 4096;

/// Wait after an accept that failed because resources were short: long enough for some to come free, short enough to go unnoticed.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Least time between two log lines about that.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// TCP keep-alive of accepted sockets: finds peers that vanished without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without answer until the connection is dead.
    pub probes: u32,
}

/// Binds a listening socket; an IPv6 one takes IPv4 as well unless `only_v6`.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(addr: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Calls `on_connection` with each accepted socket. As long as that waits for a place, connections wait in the kernel's backlog.
/// Runs until dropped.
///
/// # Errors
/// When the listener cannot be registered with the runtime.
pub async fn accept_loop<S: Future<Output = ()>>(
    listener: TcpListener,
    keepalive: Keepalive,
    on_connection: impl Fn(std::net::TcpStream, SocketAddr) -> S,
) -> io::Result<()> {
    prepare(&listener, keepalive);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut complained: Option<tokio::time::Instant> = None;
    loop {
        let accepted = listener.accept().await;
        // Handed over as a plain socket: it will be registered with its worker's runtime, not with this one.
        match accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))) {
            Ok((socket, peer)) => on_connection(socket, peer).await,
            Err(e) if is_peers(&e) => {}
            Err(e) => {
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    warn!(error = %e, "Cannot accept connections for the moment");
                    complained = Some(tokio::time::Instant::now());
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Faults of the one connection that was being accepted (accept(2)), which concern no other.
fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Options of accepted sockets. Linux hands a listener's options on to them, which saves five system calls per connection;
/// one that cannot be set only costs latency, or time until a dead peer is noticed.
fn prepare(listener: &TcpListener, keepalive: Keepalive) {
    let options = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.probes);
    let socket = SockRef::from(listener);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&options));
    if let Err(e) = set {
        warn!(error = %e, "Cannot set the options of accepted connections");
    }
}

/// Registers an accepted socket with the current runtime.
///
/// # Errors
/// When the runtime's event queue refuses it.
pub fn adopt(socket: std::net::TcpStream) -> io::Result<Arc<TcpStream>> {
    TcpStream::from_std(socket).map(Arc::new)
}

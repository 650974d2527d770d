//! The engine's side of the wire: records exactly what arrives, says exactly what the test tells it to.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use crate::{DEADLINE, head_end, same, text};

/// A unix socket that hands each connection to the test. Dropping it closes the socket but leaves its path.
pub struct Engine {
    path: PathBuf,
    listener: Arc<UnixListener>,
    arrivals: Receiver<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Listens at `path`.
    pub fn listen(path: &Path) -> Self {
        let listener = Arc::new(UnixListener::bind(path).expect("bind the engine's socket"));
        let (arrive, arrivals) = channel();
        let accepting = listener.clone();
        let thread = std::thread::spawn(move || {
            while let Ok((socket, _)) = accepting.accept() {
                if arrive.send(socket).is_err() {
                    break;
                }
            }
        });
        Self {
            path: path.to_owned(),
            listener,
            arrivals,
            thread: Some(thread),
        }
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&self) -> EngineConn {
        match self.arrivals.recv_timeout(DEADLINE) {
            Ok(socket) => EngineConn::new(socket),
            Err(e) => panic!("no connection reached the engine: {e}"),
        }
    }

    /// Proves that no connection was made so far: the queue is first in, first out, and the next one is our own.
    #[track_caller]
    pub fn nothing_came(&self) {
        let mut marker = UnixStream::connect(&self.path).expect("connect");
        marker.write_all(b"marker").expect("write the marker");
        drop(marker);
        let mut first = self.accept();
        same(&first.rest(), b"marker", "nothing may reach the engine");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Wakes the accept, which then fails.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection from the gate.
pub struct EngineConn {
    /// The connection.
    pub socket: UnixStream,
    held: Vec<u8>,
}

impl EngineConn {
    fn new(socket: UnixStream) -> Self {
        let (read, write) = (
            socket.set_read_timeout(Some(DEADLINE)),
            socket.set_write_timeout(Some(DEADLINE)),
        );
        read.and(write).expect("deadlines");
        Self {
            socket,
            held: Vec::new(),
        }
    }

    /// A second handle, for reading and writing at once.
    pub fn twin(&self) -> Self {
        Self::new(self.socket.try_clone().expect("a second handle"))
    }

    /// Reads some more; false at the end, a reset included.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut buf = [0; 64 * 1024];
        match self.socket.read(&mut buf) {
            Ok(n) => {
                self.held.extend_from_slice(&buf[..n]);
                n > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!(
                "the engine read nothing more ({e}) after {}",
                text(&self.held)
            ),
        }
    }

    /// What arrived in one read, without waiting for more.
    #[track_caller]
    pub fn once(&mut self) -> Vec<u8> {
        if self.held.is_empty() {
            self.more();
        }
        std::mem::take(&mut self.held)
    }

    /// The next head, its empty line included.
    #[track_caller]
    pub fn head(&mut self) -> Vec<u8> {
        let mut seen = 0;
        loop {
            if let Some(end) = head_end(&self.held, seen) {
                return self.held.drain(..end).collect();
            }
            seen = self.held.len();
            assert!(
                self.more(),
                "the gate closed in mid-head: {}",
                text(&self.held)
            );
        }
    }

    /// Exactly `n` bytes.
    #[track_caller]
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        while self.held.len() < n {
            assert!(self.more(), "the gate closed after {}", text(&self.held));
        }
        self.held.drain(..n).collect()
    }

    /// Exactly these bytes come next.
    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        while self.held.len() < wanted.len() && self.more() {}
        let n = self.held.len().min(wanted.len());
        let got: Vec<u8> = self.held.drain(..n).collect();
        same(&got, wanted, "the engine received");
    }

    /// Everything until the gate ends its side.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.held)
    }

    /// The gate ends its side, and nothing comes before that.
    #[track_caller]
    pub fn expect_end(&mut self) {
        same(&self.rest(), b"", "the engine received before the end");
    }

    /// Writes bytes.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the gate reads");
    }

    /// Ends the output; input goes on.
    pub fn end(&self) {
        let ended = self.socket.shutdown(Shutdown::Write);
        ended.expect("end the output");
    }

    /// Reads the request and answers it.
    #[track_caller]
    pub fn answer(&mut self, request: &[u8], answer: &[u8]) {
        self.expect(request);
        self.write(answer);
    }
}

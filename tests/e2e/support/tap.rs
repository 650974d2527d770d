//! A listening unix socket in front of the engine's: records what clients send, sees when they leave, and can cut.
//!
//! Scenarios put it between a gate and the engine to see what the engine sees, and when.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::{OrSay, ScenarioResult};

/// How much of each connection's client side is kept.
const RECORD_BYTES: usize = 1 << 20;

/// One connection seen by the tap.
#[derive(Debug, Clone, Default)]
pub(crate) struct TapSeen {
    /// What the client sent, up to a bound.
    pub(crate) sent: Vec<u8>,
    /// When the client's side ended: half-closed, closed or reset.
    pub(crate) client_ended: Option<Instant>,
}

impl TapSeen {
    fn end(&mut self) {
        self.client_ended.get_or_insert_with(Instant::now);
    }

    /// What the client sent, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

#[derive(Default)]
struct TapState {
    seen: Mutex<Vec<TapSeen>>,
    changed: Condvar,
    open: Mutex<Vec<UnixStream>>,
    cut: AtomicBool,
    /// Bytes of the engine's that may pass before everything is cut.
    allowance: AtomicU64,
}

/// A running tap.
pub(crate) struct Tap {
    /// The path of its socket.
    pub(crate) socket: PathBuf,
    state: Arc<TapState>,
}

impl Tap {
    /// Listens at `socket` and joins each connection to `engine`.
    pub(crate) fn start(socket: &Path, engine: &Path) -> ScenarioResult<Self> {
        let listener =
            UnixListener::bind(socket).context(&format!("listen at {}", socket.display()))?;
        let state = Arc::new(TapState {
            allowance: AtomicU64::new(u64::MAX),
            ..TapState::default()
        });
        let (shared, engine) = (state.clone(), engine.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.cut.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(upstream) = UnixStream::connect(&engine) else {
                    continue;
                };
                // A connection that cannot be joined is closed, as a failing engine would.
                let _ = join(&shared, client, upstream);
            }
        });
        Ok(Self {
            socket: socket.into(),
            state,
        })
    }

    /// Lets `bytes` more of the engine's output pass, then cuts everything.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Ends every connection at once and removes the socket, as a crashed engine does.
    pub(crate) fn cut(&self) {
        self.state.cut_everything();
        // Wakes the accept loop, which then ends.
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }

    /// Everything seen so far.
    pub(crate) fn seen(&self) -> Vec<TapSeen> {
        self.state
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until `found` makes something of the connections.
    pub(crate) fn wait_for<T>(
        &self,
        within: Duration,
        mut found: impl FnMut(&[TapSeen]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut seen = self
            .state
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = found(&seen) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            seen = self
                .state
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether every connection's client side ends in time.
    pub(crate) fn all_ended(&self, within: Duration) -> bool {
        self.wait_for(within, |seen| {
            seen.iter()
                .all(|one| one.client_ended.is_some())
                .then_some(())
        })
        .is_some()
    }

    /// Waits until a connection has sent a head whose first line contains `part`; the index of the last such.
    pub(crate) fn wait_for_request(&self, part: &str, within: Duration) -> ScenarioResult<usize> {
        let found = |seen: &[TapSeen]| {
            seen.iter().rposition(|one| {
                one.text()
                    .lines()
                    .any(|line| line.contains(" HTTP/1.") && line.contains(part))
            })
        };
        self.wait_for(within, found)
            .ok_or_else(|| format!("no request with {part:?} reached the engine within {within:?}"))
    }

    /// Waits until the client's side of connection `index` has ended.
    pub(crate) fn wait_for_end(&self, index: usize, within: Duration) -> ScenarioResult<Instant> {
        self.wait_for(within, |seen| seen.get(index)?.client_ended)
            .ok_or_else(|| format!("the connection to the engine was still open after {within:?}"))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.cut();
    }
}

impl TapState {
    fn cut_everything(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            // Already closed is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn record(&self, index: usize, change: impl FnOnce(&mut TapSeen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = seen.get_mut(index) {
            change(one);
        }
        self.changed.notify_all();
    }
}

fn join(state: &Arc<TapState>, client: UnixStream, engine: UnixStream) -> std::io::Result<()> {
    let index = {
        let mut seen = state.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(TapSeen::default());
        seen.len() - 1
    };
    {
        let mut open = state.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(client.try_clone()?);
        open.push(engine.try_clone()?);
    }
    let (shared, from, to) = (state.clone(), client.try_clone()?, engine.try_clone()?);
    thread::spawn(move || {
        let log = shared.clone();
        copy(from, &to, |bytes| {
            log.record(index, |seen| {
                let room = RECORD_BYTES.saturating_sub(seen.sent.len());
                seen.sent.extend_from_slice(&bytes[..bytes.len().min(room)]);
            });
            true
        });
        shared.record(index, TapSeen::end);
        let _ = to.shutdown(Shutdown::Write);
    });
    // An engine that reads no further (28 leaves stdin unread once the container has ended) holds the copy above, and the end
    // of the client's side behind it.
    let (shared, gone) = (state.clone(), client.try_clone()?);
    thread::spawn(move || {
        let mut sockets = [PollFd::new(&gone, PollFlags::empty())];
        if poll(&mut sockets, None).is_ok() {
            shared.record(index, TapSeen::end);
        }
    });
    let shared = state.clone();
    thread::spawn(move || {
        copy(engine, &client, |bytes| {
            let count = bytes.len() as u64;
            let left = shared.allowance.load(Ordering::SeqCst);
            if left != u64::MAX {
                shared
                    .allowance
                    .store(left.saturating_sub(count), Ordering::SeqCst);
            }
            if left < count {
                shared.cut_everything();
            }
            left >= count
        });
        let _ = client.shutdown(Shutdown::Write);
    });
    Ok(())
}

fn copy(mut from: UnixStream, mut to: &UnixStream, mut pass: impl FnMut(&[u8]) -> bool) {
    let mut chunk = [0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if !pass(&chunk[..count]) || to.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

//! Where log lines go: a bounded buffer that one thread writes out.
//!
//! A worker never waits for the reader of the log: a blocked pipe must not stop a stream. Lines that come while a megabyte
//! waits are dropped and counted, and the count is logged once there is room. Lines that come close together leave in
//! one write.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that may wait.
const WAITING: usize = 1 << 20;

/// How long the writer lets lines gather after the first.
const GATHER: Duration = Duration::from_millis(10);

/// Lines on their way out.
#[derive(Debug, Default)]
pub(super) struct LogSink {
    state: Mutex<LogQueue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogQueue {
    waiting: Vec<u8>,
    dropped: u64,
    lost: u64,
    writing: bool,
}

impl LogSink {
    /// Queues one line, its line feed included.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > WAITING {
            state.dropped += 1;
            state.lost += 1;
            return;
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }

    /// Lines dropped since start.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Waits until everything queued so far has been written, at most `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let state = self.lock();
        let _ = self
            .changed
            .wait_timeout_while(state, limit, |s| !s.waiting.is_empty() || s.writing)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Writes out what comes, and never returns. `notice` makes the line that tells of dropped ones.
    pub(super) fn run(&self, mut out: impl Write, notice: impl Fn(u64) -> Vec<u8>) -> ! {
        loop {
            let state = self.lock();
            drop(
                self.changed
                    .wait_while(state, |s| s.waiting.is_empty())
                    .unwrap_or_else(PoisonError::into_inner),
            );
            std::thread::sleep(GATHER);
            let mut state = self.lock();
            let mut lines = std::mem::take(&mut state.waiting);
            let dropped = std::mem::take(&mut state.dropped);
            state.writing = true;
            drop(state);
            if dropped > 0 {
                lines.extend(notice(dropped));
            }
            // A closed log is no reason to stop serving.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LogQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where audit records go: standard output, or a file that logrotate may move away.
//!
//! Records are written whole and in order. One that cannot be written waits, and then [`Sink::ready`] says no: what becomes
//! of requests is the operator's choice (`--audit-failure`). What waits is bounded; a gate told to continue counts what it
//! had to drop. No write waits for a reader: a pipe that nobody empties is a sink that fails, after `PATIENCE`. Only a request
//! whose decision is in the queue waits that long, since it must not go on before that is out of the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use tracing::{error, info};

use super::Record;

/// Bytes of records that may wait for a sink that fails, the ends of allowed requests aside.
const WAITING: usize = 4 << 20;

/// Those of them that refusals may take: every client with a certificate can cause these.
const REFUSALS: usize = WAITING / 4;

/// Bytes that may be promised to the ends of requests that have been allowed. They are taken only when the sink fails.
const PROMISED: usize = 128 << 20;

/// What an end may say more than the decision did: a reason, and what a plugin said of the answer.
const MORE: usize = 4096;

/// How long a reader may leave a pipe full before that counts as a failure, while less than half of [`WAITING`] waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a pipe that has room takes without waiting for its reader (`PIPE_BUF` of Linux, pipe(7)).
const AT_ONCE: usize = 4096;

/// How often a request looks whether the record of its decision has been taken.
const LOOK: Duration = Duration::from_millis(20);

/// How often [`Sink::keep`] tries again what waits.
const AGAIN: Duration = Duration::from_secs(1);

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output.
    Stdout,
    /// Appended to this file, made with mode 0600.
    File(PathBuf),
}

/// What becomes of a request whose record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused: no record, no access.
    Deny,
    /// It goes on.
    Continue,
}

/// The audit stream.
#[derive(Debug)]
pub struct Sink {
    target: AuditTarget,
    on_failure: OnFailure,
    state: Mutex<AuditState>,
}

#[derive(Debug)]
struct AuditState {
    out: Option<Out>,
    waiting: Vec<u8>,
    /// Bytes that were written, from the first on.
    written: u64,
    /// Bytes that ends of allowed requests may still need.
    promised: usize,
    dropped: u64,
    failing: bool,
    /// Since when a reader has left the sink full.
    stalled: Option<Instant>,
}

impl AuditState {
    /// How many bytes will have been written once nothing waits.
    fn end(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }
}

#[derive(Debug)]
enum Out {
    Stdout,
    File(File),
}

impl Out {
    /// Writes some of `lines`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it would have to wait for a reader, and what the system says.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            // Opened without waiting, which pipes heed.
            Self::File(file) => file.write(lines),
            // Others may hold the same open file, so its mode is not for us to change.
            Self::Stdout => {
                let out = io::stdout();
                let mut asked = [PollFd::new(&out, PollFlags::OUT)];
                if poll(&mut asked, Some(&Timespec::default()))? == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let lines = &lines[..lines.len().min(AT_ONCE)];
                Ok(rustix::io::write(out.as_fd(), lines)?)
            }
        }
    }
}

impl Sink {
    /// Opens the sink.
    ///
    /// # Errors
    /// When the file cannot be opened: an audit that was asked for is never silently missing.
    pub fn open(target: AuditTarget, on_failure: OnFailure) -> io::Result<Self> {
        let out = Some(open(&target)?);
        // Only here: what is opened again later may hold the beginning of a record whose rest still waits.
        let torn = matches!(&target, AuditTarget::File(path) if is_torn(path));
        let state = AuditState {
            out,
            waiting: if torn { b"\n".to_vec() } else { Vec::new() },
            written: 0,
            promised: 0,
            dropped: 0,
            failing: false,
            stalled: None,
        };
        Ok(Self {
            target,
            on_failure,
            state: Mutex::new(state),
        })
    }

    /// Opens the file again, after logrotate has moved the old one away. If that fails the old one stays in use.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reopen(&self) -> io::Result<()> {
        let out = open(&self.target)?;
        self.lock().out = Some(out);
        Ok(())
    }

    /// Whether another request may be served: every record so far is written (or its reader slow, but not yet for
    /// `PATIENCE`), or the operator said to continue.
    ///
    /// # Errors
    /// What the system said to the last attempt.
    pub fn ready(&self) -> io::Result<()> {
        match self.settle(&mut self.lock()) {
            Err(e) if self.on_failure == OnFailure::Deny => Err(e),
            _ => Ok(()),
        }
    }

    /// Writes the record of a decision that allows a request, and keeps room for `ends` more records of it. The request goes on
    /// when [`Room::recorded`] says so.
    ///
    /// # Errors
    /// Where it cannot be written and the operator did not say to continue: the request must not go on.
    pub fn decided(self: &Arc<Self>, record: &Record, ends: usize) -> io::Result<Room> {
        let line = line(record);
        let bytes = ends * (line.len() + MORE);
        let mut state = self.lock();
        let outcome = if state.waiting.len() + line.len() > WAITING {
            Err(io::Error::other("too many records wait"))
        } else if state.promised + bytes > PROMISED {
            Err(io::Error::other("too many requests are in progress"))
        } else {
            state.waiting.extend_from_slice(line.as_bytes());
            self.settle(&mut state).inspect_err(|_| {
                // The request is refused instead, unless the beginning of the line has been written.
                let before = state.waiting.len().checked_sub(line.len());
                if self.on_failure == OnFailure::Deny
                    && let Some(before) = before
                {
                    state.waiting.truncate(before);
                }
            })
        };
        let bytes = match outcome {
            Ok(()) => bytes,
            Err(e) if self.on_failure == OnFailure::Deny => return Err(e),
            Err(_) => bytes.min(PROMISED.saturating_sub(state.promised)),
        };
        state.promised += bytes;
        Ok(Room {
            sink: self.clone(),
            bytes,
            decided: (line.len(), state.end()),
        })
    }

    /// Writes one record that no room was kept for: a refusal.
    pub fn write(&self, record: &Record) {
        let line = line(record);
        let mut state = self.lock();
        if !state.waiting.is_empty() && state.waiting.len() + line.len() > REFUSALS {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line.as_bytes());
        // Its outcome is `ready`'s to tell: this request has been answered.
        let _ = self.settle(&mut state);
    }

    /// Writes what waits, as far as that goes now.
    pub fn flush(&self) {
        let _ = self.settle(&mut self.lock());
    }

    /// Retries buffered records, even when no request arrives.
    pub async fn keep(&self) -> io::Result<()> {
        loop {
            tokio::time::sleep(AGAIN).await;
            self.flush();
        }
    }

    fn settle(&self, state: &mut AuditState) -> io::Result<()> {
        if state.waiting.is_empty() {
            return Ok(());
        }
        let written = attempt(&self.target, state);
        match &written {
            Ok(()) if state.failing && state.waiting.is_empty() => {
                info!(dropped = state.dropped, "The audit can be written again");
                (state.failing, state.dropped) = (false, 0);
            }
            Err(e) if !state.failing => {
                error!(error = %e, target = ?self.target, "The audit cannot be written");
                state.failing = true;
            }
            _ => {}
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, AuditState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is kept for the other records of an allowed request.
#[derive(Debug)]
pub struct Room {
    sink: Arc<Sink>,
    bytes: usize,
    /// Length of the record of the decision, and where in everything that is written it ends.
    decided: (usize, u64),
}

impl Room {
    /// Waits until the record of the decision is out of the process, or the sink fails. A gate that continues waits for nothing.
    ///
    /// # Errors
    /// When it could not be written: the request must not go on.
    pub async fn recorded(&self) -> io::Result<()> {
        let (len, end) = self.decided;
        loop {
            {
                let mut state = self.sink.lock();
                let outcome = self.sink.settle(&mut state);
                if self.sink.on_failure == OnFailure::Continue
                    || state.written >= end
                    || state.waiting.is_empty()
                {
                    return Ok(());
                }
                if let Err(e) = outcome {
                    // It is refused instead. What has been begun, or has others behind it, stays.
                    if state.end() == end
                        && let Some(before) = state.waiting.len().checked_sub(len)
                    {
                        state.waiting.truncate(before);
                    }
                    return Err(e);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Writes one of these records.
    pub fn write(&mut self, record: &Record) {
        let line = line(record);
        let mut state = self.sink.lock();
        let Some(left) = self.bytes.checked_sub(line.len()) else {
            drop(state);
            return self.sink.write(record);
        };
        state.promised -= line.len();
        self.bytes = left;
        state.waiting.extend_from_slice(line.as_bytes());
        let _ = self.sink.settle(&mut state);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.sink.lock().promised -= self.bytes;
    }
}

fn line(record: &Record) -> String {
    let mut line = record.line();
    line.push('\n');
    line
}

fn attempt(target: &AuditTarget, state: &mut AuditState) -> io::Result<()> {
    let mut written = 0;
    let outcome = loop {
        if written == state.waiting.len() {
            break Ok(());
        }
        let out = match &mut state.out {
            Some(out) => out,
            None => match open(target) {
                Ok(out) => state.out.insert(out),
                Err(e) => break Err(e),
            },
        };
        match out.write(&state.waiting[written..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                written += n;
                state.stalled = None;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let since = *state.stalled.get_or_insert_with(Instant::now);
                let waiting = state.waiting.len() - written;
                break if since.elapsed() < PATIENCE && waiting < WAITING / 2 {
                    Ok(())
                } else {
                    Err(io::Error::other("nobody reads it"))
                };
            }
            Err(e) => {
                state.out = None;
                break Err(e);
            }
        }
    };
    state.waiting.drain(..written);
    state.written += written as u64;
    outcome
}

fn open(target: &AuditTarget) -> io::Result<Out> {
    Ok(match target {
        AuditTarget::Stdout => Out::Stdout,
        AuditTarget::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                .open(path)?;
            Out::File(file)
        }
    })
}

/// Whether a file ends within a line: its writer was killed, or the disk was full. What follows must be a line of its own.
fn is_torn(path: &Path) -> bool {
    let last = || {
        if !path.metadata()?.is_file() {
            return Ok(b'\n');
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        io::Result::Ok(byte[0])
    };
    // One that is empty, or not for us to read, is taken to end well.
    last().is_ok_and(|byte| byte != b'\n')
}

//! Where audit records go: standard output, or a file that logrotate may move away.
//!
//! Each record is one write of one whole line. A line that cannot be written waits, and while one waits [`Sink::ready`] says
//! no: what becomes of requests then is the operator's choice (`--audit-failure`). What waits is bounded; a gate told to
//! continue counts what it had to drop.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{error, info};

use super::Record;

/// Bytes of records that may wait for a sink that fails.
const WAITING: usize = 4 << 20;

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
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
    target: Target,
    on_failure: OnFailure,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    out: Option<Out>,
    waiting: Vec<u8>,
    dropped: u64,
    failing: bool,
}

#[derive(Debug)]
enum Out {
    Stdout(io::Stdout),
    File(File),
}

impl Write for Out {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(buf),
            Self::File(file) => file.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(_) => Ok(()),
        }
    }
}

impl Sink {
    /// Opens the sink.
    ///
    /// # Errors
    /// When the file cannot be opened: an audit that was asked for is never silently missing.
    pub fn open(target: Target, on_failure: OnFailure) -> io::Result<Self> {
        let out = Some(open(&target)?);
        let state = State {
            out,
            waiting: Vec::new(),
            dropped: 0,
            failing: false,
        };
        Ok(Self {
            target,
            on_failure,
            state: Mutex::new(state),
        })
    }

    /// Opens the file anew, after logrotate has moved the old one away. If that fails the old one stays in use.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reopen(&self) -> io::Result<()> {
        let out = open(&self.target)?;
        self.lock().out = Some(out);
        Ok(())
    }

    /// Whether another request may be served: every record so far is written, or the operator said to continue.
    ///
    /// # Errors
    /// What the system said to the last attempt.
    pub fn ready(&self) -> io::Result<()> {
        match self.settle(&mut self.lock()) {
            Err(e) if self.on_failure == OnFailure::Deny => Err(e),
            _ => Ok(()),
        }
    }

    /// Writes one record.
    pub fn write(&self, record: &Record) {
        let mut line = record.line();
        line.push('\n');
        let mut state = self.lock();
        if state.waiting.len() + line.len() > WAITING {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line.as_bytes());
        // Its outcome is `ready`'s to tell: this request has been answered.
        let _ = self.settle(&mut state);
    }

    fn settle(&self, state: &mut State) -> io::Result<()> {
        if state.waiting.is_empty() {
            return Ok(());
        }
        let written = attempt(&self.target, state);
        match &written {
            Ok(()) if state.failing => {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attempt(target: &Target, state: &mut State) -> io::Result<()> {
    if state.out.is_none() {
        state.out = Some(open(target)?);
    }
    while !state.waiting.is_empty() {
        let Some(out) = &mut state.out else { break };
        match out
            .write(&state.waiting)
            .and_then(|n| out.flush().map(|()| n))
        {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => _ = state.waiting.drain(..n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                state.out = None;
                return Err(e);
            }
        }
    }
    Ok(())
}

fn open(target: &Target) -> io::Result<Out> {
    Ok(match target {
        Target::Stdout => Out::Stdout(io::stdout()),
        Target::File(path) => Out::File(
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)?,
        ),
    })
}

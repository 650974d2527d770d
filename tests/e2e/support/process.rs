//! A child process with captured output and a hard deadline.
//!
//! Every child leads a process group of its own, so that ending it ends what it started too. Output is kept with a
//! bound and can be waited for, which is how scenarios wait for events instead of sleeping.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{OrSay, ScenarioResult};

/// Output beyond this is read and dropped, so that a runaway child cannot fill the memory.
const CAPTURE_BYTES: usize = 16 << 20;
/// How long output may still arrive after the child itself has gone (its own children may hold the pipe).
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// The process groups alive now, for [`kill_all`].
static LIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Ends what is left when the suite is killed: `clients/reaper.sh`, at the other end of a pipe.
static REAPER: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// Starts the reaper, which outlives the suite by a moment.
pub(crate) fn start_reaper() -> ScenarioResult {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients/reaper.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the reaper")?;
    *REAPER.lock().unwrap_or_else(PoisonError::into_inner) = child.stdin.take();
    thread::spawn(move || child.wait());
    Ok(())
}

/// Tells the reaper of a process group that began or ended.
fn tell_reaper(sign: char, pid: Pid) {
    if let Some(pipe) = &mut *REAPER.lock().unwrap_or_else(PoisonError::into_inner) {
        // Without a reaper the suite still ends what it started, as long as it is not killed.
        let _ = writeln!(pipe, "{sign}{}", pid.as_raw_nonzero());
    }
}

/// Kills every child that is still there: scenarios that ran out of time leave some, and so does Ctrl-C.
pub(crate) fn kill_all() {
    for pid in LIVE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(pid) = Pid::from_raw(*pid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What a finished child left.
pub(crate) struct ProcessOutput {
    /// The exit code, or 128 and the signal's number, as a shell counts.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

impl ProcessOutput {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    ended: bool,
}

/// One output stream of a child, filled by a thread of its own.
#[derive(Clone, Default)]
pub(crate) struct OutputCapture(Arc<(Mutex<Captured>, Condvar)>);

impl OutputCapture {
    fn fill(&self, mut source: impl Read + Send + 'static) {
        let capture = self.clone();
        thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            loop {
                let count = source.read(&mut chunk).unwrap_or(0);
                let (lock, changed) = &*capture.0;
                let mut captured = lock.lock().unwrap_or_else(PoisonError::into_inner);
                if count == 0 {
                    captured.ended = true;
                } else if captured.bytes.len() < CAPTURE_BYTES {
                    captured.bytes.extend_from_slice(&chunk[..count]);
                }
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
    }

    /// Waits until `found` makes something of the text so far; `None` at the deadline or when the stream ends without.
    pub(crate) fn wait_for<T>(
        &self,
        within: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + within;
        let (lock, changed) = &*self.0;
        let mut captured = lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = found(&String::from_utf8_lossy(&captured.bytes)) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if captured.ended || left.is_zero() {
                return None;
            }
            captured = changed
                .wait_timeout(captured, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Everything captured so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes
            .clone()
    }

    /// Takes what was captured so far: what comes is captured from here on.
    pub(crate) fn take(&self) -> String {
        let mut captured = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut captured.bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything captured so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn wait_for_end(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let (lock, changed) = &*self.0;
        let mut captured = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !captured.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            captured = changed
                .wait_timeout(captured, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A running child.
pub(crate) struct Process {
    /// Its process id, which is its process group's too.
    pub(crate) pid: Pid,
    /// Standard output so far.
    pub(crate) stdout: OutputCapture,
    /// Standard error so far.
    pub(crate) stderr: OutputCapture,
    what: String,
    stdin: Option<ChildStdin>,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    started: Instant,
}

impl Process {
    /// Starts `command` with all three standard streams piped; `what` names it in messages.
    pub(crate) fn start(command: Command, what: &str) -> ScenarioResult<Self> {
        let process = Self::start_guard(command, what)?;
        LIVE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(process.pid.as_raw_nonzero().get());
        tell_reaper('+', process.pid);
        Ok(process)
    }

    /// The same for a child that [`kill_all`] must spare, because it cleans up when its standard input ends.
    pub(crate) fn start_guard(mut command: Command, what: &str) -> ScenarioResult<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().context(&format!("start {what}"))?;
        let pid = Pid::from_child(&child);
        let (stdout, stderr) = (OutputCapture::default(), OutputCapture::default());
        let stdin = child.stdin.take();
        if let Some(pipe) = child.stdout.take() {
            stdout.fill(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            stderr.fill(pipe);
        }
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            // Before its number is free again: what the child has left in its group.
            let end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(pid), end).is_ok() {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let status = child.wait();
            tell_reaper('-', pid);
            LIVE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&pid.as_raw_nonzero().get());
            if let Ok(status) = status {
                // Nobody listens any more when the process was dropped: then nobody needs to know.
                let _ = tell.send(status);
            }
        });
        let started = Instant::now();
        Ok(Self {
            pid,
            stdout,
            stderr,
            what: what.into(),
            stdin,
            ended,
            status: None,
            started,
        })
    }

    /// Writes to the child's standard input; a child that has closed it is not an error.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Ends the child's standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends `signal` to the child and what it started.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.poll();
        if self.status.is_none() {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Whether the child is still there.
    pub(crate) fn running(&mut self) -> bool {
        self.poll();
        self.status.is_none()
    }

    /// Waits for the end; at the deadline the child is killed and what it printed becomes the error.
    pub(crate) fn finish(&mut self, within: Duration) -> ScenarioResult<ProcessOutput> {
        self.stdin = None;
        if self.status.is_none() {
            match self.ended.recv_timeout(within) {
                Ok(status) => self.status = Some(status),
                Err(RecvTimeoutError::Timeout) => {
                    let _ = kill_process_group(self.pid, Signal::KILL);
                    return Err(format!(
                        "{} did not end within {within:?}\n{}",
                        self.what,
                        self.transcript()
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("cannot wait for {}", self.what));
                }
            }
        }
        let elapsed = self.started.elapsed();
        self.stdout.wait_for_end(OUTPUT_GRACE);
        self.stderr.wait_for_end(OUTPUT_GRACE);
        let status = self.status.ok_or("a finished process must have a status")?;
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(ProcessOutput {
            code,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
            elapsed,
        })
    }

    /// What the child has printed, for messages.
    pub(crate) fn transcript(&self) -> String {
        format!(
            "--- stdout\n{}\n--- stderr\n{}",
            tail(&self.stdout.text()),
            tail(&self.stderr.text())
        )
    }

    fn poll(&mut self) {
        if self.status.is_none() {
            self.status = self.ended.try_recv().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        if LIVE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&self.pid.as_raw_nonzero().get())
        {
            self.signal(Signal::KILL);
        }
    }
}

/// The end of a text, short enough for a message.
pub(crate) fn tail(text: &str) -> &str {
    let cut = text.len().saturating_sub(4000);
    text.get(
        (cut..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0)..,
    )
    .unwrap_or(text)
}

//! Started processes, and the promise that none outlives the run.
//!
//! Each child is the head of its own process group and asks the kernel for SIGTERM when the bench dies ([`guard`]).
//! [`end_all`] serves Ctrl-C and the overall deadline; dropping a [`Child`] serves everything else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// How long a peer may take to end by itself.
const GRACE: Duration = Duration::from_millis(300);

/// A running peer, engine or tunnel.
pub(crate) struct Child {
    inner: std::process::Child,
}

impl Child {
    /// Starts `program` under the guard, with both outputs appended to `log`.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: &Path,
        arguments: &[S],
        log: &Path,
    ) -> Result<Self, String> {
        let own = std::env::current_exe()
            .map_err(|e| format!("cannot find the bench's own binary: {e}"))?;
        let mut command = Command::new(own);
        command.arg("guard").arg(program).args(arguments);
        Self::spawn(command, program, log)
    }

    /// Starts `program` itself, for measuring how long that takes; it lives for milliseconds.
    pub(crate) fn start_bare<S: AsRef<OsStr>>(
        program: &Path,
        arguments: &[S],
        log: &Path,
    ) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command, program, log)
    }

    fn spawn(mut command: Command, program: &Path, log: &Path) -> Result<Self, String> {
        let fault = |e: std::io::Error| format!("cannot start {}: {e}", program.display());
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(fault)?;
        let err = out.try_clone().map_err(fault)?;
        let inner = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(fault)?;
        LIVE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(inner.id());
        Ok(Self { inner })
    }

    /// Process id, which is also its group's.
    pub(crate) fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.inner.try_wait(), Ok(None))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        signal(self.id(), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < GRACE && !self.ended() {
            // A child has no event to wait for without an async runtime; two milliseconds at the end of a case cost nothing.
            std::thread::sleep(Duration::from_millis(2));
        }
        signal(self.id(), Signal::KILL);
        let _ = self.inner.wait();
        LIVE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.inner.id());
    }
}

fn signal(group: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // ESRCH means that the group is gone, which is what is wanted.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Kills every group that is still alive.
pub(crate) fn end_all() {
    for group in LIVE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        signal(*group, Signal::KILL);
    }
}

/// Becomes `program` after asking for SIGTERM at the parent's death. Returns only with the reason why it could not.
pub(crate) fn guard(program: &OsStr, arguments: &[OsString]) -> String {
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return format!("cannot ask for the parent's death signal: {e}");
    }
    let error = Command::new(program).args(arguments).exec();
    format!("cannot start {}: {error}", Path::new(program).display())
}

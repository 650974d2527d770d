//! The gate as a process of its own, where signals, limits or memory are at stake.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::gate::flags;
use super::{Client, DEADLINE};

pub(crate) struct GateProcess {
    pub(crate) addr: SocketAddr,
    pub(crate) socket: PathBuf,
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    _dir: TempDir,
}

impl GateProcess {
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::limited(extra, None)
    }

    /// With at most `files` file descriptors.
    pub(crate) fn limited(extra: &[&str], files: Option<u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limit = files.map_or(String::new(), |n| format!("ulimit -n {n}; "));
        let mut child = Command::new("sh")
            .arg0("gate")
            .args([
                "-c",
                &format!("{limit}exec \"$@\""),
                "sh",
                env!("CARGO_BIN_EXE_dockgate"),
                "serve",
            ])
            .args(flags(dir.path(), extra))
            .args(["--log-format", "json"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (lines, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut gate = Self {
            addr: ([127, 0, 0, 1], 0).into(),
            socket: dir.path().join("docker.sock"),
            child,
            log,
            seen: Vec::new(),
            _dir: dir,
        };
        let line = gate.logged("Listening");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        gate.addr = line["addr"].as_str().expect("an address").parse().unwrap();
        gate
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Waits for a log line that contains `what`.
    #[track_caller]
    pub(crate) fn logged(&mut self, what: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self
                .log
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line.contains(what) => return line,
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no {what:?} in the log:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process, and says how long that took: its log ends when it does.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            match self.log.recv_timeout(2 * DEADLINE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the gate does not end:\n{}", self.seen.join("\n"))
                }
            }
        }
        (self.child.wait().unwrap(), start.elapsed())
    }

    /// A counter of /proc/PID/status, in KiB.
    pub(crate) fn memory(&self, counter: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|l| l.starts_with(counter))
            .expect("a counter of /proc/PID/status");
        line.split_ascii_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("KiB")
    }
}

impl Drop for GateProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The gate as a process of its own, and its log.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::programs::dockgate;
use crate::{DEADLINE, words};

/// The lines a process logs, each with the moment it came. A line that is not JSON is a JSON string.
#[derive(Default)]
pub struct ProcessLog {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<(Instant, Value)>,
    ended: bool,
}

impl ProcessLog {
    /// Follows the log of a process.
    pub fn follow(stream: impl Read + Send + 'static) -> Arc<Self> {
        let log = Arc::<Self>::default();
        let shared = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                shared.lines().all.push((Instant::now(), value));
                shared.more.notify_all();
            }
            shared.lines().ended = true;
            shared.more.notify_all();
        });
        log
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines there are: what comes later is new.
    pub fn mark(&self) -> usize {
        self.lines().all.len()
    }

    /// Waits until `count` lines after `mark` are as wanted: they, and when they came.
    #[track_caller]
    pub fn wait(
        &self,
        mark: usize,
        count: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<(Instant, Value)> {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.lines();
        loop {
            let found = lines.all[mark..].iter().filter(|(_, line)| wanted(line));
            let found: Vec<_> = found.cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !lines.ended,
                "no such lines after {mark} in {:#?}",
                lines.all
            );
            let woken = self.more.wait_timeout(lines, left);
            lines = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line after `mark`, and says when it came.
    #[track_caller]
    pub fn after(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> (Instant, Value) {
        self.wait(mark, 1, wanted).swap_remove(0)
    }

    /// Waits for a line with that message after `mark`.
    #[track_caller]
    pub fn said(&self, mark: usize, message: &str) -> Value {
        self.after(mark, |line| line["message"] == message).1
    }

    /// The lines after `mark` so far that are like that.
    pub fn matching(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let lines = self.lines();
        let found = lines.all[mark..].iter().filter(|(_, line)| wanted(line));
        found.map(|(_, line)| line.clone()).collect()
    }

    /// Waits until the process has closed its log.
    #[track_caller]
    fn end(&self) {
        let deadline = Instant::now() + 2 * DEADLINE;
        let mut lines = self.lines();
        while !lines.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the gate does not end: {:#?}", lines.all);
            let woken = self.more.wait_timeout(lines, left);
            lines = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running gate. Dropping it kills it.
pub struct GateProcess {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it has logged.
    pub log: Arc<ProcessLog>,
    /// The process.
    pub child: Child,
}

impl GateProcess {
    /// Runs a command that serves, with its log as JSON, and waits until it listens. Standard output is the caller's to direct.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let mut gate = Self::starting(command);
        let line = gate.log.said(0, "Listening");
        let addr = line["addr"].as_str().and_then(|addr| addr.parse().ok());
        gate.addr = addr.expect("an address");
        gate
    }

    /// The same, without waiting.
    #[track_caller]
    pub fn starting(command: &mut Command) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the gate");
        let log = ProcessLog::follow(child.stderr.take().expect("a pipe"));
        Self {
            addr: ([127, 0, 0, 1], 0).into(),
            log,
            child,
        }
    }

    /// `dockgate serve` with at most `files` file descriptors.
    pub fn with_files(files: u32) -> Command {
        let binary = dockgate();
        let mut command = Command::new("sh");
        command
            .arg0("gate")
            .args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"])
            .arg(binary.get_program())
            .arg("serve")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("send the signal");
    }

    /// Waits for the process, and says how long that took.
    #[track_caller]
    pub fn ended(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.log.end();
        let status = self.child.wait().expect("the exit status");
        (status, start.elapsed())
    }

    /// A counter of /proc/PID/status, in KiB.
    #[track_caller]
    pub fn memory(&self, counter: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("its status");
        let line = status.lines().find(|line| line.starts_with(counter));
        let words = line.expect("a counter").split_ascii_whitespace();
        words
            .skip(1)
            .find_map(|n| n.parse().ok())
            .expect("a number of KiB")
    }

    /// The processor time it has used, as `/proc/PID/stat` counts it: in hundredths of a second.
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("its counters");
        // The name of the program, in parentheses, may have spaces.
        let (_, rest) = stat.rsplit_once(") ").expect("a name");
        let ticks = rest.split(' ').skip(11).take(2);
        let ticks = ticks.map(|n| n.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }
}

impl Drop for GateProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.log.lines();
        if std::thread::panicking() {
            eprintln!("{:#?}", lines.all);
            return;
        }
        // Whatever a test does to a gate, its log is for people.
        for (_, line) in &lines.all {
            words::assert_plain("the gate's log", &line.to_string());
        }
    }
}

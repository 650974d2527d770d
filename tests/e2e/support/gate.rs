//! The gate under test: the binary itself, on a port of its own choosing, in front of an engine's socket.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::pki::SuitePki;
use super::process::{Process, ProcessOutput, tail};
use super::{OrSay, ScenarioResult, ensure};

/// How long the gate may take to say that it listens.
const START: Duration = Duration::from_secs(20);

/// How long `dockgate certs` may take; a large RSA key is looked for by chance.
const CERTS: Duration = Duration::from_secs(60);

/// Runs `dockgate certs` on the files in `directory`.
pub(crate) fn certs(directory: &Path, arguments: &[&str]) -> ScenarioResult {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command
        .arg("certs")
        .args(arguments)
        .arg("--dir")
        .arg(directory);
    let output = Process::start(command, "dockgate certs")?.finish(CERTS)?;
    ensure!(
        output.code == 0,
        "dockgate certs {arguments:?}: {}",
        output.stderr
    );
    Ok(())
}

/// A running gate.
pub(crate) struct Gate {
    /// Where it listens, as its log says.
    pub(crate) addr: SocketAddr,
    process: Mutex<Process>,
}

/// The program, without the developer's own settings, which must not leak into what is tested.
pub(crate) fn dockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKGATE_") {
            command.env_remove(name);
        }
    }
    command
}

impl Gate {
    /// Starts `dockgate serve` in front of `socket` with `extra` arguments and waits for its "Listening" line.
    pub(crate) fn start(pki: &SuitePki, socket: &Path, extra: &[&str]) -> ScenarioResult<Self> {
        Self::start_with(&pki.ca, &pki.server_cert, &pki.server_key, socket, extra)
    }

    /// The same with other certificate files.
    pub(crate) fn start_with(
        ca: &Path,
        cert: &Path,
        key: &Path,
        socket: &Path,
        extra: &[&str],
    ) -> ScenarioResult<Self> {
        let files = [("--tlscacert", ca), ("--tlscert", cert), ("--tlskey", key)];
        Self::start_by(&files, socket, extra)
    }

    /// The same with certificates that some options name.
    pub(crate) fn start_by(
        files: &[(&str, &Path)],
        socket: &Path,
        extra: &[&str],
    ) -> ScenarioResult<Self> {
        Self::start_under(dockgate(), files, socket, extra)
    }

    /// The same with a command of the caller's, which has an environment.
    pub(crate) fn start_under(
        mut command: Command,
        files: &[(&str, &Path)],
        socket: &Path,
        extra: &[&str],
    ) -> ScenarioResult<Self> {
        command.args(["serve", "-H", "tcp://127.0.0.1:0", "--metrics", "off"]);
        if !extra.contains(&"--control-socket") {
            command.args(["--control-socket", "off"]);
        }
        command.args(["--log-format", "json", "--log-level", "debug"]);
        for (option, path) in files {
            command.arg(option).arg(path);
        }
        command
            .arg("--upstream")
            .arg(format!("unix://{}", socket.display()))
            .args(extra);
        let process = Process::start(command, "the gate")?;
        match process
            .stderr
            .wait_for(START, listening)
            .or_else(|| listening(&process.stdout.text()))
        {
            Some(addr) => Ok(Self {
                addr,
                process: Mutex::new(process),
            }),
            None => Err(format!(
                "the gate did not say that it listens\n{}",
                process.transcript()
            )),
        }
    }

    /// Its resident memory now, and the most it has had since [`Gate::reset_peak`], in KiB.
    pub(crate) fn memory(&self) -> ScenarioResult<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .context("read the gate's status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
                .ok_or(format!("/proc/PID/status must have {name}"))
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Makes the present resident memory the peak (proc(5), clear_refs).
    pub(crate) fn reset_peak(&self) -> ScenarioResult {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")
            .context("reset the gate's memory peak")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.lock().signal(signal);
    }

    /// Whether it is still there.
    pub(crate) fn running(&self) -> bool {
        self.lock().running()
    }

    /// Waits for its end.
    pub(crate) fn finish(&self, within: Duration) -> ScenarioResult<ProcessOutput> {
        self.lock().finish(within)
    }

    /// Everything it has logged since the log was last dropped.
    pub(crate) fn log(&self) -> String {
        self.lock().stderr.text()
    }

    /// Drops what it has logged, so that a log of any length leaves room for what comes. Fails when it holds a panic.
    pub(crate) fn forget_log(&self) -> ScenarioResult {
        let text = self.lock().stderr.take();
        match text.lines().find(|line| line.contains("panicked")) {
            Some(line) => Err(format!("the gate panicked: {line}")),
            None => Ok(()),
        }
    }

    /// Waits for a log line that `found` accepts.
    pub(crate) fn wait_for_log(
        &self,
        within: Duration,
        found: impl Fn(&str) -> bool,
    ) -> ScenarioResult<String> {
        let capture = self.lock().stderr.clone();
        let line = capture.wait_for(within, |text| {
            text.lines().find(|line| found(line)).map(String::from)
        });
        line.ok_or_else(|| {
            format!(
                "the gate did not log the expected line within {within:?}\n{}",
                tail(&capture.text())
            )
        })
    }

    /// Fails when it has ended, saying how.
    pub(crate) fn check_alive(&self) -> ScenarioResult {
        if self.running() {
            return Ok(());
        }
        let output = self.finish(Duration::from_secs(1))?;
        Err(format!(
            "the gate ended by itself with {}\n{}",
            output.code,
            tail(&output.stderr)
        ))
    }

    /// Fails when the log holds a panic or a line of level error.
    pub(crate) fn check_log(&self) -> ScenarioResult {
        let log = self.log();
        let is_bad = |line: &&str| {
            line.contains("panicked") || line.to_lowercase().contains(r#""level":"error""#)
        };
        let bad = log.lines().find(is_bad);
        ensure!(
            bad.is_none(),
            "the gate logged an error: {}",
            bad.unwrap_or_default()
        );
        Ok(())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.lock().pid.as_raw_nonzero().get()
    }

    fn lock(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of the first "Listening" line; its fields may lie at the top level or under `fields`.
fn listening(log: &str) -> Option<SocketAddr> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| {
            let field = |name: &str| {
                line.get(name)
                    .or_else(|| line.get("fields")?.get(name))
                    .and_then(Value::as_str)
            };
            if field("message")?.eq_ignore_ascii_case("listening") {
                field("addr")?.parse().ok()
            } else {
                None
            }
        })
}

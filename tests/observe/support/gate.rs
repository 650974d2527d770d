//! The gate's own binary, with everything of it in one directory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use dockgate::observe::control::Status;
use serde_json::Value;

use super::client::{Client, unix};
use super::engine::Engine;
use super::eventually;
use super::pki::{Credential, Pki};

/// A running gate.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) control: PathBuf,
    pub(crate) pki: Pki,
    pub(crate) log: Arc<Mutex<Vec<Value>>>,
    pub(crate) child: Child,
    /// With everything the gate is made of.
    pub(crate) dir: tempfile::TempDir,
}

/// Where the engine's socket is in the gate's directory.
pub(crate) fn engine_socket(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("docker.sock")
}

/// A gate in front of an engine.
pub(crate) fn with_engine(options: &[&str]) -> (Gate, Engine) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::start(&engine_socket(&dir));
    (Gate::start(dir, options), engine)
}

/// The binary in a clean environment.
pub(crate) fn dockgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command.env_clear().stdin(Stdio::null());
    command
}

impl Gate {
    /// The command that starts one in `dir`.
    pub(crate) fn command(dir: &tempfile::TempDir, options: &[&str]) -> Command {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut command = dockgate();
        command
            .args(["--host", "tcp://127.0.0.1:0", "--log-format", "json"])
            .args(["--log-level", "debug", "--workers", "2"])
            .args(["--tlscacert", &path("ca.pem")])
            .args(["--tlscert", &path("server-cert.pem")])
            .args(["--tlskey", &path("server-key.pem")])
            .args([
                "--upstream",
                &format!("unix://{}", engine_socket(dir).display()),
            ]);
        if !options.contains(&"--control-socket") {
            command.args(["--control-socket", &path("control.sock")]);
        }
        if !options.contains(&"--metrics") {
            command.args(["--metrics", "127.0.0.1:0"]);
        }
        command
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts one in `dir`, which may hold an engine already.
    pub(crate) fn start(dir: tempfile::TempDir, options: &[&str]) -> Self {
        let pki = Pki::create(dir.path());
        let command = Self::command(&dir, options);
        Self::run(command, pki, dir)
    }

    /// Runs a prepared command.
    pub(crate) fn run(mut command: Command, pki: Pki, dir: tempfile::TempDir) -> Self {
        let mut child = command.spawn().expect("the gate starts");
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let shared = log.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                shared.lock().expect("not poisoned").push(value);
            }
        });
        let mut gate = Self {
            address: ([127, 0, 0, 1], 0).into(),
            control: dir.path().join("control.sock"),
            pki,
            log,
            child,
            dir,
        };
        let line = gate.logged(|line| line["message"] == "Listening");
        gate.address = line["addr"]
            .as_str()
            .expect("an address")
            .parse()
            .expect("parsed");
        gate
    }

    /// Waits for a line of the log.
    pub(crate) fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| {
            let log = self.log.lock().expect("not poisoned");
            let found = log.iter().find(|line| wanted(line));
            found.cloned().ok_or_else(|| format!("{log:#?}"))
        })
    }

    /// How many lines of the log so far are like that.
    pub(crate) fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        let log = self.log.lock().expect("not poisoned");
        log.iter().filter(|line| wanted(line)).count()
    }

    /// `GET /status` of the control socket.
    pub(crate) fn status(&self) -> Status {
        let request = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = unix(&self.control, request);
        serde_json::from_str(&answer.body).expect("a status")
    }

    /// The address of the metrics listener.
    pub(crate) fn metrics(&self) -> SocketAddr {
        let status = self.status();
        status.metrics.expect("on").parse().expect("an address")
    }

    /// A connection of a client.
    pub(crate) fn connect(&self, who: &Credential) -> Client {
        self.try_connect(who).expect("let in")
    }

    /// The same, where it may fail.
    pub(crate) fn try_connect(&self, who: &Credential) -> std::io::Result<Client> {
        Client::connect(self.address, &self.pki.ca_der, Some(who))
    }

    /// Runs one of the control commands against it.
    pub(crate) fn command_line(&self, arguments: &[&str]) -> Output {
        dockgate()
            .args(arguments)
            .arg("--control-socket")
            .arg(&self.control)
            .output()
            .expect("runs")
    }

    /// `dockgate ps --json`.
    pub(crate) fn ps(&self) -> Vec<dockgate::observe::control::Connection> {
        let output = self.command_line(&["ps", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let all: dockgate::observe::control::Connections =
            serde_json::from_slice(&output.stdout).expect("JSON");
        all.connections
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("sent");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{:#?}", self.log.lock());
        }
    }
}

/// Both streams of a command.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

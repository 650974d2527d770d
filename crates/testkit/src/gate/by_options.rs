//! The gate as a process with its options on the command line, everything of it in one directory.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use dockgate::observe::control::{Connection, Connections, GateStatus};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::unix;
use crate::daemon::Daemon;
use crate::process::GateProcess;
use crate::programs::dockgate;
use crate::{Credential, Pki, TlsClient};

/// A running gate.
pub struct ByOptions {
    process: GateProcess,
    /// Its control socket.
    pub control: PathBuf,
    /// Its CA.
    pub pki: Pki,
    /// With everything the gate is made of.
    pub dir: TempDir,
}

impl Deref for ByOptions {
    type Target = GateProcess;

    fn deref(&self) -> &GateProcess {
        &self.process
    }
}

/// Where the engine's socket is in the gate's directory.
pub fn engine_socket(dir: &TempDir) -> PathBuf {
    dir.path().join("docker.sock")
}

/// A gate in front of an engine.
pub fn with_engine(options: &[&str]) -> (ByOptions, Daemon) {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let engine = Daemon::start(&engine_socket(&dir));
    (ByOptions::start(dir, options), engine)
}

impl DerefMut for ByOptions {
    fn deref_mut(&mut self) -> &mut GateProcess {
        &mut self.process
    }
}

impl ByOptions {
    /// The command that starts one in `dir`.
    pub fn command(dir: &TempDir, options: &[&str]) -> Command {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut command = dockgate();
        command
            .args(["serve", "--host", "tcp://127.0.0.1:0"])
            .args(["--log-format", "json", "--log-level", "debug"])
            .args(["--workers", "2"])
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
    #[track_caller]
    pub fn start(dir: TempDir, options: &[&str]) -> Self {
        let pki = Pki::create(dir.path());
        let command = Self::command(&dir, options);
        Self::run(command, pki, dir)
    }

    /// Runs a prepared command.
    #[track_caller]
    pub fn run(mut command: Command, pki: Pki, dir: TempDir) -> Self {
        Self {
            process: GateProcess::spawn(&mut command),
            control: dir.path().join("control.sock"),
            pki,
            dir,
        }
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.log.after(0, wanted).1
    }

    /// How many lines of the log so far are like that.
    pub fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.log.matching(0, wanted).len()
    }

    /// `GET /status` of the control socket.
    #[track_caller]
    pub fn status(&self) -> GateStatus {
        let request = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = unix(&self.control, request);
        serde_json::from_slice(&answer.body).expect("a status")
    }

    /// The address of the metrics listener.
    #[track_caller]
    pub fn metrics(&self) -> SocketAddr {
        let address = self.status().metrics.expect("metrics are on");
        address.parse().expect("an address")
    }

    /// A connection of a client.
    #[track_caller]
    pub fn connect(&self, who: &Credential) -> TlsClient {
        self.try_connect(Some(who)).expect("let in")
    }

    /// The same, where it may fail, also without a certificate.
    ///
    /// # Errors
    /// As of [`TlsClient::connect`].
    pub fn try_connect(&self, who: Option<&Credential>) -> std::io::Result<TlsClient> {
        TlsClient::connect(self.addr, self.pki.config(who))
    }

    /// Runs one of the control commands against it.
    #[track_caller]
    pub fn command_line(&self, arguments: &[&str]) -> Output {
        dockgate()
            .args(arguments)
            .arg("--control-socket")
            .arg(&self.control)
            .output()
            .expect("start dockgate")
    }

    /// `dockgate ps --json`.
    #[track_caller]
    pub fn ps(&self) -> Vec<Connection> {
        let output = self.command_line(&["ps", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let all: Connections = serde_json::from_slice(&output.stdout).expect("JSON");
        all.connections
    }
}

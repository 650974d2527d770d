//! The gate as a process with a configuration file, a CA made by `dockgate certs`, and an engine.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Refused;
use crate::daemon::Daemon;
use crate::pki::client_config;
use crate::process::GateProcess;
use crate::programs::{dockgate, finished};
use crate::{Credential, Pki, TlsClient};

/// Files in a directory, before the gate runs.
pub struct Files {
    /// The CA, with its files in `ca/`.
    pub pki: Pki,
    /// With `live/{ca,server-cert,server-key}.pem`, `ca/` and the engine's socket.
    pub dir: TempDir,
    engine: Daemon,
}

/// A running gate.
pub struct ByFile {
    process: GateProcess,
    /// The CA.
    pub pki: Pki,
    /// As of [`Files::dir`].
    pub dir: TempDir,
    engine: Daemon,
}

impl Deref for ByFile {
    type Target = GateProcess;

    fn deref(&self) -> &GateProcess {
        &self.process
    }
}

/// Writes a file beside and renames it, as the guide says.
#[track_caller]
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, contents).expect("write beside");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("mode 0600");
    fs::rename(&beside, path).expect("rename");
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Files {
    /// A CA, a server certificate and an engine.
    #[track_caller]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let pki = Pki::by_dockgate(&dir.path().join("ca"), "first CA");
        let engine = Daemon::start(&dir.path().join("docker.sock"));
        let files = Self { pki, dir, engine };
        fs::create_dir(files.path("live")).expect("create live/");
        for file in ["ca.pem", "server-cert.pem", "server-key.pem"] {
            replace(&files.path("live").join(file), files.pki.text(file));
        }
        files
    }

    /// A file of the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration: what every test's gate has, then `settings`.
    #[track_caller]
    pub fn configure(dir: &Path, settings: &str) {
        let own = |key: &str| settings.lines().any(|line| line.starts_with(key));
        let mut text = String::new();
        for (key, value) in [
            ("hosts", "[\"tcp://127.0.0.1:0\"]"),
            (
                "upstream",
                &format!("\"unix://{}/docker.sock\"", dir.display()),
            ),
            ("control-socket", "\"off\""),
            ("workers", "2"),
            ("log-format", "\"json\""),
        ] {
            if !own(&format!("{key} =")) {
                text += &format!("{key} = {value}\n");
            }
        }
        if !own("tlscacert") && !own("auto-certs") {
            text += "tlscacert = \"live/ca.pem\"\ntlscert = \"live/server-cert.pem\"\ntlskey = \"live/server-key.pem\"\n";
        }
        if !own("reload-interval") {
            text += "reload-interval = \"off\"\n";
        }
        replace(&dir.join("dockgate.toml"), text + settings);
    }

    /// Runs the gate.
    #[track_caller]
    pub fn start(self, settings: &str) -> ByFile {
        Self::configure(self.dir.path(), settings);
        ByFile {
            process: GateProcess::spawn(&mut command(self.dir.path())),
            pki: self.pki,
            dir: self.dir,
            engine: self.engine,
        }
    }

    /// Runs a gate that must refuse to start: what it says.
    #[track_caller]
    pub fn fails(self, settings: &str) -> String {
        Self::configure(self.dir.path(), settings);
        let mut command = command(self.dir.path());
        let output = finished(command.stderr(Stdio::piped()));
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn command(dir: &Path) -> Command {
    let mut command = dockgate();
    command
        .args(["serve", "--config-file"])
        .arg(dir.join("dockgate.toml"))
        .stdout(Stdio::null());
    command
}

impl ByFile {
    /// A file of the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Daemon {
        &self.engine
    }

    /// Replaces a file of the test's directory.
    #[track_caller]
    pub fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        replace(&self.path(name), contents);
    }

    /// Writes its configuration again.
    #[track_caller]
    pub fn configure(&self, settings: &str) {
        Files::configure(self.dir.path(), settings);
    }

    /// As of [`crate::process::ProcessLog::mark`].
    pub fn mark(&self) -> usize {
        self.log.mark()
    }

    /// As of [`crate::process::ProcessLog::wait`].
    #[track_caller]
    pub fn wait(
        &self,
        mark: usize,
        count: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<(Instant, Value)> {
        self.log.wait(mark, count, wanted)
    }

    /// As of [`crate::process::ProcessLog::after`].
    #[track_caller]
    pub fn logged(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> (Instant, Value) {
        self.log.after(mark, wanted)
    }

    /// As of [`crate::process::ProcessLog::said`].
    #[track_caller]
    pub fn said(&self, mark: usize, message: &str) -> Value {
        self.log.said(mark, message)
    }

    /// As of [`crate::process::ProcessLog::matching`].
    pub fn lines(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log.matching(mark, wanted)
    }

    /// Waits until `count` connections were cut after `mark`: the lines.
    #[track_caller]
    pub fn cut(&self, mark: usize, count: usize) -> Vec<Value> {
        let cut = self.wait(mark, count, |line| line["message"] == "Connection cut");
        cut.into_iter().map(|(_, line)| line).collect()
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGHUP, and waits until the gate says that it has reloaded: when that was, and the line.
    #[track_caller]
    pub fn reload(&self) -> (Instant, Value) {
        let mark = self.mark();
        self.hang_up();
        self.logged(mark, |line| line["message"] == "Reloaded")
    }

    /// SIGHUP that must fail: the fault.
    #[track_caller]
    pub fn reload_fails(&self) -> String {
        let mark = self.mark();
        self.hang_up();
        self.fault(mark)
    }

    /// Waits for the fault of a reload.
    #[track_caller]
    pub fn fault(&self, mark: usize) -> String {
        let line = self.said(mark, "Reload failed; the old configuration stays in force");
        assert_eq!(line["level"], "error", "{line}");
        line["error"].as_str().expect("a text").to_owned()
    }

    /// A connection of a client that trusts the first CA, over TLS 1.3.
    #[track_caller]
    pub fn connect(&self, who: &Credential) -> TlsClient {
        self.try_connect(Some(who), &TLS13).expect("let in")
    }

    /// The same, where it may be refused.
    ///
    /// # Errors
    /// How it was refused.
    pub fn try_connect(
        &self,
        who: Option<&Credential>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<TlsClient, Refused> {
        let roots = std::slice::from_ref(&self.pki.ca);
        TlsClient::admitted(self.addr, client_config(roots, who, &[version]))
    }

    /// A connection that must be refused, and leaves a line that names the client: alert and reason.
    #[track_caller]
    pub fn refuses(&self, who: &Credential) -> (u8, String) {
        let mark = self.mark();
        let Err(refused) = self.try_connect(Some(who), &TLS13) else {
            panic!("{} was let in", who.name);
        };
        let alert = refused.alert.expect("an alert");
        let line = self.said(mark, "Handshake refused");
        let error = line["error"].as_str().expect("a text");
        assert!(error.contains(&who.name), "{line} names {}", who.name);
        (alert, line["reason"].as_str().expect("a word").to_owned())
    }

    /// Kills it and starts it again.
    #[track_caller]
    pub fn restart(&mut self, settings: &str) {
        self.process.signal(Signal::KILL);
        self.process.ended();
        self.configure(settings);
        self.process = GateProcess::spawn(&mut command(self.dir.path()));
    }
}

//! The gate's binary with a configuration file, and its log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;
use super::client::{Client, Refused};
use super::engine::Engine;
use super::pki::{Credential, Pki};
use super::process::finished;

/// Files in a directory, before the gate runs.
pub(crate) struct Setup {
    pub(crate) pki: Pki,
    /// With `live/{ca,server-cert,server-key}.pem`, `ca/` of `dockgate certs`, and the engine's socket.
    pub(crate) dir: TempDir,
    engine: Engine,
}

/// A running gate.
pub(crate) struct Gate {
    pub(crate) addr: SocketAddr,
    pub(crate) pki: Pki,
    pub(crate) dir: TempDir,
    log: Arc<Log>,
    child: Child,
    _engine: Engine,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<(Instant, Value)>>,
    more: Condvar,
}

/// Writes beside and renames, as the guide says.
pub(crate) fn replace(path: &Path, contents: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, contents).expect("written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("0600");
    fs::rename(&beside, path).expect("renamed");
}

impl Setup {
    /// A CA, a server certificate and an engine.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let pki = Pki::create(&dir.path().join("ca"), "first CA");
        let engine = Engine::start(&dir.path().join("docker.sock"));
        let setup = Self { pki, dir, engine };
        fs::create_dir(setup.path("live")).expect("made");
        for file in ["ca.pem", "server-cert.pem", "server-key.pem"] {
            replace(&setup.path("live").join(file), setup.pki.text(file));
        }
        setup
    }

    /// A file of the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration: what every test's gate has, then `settings`.
    pub(crate) fn configure(dir: &Path, settings: &str) {
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
    pub(crate) fn start(self, settings: &str) -> Gate {
        Self::configure(self.dir.path(), settings);
        let (child, log) = spawn(self.dir.path());
        let mut gate = Gate {
            addr: ([127, 0, 0, 1], 0).into(),
            pki: self.pki,
            dir: self.dir,
            log,
            child,
            _engine: self.engine,
        };
        gate.addr = gate.listening();
        gate
    }

    /// Runs a gate that must refuse to start: what it says.
    pub(crate) fn fails(self, settings: &str) -> String {
        Self::configure(self.dir.path(), settings);
        let output = finished(&mut command(self.dir.path()));
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command
        .env_clear()
        .args(["serve", "--config-file"])
        .arg(dir.join("dockgate.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn spawn(dir: &Path) -> (Child, Arc<Log>) {
    let mut child = command(dir).spawn().expect("the gate starts");
    let lines = BufReader::new(child.stderr.take().expect("piped"));
    let log = Arc::<Log>::default();
    let shared = log.clone();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            let mut all = shared.lines.lock().expect("not poisoned");
            all.push((Instant::now(), value));
            shared.more.notify_all();
        }
    });
    (child, log)
}

impl Gate {
    /// A file of the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a file of the test's directory.
    pub(crate) fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        replace(&self.path(name), contents);
    }

    /// Writes its configuration anew.
    pub(crate) fn configure(&self, settings: &str) {
        Setup::configure(self.dir.path(), settings);
    }

    /// How many lines it has logged: what comes later is new.
    pub(crate) fn mark(&self) -> usize {
        self.log.lines.lock().expect("not poisoned").len()
    }

    /// Waits until `count` lines after `mark` are as wanted: they, and when they came.
    #[track_caller]
    pub(crate) fn wait(
        &self,
        mark: usize,
        count: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<(Instant, Value)> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().expect("not poisoned");
        loop {
            let found = lines[mark..].iter().filter(|(_, line)| wanted(line));
            let found: Vec<_> = found.cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no such lines after {mark} in {lines:#?}");
            let woken = self.log.more.wait_timeout(lines, left);
            lines = woken.expect("not poisoned").0;
        }
    }

    /// Waits for a line after `mark`, and says when it came.
    #[track_caller]
    pub(crate) fn logged(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> (Instant, Value) {
        self.wait(mark, 1, wanted).swap_remove(0)
    }

    /// Waits for a line with that message.
    #[track_caller]
    pub(crate) fn said(&self, mark: usize, message: &str) -> Value {
        self.logged(mark, |line| line["message"] == message).1
    }

    /// The lines after `mark` so far that are like that.
    pub(crate) fn lines(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let lines = self.log.lines.lock().expect("not poisoned");
        let found = lines[mark..].iter().filter(|(_, line)| wanted(line));
        found.map(|(_, line)| line.clone()).collect()
    }

    /// Waits until `count` connections were cut after `mark`: the lines.
    #[track_caller]
    pub(crate) fn cut(&self, mark: usize, count: usize) -> Vec<Value> {
        let cut = self.wait(mark, count, |line| line["message"] == "Connection cut");
        cut.into_iter().map(|(_, line)| line).collect()
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("sent");
    }

    /// SIGHUP, and waits until the gate says that it has reloaded: when that was, and the line.
    #[track_caller]
    pub(crate) fn reload(&self) -> (Instant, Value) {
        let mark = self.mark();
        self.hang_up();
        self.logged(mark, |line| line["message"] == "Reloaded")
    }

    /// SIGHUP that must fail: the fault.
    #[track_caller]
    pub(crate) fn reload_fails(&self) -> String {
        let mark = self.mark();
        self.hang_up();
        self.fault(mark)
    }

    /// Waits for the fault of a reload.
    #[track_caller]
    pub(crate) fn fault(&self, mark: usize) -> String {
        let line = self.said(mark, "Reload failed; the old configuration stays in force");
        assert_eq!(line["level"], "error", "{line}");
        line["error"].as_str().expect("a text").to_owned()
    }

    /// A connection of a client that trusts the first CA, over TLS 1.3.
    #[track_caller]
    pub(crate) fn connect(&self, who: &Credential) -> Client {
        self.try_connect(Some(who), &TLS13).expect("let in")
    }

    /// The same, where it may be refused.
    pub(crate) fn try_connect(
        &self,
        who: Option<&Credential>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<Client, Refused> {
        Client::connect(self.addr, std::slice::from_ref(&self.pki.ca), who, version)
    }

    /// A connection that must be refused, and leaves a line that names the client: alert and reason.
    #[track_caller]
    pub(crate) fn refuses(&self, who: &Credential) -> (u8, String) {
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
    pub(crate) fn restart(&mut self, settings: &str) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.configure(settings);
        (self.child, self.log) = spawn(self.dir.path());
        self.addr = self.listening();
    }

    fn listening(&self) -> SocketAddr {
        let line = self.said(0, "Listening");
        let addr = line["addr"].as_str().and_then(|addr| addr.parse().ok());
        addr.expect("an address")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

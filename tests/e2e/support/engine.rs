//! A private Docker Engine: own data, own socket, own containerd, no network set up, gone with the suite.
//!
//! `clients/engine-guard.sh` runs between the suite and dockerd. It holds the reading end of a pipe, and when the
//! suite ends, in whatever way, it stops the engine, its containers, its mounts and its directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::process::{Process, tail};
use super::tools::Tools;
use super::wire::{RawWire, lossy, unix};
use super::{OrSay, ScenarioResult, ensure};

/// The image that scenarios run: a static busybox with links for all its applets.
pub(crate) const IMAGE: &str = "dockgate-e2e-busybox";

/// How long dockerd may take to answer its first ping.
const START: Duration = Duration::from_secs(60);
/// How long the guard may take to stop everything.
const STOP: Duration = Duration::from_secs(30);

/// A Docker Engine that the scenarios may use.
pub(crate) struct RealEngine {
    /// The path of its unix socket.
    pub(crate) socket: PathBuf,
    /// Its version, such as `26.1.5`.
    pub(crate) version: String,
    guard: Mutex<Option<Process>>,
    directory: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
}

impl RealEngine {
    /// Starts an engine in `directory` (which must not hold anything else) and waits until it answers.
    pub(crate) fn start(tools: &Tools, directory: &Path) -> ScenarioResult<Self> {
        Self::start_with(tools, directory, Vec::new())
    }

    /// The same with further environment variables.
    pub(crate) fn start_with(
        tools: &Tools,
        directory: &Path,
        environment: Vec<(&'static str, String)>,
    ) -> ScenarioResult<Self> {
        Self::start_set(tools, directory, environment, "")
    }

    /// The same, of an engine that keeps its images in containerd.
    pub(crate) fn start_with_containerd_images(
        tools: &Tools,
        directory: &Path,
    ) -> ScenarioResult<Self> {
        let environment = vec![("DOCKGATE_E2E_STORAGE", "overlayfs".to_owned())];
        let setting = r#","features":{"containerd-snapshotter":true}"#;
        Self::start_set(tools, directory, environment, setting)
    }

    fn start_set(
        tools: &Tools,
        directory: &Path,
        environment: Vec<(&'static str, String)>,
        setting: &str,
    ) -> ScenarioResult<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "starting a Docker Engine needs root"
        );
        let dockerd = tools.get("DOCKERD")?;
        tools.get("CONTAINERD")?;
        fs::create_dir_all(directory).context("make the engine's directory")?;
        let settings = format!(
            r#"{{"bridge":"none","iptables":false,"ip6tables":false,"ip-forward":false,"shutdown-timeout":2{setting}}}"#
        );
        fs::write(directory.join("daemon.json"), settings)
            .context("write the engine's daemon.json")?;
        let mut engine = Self {
            socket: directory.join("docker.sock"),
            version: String::new(),
            guard: Mutex::new(None),
            directory: Some(directory.into()),
            environment,
        };
        let guard = engine.spawn(dockerd)?;
        engine.wait_until_ready(&guard)?;
        engine.version = engine.ask_version()?;
        *engine
            .guard
            .lock()
            .map_err(|_| "the engine's lock must not be poisoned")? = Some(guard);
        Ok(engine)
    }

    /// An engine that somebody else runs; only containers with the suite's own names are touched.
    pub(crate) fn existing(socket: PathBuf) -> ScenarioResult<Self> {
        let mut engine = Self {
            socket,
            version: String::new(),
            guard: Mutex::new(None),
            directory: None,
            environment: Vec::new(),
        };
        ensure!(
            engine.ping(),
            "no Docker Engine answers at {}",
            engine.socket.display()
        );
        engine.version = engine.ask_version()?;
        Ok(engine)
    }

    /// Whether the suite started it.
    pub(crate) fn is_own(&self) -> bool {
        self.directory.is_some()
    }

    /// The major version.
    pub(crate) fn major(&self) -> u32 {
        let major = self.version.split('.').next().unwrap_or_default();
        major.parse().unwrap_or(0)
    }

    fn ask_version(&self) -> ScenarioResult<String> {
        let mut wire = unix(&self.socket, Duration::from_secs(5))?;
        wire.send(b"GET /version HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n")?;
        let answer = lossy(&wire.read_to_end()?);
        let version = answer
            .split_once("\"Version\":\"")
            .and_then(|(_, rest)| rest.split('"').next());
        version
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
            .map(str::to_owned)
            .ok_or_else(|| format!("the engine says no version: {}", tail(&answer)))
    }

    /// Whether `/_ping` is answered with 200 now.
    pub(crate) fn ping(&self) -> bool {
        let answer = unix(&self.socket, Duration::from_secs(5)).and_then(|mut wire: RawWire| {
            wire.send(b"GET /_ping HTTP/1.1\r\nHost: e2e\r\nConnection: close\r\n\r\n")?;
            wire.read_to_end()
        });
        answer.is_ok_and(|bytes| bytes.starts_with(b"HTTP/1.1 200"))
    }

    /// Stops the engine with SIGTERM, as an upgrade does, and waits until its process has gone; its data stay.
    pub(crate) fn halt(&self) -> ScenarioResult {
        let mut slot = self
            .guard
            .lock()
            .map_err(|_| "the engine's lock must not be poisoned")?;
        let mut guard = slot
            .take()
            .ok_or("an engine that is not the suite's own is not stopped")?;
        guard.write(b"keep\n");
        guard.finish(STOP).map(|_| ())
    }

    /// Sends a signal to dockerd itself, past its guard.
    pub(crate) fn signal(&self, signal: Signal) -> ScenarioResult {
        let directory = self.directory.as_ref();
        let directory = directory.ok_or("an engine that is not the suite's own gets no signals")?;
        let pid = fs::read_to_string(directory.join("docker.pid")).context("read docker.pid")?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("docker.pid must hold a number")?, signal).context("signal dockerd")
    }

    /// Starts it again on the same data after [`RealEngine::halt`]; the socket is a new inode.
    pub(crate) fn resume(&self, tools: &Tools) -> ScenarioResult {
        let guard = self.spawn(tools.get("DOCKERD")?)?;
        self.wait_until_ready(&guard)?;
        *self
            .guard
            .lock()
            .map_err(|_| "the engine's lock must not be poisoned")? = Some(guard);
        Ok(())
    }

    /// Ends the engine and removes everything it made. Harmless when repeated.
    pub(crate) fn stop(&self) {
        if let Ok(mut slot) = self.guard.lock()
            && let Some(mut guard) = slot.take()
            && let Err(error) = guard.finish(STOP)
        {
            eprintln!("e2e: {error}");
        }
    }

    /// Makes the image [`IMAGE`] out of a static busybox.
    pub(crate) fn import_image(&self, tools: &Tools, scratch: &Path) -> ScenarioResult {
        let root = scratch.join("image");
        let script = format!(
            "set -e; mkdir -p {root}/bin {root}/etc {root}/tmp {root}/proc {root}/dev {root}/sys; cp {busybox} {root}/bin/busybox
             for applet in $({busybox} --list); do [ $applet = busybox ] || ln -sf busybox {root}/bin/$applet; done
             echo root:x:0:0:root:/:/bin/sh >{root}/etc/passwd
             tar -C {root} -c . | {docker} -H unix://{socket} import --change 'CMD [\"sh\"]' - {IMAGE}:latest",
            root = root.display(),
            busybox = tools.get("BUSYBOX")?.display(),
            docker = tools.get("DOCKER")?.display(),
            socket = self.socket.display(),
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        let output = Process::start(command, "docker import")?.finish(Duration::from_secs(60))?;
        ensure!(
            output.code == 0,
            "cannot import the image: {}",
            tail(&output.stderr)
        );
        Ok(())
    }

    fn spawn(&self, dockerd: &Path) -> ScenarioResult<Process> {
        let directory = self
            .directory
            .as_ref()
            .ok_or("only an engine of the suite's own can be started")?;
        let mut command = Command::new("sh");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients/engine-guard.sh"))
            .arg(dockerd)
            .arg(directory)
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        Process::start_guard(command, "the engine")
    }

    fn wait_until_ready(&self, guard: &Process) -> ScenarioResult {
        // dockerd says so in its log, once, when the API is served.
        let ready = guard
            .stderr
            .wait_for(START, |text| text.contains("API listen on").then_some(()));
        if ready.is_some() && self.ping() {
            return Ok(());
        }
        Err(format!(
            "dockerd did not become ready\n{}",
            tail(&guard.stderr.text())
        ))
    }
}

impl Drop for RealEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

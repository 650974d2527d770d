//! The gate in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dockgate::app::App;
use dockgate::cli::{self, Command};
use dockgate::config::{self, Config};
use dockgate::observe::registry::Registry;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Client, Engine, Pki};

/// Longest a whole test may take. Past it the process ends, with what every live connection was doing.
const WATCHDOG: Duration = Duration::from_secs(60);

pub(crate) struct Gate {
    pub(crate) addr: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) registry: Arc<Registry>,
    stop: Option<oneshot::Sender<()>>,
    hurry: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _done: Sender<()>,
    _dir: TempDir,
}

/// The flags that every test's gate has.
pub(crate) fn flags(dir: &Path, extra: &[&str]) -> Vec<String> {
    let socket = format!("unix://{}", dir.join("docker.sock").display());
    let mut flags = Pki::shared().write(dir);
    let fixed = [
        "-H",
        "tcp://127.0.0.1:0",
        "--upstream",
        &socket,
        "--control-socket",
        "off",
        "--reload-interval",
        "off",
    ];
    flags.extend(fixed.iter().chain(extra).map(|s| (*s).to_owned()));
    flags
}

fn configure(dir: &Path, extra: &[&str]) -> Config {
    let args = ["dockgate".to_owned(), "serve".to_owned()]
        .into_iter()
        .chain(flags(dir, extra));
    let Command::Serve(args) = cli::parse(args).unwrap().into_command() else {
        panic!("serve was asked for")
    };
    // Nothing of this machine's own configuration is read.
    let places = config::search::Places::below(dir, dir, None);
    config::load_within(&args, [], &places).unwrap()
}

impl Gate {
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::hooked(extra, None)
    }

    pub(crate) fn hooked(extra: &[&str], hook: Option<fn(&str)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut app = App::build(configure(dir.path(), extra)).unwrap();
        if let Some(hook) = hook {
            app.on_request(hook);
        }
        let addr = app.addresses()[0];
        let registry = app.registry();
        let (stop, stopped) = oneshot::channel();
        let (hurry, hurried) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let run = app.run(async { _ = stopped.await }, async { _ = hurried.await });
            runtime.block_on(run).unwrap();
        });
        let (done, ended) = channel();
        watch(registry.clone(), ended);
        Self {
            addr,
            socket: dir.path().join("docker.sock"),
            registry,
            stop: Some(stop),
            hurry: Some(hurry),
            thread: Some(thread),
            _done: done,
            _dir: dir,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Begins the drain.
    pub(crate) fn drain(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Ends the drain.
    pub(crate) fn hurry(&mut self) {
        self.hurry.take().map(|hurry| hurry.send(()));
    }

    /// Waits for the end, and says how long it took.
    pub(crate) fn ended(&mut self) -> Duration {
        let start = Instant::now();
        self.thread.take().map(JoinHandle::join);
        start.elapsed()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.drain();
        self.hurry();
        self.ended();
    }
}

fn watch(registry: Arc<Registry>, ended: Receiver<()>) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::spawn(move || {
        if ended.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test}: not finished within {WATCHDOG:?}");
            for entry in registry.snapshot().iter().take(20) {
                eprintln!(
                    "  connection {}: {:?}, {:?} bytes",
                    entry.id,
                    entry.activity(),
                    entry.meter.totals()
                );
            }
            std::process::exit(101);
        }
    });
}

/// A gate and its engine.
pub(crate) struct Wire {
    pub(crate) gate: Gate,
    pub(crate) engine: Engine,
}

impl Wire {
    pub(crate) fn start() -> Self {
        Self::with(&["--workers", "1"])
    }

    pub(crate) fn with(extra: &[&str]) -> Self {
        let gate = Gate::start(extra);
        let engine = Engine::listen(&gate.socket);
        Self { gate, engine }
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        self.gate.client()
    }
}

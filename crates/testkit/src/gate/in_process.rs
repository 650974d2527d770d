//! The gate in this process, on a port of its own, with certificates that all tests of the process share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dockgate::app::App;
use dockgate::cli::{self, Command};
use dockgate::config::{self, Config};
use dockgate::observe::registry::Registry;
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{Engine, Pki, TlsClient};

/// The longest a whole test may take. Past it the process ends, with what every live connection was doing.
const WATCHDOG: Duration = Duration::from_secs(60);

struct SharedPki {
    pki: Pki,
    client: Arc<ClientConfig>,
    _dir: TempDir,
}

fn shared() -> &'static SharedPki {
    static SHARED: OnceLock<SharedPki> = OnceLock::new();
    SHARED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let pki = Pki::named(dir.path(), "wire CA");
        let client = pki.config(Some(&pki.client("wire client", 1)));
        SharedPki {
            pki,
            client,
            _dir: dir,
        }
    })
}

/// The configuration of a client of this name and serial number, with a key of its own.
pub fn client_of(name: &str, serial: u64) -> Arc<ClientConfig> {
    let pki = &shared().pki;
    pki.config(Some(&pki.client(name, serial)))
}

/// The options that every gate of these tests has, with its engine's socket in `dir`.
pub fn options(dir: &Path, extra: &[&str]) -> Vec<String> {
    let socket = format!("unix://{}", dir.join("docker.sock").display());
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
    let mut options = shared().pki.options().to_vec();
    options.extend(fixed.iter().chain(extra).map(|s| (*s).to_owned()));
    options
}

fn configure(dir: &Path, extra: &[&str]) -> Config {
    let args = ["dockgate".to_owned(), "serve".to_owned()]
        .into_iter()
        .chain(options(dir, extra));
    let Command::Serve(args) = cli::parse(args).expect("options").into_command() else {
        panic!("serve was asked for")
    };
    // Nothing of this machine's own configuration is read.
    let places = config::search::Places::below(dir, dir, None);
    config::load_within(&args, [], &places).expect("a configuration")
}

/// A gate that runs in a thread of this process. Dropping it ends it.
pub struct InProcess {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it expects the engine.
    pub socket: PathBuf,
    /// Its live connections.
    pub registry: Arc<Registry>,
    stop: Option<oneshot::Sender<()>>,
    force: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _done: Sender<()>,
    _dir: TempDir,
}

impl InProcess {
    /// Starts one with these options.
    pub fn start(extra: &[&str]) -> Self {
        Self::hooked(extra, None)
    }

    /// The same; `hook` sees the path of each request.
    pub fn hooked(extra: &[&str], hook: Option<fn(&str)>) -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let mut app = App::build(configure(dir.path(), extra)).expect("a gate");
        if let Some(hook) = hook {
            app.on_request(hook);
        }
        let addr = app.addresses()[0];
        let registry = app.registry();
        let (stop, stopped) = oneshot::channel();
        let (force, forced) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let run = app.run(async { _ = stopped.await }, async { _ = forced.await });
            runtime.block_on(run).expect("the gate runs");
        });
        let (done, ended) = channel();
        watch(registry.clone(), ended);
        Self {
            addr,
            socket: dir.path().join("docker.sock"),
            registry,
            stop: Some(stop),
            force: Some(force),
            thread: Some(thread),
            _done: done,
            _dir: dir,
        }
    }

    /// A connection of the one client.
    #[track_caller]
    pub fn client(&self) -> TlsClient {
        self.try_client().expect("a connection and a handshake")
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// As of [`TlsClient::connect`].
    pub fn try_client(&self) -> std::io::Result<TlsClient> {
        connect(self.addr)
    }

    /// Begins the drain.
    pub fn drain(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Ends the drain.
    pub fn force_stop(&mut self) {
        self.force.take().map(|force| force.send(()));
    }

    /// Waits for the end, and says how long it took.
    pub fn ended(&mut self) -> Duration {
        let start = Instant::now();
        self.thread.take().map(JoinHandle::join);
        start.elapsed()
    }
}

/// A connection of the client whom every gate with [`options`] lets in.
///
/// # Errors
/// As of [`TlsClient::connect`].
pub fn connect(addr: SocketAddr) -> std::io::Result<TlsClient> {
    TlsClient::connect(addr, shared().client.clone())
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.drain();
        self.force_stop();
        self.ended();
    }
}

fn watch(registry: Arc<Registry>, ended: Receiver<()>) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::spawn(move || {
        if ended.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test}: not finished within {WATCHDOG:?}");
            for entry in registry.snapshot().iter().take(20) {
                let (activity, bytes) = (entry.activity(), entry.meter.totals());
                eprintln!("  connection {}: {activity:?}, {bytes:?} bytes", entry.id);
            }
            std::process::exit(101);
        }
    });
}

/// A gate in this process and its scripted engine.
pub struct Wire {
    /// The gate.
    pub gate: InProcess,
    /// The engine.
    pub engine: Engine,
}

impl Wire {
    /// With one worker.
    pub fn start() -> Self {
        Self::with(&["--workers", "1"])
    }

    /// With these options.
    pub fn with(extra: &[&str]) -> Self {
        let gate = InProcess::start(extra);
        let engine = Engine::listen(&gate.socket);
        Self { gate, engine }
    }

    /// A connection of the one client.
    #[track_caller]
    pub fn client(&self) -> TlsClient {
        self.gate.client()
    }
}

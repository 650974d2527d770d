//! The composition root: a configuration becomes bound sockets and checked certificates, and then runs.
//!
//! Everything that can fail fails in [`App::build`], before the first connection is accepted.

pub(crate) mod bind;
mod error;

pub use error::StartError;

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::cage::{Account, Cage, Strength};
use crate::cli::ServeArgs;
use crate::config::{AuditFailure, AuditSink, Config, RunAs};
use crate::connection::{Bounds, Front};
use crate::engine::Upstream;
use crate::generation::{self, Generation};
use crate::house::{House, Surroundings, Survey};
use crate::http::scope::usage::usage;
use crate::http::shared::{Current, Deadlines, HttpLimits, Shared};
use crate::limits::MemoryBudget;
use crate::listener::{self, Keepalive};
use crate::observe::admin::{self, Admin};
use crate::observe::audit::sink::{OnFailure, Sink, Target};
use crate::observe::control::server::{About, Control};
use crate::observe::control::{ControlSocket, OwnersLook, ReloadRequest};
use crate::observe::health::{self, Health, ReportOnly};
use crate::observe::registry::{Cut, PerClient, Registry};
use crate::plugin::Plugin;
use crate::reload::{Reloader, Start};
use crate::service;
use crate::worker::Workers;
use pki::auto;

/// How soon the engine is asked again which container the gate is in, while no request asks.
const HOUSE_AGAIN: Duration = Duration::from_secs(5);

/// How long cut connections may take to end after the drain deadline.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Reloads that may wait for their turn; further ones wait before they are sent.
const RELOADS: usize = 4;

/// A gate that is bound and ready to run.
#[derive(Debug)]
pub struct App {
    config: Config,
    front: Arc<Front>,
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
    control: Option<ControlSocket>,
    /// Worker threads to start.
    workers: usize,
    /// What confines the threads that serve.
    cage: Option<Arc<Cage>>,
    /// A digest of the files in force.
    seen: [u8; 32],
    /// Asks the reloader, if there is one.
    reload: mpsc::Sender<ReloadRequest>,
    /// What `--auto-certs` did.
    pub auto: Option<auto::Ensured>,
}

impl App {
    /// Reads, checks and binds everything.
    ///
    /// # Errors
    /// The first thing that does not work.
    pub fn build(config: Config) -> Result<Self, StartError> {
        bind::raise_file_limit();
        // Ports below 1024 are bound by root; all else is read and made by the user who serves.
        let bound = match &config.user {
            Some(wanted) => {
                let bound = Sockets::bind(&config)?;
                become_user(wanted, &config)?;
                Some(bound)
            }
            None => None,
        };
        let auto = match &config.auto_certs {
            Some(wanted) => Some(auto::ensure(&wanted.dir, &wanted.sans)?),
            None => None,
        };
        generation::owner_key::ensure(&config).map_err(generation::GenerationFault::from)?;
        let seen = generation::snapshot(&config);
        let generation = Generation::build(&config)?;
        let Sockets { listeners, metrics } = match bound {
            Some(bound) => bound,
            None => Sockets::bind(&config)?,
        };
        let control = control_socket(&config)?;
        let house = House::new(Survey::of(&config), Surroundings::look());
        let generation = generation.protecting(house.protected());
        let shared = Shared {
            upstream: Upstream::new(config.upstream.clone(), config.upstream_connect_timeout),
            deadlines: Deadlines {
                head: config.head_timeout,
                tunnel_grace: config.tunnel_grace,
            },
            limits: HttpLimits {
                head_bytes: config.limits.head_bytes,
                header_lines: config.limits.header_lines,
                session_max_age: config.limits.session_max_age,
            },
            builds: crate::http::build::Builds::default(),
            owners: crate::http::scope::OwnerLocks::default(),
            pending_bodies: Arc::new(MemoryBudget::new(config.limits.pending_bodies)),
            metrics: Arc::default(),
            draining: tokio_util::sync::CancellationToken::new(),
            generation: Current::new(generation),
            house,
            audit: audit(&config)?,
            plugin: config.authz_plugin.clone().map(Plugin::new).map(Arc::new),
            access_log: config.log.access,
            on_request: None,
        };
        let bounds = Bounds {
            connections: config.limits.connections,
            handshakes: config.limits.handshakes,
            handshake_timeout: config.handshake_timeout,
        };
        let registry = Registry::with_limits(
            PerClient {
                connections: config.limits.connections_per_client,
                requests_per_second: config.limits.requests_per_second_per_client,
            },
            config.limits.handshakes,
        );
        let front = Front::new(Arc::new(shared), Arc::new(registry), bounds);
        let generation = front.shared.generation();
        front
            .expiry
            .look(&generation.dates, OffsetDateTime::now_utc());
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        };
        Ok(Self {
            config,
            front: Arc::new(front),
            listeners,
            metrics,
            control,
            workers: count,
            cage: None,
            seen,
            reload: mpsc::channel(RELOADS).0,
            auto,
        })
    }

    /// Confines the calling thread and those that it starts from now on, unless the configuration says otherwise.
    ///
    /// # Errors
    /// When the kernel refuses what it has.
    pub fn confine(&mut self) -> Result<Option<Strength>, StartError> {
        if self.config.cage {
            self.cage = Some(Arc::new(Cage::enter(&self.config)?));
        }
        Ok(self.cage.as_ref().map(|cage| cage.strength))
    }

    /// The configuration it was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|l| l.local_addr().ok())
            .collect()
    }

    /// Calls `hook` with each request's path before it is forwarded: tests prove by it that a panic stays in its connection.
    ///
    /// # Panics
    /// When the gate is already being served.
    pub fn on_request(&mut self, hook: fn(&str)) {
        let gate = Arc::get_mut(&mut self.front).and_then(|front| Arc::get_mut(&mut front.shared));
        gate.expect("a gate that is not being served must have one owner")
            .on_request = Some(hook);
    }

    /// The address of the metrics listener.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|l| l.local_addr().ok())
    }

    /// The generation in force.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.front.shared.generation()
    }

    /// The table of live connections.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.front.registry.clone()
    }

    /// What keeps trust and policy current while the gate runs, and the handle that asks it to look now. `args` are the ones the
    /// configuration came from. Without it, nothing is reloaded.
    #[must_use]
    pub fn reloader(&mut self, args: ServeArgs) -> (Arc<Notify>, Reloader) {
        let signal = Arc::new(Notify::new());
        let (sender, asked) = mpsc::channel(RELOADS);
        self.reload = sender;
        let start = Start {
            args,
            config: self.config.clone(),
            cage: self.cage.clone(),
            seen: self.seen,
            signal: signal.clone(),
            asked,
        };
        (signal, Reloader::new(start, self.front.clone()))
    }

    /// Serves until `shutdown` resolves, then drains: nothing is accepted, requests in flight finish, idle connections close,
    /// tunnels are cut at the drain deadline. `impatient` ends the drain at once.
    ///
    /// # Errors
    /// When worker threads cannot be started, or a listener cannot be registered with the runtime.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        impatient: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let local = self.observers();
        let Self {
            config,
            front,
            listeners,
            metrics,
            control,
            workers,
            ..
        } = self;
        let (admin, controller) = local;
        // They answer until the very end, so that a drain can be watched.
        let mut observers = JoinSet::new();
        if let Some(listener) = metrics {
            observers.spawn(admin.run(listener));
        }
        if let Some(socket) = control {
            observers.spawn(controller.run(socket));
        }
        if front.shared.house.is_pending() {
            let shared = front.shared.clone();
            observers.spawn(async move {
                while shared.house.is_pending() {
                    shared.know_house().await;
                    tokio::time::sleep(HOUSE_AGAIN).await;
                }
                std::future::pending().await
            });
        }
        let throttled = front.clone();
        observers.spawn(async move {
            throttled.report_throttled().await;
            Ok(())
        });
        let audit = front.shared.audit.clone();
        if let Some(audit) = audit.clone() {
            observers.spawn(async move { audit.keep().await });
        }
        let workers = Arc::new(Workers::start(workers)?);
        if let Some(period) = service::watchdog() {
            let workers = workers.clone();
            observers.spawn(async move { watch(&workers, period).await });
        }
        let keepalive = Keepalive {
            idle: config.tcp_keepalive.idle,
            interval: config.tcp_keepalive.interval,
            probes: config.tcp_keepalive.probes,
        };
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let (front, workers) = (front.clone(), workers.clone());
            accepting.spawn(async move {
                listener::accept_loop(listener, keepalive, |socket, peer| {
                    let (front, workers) = (front.clone(), workers.clone());
                    async move {
                        let id = front.registry.number();
                        let place = front.registry.pending.admit(id, peer).await;
                        let serving = front.clone().serve(socket, id, peer, place);
                        workers.spawn(front.tasks.track_future(serving));
                    }
                })
                .await
            });
        }
        let stale = async {
            match config.exit_on_stale_socket {
                Some(limit) => health::until_stale(&config.upstream, limit).await,
                None => std::future::pending().await,
            }
        };
        let mut end = Ok(());
        tokio::select! {
            () = shutdown => {}
            Some(Ok(Err(e))) = accepting.join_next() => return Err(e),
            Some(Ok(Err(e))) = observers.join_next() => return Err(e),
            () = stale => end = Err(stale_socket(&config)),
        }
        accepting.shutdown().await;
        drain(&front, config.drain_timeout, impatient).await;
        observers.shutdown().await;
        if let Some(workers) = Arc::into_inner(workers) {
            workers.stop();
        }
        if let Some(audit) = audit {
            audit.flush();
        }
        end
    }

    /// Looks at what owners have, for the control socket.
    fn owners(&self) -> OwnersLook {
        let front = self.front.clone();
        Arc::new(move || {
            let front = front.clone();
            Box::pin(async move {
                let live = front.registry.snapshot();
                let live: Vec<_> = live.iter().map(|entry| entry.identity.clone()).collect();
                usage(&front.shared, &live).await
            })
        })
    }

    /// Tells whom the policy in force lets do everything.
    fn report_only(&self) -> ReportOnly {
        let shared = self.front.shared.clone();
        Arc::new(move || generation::unenforced(&shared.generation().policy))
    }

    fn observers(&self) -> (Admin, Control) {
        let draining = self.front.shared.draining.clone();
        let health = Arc::new(Health::new(self.config.upstream.clone(), draining));
        let front = self.front.clone();
        let admin = Admin {
            metrics: front.shared.metrics.clone(),
            registry: front.registry.clone(),
            expiry: Arc::new(move || front.shared.generation().trust.expiry.clone()),
            report_only: self.report_only(),
            health: health.clone(),
        };
        let text = |path: &Path| path.display().to_string();
        let about = About {
            started: Instant::now(),
            listen: self.addresses().iter().map(ToString::to_string).collect(),
            upstream: format!("unix://{}", self.config.upstream.display()),
            metrics: self.metrics_address().map(|a| a.to_string()),
            policy: self.config.policy.as_deref().map(text),
        };
        let control = Control {
            registry: self.front.registry.clone(),
            health,
            about,
            reload: self.reload.clone(),
            report_only: self.report_only(),
            owners: self.owners(),
        };
        (admin, control)
    }
}

/// What is listened on by TCP.
struct Sockets {
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for listen in &config.listen {
            let bound = bind::bind(listen).map_err(|source| StartError::Bind {
                listen: listen.clone(),
                source,
            })?;
            listeners.extend(bound);
        }
        let metrics = match config.metrics {
            Some(address) => {
                let bound = admin::bind(address);
                Some(bound.map_err(|source| StartError::Metrics { address, source })?)
            }
            None => None,
        };
        Ok(Self { listeners, metrics })
    }
}

/// Leaves root behind. The control socket's directory is made before, where nobody else has made it.
fn become_user(wanted: &RunAs, config: &Config) -> Result<(), StartError> {
    let account = Account::find(wanted)?;
    if let Some(dir) = config.control_socket.as_deref().and_then(Path::parent) {
        // What is missing then is said where the socket is made.
        let _ = account.make_directory(dir);
    }
    account.become_it()?;
    info!(user = %account, "Runs as another user from now on");
    Ok(())
}

/// Binds the control socket. Where nobody asked for it, its want is no reason not to serve.
fn control_socket(config: &Config) -> Result<Option<ControlSocket>, StartError> {
    let Some(path) = &config.control_socket else {
        return Ok(None);
    };
    match ControlSocket::bind(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if config.origin("control-socket").is_explicit() => Err(error.into()),
        Err(error) => {
            let why = error.source().map(ToString::to_string);
            warn!(error = %error, reason = why, "No control socket: ps, top and kick will not work");
            Ok(None)
        }
    }
}

fn stale_socket(config: &Config) -> io::Error {
    io::Error::other(format!(
        "nobody has listened on {} for {:?}: it is a stale bind mount or the engine is gone; ending so that it can be mounted anew (exit-on-stale-socket)",
        config.upstream.display(),
        config.exit_on_stale_socket.unwrap_or_default()
    ))
}

/// Tells the service manager twice a period that the workers answer. One that does not is left to its deadline.
async fn watch(workers: &Workers, period: Duration) -> io::Result<()> {
    let mut ticks = tokio::time::interval(period / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match workers.answer(period / 2).await {
            true => service::alive(),
            false => warn!(
                watchdog_ms = period.as_secs_f64() * 1e3,
                "A worker does not answer"
            ),
        }
    }
}

async fn drain(front: &Front, limit: Duration, impatient: impl Future<Output = ()>) {
    let live = front.tasks.len();
    info!(
        connections = live,
        deadline_ms = limit.as_secs_f64() * 1e3,
        "Draining"
    );
    service::stopping(&format!("Draining {}", text::counted(live, "connection")));
    front.shared.draining.cancel();
    front.tasks.close();
    tokio::select! {
        () = front.tasks.wait() => return info!("Drained"),
        () = tokio::time::sleep(limit) => {}
        () = impatient => return warn!("Stopped at once"),
    }
    for entry in front.registry.snapshot() {
        entry.cut(Cut::Drain);
    }
    match tokio::time::timeout(LAST_MOMENT, front.tasks.wait()).await {
        Ok(()) => info!("Drained at the deadline"),
        Err(_) => warn!(
            connections = front.tasks.len(),
            "Connections left at the end"
        ),
    }
}

fn audit(config: &Config) -> Result<Option<Arc<Sink>>, StartError> {
    let Some(wanted) = &config.audit else {
        return Ok(None);
    };
    let (target, path) = match wanted {
        AuditSink::Stdout => (Target::Stdout, std::path::PathBuf::from("stdout")),
        AuditSink::File(path) => (Target::File(path.clone()), path.clone()),
    };
    let on_failure = match config.audit_failure {
        AuditFailure::Deny => OnFailure::Deny,
        AuditFailure::Continue => OnFailure::Continue,
    };
    let sink =
        Sink::open(target, on_failure).map_err(|source| StartError::Audit { path, source })?;
    Ok(Some(Arc::new(sink)))
}

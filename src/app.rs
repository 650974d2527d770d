//! The composition root: a configuration becomes bound sockets and checked certificates, and then runs.
//!
//! Everything that can fail fails in [`App::build`], before the first connection is accepted.

pub(crate) mod bind;
mod error;
mod run;

pub use error::StartError;

use std::error::Error as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

use crate::cage::{Account, Cage, Strength};
use crate::cli::ServeArgs;
use crate::config::{AuditFailure, AuditSink, Config, RunAs, listen};
use crate::connection::{Bounds, Front};
use crate::engine::Upstream;
use crate::generation::{self, Generation};
use crate::house::{House, Surroundings, Survey};
use crate::http::shared::{Current, Deadlines, HttpLimits, Shared};
use crate::limits::SharedMemory;
use crate::observe::admin;
use crate::observe::audit::sink::{AuditTarget, OnFailure, Sink};
use crate::observe::control::{ControlSocket, ReloadRequest};
use crate::observe::metrics::Metrics;
use crate::observe::registry::{PerClient, Registry};
use crate::plugin::Plugin;
use crate::reload::{Reloader, Start};
use pki::auto;

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
            Some(wanted) => Some(auto::ensure_all(&wanted.dir, &wanted.sans)?),
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
        let bound = listeners.iter().chain(&metrics);
        let bound = bound.filter_map(|socket| Some(socket.local_addr().ok()?.port()));
        let house = House::new(Survey::of(&config).listening(bound), Surroundings::look());
        let generation = generation.protecting(house.protected());
        let shared = shared(&config, house, generation)?;
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

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.front.shared.metrics.clone()
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
}

/// What is listened on by TCP.
struct Sockets {
    listeners: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for listen in &listen::looked_up(&config.listen)? {
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

/// Binds the control socket. If it was not configured explicitly, a failure to bind it is only logged.
fn control_socket(config: &Config) -> Result<Option<ControlSocket>, StartError> {
    let Some(path) = &config.control_socket else {
        return Ok(None);
    };
    match ControlSocket::bind(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if config.origin("control-socket").is_explicit() => Err(error.into()),
        Err(error) => {
            let why = error.source().map(ToString::to_string);
            let hint = error.hint();
            warn!(error = %error, reason = why, hint, "No control socket: ps, top, kick and reload will not work");
            Ok(None)
        }
    }
}

/// What all connections share.
fn shared(config: &Config, house: House, generation: Generation) -> Result<Shared, StartError> {
    Ok(Shared {
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
        made: crate::http::scope::MadeContainers::default(),
        pending_bodies: SharedMemory::new(config.limits.pending_bodies),
        metrics: Arc::default(),
        draining: tokio_util::sync::CancellationToken::new(),
        generation: Current::new(generation),
        house,
        audit: audit(config)?,
        plugin: config.authz_plugin.clone().map(Plugin::new).map(Arc::new),
        access_log: config.log.access,
        on_request: None,
    })
}

fn audit(config: &Config) -> Result<Option<Arc<Sink>>, StartError> {
    let Some(wanted) = &config.audit else {
        return Ok(None);
    };
    let (target, path) = match wanted {
        AuditSink::Stdout => (AuditTarget::Stdout, std::path::PathBuf::from("stdout")),
        AuditSink::File(path) => (AuditTarget::File(path.clone()), path.clone()),
    };
    let on_failure = match config.audit_failure {
        AuditFailure::Deny => OnFailure::Deny,
        AuditFailure::Continue => OnFailure::Continue,
    };
    let sink =
        Sink::open(target, on_failure).map_err(|source| StartError::Audit { path, source })?;
    Ok(Some(Arc::new(sink)))
}

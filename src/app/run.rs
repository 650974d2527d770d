//! Serves until it is told to stop: accepts, watches, drains.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::App;
use crate::config::{Config, TcpKeepalive};
use crate::connection::Front;
use crate::generation;
use crate::http::scope::usage::usage;
use crate::listener::{self, Keepalive};
use crate::observe::admin::Admin;
use crate::observe::control::OwnersLook;
use crate::observe::control::server::{About, Control};
use crate::observe::health::{self, Health, ReportOnly};
use crate::observe::registry::Cut;
use crate::service;
use crate::worker::Workers;

/// How soon the engine is asked again which container the gate is in, while no request asks.
const HOUSE_AGAIN: Duration = Duration::from_secs(5);

/// How long cut connections may take to end after the drain deadline.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl App {
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
        look_after(&front, &mut observers);
        let workers = Arc::new(Workers::start(workers)?);
        if let Some(period) = service::watchdog() {
            let workers = workers.clone();
            observers.spawn(async move { watch(&workers, period).await });
        }
        let mut accepting = accept(listeners, &config.tcp_keepalive, &front, &workers);
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
        if let Some(audit) = &front.shared.audit {
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

/// Starts what a gate does beside serving.
fn look_after(front: &Arc<Front>, observers: &mut JoinSet<io::Result<()>>) {
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
    if let Some(audit) = front.shared.audit.clone() {
        observers.spawn(async move { audit.keep().await });
    }
}

/// Accepts connections, and hands each to a worker.
fn accept(
    listeners: Vec<TcpListener>,
    keepalive: &TcpKeepalive,
    front: &Arc<Front>,
    workers: &Arc<Workers>,
) -> JoinSet<io::Result<()>> {
    let keepalive = Keepalive {
        idle: keepalive.idle,
        interval: keepalive.interval,
        probes: keepalive.probes,
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
    accepting
}

fn stale_socket(config: &Config) -> io::Error {
    io::Error::other(format!(
        "nobody has listened on {} for {:?}: it is a stale bind mount or the engine is gone; ending so that it can be mounted again (exit-on-stale-socket)",
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

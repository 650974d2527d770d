//! The gate's side of the control socket.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::UnixStream;
use tokio::net::unix::UCred;
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::{
    Connection, Connections, ControlRefused, ControlSocket, GateStatus, Kick, Kicked, OwnersLook,
    ReloadRequest, Reloaded,
};
use crate::observe::admin::serve::{self, AdminAnswer, json};
use crate::observe::health::{Health, ReportOnly};
use crate::observe::registry::{Cut, Registry, left_running};

/// Bytes of a request's body: room for ten thousand numbers.
const MAX_BODY: usize = 128 * 1024;

const NOTHING_ELSE: &str = "there is nothing here; the control socket answers GET /connections, /owners, /ready and /status, and POST /kick and /reload";

/// What does not change while the gate runs.
#[derive(Clone, Debug)]
pub struct About {
    /// When it started.
    pub started: Instant,
    /// Where it listens.
    pub listen: Vec<String>,
    /// The engine's socket.
    pub upstream: String,
    /// The metrics listener.
    pub metrics: Option<String>,
    /// The policy file.
    pub policy: Option<String>,
}

/// What the control commands look at and act on.
pub struct Control {
    /// The live connections.
    pub registry: Arc<Registry>,
    /// The engine.
    pub health: Arc<Health>,
    /// What does not change.
    pub about: About,
    /// Asks for a reload.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Whom the policy in force lets do everything.
    pub report_only: ReportOnly,
    /// Looks at what owners have on the engine.
    pub owners: OwnersLook,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Serves until dropped; the socket's file goes with it.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    pub async fn run(self, mut socket: ControlSocket) -> io::Result<()> {
        let listener = socket.take()?;
        let control = Arc::new(self);
        serve::accept(
            |cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            move |stream: UnixStream| {
                let control = control.clone();
                let who = stream.peer_cred().ok();
                serve::connection(stream, move |request| {
                    let control = control.clone();
                    async move { control.answer(request, who).await }
                })
            },
        )
        .await;
        Ok(())
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        who: Option<UCred>,
    ) -> Response<AdminAnswer> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/connections") => json(StatusCode::OK, &self.connections()),
            (&Method::GET, "/owners") => match (self.owners)().await {
                Ok(owners) => json(StatusCode::OK, &owners),
                Err(message) => json(StatusCode::BAD_GATEWAY, &ControlRefused { message }),
            },
            (&Method::GET, "/ready") => {
                let ready = self.health.ready().await.under(&self.report_only);
                json(serve::readiness(&ready), &ready)
            }
            (&Method::GET, "/status") => json(StatusCode::OK, &self.status()),
            (&Method::POST, "/kick") => {
                let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
                let wrong = match body.map(|body| serde_json::from_slice(&body.to_bytes())) {
                    Ok(Ok(kick)) if Kick::is_empty(&kick) => {
                        "the body names nobody: expected ids, serial, cn, client or all".to_owned()
                    }
                    Ok(Ok(kick)) => return json(StatusCode::OK, &self.kick(&kick, who).await),
                    Ok(Err(e)) => format!("the body is not a kick request: {e}"),
                    Err(e) => format!("the body cannot be read: {e}"),
                };
                json(StatusCode::BAD_REQUEST, &ControlRefused { message: wrong })
            }
            (&Method::POST, "/reload") => match self.reload().await {
                Ok(reloaded) => json(StatusCode::OK, &reloaded),
                Err(message) => json(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    &ControlRefused { message },
                ),
            },
            _ => {
                let message = NOTHING_ELSE.to_owned();
                json(StatusCode::NOT_FOUND, &ControlRefused { message })
            }
        }
    }

    fn connections(&self) -> Connections {
        let registry = &self.registry;
        let mut connections: Vec<_> = registry
            .snapshot()
            .iter()
            .map(|entry| Connection::of(entry))
            .chain(registry.handshakes().iter().map(Connection::shaking))
            .collect();
        connections.sort_by_key(|c| c.id);
        // One that finished its handshake between the two looks is in both.
        connections.dedup_by_key(|c| c.id);
        Connections {
            connections,
            report_only: (self.report_only)(),
        }
    }

    /// Waits until the reload has been applied to the live connections, or has failed.
    async fn reload(&self) -> Result<Reloaded, String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the gate does not reload: it is about to end".to_owned();
        self.reload.send(answer).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn kick(&self, kick: &Kick, who: Option<UCred>) -> Kicked {
        let mut kicked = Kicked::default();
        let mut cut = Vec::new();
        for entry in self.registry.snapshot() {
            if !kick.matches(&entry) {
                continue;
            }
            let connection = Connection::of(&entry);
            entry.cut(Cut::Kicked);
            info!(
                conn.id = entry.id, client.addr = %entry.peer, client.id = %entry.identity,
                op = connection.operation, path = connection.path,
                by.uid = who.map(|w| w.uid()), by.pid = who.and_then(|w| w.pid()),
                "Kicked"
            );
            kicked.kicked.push(connection);
            cut.push(entry);
        }
        // A gate that drains ends with its last connection, and would take the answer along.
        if !self.health.is_draining() {
            let left = left_running(&cut).await;
            for (connection, left) in kicked.kicked.iter_mut().zip(left) {
                connection.left = left;
            }
        }
        let found = |id: &u64| kicked.kicked.iter().any(|c| c.id == *id);
        kicked.missing = kick.ids.iter().filter(|id| !found(id)).copied().collect();
        kicked
    }

    fn status(&self) -> GateStatus {
        let totals = self.registry.totals();
        let about = self.about.clone();
        GateStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: super::ms(about.started),
            listen: about.listen,
            upstream: about.upstream,
            metrics: about.metrics,
            policy: about.policy,
            report_only: (self.report_only)(),
            draining: self.health.is_draining(),
            connections: totals.connections,
            tunnels: totals.tunnels,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
        }
    }
}

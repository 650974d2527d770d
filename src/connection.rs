//! From an accepted socket to a finished connection: one tracked task each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::http::session;
use crate::http::shared::Shared;
use crate::limits::LogThrottle;
use crate::listener;
use crate::observe::expiry::Warner;
use crate::observe::metrics::{Expiry, Limit};
use crate::observe::registry::{Admission, Cut, Entry, Registry};
use crate::tls::config::Trust;
use crate::tls::{self, Outcome};
use pki::TrustStore;

/// Bounds on connections.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Handshakes at once.
    pub handshakes: usize,
    /// Total time of a handshake.
    pub handshake_timeout: Duration,
}

/// What every connection needs.
#[derive(Debug)]
pub struct Front {
    /// The HTTP side.
    pub shared: Arc<Shared>,
    /// The table of live connections.
    pub registry: Arc<Registry>,
    /// The current generation of trust.
    pub trust: RwLock<Trust>,
    /// Bounds.
    pub bounds: Bounds,
    /// Warns of client certificates that end soon.
    pub expiry: Warner,
    /// Tracks every connection's task, so that a drain can wait for them.
    pub tasks: TaskTracker,
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    complaints: [LogThrottle; Limit::ALL.len()],
}

/// Least time between two log lines about one limit.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn enter(counter: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = counter.fetch_add(1, Relaxed);
        let counted = Self(counter);
        (before < most).then_some(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Front {
    /// Joins the parts.
    #[must_use]
    pub fn new(shared: Arc<Shared>, registry: Arc<Registry>, trust: Trust, bounds: Bounds) -> Self {
        Self {
            shared,
            registry,
            trust: RwLock::new(trust),
            bounds,
            expiry: Warner::default(),
            tasks: TaskTracker::new(),
            connections: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            complaints: [const { LogThrottle::new(COMPLAIN_EVERY) }; Limit::ALL.len()],
        }
    }

    /// When the parts of the current generation of trust lapse.
    #[must_use]
    pub fn lapses(&self) -> Expiry {
        self.trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .expiry
    }

    /// Serves one accepted socket to its end.
    pub async fn serve(self: Arc<Self>, socket: std::net::TcpStream, peer: SocketAddr) {
        let id = self.registry.number();
        let metrics = &self.shared.metrics;
        metrics.accepted();
        let Some(_connection) = Counted::enter(&self.connections, self.bounds.connections) else {
            metrics.limited(Limit::Connections);
            self.complain(id, peer, Limit::Connections, self.bounds.connections);
            return;
        };
        let Ok(tcp) = listener::adopt(socket) else {
            return;
        };
        let accepted = {
            let Some(_handshake) = Counted::enter(&self.handshakes, self.bounds.handshakes) else {
                metrics.limited(Limit::Handshakes);
                self.complain(id, peer, Limit::Handshakes, self.bounds.handshakes);
                return;
            };
            let _shaking = self.registry.shake(id, peer);
            let trust = self
                .trust
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let (server, verifier) = trust.handshake();
            let deadline = Instant::now() + self.bounds.handshake_timeout;
            let accepted = Box::pin(tls::accept(
                tcp,
                TlsAcceptor::from(server),
                &verifier,
                deadline,
            ))
            .await;
            (accepted, trust.store)
        };
        let (accepted, store) = accepted;
        let accepted = match accepted {
            Ok(accepted) => {
                metrics.handshake("ok");
                accepted
            }
            Err(outcome) => {
                metrics.handshake(outcome.id());
                return report(id, peer, &outcome);
            }
        };
        self.expiry.client_seen(&accepted.identity);
        let entry = self
            .registry
            .enter(id, peer, accepted.identity, accepted.chain);
        if entry.place == Admission::Drop {
            metrics.limited(Limit::ConnectionsPerClient);
            let limit = entry.per_client.connections;
            self.complain(id, peer, Limit::ConnectionsPerClient, limit);
            return;
        }
        self.judge_again(&entry, &store);
        // What was running is asked before the session is dropped, which ends it.
        let cut = async {
            let cut = entry.cut_requested().await;
            (cut, entry.activity())
        };
        let (cut, activity) = tokio::select! {
            biased;
            cut = cut => cut,
            () = Box::pin(session::serve(self.shared.clone(), entry.clone(), accepted.stream)) => return,
        };
        metrics.cut(&cut);
        let (up, down) = entry.meter.totals();
        let level_is_warn = !matches!(cut, Cut::Drain | Cut::Kicked);
        let (method_path, op) = (activity.path, activity.operation.id());
        if level_is_warn {
            warn!(
                conn.id = id, client.addr = %peer, client.id = %entry.identity, op, path = method_path, busy = activity.busy,
                bytes.in = up, bytes.out = down, reason = cut.id(), error = %cut, "Connection cut"
            );
        } else {
            info!(
                conn.id = id, client.addr = %peer, client.id = %entry.identity, op, path = method_path, busy = activity.busy,
                bytes.in = up, bytes.out = down, reason = cut.id(), error = %cut, "Connection cut"
            );
        }
    }

    /// Trust may have changed between a handshake and its entry in the table: whoever published it did not see this
    /// connection then.
    fn judge_again(&self, entry: &Entry, used: &Arc<TrustStore>) {
        let trust = self
            .trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if !Arc::ptr_eq(&trust.store, used)
            && let Err(refusal) = trust.store.admit(&entry.chain, UnixTime::now())
        {
            entry.cut(Cut::Untrusted(refusal.to_string()));
        }
    }
}

impl Front {
    /// Says, at most once in a while, that a limit turns connections away; the metrics count each.
    fn complain(&self, id: u64, peer: SocketAddr, limit: Limit, most: usize) {
        if let Some(times) = self.complaints[limit as usize].due(std::time::Instant::now()) {
            warn!(
                conn.id = id, client.addr = %peer, limit = limit.key(), most, times,
                "Connection refused: too many"
            );
        }
    }
}

fn report(id: u64, peer: SocketAddr, outcome: &Outcome) {
    match outcome {
        Outcome::Probe => debug!(conn.id = id, client.addr = %peer, "Probe"),
        // Any peer can cause these, but they answer the first question of everyone whose client does not get in.
        _ => {
            info!(conn.id = id, client.addr = %peer, reason = outcome.id(), error = %outcome, "Handshake refused");
        }
    }
}

//! From an accepted socket to a finished connection: one tracked task each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use docker_api::Operation;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::engine::Upstream;
use crate::generation::Generation;
use crate::http::session;
use crate::http::shared::Shared;
use crate::limits::{LogThrottle, LogThrottles};
use crate::listener;
use crate::observe::expiry::Warner;
use crate::observe::metrics::Limit;
use crate::observe::registry::{
    AFTER_CUT, Activity, Admission, Cut, Entry, Place, ProcessLeft, Registry, Source,
};
use crate::tls::{self, Accepted, HandshakeOutcome};

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
    /// Bounds.
    pub bounds: Bounds,
    /// Warns of client certificates that end soon.
    pub expiry: Warner,
    /// Tracks every connection's task, so that a drain can wait for them.
    pub tasks: TaskTracker,
    connections: AtomicUsize,
    refusals: LogThrottles<(&'static str, Source)>,
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
    pub fn new(shared: Arc<Shared>, registry: Arc<Registry>, bounds: Bounds) -> Self {
        Self {
            shared,
            registry,
            bounds,
            expiry: Warner::default(),
            tasks: TaskTracker::new(),
            connections: AtomicUsize::new(0),
            refusals: LogThrottles::new(COMPLAIN_EVERY, std::time::Instant::now()),
            complaints: [const { LogThrottle::new(COMPLAIN_EVERY) }; Limit::ALL.len()],
        }
    }

    /// Serves one accepted socket to its end. `place` is its place among the handshakes, if it has one.
    pub async fn serve(
        self: Arc<Self>,
        socket: std::net::TcpStream,
        id: u64,
        peer: SocketAddr,
        place: Option<Place>,
    ) {
        let metrics = &self.shared.metrics;
        metrics.accepted();
        let Some(_connection) = Counted::enter(&self.connections, self.bounds.connections) else {
            metrics.limited(Limit::Connections);
            self.complain(id, peer, Limit::Connections, self.bounds.connections);
            return;
        };
        let Some(place) = place else {
            metrics.limited(Limit::Handshakes);
            self.complain(id, peer, Limit::Handshakes, self.bounds.handshakes);
            return;
        };
        let Ok(tcp) = listener::adopt(socket) else {
            return;
        };
        let by = self.shared.generation();
        let accepted = match self.handshake(tcp, &by, place).await {
            Ok(accepted) => {
                metrics.handshake("ok");
                accepted
            }
            Err(outcome) => {
                metrics.handshake(outcome.id());
                if matches!(outcome, HandshakeOutcome::Displaced) {
                    metrics.limited(Limit::Handshakes);
                }
                return self.report(id, peer, &outcome);
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
        self.judge_again(&entry, &by);
        // What was running is asked before the session is dropped, which ends it.
        let cut = async {
            let cut = entry.cut_requested().await;
            (cut, entry.activity())
        };
        let (cut, activity) = tokio::select! {
            biased;
            cut = cut => cut,
            () = Box::pin(session::serve(self.shared.clone(), entry.clone(), by, accepted.stream)) => {
                return entry.ended(None);
            }
        };
        metrics.cut(&cut);
        // It has left; what the engine says of its process may take a moment.
        let gone = (*entry).clone();
        drop(entry);
        Box::pin(self.tell(&gone, &activity, &cut)).await;
    }

    /// Logs a cut with what it has left running, and tells those who wait for that.
    async fn tell(&self, gone: &Entry, activity: &Activity, cut: &Cut) {
        let left = match cut {
            Cut::Drain => None,
            _ => process_left(&self.shared.upstream, activity).await,
        };
        report_cut(gone, activity, cut, left.as_ref());
        gone.ended(left);
    }

    /// The handshake, for as long as its deadline and its place allow.
    async fn handshake(
        &self,
        tcp: Arc<TcpStream>,
        generation: &Generation,
        place: Place,
    ) -> Result<Accepted, HandshakeOutcome> {
        let (server, verifier) = generation.trust.handshake();
        let deadline = Instant::now() + self.bounds.handshake_timeout;
        let handshake = Box::pin(tls::accept(
            tcp,
            TlsAcceptor::from(server),
            &verifier,
            deadline,
            || place.heard(),
        ));
        tokio::select! {
            accepted = handshake => accepted,
            () = place.displaced() => Err(HandshakeOutcome::Displaced),
        }
    }

    /// Trust may have changed between a handshake and its entry in the table: the reload that published it did not see this
    /// connection then.
    fn judge_again(&self, entry: &Entry, by: &Generation) {
        let generation = self.shared.generation();
        if !generation.has_trust_of(by)
            && let Err(why) = generation.judge(&entry.chain)
        {
            entry.cut(Cut::Untrusted(why));
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

    /// Says why a peer did not get in. Any peer can cause that, so it is throttled; but it answers the first question of
    /// everyone whose client does not get in.
    fn report(&self, id: u64, peer: SocketAddr, outcome: &HandshakeOutcome) {
        if let HandshakeOutcome::Probe = outcome {
            return debug!(conn.id = id, client.addr = %peer, "Probe");
        }
        if self.refusals.admits((outcome.id(), Source::of(peer))) {
            warn!(
                conn.id = id, client.addr = %peer, reason = outcome.id(), error = %outcome, hint = outcome.hint(),
                "Handshake refused"
            );
        }
    }

    /// Logs what has been throttled, with counts, for as long as it is polled.
    pub async fn report_throttled(&self) {
        loop {
            tokio::time::sleep(COMPLAIN_EVERY).await;
            let (told, others) = self.refusals.unsaid(std::time::Instant::now());
            for ((reason, source), times) in told {
                warn!(client.addr = %source, reason, times, "More handshakes refused");
            }
            if others > 0 {
                warn!(
                    times = others,
                    "More handshakes refused, of other addresses"
                );
            }
        }
    }
}

const GOES_ON: &str = "the exec's process goes on in the container: end it there (exec.pid is its process on the host), or stop the container";

/// What the engine says of an exec.
#[derive(Deserialize)]
struct ExecState {
    #[serde(rename = "Running")]
    running: bool,
    #[serde(rename = "Pid")]
    pid: u64,
    #[serde(rename = "ContainerID")]
    container: String,
}

/// The process that a cut session has left behind, if the engine still runs it.
async fn process_left(engine: &Upstream, activity: &Activity) -> Option<ProcessLeft> {
    if !activity.tunnel || activity.operation != Operation::ExecStart {
        return None;
    }
    let id = activity.path.strip_suffix("/start")?.rsplit('/').next()?;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let target = format!("/exec/{id}/json");
    let asked = tokio::time::timeout(AFTER_CUT, engine.get(&target, None)).await;
    let (_, body) = asked.ok()?.ok()?;
    let exec: ExecState = serde_json::from_slice(&body).ok()?;
    exec.running.then_some(ProcessLeft {
        pid: exec.pid,
        container: exec.container,
    })
}

/// A cut connection is one event, whose level says whether somebody meant it.
fn report_cut(entry: &Entry, activity: &Activity, cut: &Cut, left: Option<&ProcessLeft>) {
    macro_rules! say {
        ($level:ident) => {{
            let (up, down) = entry.meter.totals();
            $level!(
                conn.id = entry.id, client.addr = %entry.peer, client.id = %entry.identity, op = activity.operation.id(),
                path = activity.path, busy = activity.busy, bytes.in = up, bytes.out = down, reason = cut.id(),
                error = %cut, exec.pid = left.map(|exec| exec.pid), exec.container = left.map(|exec| &*exec.container),
                hint = left.map(|_| GOES_ON), "Connection cut"
            );
        }};
    }
    match cut {
        Cut::Drain | Cut::Kicked => say!(info),
        Cut::Untrusted(_) | Cut::Expired | Cut::RoleLost | Cut::TooOld => say!(warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what an `async fn` of five parameters returns.
    fn size_of_five<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// The size of what an `async fn` of four parameters returns.
    fn size_of_four<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// An idle stream keeps both for hours: what is rare or over soon is boxed where it is awaited.
    #[test]
    fn the_futures_of_a_connection_stay_small() {
        let (task, session) = (size_of_five(Front::serve), size_of_four(session::serve));
        assert!(
            task <= 1024 && session <= 3840,
            "{task} and {session} bytes"
        );
    }
}

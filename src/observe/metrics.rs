//! Counters and histograms of the running gate.
//!
//! Recording is a handful of relaxed atomic additions at places computed from enums: no lock, no map, no allocation, so a
//! request pays nanoseconds. Names, labels and text exist only in `encode`, when somebody scrapes. Every label comes from a
//! closed set; paths and client names never become labels, since a peer could make as many as it likes.

mod encode;
mod expiry;
mod families;
mod histogram;
mod labels;
mod process;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::observe::registry::Cut;
use buildkit::Call;
use docker_api::Operation;

use labels::{CLASSES, HANDSHAKE_FAILED, KINDS, RISKS, STATUSES, class, kind, status_class};

pub use encode::{Scene, Syntax};
pub use expiry::Expiry;
pub use families::{FAMILIES, Family};
pub use histogram::{BOUNDS, Histogram};
pub use labels::{DecisionLabel, HANDSHAKES, Limit, Reload, Shape, UpstreamError};

const REQUESTS: usize = CLASSES.len() * KINDS.len() * DecisionLabel::ALL.len() * STATUSES.len();

/// Every call, and one place for those that are unknown.
const BUILD_CALLS: usize = (Call::ALL.len() + 1) * DecisionLabel::ALL.len();

/// The place of a call of a build.
fn build_place(call: Option<Call>, decision: DecisionLabel) -> usize {
    let call = call.map_or(Call::ALL.len(), |call| call as usize);
    call * DecisionLabel::ALL.len() + decision as usize
}

/// Everything that is counted where it happens. What can be read off when asked (live connections, bytes, expiry, the
/// process) is not here: see [`Scene`].
#[derive(Debug)]
pub struct Metrics {
    accepted: AtomicU64,
    handshakes: [AtomicU64; HANDSHAKES.len()],
    requests: Box<[AtomicU64]>,
    build_calls: Box<[AtomicU64]>,
    durations: [[Histogram; Shape::ALL.len()]; RISKS],
    limits: [AtomicU64; Limit::ALL.len()],
    upstream_connects: AtomicU64,
    upstream_errors: [AtomicU64; UpstreamError::ALL.len()],
    cuts: [AtomicU64; Cut::IDS.len()],
    reloads: [AtomicU64; Reload::ALL.len()],
    /// Milliseconds since the Unix epoch; building the gate counts as the first success.
    last_reload: AtomicU64,
    last_reload_failed: AtomicBool,
    /// How many seconds the signer's clock is ahead; [`UNHEARD`] if no signer has said.
    signer_clock: AtomicI64,
}

/// No clock is so far off.
const UNHEARD: i64 = i64::MIN;

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::default(),
            handshakes: Default::default(),
            requests: (0..REQUESTS).map(|_| AtomicU64::default()).collect(),
            build_calls: (0..BUILD_CALLS).map(|_| AtomicU64::default()).collect(),
            durations: Default::default(),
            limits: Default::default(),
            upstream_connects: AtomicU64::default(),
            upstream_errors: Default::default(),
            cuts: Default::default(),
            reloads: Default::default(),
            last_reload: AtomicU64::new(now_ms()),
            last_reload_failed: AtomicBool::new(false),
            signer_clock: AtomicI64::new(UNHEARD),
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX))
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn place(class: usize, kind: usize, decision: DecisionLabel, status: usize) -> usize {
    ((class * KINDS.len() + kind) * DecisionLabel::ALL.len() + decision as usize) * STATUSES.len()
        + status
}

impl Metrics {
    /// Counts an accepted socket.
    pub fn accepted(&self) {
        add(&self.accepted);
    }

    /// Counts a finished handshake by its outcome, `ok` or a word of `tls::HandshakeOutcome::id`.
    pub fn handshake(&self, outcome: &str) {
        let at = HANDSHAKES.iter().position(|id| *id == outcome);
        add(&self.handshakes[at.unwrap_or(HANDSHAKE_FAILED)]);
    }

    /// Counts a finished request; `status` is `None` when no answer began.
    pub fn request(
        &self,
        operation: Operation,
        decision: DecisionLabel,
        status: Option<u16>,
        took: Duration,
    ) {
        let class = class(operation.risk());
        let at = place(
            class,
            kind(operation.kind()),
            decision,
            status_class(status),
        );
        add(&self.requests[at]);
        if matches!(decision, DecisionLabel::Allowed | DecisionLabel::WouldDeny) {
            self.durations[class][Shape::of(operation) as usize].observe(took);
        }
    }

    /// Counts a call of a judged build; `None` is one that is unknown.
    pub fn build_call(&self, call: Option<Call>, decision: DecisionLabel) {
        add(&self.build_calls[build_place(call, decision)]);
    }

    /// Counts a request that could not be read, by the status of its refusal.
    pub fn malformed(&self, status: u16) {
        let (class, kind) = (CLASSES.len() - 1, KINDS.len() - 1);
        let at = place(
            class,
            kind,
            DecisionLabel::Malformed,
            status_class(Some(status)),
        );
        add(&self.requests[at]);
    }

    /// Counts somebody turned away by a limit.
    pub fn limited(&self, limit: Limit) {
        add(&self.limits[limit as usize]);
    }

    /// Counts an attempt to connect to the engine.
    pub fn upstream_connect(&self) {
        add(&self.upstream_connects);
    }

    /// Counts a failure of the engine.
    pub fn upstream_error(&self, reason: UpstreamError) {
        add(&self.upstream_errors[reason as usize]);
    }

    /// Counts a connection that was cut.
    pub fn cut(&self, why: &Cut) {
        let at = match why {
            Cut::Drain => 0,
            Cut::Untrusted(_) => 1,
            Cut::Expired => 2,
            Cut::RoleLost => 3,
            Cut::Kicked => 4,
            Cut::TooOld => 5,
        };
        add(&self.cuts[at]);
    }

    /// Notes how many seconds the signer's clock is ahead of the one here.
    pub fn signer_clock(&self, seconds: i64) {
        self.signer_clock.store(seconds, Relaxed);
    }

    /// How many seconds the signer's clock is ahead, if it was heard.
    #[must_use]
    pub fn signer_clock_seconds(&self) -> Option<i64> {
        Some(self.signer_clock.load(Relaxed)).filter(|it| *it != UNHEARD)
    }

    /// Counts a reload.
    pub fn reload(&self, outcome: Reload) {
        add(&self.reloads[outcome as usize]);
        self.last_reload_failed
            .store(outcome == Reload::Failed, Relaxed);
        if outcome != Reload::Failed {
            self.last_reload.store(now_ms(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

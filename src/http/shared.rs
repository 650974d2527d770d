//! What all sessions share: the engine, the policy, the audit, and the bounds of a session.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Upstream;
use crate::house::House;
use crate::limits::MemoryBudget;
use crate::observe::audit::sink::Sink;
use crate::observe::metrics::Metrics;
use crate::plugin::Plugin;
use policy::Policy;

/// Deadlines of a session. None of them touches a stream.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For the first head after the handshake, and for the rest of any later head once its first byte has come.
    pub head: Duration,
    /// How long a client's late input is dropped after the engine ended a tunnel.
    pub tunnel_grace: Duration,
}

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Lines of a request head.
    pub header_lines: usize,
    /// Life of a hijacked connection.
    pub session_max_age: Option<Duration>,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// The engine.
    pub upstream: Upstream,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Bounds.
    pub limits: Limits,
    /// What all bodies that wait for a decision hold.
    pub pending_bodies: Arc<MemoryBudget>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the gate drains: idle connections close, requests in flight are the last of theirs.
    pub draining: CancellationToken,
    /// Who may do what.
    pub policy: RwLock<Arc<Policy>>,
    /// What limited roles are kept away from.
    pub house: House,
    /// Where decisions are recorded, if they are.
    pub audit: Option<Arc<Sink>>,
    /// The authorization plugin that is asked after the policy, if there is one.
    pub plugin: Option<Arc<Plugin>>,
    /// Whether plain requests are logged at level info.
    pub access_log: bool,
    /// Called with each request's path before it is forwarded; tests use it to prove that a panic stays in its connection.
    pub on_request: Option<fn(&str)>,
}

impl Shared {
    /// Publishes a policy, with what is known of the gate's own house.
    pub fn publish(&self, policy: Policy) -> Arc<Policy> {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(policy.protecting(self.house.protected()));
        current.clone()
    }

    /// Finds out which container the gate is in, if that is not known; then the policy in force protects it. True if that policy
    /// is another one than before.
    pub async fn know_house(&self) -> bool {
        if !self.house.is_pending() {
            return false;
        }
        if self.house.ask(&self.upstream).await {
            let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
            let policy = Policy::clone(&current);
            *current = Arc::new(policy.protecting(self.house.protected()));
            self.house.settle();
        }
        true
    }
}

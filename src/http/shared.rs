//! What all sessions share: the engine, the policy, the audit, and the bounds of a session.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::build::Builds;
use super::scope::{MadeContainers, OwnerLocks};
use crate::engine::Upstream;
use crate::generation::Generation;
use crate::house::House;
use crate::limits::SharedMemory;
use crate::observe::audit::sink::Sink;
use crate::observe::metrics::Metrics;
use crate::plugin::Plugin;

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
pub struct HttpLimits {
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
    pub limits: HttpLimits,
    /// What bodies that wait for a decision hold, and answers that wait for their readers.
    pub pending_bodies: SharedMemory,
    /// Whose builds and sessions are whose.
    pub builds: Builds,
    /// The locks of clients whose roles have a scope.
    pub owners: OwnerLocks,
    /// Which containers their owners are known to have made.
    pub made: MadeContainers,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the gate drains: idle connections close, requests in flight are the last of theirs.
    pub draining: CancellationToken,
    /// Who is let in, and who may do what.
    pub generation: Current,
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

/// The generation in force.
#[derive(Debug)]
pub struct Current {
    generation: ArcSwap<Generation>,
    /// Held while a new one is made from what is known, so that nothing that was just learned is lost.
    publishing: Mutex<()>,
}

impl Current {
    /// Starts with this one.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            generation: ArcSwap::from_pointee(generation),
            publishing: Mutex::new(()),
        }
    }
}

impl Shared {
    /// The generation in force: its trust and its policy were published together.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.generation.load_full()
    }

    /// Publishes a generation in one swap, with what is known of the gate's own house.
    pub fn publish(&self, generation: &Generation) -> Arc<Generation> {
        let publishing = self.generation.publishing.lock();
        let _publishing = publishing.unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(generation.protecting(self.house.protected()));
        self.generation.generation.store(new.clone());
        new
    }

    /// Finds out which container the gate is in, if that is not known; then the policy in force protects it. True if that policy
    /// is another one than before.
    pub async fn know_house(&self) -> bool {
        if !self.house.is_pending() {
            return false;
        }
        if Box::pin(self.house.ask(&self.upstream)).await {
            self.protect_again();
            self.house.settle();
        }
        true
    }

    /// Finds out where the engine keeps its data, before a path of its host is judged. The policy in force protects it then; if it
    /// was found out just now, that is another one than before.
    ///
    /// # Errors
    /// Why it could not be found out.
    pub async fn know_data_root(&self) -> Result<(), String> {
        if self.house.ask_data_root(&self.upstream).await? {
            self.protect_again();
        }
        Ok(())
    }

    fn protect_again(&self) {
        let publishing = self.generation.publishing.lock();
        let _publishing = publishing.unwrap_or_else(PoisonError::into_inner);
        let new = self.generation().protecting(self.house.protected());
        self.generation.generation.store(Arc::new(new));
    }
}

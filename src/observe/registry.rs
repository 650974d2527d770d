//! Every live connection: who it is, what it is doing, what it has moved, and a handle to cut it.
//!
//! hyper-style connection futures end at an upgrade; here a tunnel stays part of its connection, so one table serves drain,
//! live revocation and expiry, `dockgate ps`, `dockgate kick` and the gauges. An entry leaves the table when its connection's
//! task ends, however it ends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, SetOnce};

use docker_api::Operation;
use pki::identity::Identity;

mod pending;
mod share;
mod view;

pub use pending::{Handshake, HandshakeTable, Place, Source};
pub use share::{Admission, PerClient};
pub use view::{State, Totals};

use share::{Share, Shares};

/// Bytes a connection has moved, in HTTP terms (without TLS overhead).
#[derive(Debug, Default)]
pub struct Meter {
    up: AtomicU64,
    down: AtomicU64,
    /// When bytes last moved, on the coarse clock.
    moved: AtomicU64,
}

/// Milliseconds on a clock that costs a few nanoseconds to read and steps every few milliseconds.
fn coarse() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds * 1_000 + nanos / 1_000_000
}

impl Meter {
    /// Counts bytes from the client.
    pub fn up(&self, n: usize) {
        self.up.fetch_add(n as u64, Relaxed);
        self.moved.store(coarse(), Relaxed);
    }

    /// Counts bytes to the client.
    pub fn down(&self, n: usize) {
        self.down.fetch_add(n as u64, Relaxed);
        self.moved.store(coarse(), Relaxed);
    }

    /// How long no byte has moved.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(coarse().saturating_sub(self.moved.load(Relaxed)))
    }

    /// Bytes from the client and to the client so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.up.load(Relaxed), self.down.load(Relaxed))
    }
}

/// Why a connection was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The drain deadline passed.
    Drain,
    /// Its certificate is no longer trusted, for this reason.
    Untrusted(String),
    /// Its certificate expired while it was connected.
    Expired,
    /// Its client lost its role.
    RoleLost,
    /// An operator ended it.
    Kicked,
    /// It reached the maximum session age.
    TooOld,
}

impl Cut {
    /// Every word that [`Self::id`] gives, in the order of the variants.
    pub const IDS: [&str; 6] = [
        "drain",
        "untrusted",
        "expired",
        "role_lost",
        "kicked",
        "too_old",
    ];

    /// The word used in logs and metrics, from a closed set.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Untrusted(_) => "untrusted",
            Self::Expired => "expired",
            Self::RoleLost => "role_lost",
            Self::Kicked => "kicked",
            Self::TooOld => "too_old",
        }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Drain => f.write_str("the drain deadline passed"),
            Self::Untrusted(why) => f.write_str(why),
            Self::Expired => f.write_str("the client certificate expired"),
            Self::RoleLost => f.write_str("the client has no role any more"),
            Self::Kicked => f.write_str("ended by an operator"),
            Self::TooOld => f.write_str("the maximum session age was reached"),
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Debug)]
pub struct Activity {
    /// The operation, [`Operation::Unknown`] before the first request.
    pub operation: Operation,
    /// The path of the request, without its query.
    pub path: String,
    /// Since when.
    pub since: Instant,
    /// Requests so far.
    pub requests: u64,
    /// Whether a request is in progress.
    pub busy: bool,
    /// Whether it has become a tunnel.
    pub tunnel: bool,
    /// Calls of builds inside the tunnel that are in progress, with what they ask for.
    pub calls: BTreeMap<u64, String>,
}

/// A call of a build that is in progress; dropping it ends it.
#[derive(Debug)]
pub struct LiveCall<'e> {
    entry: &'e Entry,
    number: u64,
}

impl Drop for LiveCall<'_> {
    fn drop(&mut self) {
        self.entry.lock().calls.remove(&self.number);
    }
}

/// The process of an exec whose session was cut: it goes on in its container, since the engine has no call to end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLeft {
    /// Its process on the host.
    pub pid: u64,
    /// The container's id.
    pub container: String,
}

/// One live connection.
#[derive(Debug)]
pub struct Entry {
    /// Number of the connection since start, from 1.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its chain, leaf first, to be judged again when trust changes.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// When it was entered, on the clock that ages are measured by.
    pub entered: Instant,
    /// Its standing under the limit of its client.
    pub place: Admission,
    /// What it has moved.
    pub meter: Meter,
    /// The limits of its client.
    pub per_client: PerClient,
    share: Arc<Share>,
    activity: Mutex<Activity>,
    cut: OnceLock<Cut>,
    notify: Notify,
    left: SetOnce<Option<ProcessLeft>>,
}

/// Longest wait for what the engine says of the sessions that were cut.
pub const AFTER_CUT: Duration = Duration::from_secs(2);

/// What the cut of these connections has left running, in their order. Takes little more than [`AFTER_CUT`] at most.
pub async fn left_running(cut: &[Arc<Entry>]) -> Vec<Option<ProcessLeft>> {
    let waits = cut.iter().map(|entry| async {
        let left = tokio::time::timeout(AFTER_CUT + AFTER_CUT / 4, entry.left.wait());
        left.await.ok().and_then(Option::clone)
    });
    futures_util::future::join_all(waits).await
}

impl Entry {
    /// Notes that the connection's session is over, and what it has left running.
    pub fn ended(&self, left: Option<ProcessLeft>) {
        // The first note counts.
        let _ = self.left.set(left);
    }

    /// What the connection is doing now.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.lock().clone()
    }

    /// Counts a request against its client's rate.
    ///
    /// # Errors
    /// The time until another one is allowed.
    pub fn admit(&self) -> Result<(), Duration> {
        self.share.request()
    }

    /// Notes the start of a request, and returns its number on this connection, from 1.
    pub fn begin(&self, operation: Operation, path: &str) -> u64 {
        let mut activity = self.lock();
        activity.operation = operation;
        activity.path.clear();
        activity.path.push_str(path);
        activity.since = Instant::now();
        activity.requests += 1;
        activity.busy = true;
        activity.requests
    }

    /// Notes that the request has become a tunnel.
    pub fn tunnel(&self) {
        self.lock().tunnel = true;
    }

    /// Notes a call of a build inside the tunnel.
    #[must_use]
    pub fn calls(&self, what: String) -> LiveCall<'_> {
        let mut activity = self.lock();
        let last = activity.calls.last_key_value().map_or(0, |(last, _)| *last);
        let number = last + 1;
        activity.calls.insert(number, what);
        drop(activity);
        LiveCall {
            entry: self,
            number,
        }
    }

    /// Notes the end of a request.
    pub fn end(&self) {
        let mut activity = self.lock();
        activity.busy = false;
        activity.since = Instant::now();
    }

    /// Cuts the connection; the first reason given is kept.
    pub fn cut(&self, why: Cut) {
        if self.cut.set(why).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Awaits `session`, and cuts the connection when that takes longer than `age`.
    pub async fn within<T>(&self, age: Option<Duration>, session: impl Future<Output = T>) -> T {
        let Some(age) = age else {
            return session.await;
        };
        let too_old = async {
            tokio::time::sleep(age).await;
            self.cut(Cut::TooOld);
            // What waits for the cut drops this future with the session.
            std::future::pending().await
        };
        tokio::select! {
            end = session => end,
            never = too_old => never,
        }
    }

    /// Why the connection is being cut, if it is.
    #[must_use]
    pub fn cut_reason(&self) -> Option<&Cut> {
        self.cut.get()
    }

    /// Waits until the connection is to be cut.
    pub async fn cut_requested(&self) -> Cut {
        loop {
            if let Some(why) = self.cut.get() {
                return why.clone();
            }
            self.notify.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of live connections.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<Table>,
    /// Connections whose client is not known yet.
    pub pending: Arc<HandshakeTable>,
    next: AtomicU64,
    per_client: PerClient,
}

#[derive(Debug, Default)]
struct Table {
    live: HashMap<u64, Arc<Entry>>,
    shares: Shares,
    /// Bytes of the connections that have left.
    past: (u64, u64),
}

/// A connection's place in the table; dropping it leaves the table.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

impl std::ops::Deref for Registered {
    type Target = Arc<Entry>;
    fn deref(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let (up, down) = self.entry.meter.totals();
        let mut table = self.registry.lock();
        table.live.remove(&self.entry.id);
        table
            .shares
            .leave(&self.entry.identity.spki, self.entry.place);
        table.past.0 += up;
        table.past.1 += down;
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            pending: Arc::new(HandshakeTable::new(usize::MAX)),
            next: AtomicU64::default(),
            per_client: PerClient::default(),
        }
    }
}

impl Registry {
    /// A table that keeps each client within `per_client`, and has places for so many handshakes.
    #[must_use]
    pub fn with_limits(per_client: PerClient, handshakes: usize) -> Self {
        Self {
            per_client,
            pending: Arc::new(HandshakeTable::new(handshakes)),
            ..Self::default()
        }
    }

    /// Numbers a connection, before it is known whose it is.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) + 1
    }

    /// Enters a connection.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        id: u64,
        peer: SocketAddr,
        identity: Arc<Identity>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Registered {
        let meter = Meter::default();
        meter.up(0);
        let mut table = self.lock();
        let (share, place) = table.shares.enter(identity.spki, self.per_client);
        let (identity, chain) = table.shares.share_copy(identity, chain);
        let entry = Arc::new(Entry {
            id,
            peer,
            identity,
            chain,
            entered: Instant::now(),
            place,
            meter,
            per_client: self.per_client,
            share,
            activity: Mutex::new(Activity {
                operation: Operation::Unknown,
                path: String::new(),
                since: Instant::now(),
                requests: 0,
                busy: false,
                tunnel: false,
                calls: BTreeMap::new(),
            }),
            cut: OnceLock::new(),
            notify: Notify::new(),
            left: SetOnce::new(),
        });
        table.live.insert(id, entry.clone());
        drop(table);
        Registered {
            registry: self.clone(),
            entry,
        }
    }

    /// The live connections, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.lock().live.values().cloned().collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        entries
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Whether the engine behind the gate is well: asked when somebody wants to know, never more than once a second.
//!
//! A probe is one `GET /_ping` on a connection of its own under one deadline, so a stopped engine, whose socket still accepts,
//! is told from one that is gone. Callers that come while a probe runs wait for it instead of starting another.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::engine::diagnose::{Cause, diagnose};
use crate::engine::ping::{PingError, ping};
use crate::error;

/// How long the engine may take to answer.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineHealth {
    /// It answered.
    Ok,
    /// There is nothing at the socket's path.
    Missing,
    /// The path is there, but nobody listens: the engine is stopped.
    Refused,
    /// The path is a bind mount of a socket that the engine has since replaced.
    Stale,
    /// The gate may not open the socket.
    Forbidden,
    /// It takes connections and does not answer.
    Unresponsive,
    /// It answered something else.
    Unhealthy,
}

/// What a probe found, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthFinding {
    /// In a word.
    pub engine: EngineHealth,
    /// One sentence for a person.
    pub detail: String,
    /// The cure, when there is one.
    pub hint: Option<String>,
}

/// The answer of `/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether requests can be served now.
    pub ready: bool,
    /// What the engine's probe found.
    pub engine: EngineHealth,
    /// One sentence for a person.
    pub detail: String,
    /// Whether the gate is about to end.
    pub draining: bool,
    /// Age of the probe in milliseconds.
    pub age_ms: u64,
    /// Said when the policy, or the lack of one, lets everything through: of whom.
    #[serde(default)]
    pub report_only: Option<String>,
}

/// Tells whom the policy in force lets do everything, if anybody.
pub type ReportOnly = Arc<dyn Fn() -> Option<String> + Send + Sync>;

impl Readiness {
    /// The same under the policy in force.
    #[must_use]
    pub fn under(self, report_only: &ReportOnly) -> Self {
        Self {
            report_only: report_only(),
            ..self
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.draining {
            f.write_str("not ready: the gate is draining")
        } else if self.ready {
            write!(f, "ready: {}", self.detail)?;
            match &self.report_only {
                Some(sentence) => write!(f, "; {sentence}"),
                None => Ok(()),
            }
        } else {
            write!(f, "not ready: {}", self.detail)
        }
    }
}

/// The probe and its last answer.
#[derive(Debug)]
pub struct Health {
    socket: PathBuf,
    deadline: Duration,
    draining: CancellationToken,
    last: Mutex<Option<(Instant, HealthFinding)>>,
}

impl Health {
    /// Watches the engine at `socket`.
    #[must_use]
    pub fn new(socket: PathBuf, draining: CancellationToken) -> Self {
        Self {
            socket,
            deadline: DEADLINE,
            draining,
            last: Mutex::new(None),
        }
    }

    /// Whether requests can be served. Takes [`DEADLINE`] at most.
    pub async fn ready(&self) -> Readiness {
        // Held while probing: a question that comes meanwhile gets the same answer.
        let mut last = self.last.lock().await;
        let (at, finding) = match &*last {
            Some((at, finding)) if at.elapsed() < FRESH => (*at, finding.clone()),
            _ => {
                let finding = probe(&self.socket, self.deadline).await;
                let now = Instant::now();
                *last = Some((now, finding.clone()));
                (now, finding)
            }
        };
        drop(last);
        let draining = self.is_draining();
        Readiness {
            ready: finding.engine == EngineHealth::Ok && !draining,
            engine: finding.engine,
            detail: match finding.hint {
                Some(hint) => format!("{} (hint: {hint})", finding.detail),
                None => finding.detail,
            },
            draining,
            age_ms: u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
            report_only: None,
        }
    }

    /// Whether the gate is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}

/// Longest list of sockets that is read.
const MAX_SOCKETS: u64 = 16 << 20;

/// Whether a process of this network namespace listens on `socket`, by the kernel's list of unix sockets.
#[must_use]
pub fn is_listened_on(socket: &Path) -> bool {
    let mut list = Vec::new();
    let opened = File::open("/proc/net/unix");
    let read = opened.and_then(|file| file.take(MAX_SOCKETS).read_to_end(&mut list));
    let real = fs::canonicalize(socket);
    let own = |path: &str| {
        let path = Path::new(path);
        path == socket || real.as_ref().is_ok_and(|real| path == real)
    };
    // Number, references, protocol, flags (`SO_ACCEPTCON`), type, state, inode, path: proc_net(5).
    let listens = |line: &str| {
        let mut fields = line.splitn(8, ' ').filter(|field| !field.is_empty());
        fields.nth(3) == Some("00010000")
            && line
                .split_once(" /")
                .is_some_and(|(_, path)| own(&format!("/{path}")))
    };
    read.is_ok() && String::from_utf8_lossy(&list).lines().any(listens)
}

/// What can be said of the engine when the gate starts. A socket that is listened on is taken for an engine: the first request
/// will tell, and an engine that starts when it is asked is not started for nobody.
pub async fn at_start(socket: &Path, is_listened_on: bool, deadline: Duration) -> HealthFinding {
    match access(socket, Access::WRITE_OK) {
        Ok(()) if is_listened_on => HealthFinding {
            engine: EngineHealth::Ok,
            detail: format!("the socket unix://{} is listened on", socket.display()),
            hint: None,
        },
        Ok(()) => probe(socket, deadline).await,
        Err(error) => explain(socket, &error.into()),
    }
}

/// Asks the engine at `socket` once.
pub async fn probe(socket: &Path, deadline: Duration) -> HealthFinding {
    let name = socket.display();
    let (engine, detail) = match ping(socket, deadline).await {
        Ok(answer) if answer.status == StatusCode::OK => (
            EngineHealth::Ok,
            format!("the engine at unix://{name} answers"),
        ),
        Ok(answer) => (
            EngineHealth::Unhealthy,
            format!(
                "the engine at unix://{name} answered GET /_ping with {}",
                answer.status
            ),
        ),
        Err(PingError::Connect(error)) => return explain(socket, &error),
        Err(PingError::Silent(_)) => (
            EngineHealth::Unresponsive,
            format!(
                "the engine at unix://{name} takes connections but did not answer GET /_ping within {deadline:?}"
            ),
        ),
        Err(error) => (
            EngineHealth::Unhealthy,
            format!(
                "the engine at unix://{name} did not answer GET /_ping: {}",
                error::report(&error)
            ),
        ),
    };
    HealthFinding {
        engine,
        detail,
        hint: None,
    }
}

fn explain(socket: &Path, error: &io::Error) -> HealthFinding {
    let problem = diagnose(socket, error);
    let engine = match &problem.cause {
        Cause::Missing { .. } | Cause::NotASocket { .. } => EngineHealth::Missing,
        Cause::Permission(_) | Cause::Forbidden(_) | Cause::Unreachable { .. } => {
            EngineHealth::Forbidden
        }
        Cause::Stale { .. } => EngineHealth::Stale,
        Cause::Refused => EngineHealth::Refused,
        Cause::Busy => EngineHealth::Unresponsive,
        Cause::Other(_) => EngineHealth::Unhealthy,
    };
    HealthFinding {
        engine,
        detail: problem.message(),
        hint: problem.hint(),
    }
}

/// Whether the path is a bind mount of a socket that the engine has since replaced: it will never answer again.
pub async fn is_stale(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            explain(socket, &e).engine == EngineHealth::Stale
        }
        _ => false,
    }
}

/// Resolves when `socket` has been stale at every look for `limit`.
pub async fn until_stale(socket: &Path, limit: Duration) {
    let every = (limit / 4).clamp(Duration::from_millis(20), Duration::from_secs(5));
    lasting(limit, every, async || is_stale(socket).await).await;
}

/// Resolves when `condition` has held at every look for `limit`.
async fn lasting(limit: Duration, every: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let mut since: Option<Instant> = None;
    loop {
        if condition().await {
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= limit {
                return;
            }
        } else {
            since = None;
        }
        sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use tokio::time::timeout;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_missing_a_refused_and_a_unresponsive_engine_are_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let look = || run(probe(&path, Duration::from_millis(200))).engine;
        assert_eq!(look(), EngineHealth::Missing);
        let listener = UnixListener::bind(&path).expect("bound");
        assert_eq!(look(), EngineHealth::Unresponsive);
        drop(listener);
        assert_eq!(look(), EngineHealth::Refused);
    }

    #[test]
    fn the_start_tells_an_engine_that_is_away_and_leaves_one_that_listens_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let look = || {
            let listened = is_listened_on(&path);
            run(at_start(&path, listened, Duration::from_millis(200))).engine
        };
        assert_eq!(look(), EngineHealth::Missing);
        let listener = UnixListener::bind(&path).expect("bound");
        assert_eq!(look(), EngineHealth::Ok);
        listener.set_nonblocking(true).expect("set");
        let came = listener.accept().map_err(|error| error.kind());
        assert_eq!(
            came.err(),
            Some(io::ErrorKind::WouldBlock),
            "it was not asked"
        );
        drop(listener);
        assert_eq!(look(), EngineHealth::Refused);
    }

    #[test]
    fn an_engine_that_is_merely_down_is_not_stale() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        assert!(!run(is_stale(&path)), "missing is not stale");
        let listener = UnixListener::bind(&path).expect("bound");
        assert!(!run(is_stale(&path)), "listening is not stale");
        drop(listener);
        assert!(
            !run(is_stale(&path)),
            "a stopped engine will come back here"
        );
    }

    #[test]
    fn a_condition_has_to_hold_at_every_look() {
        let (limit, every) = (Duration::from_millis(50), Duration::from_millis(5));
        let always = lasting(limit, every, async || true);
        run(async { timeout(Duration::from_secs(5), always).await }).expect("lasts");
        let mut looks = 0;
        let flickering = lasting(limit, every, async || {
            looks += 1;
            looks % 3 != 0
        });
        run(async { timeout(8 * limit, flickering).await }).expect_err("never lasts");
        assert!(looks > 6);
    }
}

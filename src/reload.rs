//! Keeps trust current while connections live.
//!
//! SIGHUP, and a poll of the files' contents (bind mounts and Kubernetes' symlink swaps defeat inotify), read the whole
//! configuration again: everything is read, built and cross-checked before anything is published. A fault keeps the old
//! generation and is logged; the next change of the files is the next try. What was published is then applied to the live
//! connections: each certificate is judged again, and one that fails is cut, hijacked sessions included. Expiry needs no
//! reload: it is watched by the second.

mod changes;
mod generation;

use rustls::pki_types::UnixTime;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{Level, error, info, warn};

use crate::cli::ServeArgs;
use crate::config::key::Change;
use crate::config::{Config, LogLevel};
use crate::connection::Front;
use crate::finding;
use crate::observe::expiry::{Date, Subject};
use crate::observe::metrics;
use crate::observe::registry::{Cut, Entry};
use pki::auto;
use policy::Policy;

use changes::{changed, names};
use generation::{Found, Generation, has_lists, read, snapshot};

pub use generation::{TrustFault, paths, policy, trust, trust_store};

/// How often live certificates are compared with the clock.
const EXPIRY_TICK: Duration = Duration::from_secs(1);

/// How often `--auto-certs` looks after the server certificate, and expiry warnings are considered.
const CARE_TICK: Duration = Duration::from_secs(60);

/// The level `tracing` knows.
#[must_use]
pub fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::TRACE,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}

/// Watches files, clock and SIGHUP.
#[derive(Debug)]
pub struct Reloader {
    args: ServeArgs,
    config: Config,
    dates: Vec<Date>,
    front: Arc<Front>,
    ask: Arc<Notify>,
    seen: [u8; 32],
    /// The fault that stands. While there is one, each look reads everything: what mends it may be a file that the
    /// configuration in force does not name.
    fault: Option<String>,
    /// When the clock was last looked at.
    checked: OffsetDateTime,
    /// The names for the server certificate have changed, and `--auto-certs` has not seen to it yet.
    names_changed: bool,
}

impl Reloader {
    /// `args` are what `config` was read from; `ask` wakes it for a look at once.
    #[must_use]
    pub fn new(
        args: ServeArgs,
        config: Config,
        dates: Vec<Date>,
        front: Arc<Front>,
        ask: Arc<Notify>,
    ) -> Self {
        let seen = snapshot(&config);
        Self {
            args,
            config,
            dates,
            front,
            ask,
            seen,
            fault: None,
            checked: OffsetDateTime::now_utc(),
            names_changed: false,
        }
    }

    /// Runs for ever.
    pub async fn run(mut self) {
        let mut poll = self.config.reload_interval.map(ticker);
        let (mut expiry, mut care) = (ticker(EXPIRY_TICK), ticker(CARE_TICK));
        loop {
            let polled = async {
                match &mut poll {
                    Some(poll) => _ = poll.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.ask.notified() => self.look(true).await,
                () = polled => self.look(false).await,
                _ = expiry.tick() => self.check_clock().await,
                _ = care.tick() => self.care().await,
            }
            if std::mem::take(&mut self.names_changed) {
                self.care().await;
            }
        }
    }

    /// Looks at the files; `asked` reloads although nothing has changed.
    async fn look(&mut self, asked: bool) {
        let (args, config, seen) = (self.args.clone(), self.config.clone(), self.seen);
        let (listed, faulty) = (has_lists(&self.dates), self.fault.is_some());
        let looked = tokio::task::spawn_blocking(move || {
            let now = snapshot(&config);
            let found = if now == seen && !asked && !faulty {
                Found::Unchanged
            } else {
                read(&args, &config, listed)
            };
            (now, found)
        });
        let Ok((seen, found)) = looked.await else {
            self.front.shared.metrics.reload(metrics::Reload::Failed);
            error!("A reload panicked; the old configuration stays in force");
            return;
        };
        let changed = std::mem::replace(&mut self.seen, seen) != seen;
        match found {
            Found::Unchanged => {}
            // Said once, until something changes.
            Found::Fault(fault) if !asked && !changed && self.fault.as_ref() == Some(&fault) => {}
            Found::Fault(fault) => {
                self.front.shared.metrics.reload(metrics::Reload::Failed);
                error!(
                    error = fault,
                    "Reload failed; the old configuration stays in force"
                );
                self.fault = Some(fault);
            }
            Found::New(generation) => self.publish(*generation).await,
        }
    }

    async fn publish(&mut self, generation: Generation) {
        let Generation {
            config,
            trust,
            policy,
            survey,
            dates,
            seen,
        } = generation;
        for name in changed(&self.config, &config, Change::Restart) {
            warn!(
                setting = name,
                "Changed, but takes effect at the next start only"
            );
        }
        *self
            .front
            .trust
            .write()
            .unwrap_or_else(PoisonError::into_inner) = trust;
        self.front.shared.house.adopt(survey);
        let policy = self.front.shared.publish(policy);
        if let Some(audit) = &self.front.shared.audit
            && let Err(e) = audit.reopen()
        {
            error!(error = %e, "The audit file cannot be opened anew; the old one stays in use");
        }
        crate::observe::log::set_level(level(config.log.level));
        self.front.expiry.look(&dates, OffsetDateTime::now_utc());
        self.names_changed = names(&self.config) != names(&config);
        (self.config, self.dates) = (config, dates);
        (self.seen, self.fault) = (seen, None);
        let cut = self.judge().await + self.withdraw(&policy);
        self.front.shared.metrics.reload(metrics::Reload::Applied);
        info!(cut, "Reloaded");
    }

    /// Cuts those who have no role any more. Streams of everyone else live on under the decision they started with.
    fn withdraw(&self, policy: &Policy) -> usize {
        let without_role =
            |entry: &Arc<Entry>| policy.shuts_out(policy.client_for(&entry.identity));
        let withdrawn = self
            .front
            .registry
            .snapshot()
            .into_iter()
            .filter(without_role);
        withdrawn.map(|entry| entry.cut(Cut::RoleLost)).count()
    }

    /// Judges every live connection by the trust in force; returns how many were cut.
    async fn judge(&self) -> usize {
        let front = self.front.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let store = front
                .trust
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .store
                .clone();
            let now = UnixTime::now();
            let mut cut = 0;
            for entry in front.registry.snapshot() {
                if let Err(refusal) = store.admit(&entry.chain, now) {
                    entry.cut(Cut::Untrusted(refusal.to_string()));
                    cut += 1;
                }
            }
            cut
        });
        judged.await.unwrap_or_default()
    }

    /// Cuts what has expired since the last look; a CA or a list that lapses concerns everyone its issuer has issued.
    async fn check_clock(&mut self) {
        let now = OffsetDateTime::now_utc();
        for entry in self.front.registry.snapshot() {
            if entry.identity.not_after < now.unix_timestamp() {
                entry.cut(Cut::Expired);
            }
        }
        // However long the last look is ago (a reload may take its time, a machine may sleep), no end is missed.
        let since = std::mem::replace(&mut self.checked, now);
        let ended = |subject, grace: time::Duration| {
            let mut of = self.dates.iter().filter(|date| date.subject == subject);
            of.any(|date| (since..now).contains(&(date.not_after + grace)))
        };
        // A certificate is good for all of its last second (RFC 5280 §4.1.2.5), a list is not.
        let ca = ended(Subject::Ca, time::Duration::SECOND);
        let list = ended(Subject::Crl, time::Duration::ZERO);
        if !ca && !list {
            return;
        }
        let cut = self.judge().await;
        if ca {
            warn!(
                cut,
                "A client CA has expired; no client of it is let in until a new one comes"
            );
        }
        if list {
            warn!(
                cut,
                "A revocation list has lapsed; no client of its issuer is let in until a new one comes"
            );
        }
    }

    /// What `--auto-certs` promises, and the warnings.
    async fn care(&mut self) {
        self.front
            .expiry
            .look(&self.dates, OffsetDateTime::now_utc());
        let Some(wanted) = self.config.auto_certs.clone() else {
            return;
        };
        let done = tokio::task::spawn_blocking(move || auto::ensure(&wanted.dir, &wanted.sans));
        match done.await {
            Ok(Ok(done)) => {
                let mut renewed = false;
                for action in &done.actions {
                    renewed |= !action.is_warning();
                    if !action.is_warning() {
                        info!("{action}");
                    }
                }
                if renewed {
                    self.look(true).await;
                }
            }
            Ok(Err(e)) => {
                warn!(error = %finding::chain(&e), "The server certificate cannot be looked after");
            }
            Err(_) => error!("Looking after the server certificate panicked"),
        }
    }
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker.reset();
    ticker
}

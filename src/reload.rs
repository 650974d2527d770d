//! Keeps trust and policy current while connections live.
//!
//! SIGHUP, `dockgate reload`, and a poll of the files' contents (bind mounts and Kubernetes' symlink swaps defeat inotify), read the
//! whole configuration again: everything is read, built and cross-checked before anything is published. A fault keeps the old
//! generation and is logged; the next change of the files is the next try. What was published is then applied to the live
//! connections: each certificate is judged again, and one that fails is cut, hijacked sessions included. Expiry needs no
//! reload: it is watched by the second.

mod changes;
mod look;

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::cage::Cage;
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::config::key::SettingChange;
use crate::connection::Front;
use crate::error;
use crate::generation::Generation;
use crate::observe::control::{Connection, CutConnection, ReloadRequest, Reloaded};
use crate::observe::expiry::{Date, Subject};
use crate::observe::metrics;
use crate::observe::registry::{Cut, Entry, left_running};
use crate::service;
use pki::auto;

use changes::names;
use look::{FoundFiles, KnownFiles, New};

/// How often live certificates are compared with the clock.
const EXPIRY_TICK: Duration = Duration::from_secs(1);

/// How often `--auto-certs` looks after the server certificate and the revocation list, and expiry warnings are considered.
const CARE_TICK: Duration = Duration::from_secs(60);

/// Watches files, clock, SIGHUP and the control socket.
#[derive(Debug)]
pub struct Reloader {
    args: ServeArgs,
    config: Config,
    front: Arc<Front>,
    signal: Arc<Notify>,
    asked: mpsc::Receiver<ReloadRequest>,
    cage: Option<Arc<Cage>>,
    /// Of the files in force.
    seen: [u8; 32],
    /// Of the files that the last poll saw, where they differ from those in force.
    changing: Option<[u8; 32]>,
    /// Of the files in which the last reload found a fault. As long as they stay the same, there is nothing to say.
    faulty: Option<[u8; 32]>,
    /// When the clock was last looked at.
    checked: OffsetDateTime,
    /// The names for the server certificate have changed, and `--auto-certs` has not seen to it yet.
    names_changed: bool,
}

/// What a reloader starts from.
#[derive(Debug)]
pub struct Start {
    /// What the configuration was read from.
    pub args: ServeArgs,
    /// The configuration in force.
    pub config: Config,
    /// What confines this process.
    pub cage: Option<Arc<Cage>>,
    /// A digest of the files in force.
    pub seen: [u8; 32],
    /// Wakes it for a look at once.
    pub signal: Arc<Notify>,
    /// Asks for a reload, and waits for what came of it.
    pub asked: mpsc::Receiver<ReloadRequest>,
}

impl Reloader {
    /// Keeps `front` current.
    #[must_use]
    pub fn new(start: Start, front: Arc<Front>) -> Self {
        let Start {
            args,
            config,
            cage,
            seen,
            signal,
            asked,
        } = start;
        Self {
            args,
            config,
            front,
            signal,
            asked,
            cage,
            seen,
            changing: None,
            faulty: None,
            checked: OffsetDateTime::now_utc(),
            names_changed: false,
        }
    }

    /// Runs until dropped.
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
                () = self.signal.notified() => drop(self.look(true).await),
                Some(request) = self.asked.recv() => {
                    let answer = self.look(true).await;
                    // Who asked may have gone meanwhile.
                    let _ = request.send(answer);
                }
                () = polled => drop(self.look(false).await),
                _ = expiry.tick() => self.check_clock().await,
                _ = care.tick() => self.care().await,
            }
            if std::mem::take(&mut self.names_changed) {
                self.care().await;
            }
        }
    }

    /// Looks at the files; `asked` reloads at once and although nothing has changed. The service manager hears what came of it.
    async fn look(&mut self, asked: bool) -> Result<Reloaded, String> {
        if asked {
            service::reloading();
        }
        let outcome = self.reload(asked).await;
        let status = match &outcome {
            // A look of the poll that found nothing leaves the status as it is.
            Ok(reloaded) if !asked && reloaded.changed.is_empty() => return outcome,
            Ok(_) => self.status(),
            Err(fault) => fault.clone(),
        };
        match asked {
            true => service::ready(&status),
            false => service::status(&status),
        }
        outcome
    }

    fn status(&self) -> String {
        self.front.shared.generation().status()
    }

    async fn reload(&mut self, asked: bool) -> Result<Reloaded, String> {
        let known = KnownFiles {
            args: self.args.clone(),
            config: self.config.clone(),
            cage: self.cage.clone(),
            has_lists: self.front.shared.generation().has_lists(),
            seen: self.seen,
            changing: self.changing,
            faulty: self.faulty,
        };
        let looked = tokio::task::spawn_blocking(move || match asked {
            true => known.asked(),
            false => known.polled(),
        });
        let Ok(found) = looked.await else {
            self.front.shared.metrics.reload(metrics::Reload::Failed);
            error!("A reload panicked; the old configuration stays in force");
            return Err("the reload panicked; the old configuration stays in force".to_owned());
        };
        self.changing = None;
        match found {
            FoundFiles::Unchanged => Ok(Reloaded {
                unread_list: self.config.tls_paths().unread_list(),
                ..Reloaded::default()
            }),
            FoundFiles::Changing(digest) => {
                self.changing = Some(digest);
                Ok(Reloaded::default())
            }
            FoundFiles::Fault(fault, digest) => {
                self.front.shared.metrics.reload(metrics::Reload::Failed);
                error!(
                    error = fault,
                    "Reload failed; the old configuration stays in force"
                );
                self.faulty = Some(digest);
                Err(format!(
                    "the reload failed; the old configuration stays in force: {fault}"
                ))
            }
            FoundFiles::New(new) => Ok(self.publish(*new).await),
        }
    }

    async fn publish(&mut self, new: New) -> Reloaded {
        let New {
            config,
            generation,
            survey,
            seen,
        } = new;
        let next_start = changes::settings(&self.config, &config, SettingChange::Restart);
        for name in &next_start {
            warn!(
                setting = name,
                "Changed, but takes effect at the next start only"
            );
        }
        let shared = &self.front.shared;
        let before = shared.generation();
        let changed = changes::sentences((&self.config, &before), (&config, &generation));
        shared.house.adopt(survey);
        let generation = shared.publish(&generation);
        if let Some(audit) = &shared.audit
            && let Err(e) = audit.reopen()
        {
            error!(error = %e, "The audit file cannot be opened again; the old one stays in use");
        }
        crate::observe::log::set_level(config.log.level.into());
        self.front
            .expiry
            .look(&generation.dates, OffsetDateTime::now_utc());
        self.names_changed = names(&self.config) != names(&config);
        (self.config, self.seen, self.faulty) = (config, seen, None);
        let mut cut = self.judge().await;
        cut.extend(self.withdraw(&generation));
        let cut = told(cut).await;
        self.front.shared.metrics.reload(metrics::Reload::Applied);
        info!(cut = cut.len(), changed = changed.join("; "), "Reloaded");
        if let Some(sentence) = crate::generation::unenforced(&generation.policy)
            && !generation.policy.is_open()
        {
            warn!("{sentence}");
        }
        Reloaded {
            changed,
            next_start: next_start.into_iter().map(str::to_owned).collect(),
            cut,
            unread_list: self.config.tls_paths().unread_list(),
        }
    }

    /// Cuts those who have no role any more. Streams of everyone else live on under the decision they started with.
    fn withdraw(&self, generation: &Generation) -> Vec<CutEntry> {
        let policy = &generation.policy;
        let without_role =
            |entry: &Arc<Entry>| policy.shuts_out(policy.client_for(&entry.identity));
        let entries = self.front.registry.snapshot();
        let withdrawn = entries.iter().filter(|entry| without_role(entry));
        withdrawn.map(|entry| cut(entry, Cut::RoleLost)).collect()
    }

    /// Judges every live connection by the trust in force; returns those that were cut.
    async fn judge(&self) -> Vec<CutEntry> {
        let front = self.front.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let generation = front.shared.generation();
            let entries = front.registry.snapshot();
            let refused = entries.iter().filter_map(|entry| {
                let why = generation.judge(&entry.chain).err()?;
                Some(cut(entry, Cut::Untrusted(why)))
            });
            refused.collect()
        });
        judged.await.unwrap_or_default()
    }

    /// Cuts what has expired since the last look; a CA or a list that expires concerns everyone its issuer has issued.
    async fn check_clock(&mut self) {
        let now = OffsetDateTime::now_utc();
        for entry in self.front.registry.snapshot() {
            if entry.identity.not_after < now.unix_timestamp() {
                entry.cut(Cut::Expired);
            }
        }
        // However long the last look is ago (a reload may take its time, a machine may sleep), no end is missed.
        let since = std::mem::replace(&mut self.checked, now);
        let generation = self.front.shared.generation();
        let dates: &[Date] = &generation.dates;
        let ended = |subject, grace: time::Duration| {
            let mut of = dates.iter().filter(|date| date.subject == subject);
            of.any(|date| (since..now).contains(&(date.validity.until + grace)))
        };
        // A certificate is good for all of its last second (RFC 5280 §4.1.2.5), a list is not.
        let ca = ended(Subject::Ca, time::Duration::SECOND);
        let list = ended(Subject::Crl, time::Duration::ZERO);
        if !ca && !list {
            return;
        }
        let cut = self.judge().await.len();
        if ca {
            warn!(
                cut,
                "A client CA has expired; no client of it is let in until a new one comes"
            );
        }
        if list {
            warn!(
                cut,
                "A revocation list has expired; no client of its issuer is let in until a new one comes"
            );
        }
    }

    /// What `--auto-certs` promises, and the warnings.
    async fn care(&mut self) {
        let generation = self.front.shared.generation();
        self.front
            .expiry
            .look(&generation.dates, OffsetDateTime::now_utc());
        let Some(wanted) = self.config.auto_certs.clone() else {
            return;
        };
        let done = tokio::task::spawn_blocking(move || auto::ensure_all(&wanted.dir, &wanted.sans));
        match done.await {
            Ok(Ok(done)) => {
                let mut renewed = false;
                for action in &done.actions {
                    renewed |= !action.is_warning();
                    if !action.is_warning() {
                        info!("{action}");
                    }
                }
                // A poll finds it by itself, once nothing else is being written.
                if renewed && self.config.reload_interval.is_none() {
                    let _ = self.look(true).await;
                }
            }
            Ok(Err(e)) => {
                warn!(error = %error::report(&e), "The certificates of --auto-certs cannot be looked after");
            }
            Err(_) => error!("Looking after the certificates of --auto-certs panicked"),
        }
    }
}

/// A connection that was cut, and as it was then.
type CutEntry = (Arc<Entry>, CutConnection);

fn cut(entry: &Arc<Entry>, why: Cut) -> CutEntry {
    let connection = Connection::of(entry);
    let reason = why.to_string();
    entry.cut(why);
    (entry.clone(), CutConnection { connection, reason })
}

/// The same for people, with what goes on.
async fn told(cut: Vec<CutEntry>) -> Vec<CutConnection> {
    let (entries, mut told): (Vec<_>, Vec<_>) = cut.into_iter().unzip();
    for (told, left) in told.iter_mut().zip(left_running(&entries).await) {
        told.connection.left = left;
    }
    told
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker.reset();
    ticker
}

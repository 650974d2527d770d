//! Keeps trust current while connections live.
//!
//! SIGHUP, and a poll of the files' contents (bind mounts and Kubernetes' symlink swaps defeat inotify), read the whole
//! configuration again: everything is read, built and cross-checked before anything is published. A fault keeps the old
//! generation and is logged; the next change of the files is the next try. What was published is then applied to the live
//! connections: each certificate is judged again, and one that fails is cut, hijacked sessions included. Expiry needs no
//! reload: it is watched by the second.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{Level, error, info, warn};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::certs::auto;
use crate::cli::ServeArgs;
use crate::config::{self, Config, DenyList, LogLevel, TlsPaths};
use crate::expiry::{Date, Subject};
use crate::finding;
use crate::front::Front;
use crate::identity;
use crate::logging;
use crate::metrics;
use crate::policy::{Policy, PolicyError, toggles};
use crate::registry::{Cut, Entry};
use crate::tls::config::{Material, Trust, TrustError};
use crate::tls::files::{self, FileError, Summary, TlsMaterial};
use crate::tls::verify::Denied;

/// How often live certificates are compared with the clock.
const EXPIRY_TICK: Duration = Duration::from_secs(1);

/// How often `--auto-certs` looks after the server certificate, and expiry warnings are considered.
const CARE_TICK: Duration = Duration::from_secs(60);

/// Why there is no new generation of trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustFault {
    /// A TLS file is missing or wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files do not make a TLS server.
    #[error(transparent)]
    Build(#[from] TrustError),
}

/// Reads the TLS files and builds a generation of trust, with the dates it ends on. Blocks on the file system.
///
/// # Errors
/// When a file is missing or wrong, or they do not go together.
pub fn trust(config: &Config) -> Result<(Trust, Vec<Date>), TrustFault> {
    let files = files::load(&paths(config))?;
    let dates = dates(&files);
    let trust = Trust::build(Material {
        cert_chain: files.cert_chain,
        key: files.key,
        client_ca: files.client_ca,
        crls: files.crls,
        denied: denied(&config.deny),
    })?;
    Ok((trust, dates))
}

/// Reads the policy: the configured file, else the environment's toggles, else full access.
///
/// # Errors
/// When the file is missing or wrong, or a toggle is.
pub fn policy(config: &Config) -> Result<Policy, PolicyError> {
    match &config.policy {
        Some(path) => Policy::read(path),
        None => {
            let variables = std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
            Ok(toggles::from_env(variables)?.unwrap_or_else(Policy::open))
        }
    }
}

/// The TLS files in force.
#[must_use]
pub fn paths(config: &Config) -> TlsPaths {
    match (&config.tls, &config.auto_certs) {
        (Some(paths), _) => paths.clone(),
        (None, Some(auto)) => auto.paths(),
        (None, None) => unreachable!("a configuration must have TLS files or automatic ones"),
    }
}

fn denied(list: &DenyList) -> Denied {
    Denied {
        serials: list
            .serials
            .iter()
            .map(|serial| HEXLOWER.encode(serial))
            .collect(),
        spki_sha256: list.spki_sha256.iter().copied().collect(),
    }
}

fn dates(files: &TlsMaterial) -> Vec<Date> {
    let certificate = |subject, cert| {
        let summary = Summary::of(cert).ok()?;
        Some(Date {
            subject,
            name: summary.subject,
            id: summary.sha256,
            not_after: summary.not_after,
        })
    };
    let server = files
        .cert_chain
        .first()
        .and_then(|cert| certificate(Subject::Server, cert));
    let cas = files
        .client_ca
        .iter()
        .filter_map(|ca| certificate(Subject::Ca, ca));
    let crls = files.crls.iter().filter_map(|crl| {
        let (_, list) = CertificateRevocationList::from_der(crl).ok()?;
        Some(Date {
            subject: Subject::Crl,
            name: identity::name(list.issuer()),
            id: HEXLOWER.encode(&identity::sha256(crl)),
            not_after: list.next_update()?.to_datetime(),
        })
    });
    server.into_iter().chain(cas).chain(crls).collect()
}

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

/// What a look at the files found.
enum Found {
    Unchanged,
    New(Box<Generation>),
    Fault(String),
}

/// All that a reload publishes.
struct Generation {
    config: Config,
    trust: Trust,
    policy: Policy,
    dates: Vec<Date>,
    /// Of the files before they were read: a change in the meantime shows at the next look.
    seen: [u8; 32],
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
            self.front.gate.metrics.reload(metrics::Reload::Failed);
            error!("A reload panicked; the old configuration stays in force");
            return;
        };
        let changed = std::mem::replace(&mut self.seen, seen) != seen;
        match found {
            Found::Unchanged => {}
            // Said once, until something changes.
            Found::Fault(fault) if !asked && !changed && self.fault.as_ref() == Some(&fault) => {}
            Found::Fault(fault) => {
                self.front.gate.metrics.reload(metrics::Reload::Failed);
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
            dates,
            seen,
        } = generation;
        for name in restart_only(&self.config, &config) {
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
        let policy = Arc::new(policy);
        *self
            .front
            .gate
            .policy
            .write()
            .unwrap_or_else(PoisonError::into_inner) = policy.clone();
        if let Some(audit) = &self.front.gate.audit
            && let Err(e) = audit.reopen()
        {
            error!(error = %e, "The audit file cannot be opened anew; the old one stays in use");
        }
        logging::set_level(level(config.log.level));
        self.front.expiry.look(&dates, OffsetDateTime::now_utc());
        self.names_changed = names(&self.config) != names(&config);
        (self.config, self.dates) = (config, dates);
        (self.seen, self.fault) = (seen, None);
        let cut = self.judge().await + self.withdraw(&policy);
        self.front.gate.metrics.reload(metrics::Reload::Applied);
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
            let verifier = front
                .trust
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .verifier
                .clone();
            let now = UnixTime::now();
            let mut cut = 0;
            for entry in front.registry.snapshot() {
                let Some((leaf, intermediates)) = entry.chain.split_first() else {
                    continue;
                };
                if let Err(refused) = verifier.judge(leaf, intermediates, now) {
                    entry.cut(Cut::Untrusted(refused.0.to_string()));
                    cut += 1;
                }
            }
            cut
        });
        judged.await.unwrap_or_default()
    }

    /// Cuts what has expired since the last look; a list that lapses concerns everyone its issuer has issued.
    async fn check_clock(&mut self) {
        let now = OffsetDateTime::now_utc();
        for entry in self.front.registry.snapshot() {
            if entry.identity.not_after < now.unix_timestamp() {
                entry.cut(Cut::Expired);
            }
        }
        // However long the last look is ago (a reload may take its time, a machine may sleep), no end is missed.
        let since = std::mem::replace(&mut self.checked, now);
        let lapsed =
            |d: &Date| d.subject == Subject::Crl && d.not_after < now && d.not_after >= since;
        if self.dates.iter().any(lapsed) {
            let cut = self.judge().await;
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
            Ok(Err(e)) => warn!(error = %e, "The server certificate cannot be looked after"),
            Err(_) => error!("Looking after the server certificate panicked"),
        }
    }
}

fn has_lists(dates: &[Date]) -> bool {
    dates.iter().any(|date| date.subject == Subject::Crl)
}

/// Reads and builds everything anew. `listed` says that revocation lists are in force.
fn read(args: &ServeArgs, old: &Config, listed: bool) -> Found {
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(e) => return Found::Fault(e.to_string()),
    };
    let seen = snapshot(&config);
    // Read again, now that what it names is on record: whatever changes from here on differs from the record.
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(e) => return Found::Fault(e.to_string()),
    };
    let policy = match policy(&config) {
        Ok(policy) => policy,
        Err(e) => return Found::Fault(e.to_string()),
    };
    match trust(&config) {
        // A list that has merely gone must not bring revoked clients back; taking it out of the configuration may.
        Ok((_, dates)) if listed && !has_lists(&dates) && paths(old) == paths(&config) => {
            Found::Fault(
                "the revocation lists in force have gone: put them back, or change tlscrl"
                    .to_owned(),
            )
        }
        Ok((trust, dates)) => Found::New(Box::new(Generation {
            config,
            trust,
            policy,
            dates,
            seen,
        })),
        Err(e) => Found::Fault(finding::chain(&e)),
    }
}

/// A digest of everything a reload would read.
fn snapshot(config: &Config) -> [u8; 32] {
    let mut files: Vec<PathBuf> = config.files.clone();
    files.extend(config.policy.clone());
    let mut both = files::snapshot(&paths(config)).to_vec();
    both.extend(files::digest(&files));
    identity::sha256(&both)
}

/// The directory of `--auto-certs`.
fn directory(config: &Config) -> Option<&Path> {
    config.auto_certs.as_ref().map(|auto| auto.dir.as_path())
}

/// The names asked for in the server certificate of `--auto-certs`.
fn names(config: &Config) -> Option<&[String]> {
    config.auto_certs.as_ref().map(|auto| auto.sans.as_slice())
}

/// Names of settings that differ but are only read at the start.
fn restart_only(old: &Config, new: &Config) -> Vec<&'static str> {
    let pairs = [
        ("hosts", old.listen != new.listen),
        ("upstream", old.upstream != new.upstream),
        ("metrics", old.metrics != new.metrics),
        ("control-socket", old.control_socket != new.control_socket),
        ("workers", old.workers != new.workers),
        ("log-format", old.log.format != new.log.format),
        ("limits", old.limits != new.limits),
        ("audit", old.audit != new.audit),
        ("authz-plugin", old.authz_plugin != new.authz_plugin),
        (
            "handshake-timeout",
            old.handshake_timeout != new.handshake_timeout,
        ),
        ("head-timeout", old.head_timeout != new.head_timeout),
        ("drain-timeout", old.drain_timeout != new.drain_timeout),
        ("tunnel-grace", old.tunnel_grace != new.tunnel_grace),
        ("tcp-keepalive", old.tcp_keepalive != new.tcp_keepalive),
        (
            "reload-interval",
            old.reload_interval != new.reload_interval,
        ),
        ("auto-certs", directory(old) != directory(new)),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker.reset();
    ticker
}

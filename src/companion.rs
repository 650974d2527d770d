//! Processes that work beside the gate: the signer of `--enroll`, and what keeps the certificates of `--enrolled` current.
//!
//! They are started before the gate goes into its cage, in which it can neither start a program nor connect to anybody. Each
//! ends when the gate does, because its standard input ends then, and tells the gate by a line when files have changed, or how far
//! the signer's clock is from the one here.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::cage::Account;
use crate::config::{Config, EnrollSettings, EnrolledGate};
use crate::observe::metrics::Metrics;

/// The longest line that a companion says.
const LINE_BYTES: usize = 1024;

/// Variables that a companion has of the gate's environment; none of them is a secret.
pub(crate) const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "TZ", "NO_COLOR"];

/// A process beside the gate. Dropping it ends it.
#[derive(Debug)]
pub struct Companion {
    what: &'static str,
    /// Its standard input ends with this.
    child: Child,
    news: ChildStdout,
}

/// Why a companion is not there.
#[derive(Debug, thiserror::Error)]
pub enum CompanionError {
    /// It could not be started.
    #[error("cannot start {what}")]
    Start {
        /// What it is.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{what} ended at its start; it has said why")]
    Ended {
        /// What it is.
        what: &'static str,
    },
}

impl Companion {
    /// Starts the signer, and waits until the gate's certificates are there.
    ///
    /// # Errors
    /// When it cannot be started, or ends at its start.
    pub fn signer(config: &Config, enroll: &EnrollSettings) -> Result<Self, CompanionError> {
        let mut command = command(config, "signer")?;
        command
            .args(["--attached", "--auto", "--listen"])
            .arg(format!("tcp://{}", enroll.listen));
        command.arg("--dir").arg(&enroll.dir);
        for san in &enroll.sans {
            command.args(["--san", san, "--server-san", san]);
        }
        if let Some(path) = &enroll.config {
            command.arg("--config").arg(path);
        }
        if let Some(path) = &enroll.metrics_file {
            command.arg("--metrics-file").arg(path);
        }
        let account = config
            .user
            .as_ref()
            .and_then(|user| Account::find(user).ok());
        if let Some((user, group)) = account.map(|account| account.ids()) {
            command.arg("--gate-owner").arg(format!("{user}:{group}"));
        }
        let level = tracing::Level::from(config.log.level);
        command.args(["--log-level", level.as_str()]);
        let mut started = Self::start("the signer", &mut command)?;
        match started.first_line() {
            true => Ok(started),
            false => Err(CompanionError::Ended { what: started.what }),
        }
    }

    /// Starts what keeps an enrolled gate's certificate and trust current.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn keeper(config: &Config, gate: &EnrolledGate) -> Result<Self, CompanionError> {
        let mut command = command(config, "renew")?;
        command.args(["--watch", "--attached", "--trust-interval"]);
        command
            .arg(format!("{}s", gate.interval.as_secs().max(1)))
            .arg(&gate.dir);
        Self::start("the keeper of the gate's certificate", &mut command)
    }

    fn start(what: &'static str, command: &mut Command) -> Result<Self, CompanionError> {
        let failed = |source| CompanionError::Start { what, source };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let news = child.stdout.take();
        let news = news.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { what, child, news })
    }

    /// Waits for the first line; false if none comes. Whatever it does before has a deadline of its own.
    fn first_line(&mut self) -> bool {
        let mut byte = [0; 1];
        for _ in 0..LINE_BYTES {
            match self.news.read(&mut byte) {
                Ok(1) if byte == *b"\n" => return true,
                Ok(1) => {}
                _ => return false,
            }
        }
        false
    }

    /// Notifies `changed` whenever files have changed, and notes what is said of the signer's clock. Runs until dropped.
    pub async fn follow(self, changed: Arc<Notify>, metrics: Arc<Metrics>) {
        let Self { what, child, news } = self;
        let news = pipe::Receiver::from_owned_fd(OwnedFd::from(news));
        match news {
            Ok(news) => {
                told(news, &changed, &metrics).await;
                error!(
                    what,
                    "A process beside the gate has ended; the gate serves on with what it has: start it again"
                );
            }
            Err(fault) => warn!(what, error = %fault, "Changes are seen at the next look only"),
        }
        std::future::pending::<()>().await;
        drop(child);
    }
}

/// What a line begins with that says how far the signer's clock is ahead.
const CLOCK: &str = "clock ";

/// The line in which a companion says how many seconds the signer's clock is ahead.
pub(crate) fn clock_line(seconds: i64) -> String {
    format!("{CLOCK}{seconds}")
}

/// Takes each line, until there are no more: one of the clock is noted, and every other one notifies `changed`. Of a line that is
/// too long the beginning alone is kept.
async fn told(mut news: impl AsyncRead + Unpin, changed: &Notify, metrics: &Metrics) {
    let (mut piece, mut line) = ([0; LINE_BYTES], Vec::with_capacity(LINE_BYTES));
    while let Ok(count @ 1..) = news.read(&mut piece).await {
        for byte in &piece[..count] {
            match byte {
                b'\n' => {
                    heard(&line, changed, metrics);
                    line.clear();
                }
                byte if line.len() < LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    }
}

fn heard(line: &[u8], changed: &Notify, metrics: &Metrics) {
    let text = std::str::from_utf8(line).ok();
    match text.and_then(|it| it.strip_prefix(CLOCK)?.parse().ok()) {
        Some(seconds) => metrics.signer_clock(seconds),
        None => changed.notify_one(),
    }
}

/// This program, with nothing secret in its environment.
fn command(config: &Config, subcommand: &'static str) -> Result<Command, CompanionError> {
    let program = std::env::current_exe().map_err(|source| CompanionError::Start {
        what: subcommand,
        source,
    })?;
    let mut command = Command::new(program);
    command.arg(subcommand).env_clear();
    let kept = ENVIRONMENT
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command.envs(kept);
    if let Some(enroll) = &config.enroll {
        info!(listen = %enroll.listen, dir = %enroll.dir.display(), "Starting the signer");
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_an_end_is_not_kept_and_every_end_of_a_line_notifies() {
        use tokio::io::AsyncWriteExt;

        let (mut companion, gate) = tokio::io::duplex(LINE_BYTES);
        let changed = Notify::new();
        let says = async {
            // More than is ever held at once: it goes on only as it is read away.
            for _ in 0..1024 {
                companion
                    .write_all(&[b'x'; LINE_BYTES])
                    .await
                    .expect("write");
            }
            assert!(futures_util::FutureExt::now_or_never(changed.notified()).is_none());
            companion.write_all(b"\n").await.expect("write");
            changed.notified().await;
            drop(companion);
        };
        let metrics = Metrics::default();
        tokio::join!(told(gate, &changed, &metrics), says);
    }

    #[tokio::test]
    async fn a_line_of_the_clock_is_noted_and_reloads_nothing() {
        let (changed, metrics) = (Notify::new(), Metrics::default());
        let is_changed = || futures_util::FutureExt::now_or_never(changed.notified()).is_some();
        assert_eq!(metrics.signer_clock_seconds(), None);
        for (said, seconds, reloads) in [
            ("clock -61\n", Some(-61), false),
            ("clock 5\n", Some(5), false),
            ("changed\n", Some(5), true),
            // What cannot be read is a reason to look.
            ("clock soon\n", Some(5), true),
            ("clock 6", Some(5), false),
        ] {
            told(said.as_bytes(), &changed, &metrics).await;
            assert_eq!(metrics.signer_clock_seconds(), seconds, "{said:?}");
            assert_eq!(is_changed(), reloads, "{said:?}");
        }
        assert_eq!(clock_line(-61), "clock -61");
    }
}

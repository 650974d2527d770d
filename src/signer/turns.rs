//! Who works on the CA's directory: one request after the other, each with a deadline for its turn.
//!
//! Contract: a request that leaves while it waits, or waits too long, has used nothing up. Between two turns others get the
//! directory's lock.

use std::sync::Arc;
use std::time::Duration;

use enroll::EnrollRefusal;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::error;

/// For a turn: with the 20 seconds of a command that signs it is less than a client waits for its answer.
const TURN: Duration = Duration::from_secs(15);

/// Between two turns: another process that waits for the directory's lock asks for it every 10 milliseconds.
const PAUSE: Duration = Duration::from_millis(25);

/// The order in which requests work on the directory.
pub(super) struct Turns {
    one: Arc<Semaphore>,
    longest: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
            longest: TURN,
        }
    }
}

impl Turns {
    /// Does work that writes to the directory when it is this request's turn. Once begun it is done to its end.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, EnrollRefusal> + Send + 'static,
    ) -> Result<T, EnrollRefusal> {
        let turn = self.next().await?;
        blocking(move || {
            let done = work();
            let pause = async move {
                sleep(PAUSE).await;
                drop(turn);
            };
            // The answer does not wait for it.
            Handle::current().spawn(pause);
            done
        })
        .await
    }

    async fn next(&self) -> Result<OwnedSemaphorePermit, EnrollRefusal> {
        if let Ok(turn) = self.one.clone().try_acquire_owned() {
            return Ok(turn);
        }
        debug!("A request waits for its turn");
        let turn = timeout(self.longest, self.one.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(EnrollRefusal::Busy)
    }
}

/// Work that waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EnrollRefusal> + Send + 'static,
) -> Result<T, EnrollRefusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| {
        let fault = pki::CertsError::crypto("issue a certificate", error::report(&panic));
        Err(EnrollRefusal::Failed(fault))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(test)
    }

    #[test]
    fn who_waits_too_long_is_told_so_and_its_work_is_not_done() {
        run(async {
            let turns = Turns {
                longest: Duration::from_millis(20),
                ..Turns::default()
            };
            let held = turns.next().await.expect("the first turn");
            let done = Arc::new(AtomicUsize::new(0));
            let count = || {
                let done = done.clone();
                move || Ok(done.fetch_add(1, Ordering::SeqCst))
            };
            let late = turns.work(count()).await;
            assert!(matches!(late, Err(EnrollRefusal::Busy)), "{late:?}");
            assert_eq!(done.load(Ordering::SeqCst), 0);
            drop(held);
            assert!(turns.work(count()).await.is_ok());
            assert_eq!(done.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn others_have_time_for_the_lock_between_two_turns() {
        run(async {
            let turns = Turns::default();
            let first = turns.work(|| Ok(Instant::now())).await.expect("its end");
            let second = turns.work(|| Ok(Instant::now())).await.expect("its start");
            assert!(second - first >= PAUSE, "{:?}", second - first);
        });
    }
}

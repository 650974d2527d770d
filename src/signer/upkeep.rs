//! What the signer does without being asked: the revocation list, its own certificate, and news for the gates.

use std::sync::Arc;
use std::time::Duration;

use enroll::EnrollRefusal;
use pki::index::{ISSUE_INDEX_BYTES, LARGE_INDEX_BYTES};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::desk::Desk;
use super::turns::blocking;
use crate::error;

/// How often the files are looked at: others write them too.
const TICK: Duration = Duration::from_millis(100);

/// How often all is looked after although nothing has changed.
const CARE: Duration = Duration::from_secs(600);

/// How soon it is tried again after a fault; each fault that follows doubles it.
const AGAIN: Duration = Duration::from_secs(1);

/// How often a certificate that a command makes is looked at.
const OWN: Duration = Duration::from_secs(1);

/// How often it is said that the index is large.
const SAID: Duration = Duration::from_secs(3600);

/// How long to rest: with each fault in a row twice as long, up to a bound.
struct Rest {
    good: Duration,
    next: Duration,
}

impl Rest {
    fn of(good: Duration) -> Self {
        Self { good, next: AGAIN }
    }

    /// Logs a fault; how long to rest after this outcome.
    fn after(&mut self, outcome: Result<(), EnrollRefusal>) -> Duration {
        let Err(fault) = outcome else {
            self.next = AGAIN;
            return self.good;
        };
        error!(error = %error::report(&fault), "The directory of the CA cannot be looked after");
        let rest = self.next;
        self.next = (rest * 2).min(CARE);
        rest
    }
}

/// How often a store is asked that others share.
const NEWS: Duration = Duration::from_millis(200);

/// Runs until dropped.
pub(super) async fn run(desk: Arc<Desk>) {
    let size = watch_size(desk.clone());
    let keeping = async {
        match desk.is_elsewhere() {
            true => keep_own(desk.clone()).await,
            false => std::future::pending().await,
        }
    };
    let following = async {
        match desk.has_company() {
            true => follow(desk.clone()).await,
            false => std::future::pending().await,
        }
    };
    tokio::join!(watch(desk.clone()), size, keeping, following).0;
}

/// Asks a store that others share for news.
async fn follow(desk: Arc<Desk>) {
    let mut lost = false;
    loop {
        let asked = desk.clone();
        let outcome = blocking(move || Ok(asked.ask_store()?)).await;
        match outcome {
            Ok(()) if lost => {
                info!("The store answers again");
                desk.forget_news();
                lost = false;
            }
            Ok(()) => {}
            Err(fault) if !lost => {
                error!(error = %error::report(&fault), "The store is lost: nothing is signed until it answers");
                lost = true;
            }
            Err(_) => {}
        }
        sleep(if lost { AGAIN } else { NEWS }).await;
    }
}

/// Says when the index comes near the size at which nothing is issued any more.
async fn watch_size(desk: Arc<Desk>) {
    let mut ticker = interval(SAID);
    loop {
        ticker.tick().await;
        let asked = desk.clone();
        // What a store that is lost has to say comes with its return.
        if let Ok(bytes) = blocking(move || Ok(asked.index_bytes()?)).await
            && bytes > LARGE_INDEX_BYTES
        {
            let dir = desk.dir().display();
            match bytes > ISSUE_INDEX_BYTES {
                true => {
                    error!(%dir, bytes, bound = ISSUE_INDEX_BYTES, "The index is so large that nothing is issued, to keep room for revocations");
                }
                false => {
                    warn!(%dir, bytes, bound = ISSUE_INDEX_BYTES, "The index is large: above the bound nothing is issued");
                }
            }
        }
    }
}

/// Looks after the directory whenever one of its files has changed, and from time to time.
async fn watch(desk: Arc<Desk>) {
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut cared) = (desk.stamps(), Instant::now());
    let (mut rests, mut rest) = (Rest::of(CARE), CARE);
    loop {
        ticker.tick().await;
        let stamps = desk.stamps();
        if stamps == seen && cared.elapsed() < rest {
            continue;
        }
        (seen, cared) = (stamps, Instant::now());
        let at_work = desk.clone();
        rest = rests.after(blocking(move || Ok(at_work.look()?)).await);
    }
}

/// Renews the signer's own certificate by the command of the CA, which may take its time: it has a turn as any request, and
/// revocations do not wait for it.
async fn keep_own(desk: Arc<Desk>) {
    let mut rests = Rest::of(OWN);
    loop {
        let (asked, at_work) = (desk.clone(), desk.clone());
        let outcome = match blocking(move || Ok(asked.own_is_due()?)).await {
            Ok(false) => Ok(()),
            Ok(true) => desk.turns.work(move || Ok(at_work.renew_own()?)).await,
            Err(fault) => Err(fault),
        };
        sleep(rests.after(outcome)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_followed_by_a_try_after_a_second_and_faults_in_a_row_by_rests_that_grow() {
        let mut rests = Rest::of(CARE);
        let fault = || Err(EnrollRefusal::Busy);
        let secs = [(); 12].map(|()| rests.after(fault()).as_secs());
        assert_eq!(secs, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(rests.after(Ok(())), CARE);
        assert_eq!(rests.after(fault()), AGAIN);
    }
}

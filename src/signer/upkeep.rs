//! What the signer does without being asked: the revocation list, its own certificate, and news for the gates.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::error;

use super::desk::Desk;
use crate::error;

/// How often the files are looked at: others write them too.
const TICK: Duration = Duration::from_millis(100);

/// How often all is looked after although nothing has changed.
const CARE: Duration = Duration::from_secs(600);

/// Runs until dropped.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = desk.stamps();
    let mut cared = Instant::now();
    loop {
        ticker.tick().await;
        let stamps = desk.stamps();
        if stamps == seen && cared.elapsed() < CARE {
            continue;
        }
        (seen, cared) = (stamps, Instant::now());
        let at_work = desk.clone();
        match tokio::task::spawn_blocking(move || at_work.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                error!(error = %error::report(&fault), "The directory of the CA cannot be looked after");
            }
            Err(_) => error!("Looking after the directory of the CA panicked"),
        }
    }
}

//! What the service manager is told (sd_notify(3)): that the gate is ready, reloads or stops, one line of status, and that its
//! workers answer. Without `NOTIFY_SOCKET` nothing is sent.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use sd_notify::NotifyState;
use text::escape;
use tracing::warn;

/// A failure to send is logged once: it would come again with each message.
static FAILED: AtomicBool = AtomicBool::new(false);

/// The gate serves: at the start, and after a reload whatever came of it.
pub fn ready(status: &str) {
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&escape::line(status)),
    ]);
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // Type=notify-reload wants the time beside it, so that an older message is not taken for this one.
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// Only the line of status changes.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&escape::line(status))]);
}

/// The gate accepts nothing any more.
pub fn stopping(status: &str) {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&escape::line(status)),
    ]);
}

/// How often at the least the service manager wants to hear that the gate lives; `None` when it does not ask.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

/// The gate lives.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states)
        && !FAILED.swap(true, Relaxed)
    {
        warn!(%error, "The service manager cannot be told");
    }
}

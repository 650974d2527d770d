//! A gate in its own process, an engine that does as it is told, and clients with real certificates.

pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod gate;
pub(crate) mod pki;
pub(crate) mod process;

use std::time::{Duration, Instant};

/// The longest any single step may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is there; fails with the last answer after [`PATIENCE`].
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "not in time: {last}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

//! Memory that nobody uses any more goes back to the kernel, also while the process is idle.

use tikv_jemalloc_ctl::background_thread;
use tracing::debug;

/// Starts the allocator's own threads, which do it. They are in the cage if it was entered before.
pub(super) fn give_back() {
    // Without them it happens only while something else is allocated.
    if let Err(error) = background_thread::write(true) {
        debug!(%error, "The allocator has no threads of its own");
    }
}

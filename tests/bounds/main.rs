//! What a request costs is bounded by what was sent: steps by its length, memory by `max_body`.
//!
//! Time is not measured, since it depends on the machine. Steps are counted by [`docker_api::work`], memory by an
//! allocator that keeps the peak; tests that look at the peak take turns.

mod families;
mod memory;
mod steps;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What runs beside a measurement would be measured too.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

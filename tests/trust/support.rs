//! A gate in its own process with a configuration file, a CA made by `dockgate certs`, an engine and clients.

pub(crate) mod client;
#[path = "../observe/support/engine.rs"]
#[expect(
    dead_code,
    reason = "the engine of the suite on observation can be asked more"
)]
pub(crate) mod engine;
pub(crate) mod gate;
pub(crate) mod pki;
#[path = "../observe/support/process.rs"]
pub(crate) mod process;

use std::time::Duration;

/// Longest wait for any one event: far above what a loaded machine needs, so that reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How soon after a reload whoever lost trust must be cut.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

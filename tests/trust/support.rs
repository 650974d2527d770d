//! A gate in its own process with a configuration file, a CA made by `dockgate certs`, an engine and clients.

pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod gate;
pub(crate) mod pki;

use std::time::Duration;

/// Longest wait for any one event: far above what a loaded machine needs, so that reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How soon after a reload whoever lost trust must be cut.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

//! Why the gate cannot start, and the exit code that goes with it.

use std::io;
use std::net::SocketAddr;

use crate::config::listen::Listen;
use crate::observe::control::BindError;
use crate::reload::TrustFault;
use pki;
use policy::PolicyError;

/// Why the gate cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `--auto-certs` could not make or read its certificates.
    #[error("certificates cannot be made")]
    Certs(#[from] pki::CertsError),
    /// The TLS files do not make a server.
    #[error(transparent)]
    Trust(#[from] TrustFault),
    /// The policy is missing or wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The audit cannot be written.
    #[error("cannot open the audit file {path:?}")]
    Audit {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Bind {
        /// The address as configured.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// The metrics address cannot be listened on.
    #[error("cannot listen on {address} for metrics")]
    Metrics {
        /// The address as configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket was asked for and cannot be made.
    #[error(transparent)]
    Control(#[from] BindError),
    /// Threads or runtimes cannot be made.
    #[error("cannot start worker threads")]
    Workers(#[source] io::Error),
}

impl StartError {
    /// The process's exit code: 78 for what an operator wrote wrong, 1 for what the system refused.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Certs(_) | Self::Trust(_) | Self::Policy(_) | Self::Audit { .. } => 78,
            Self::Bind { .. } | Self::Metrics { .. } | Self::Control(_) | Self::Workers(_) => 1,
        }
    }

    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Trust(TrustFault::File(e)) => e.hint(),
            _ => None,
        }
    }
}

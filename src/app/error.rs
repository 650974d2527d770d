//! Why the gate cannot start, and the exit code that goes with it.

use std::io;
use std::net::SocketAddr;

use super::bind;
use crate::cage::{AccountError, CageError};
use crate::config::listen::{HostNameError, Listen};
use crate::error::{FileUse, file_hint};
use crate::generation::GenerationFault;
use crate::net::holder;
use crate::observe::control::BindError;
use pki;

/// Why the gate cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `--auto-certs` could not make or read its certificates.
    #[error("certificates cannot be made")]
    Certs(#[from] pki::CertsError),
    /// The files do not make a generation of trust and policy.
    #[error(transparent)]
    Generation(#[from] GenerationFault),
    /// The audit cannot be written.
    #[error("cannot open the audit file {path:?}")]
    Audit {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A host name to listen on has no address.
    #[error(transparent)]
    Lookup(#[from] HostNameError),
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
    /// The user that was asked for cannot be become.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The cage cannot be entered.
    #[error("the cage cannot be entered")]
    Cage(#[from] CageError),
}

impl StartError {
    /// The process's exit code: 78 for what an operator wrote wrong, 1 for what the system refused.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Certs(_)
            | Self::Generation(_)
            | Self::Audit { .. }
            | Self::Account(_)
            | Self::Lookup(_) => 78,
            Self::Bind { .. } | Self::Metrics { .. } | Self::Control(_) | Self::Cage(_) => 1,
        }
    }

    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Certs(error) => error.hint().map(Into::into),
            Self::Generation(fault) => fault.hint(),
            Self::Account(error) => error.hint(),
            Self::Audit { path, source } => file_hint(path, source, FileUse::Write),
            Self::Control(BindError::System { path, source }) => {
                file_hint(path, source, FileUse::Write)
            }
            Self::Cage(_) => Some("`--unsafe-no-cage` does without it".to_owned()),
            Self::Bind {
                listen: Listen::Systemd { .. },
                ..
            } => Some(NOT_PASSED.to_owned()),
            Self::Bind { listen, source } if source.kind() == io::ErrorKind::AddrInUse => {
                listen.port().and_then(in_use_by)
            }
            Self::Metrics { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                in_use_by(address.port())
            }
            _ => None,
        }
    }
}

/// What to do where `fd://` was asked for and nothing came.
const NOT_PASSED: &str = "`systemctl enable --now dockgate.socket` has systemd pass it in, at each boot; or write an address in place of fd://";

/// Who holds a port, where that can be known.
fn in_use_by(port: u16) -> Option<String> {
    if bind::is_passed_in(port) {
        return Some(format!(
            "systemd holds port {port} and passed it in: write hosts = [\"fd://\"], or do without its socket by `systemctl disable --now dockgate.socket`"
        ));
    }
    Some(match holder::of(port) {
        Some(holder) if holder.is_manager() => {
            format!("port {port} is in use by {holder}: `systemctl list-sockets` names the unit")
        }
        Some(holder) => format!("port {port} is in use by {holder}"),
        None => format!("port {port} is in use; `ss -ltnp` as root says by whom"),
    })
}

//! Whether the addresses and the control socket of a configuration are to be had, or are the running gate's.
//!
//! `check` is run beside the running gate as often as before a start. What that gate holds it gives up before the next one starts;
//! what anybody else holds keeps `serve` from starting.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::app::bind;
use crate::config::Config;
use crate::config::listen::{self, Listen};
use crate::finding::Finding;
use crate::net::holder;
use crate::observe::admin;
use crate::observe::control::client::{ClientError, ControlClient};
use crate::observe::control::{BindError, ControlSocket, GateStatus};

/// Longest wait for the running gate.
const DEADLINE: Duration = Duration::from_secs(3);

/// The gate that answers on the control socket of a configuration, as far as it can be asked.
#[derive(Debug)]
pub(crate) enum Running {
    /// It says what it is.
    Gate(Box<GateStatus>),
    /// There is a gate, which this user may not ask, or none that can be asked since the configuration has no control socket.
    Unknown,
    /// Nobody answers, but one that found no place for the control socket may run without.
    Silent,
    /// Nothing answers as a gate.
    Nobody,
}

impl Running {
    /// Asks.
    pub(crate) fn ask(config: &Config) -> Self {
        let Some(path) = &config.control_socket else {
            return Self::Unknown;
        };
        let client = ControlClient::new(path.clone(), DEADLINE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime.map(|runtime| runtime.block_on(client.status())) {
            Ok(Ok(status)) => Self::Gate(Box::new(status)),
            Ok(Err(ClientError::Forbidden(_))) => Self::Unknown,
            Ok(Err(_)) if !config.origin("control-socket").is_explicit() => Self::Silent,
            _ => Self::Nobody,
        }
    }

    /// Whether there is a place for the control socket. Where it was not asked for, `serve` goes without.
    pub(super) fn control_socket(&self, config: &Config) -> Option<Finding> {
        let path = config.control_socket.as_deref()?;
        let err = ControlSocket::probe(path).err()?;
        let text = crate::error::report(&err);
        Some(match (&err, self) {
            (BindError::InUse(_), Self::Gate(gate)) if self.has_all(config) => {
                Finding::ok(format!(
                    "the control socket {} is the running gate's, pid {}",
                    path.display(),
                    gate.pid
                ))
            }
            _ if config.origin("control-socket").is_explicit() => Finding::fatal(text),
            _ => Finding {
                hint: err.hint().map(str::to_owned),
                ..Finding::warning(format!("{text}: ps, top, kick and reload will not work"))
            },
        })
    }

    /// Looks names up, binds and lets go, as `serve` does.
    pub(crate) fn listening(&self, listen: &[Listen]) -> Vec<Finding> {
        match listen::looked_up(listen) {
            Ok(listen) => listen.iter().map(|one| self.bound(one)).collect(),
            Err(error) => vec![Finding::fatal(crate::error::report(&error))],
        }
    }

    fn bound(&self, listen: &Listen) -> Finding {
        if let Listen::Systemd { .. } = listen {
            return Finding::ok(format!("{listen} will be passed in by systemd"));
        }
        match bind::bind(listen) {
            Ok(_) => Finding::ok(format!("{listen} can be listened on")),
            Err(err) => {
                let port = listen.port().unwrap_or_default();
                self.unbound(&listen.to_string(), port, self.has(listen), &err)
            }
        }
    }

    pub(super) fn metrics(&self, address: SocketAddr) -> Finding {
        match admin::bind(address) {
            Ok(_) => Finding::ok(format!("{address} can be listened on for metrics")),
            Err(err) => {
                let metrics = self.gate().and_then(|gate| gate.metrics.as_deref());
                let is_its = metrics.is_some_and(|its| its == address.to_string());
                let what = format!("{address}, for metrics,");
                self.unbound(&what, address.port(), is_its, &err)
            }
        }
    }

    fn gate(&self) -> Option<&GateStatus> {
        match self {
            Self::Gate(gate) => Some(gate),
            Self::Unknown | Self::Silent | Self::Nobody => None,
        }
    }

    /// Whether the running gate listens on an address.
    fn has(&self, listen: &Listen) -> bool {
        let its = self.gate().map(|gate| gate.listen.as_slice());
        its.unwrap_or_default().iter().any(|own| match listen {
            Listen::Any { port } => {
                *own == SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port)).to_string()
                    || *own == SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)).to_string()
            }
            Listen::Tcp { addr, .. } => *own == addr.to_string(),
            Listen::Named { .. } => false,
            Listen::Systemd { .. } => true,
        })
    }

    /// Whether the running gate listens on all of a configuration that can be said beforehand: then it is the gate of this
    /// configuration, and not another one with the same control socket.
    fn has_all(&self, config: &Config) -> bool {
        let fixed = |listen: &&Listen| listen.port() != Some(0);
        listen::looked_up(&config.listen)
            .is_ok_and(|listen| listen.iter().filter(fixed).all(|listen| self.has(listen)))
    }

    fn unbound(&self, listen: &str, port: u16, is_its: bool, err: &io::Error) -> Finding {
        match err.kind() {
            io::ErrorKind::AddrInUse => self.in_use(listen, port, is_its),
            io::ErrorKind::AddrNotAvailable => {
                Finding::fatal(format!("{listen} is not an address of this machine"))
                    .hint("`ip address` lists them; tcp://:2376 means all")
            }
            io::ErrorKind::PermissionDenied => Finding::fatal(format!(
                "no permission to listen on {listen}"
            ))
            .hint("ports below 1024 need CAP_NET_BIND_SERVICE, or a socket from systemd (fd://)"),
            _ => Finding::fatal(format!("cannot listen on {listen}: {err}")),
        }
    }

    fn in_use(&self, listen: &str, port: u16, is_its: bool) -> Finding {
        let holder = holder::of(port);
        if let Some(gate) = self.gate().filter(|_| is_its) {
            let pid = gate.pid;
            return Finding::ok(format!("{listen} is in use by the running gate, pid {pid}"));
        }
        match (holder, self) {
            (Some(holder), Self::Unknown | Self::Silent) if holder.name == "dockgate" => Finding::warning(format!(
                "{listen} is in use by {holder}, which cannot be asked whether it is the gate of this configuration"
            ))
            .hint("run `check` as root or as the gate's user, with its control socket"),
            (None, Self::Unknown) => Finding::warning(format!(
                "{listen} is in use; whether by the running gate cannot be told"
            ))
            .hint("run `check` as root or as the gate's user, with its control socket"),
            (Some(holder), _) if holder.is_manager() => Finding::fatal(format!("{listen} is in use by {holder}"))
                .hint("`systemctl list-sockets` names the unit; if it is dockgate.socket, write hosts = [\"fd://\"]"),
            (Some(holder), _) => Finding::fatal(format!("{listen} is in use by {holder}"))
                .hint("`serve` starts once it is free"),
            (None, _) => Finding::fatal(format!("{listen} is in use"))
                .hint("`ss -ltnp` as root says by whom; `serve` starts once it is free"),
        }
    }
}

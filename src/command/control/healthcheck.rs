//! `dockgate healthcheck`: the control socket if there is one, else the metrics listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::cli::HealthcheckArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::config;
use crate::observe::control::client::{ClientError, ControlClient, ready_by_tcp};
use crate::observe::health::Readiness;

pub(super) async fn ask(args: &HealthcheckArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let ready = reach(args).await?;
    if ready.ready {
        output.line(ready.to_string());
        Ok(Exit::OK)
    } else {
        output.note(ready.to_string());
        Ok(Exit::FAILED)
    }
}

async fn reach(args: &HealthcheckArgs) -> Result<Readiness, Failure> {
    let deadline = Duration::from_secs(args.timeout);
    let env = || std::env::vars_os();
    let absent = match config::control_socket(&args.control, env())? {
        Some(path) => match ControlClient::new(path, deadline).ready().await {
            Err(error) if error.is_absent() => Some(error),
            answer => return Ok(answer?),
        },
        None => None,
    };
    match (config::metrics(&args.control, env())?, absent) {
        (Some(address), _) => Ok(ready_by_tcp(local(address), deadline).await?),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(ClientError::Answer(
            "both control-socket and metrics are off, so there is nobody to ask".to_owned(),
        )
        .into()),
    }
}

/// Where to dial a listener that listens everywhere.
fn local(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

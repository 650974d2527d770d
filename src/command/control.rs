//! The commands that talk to the running gate: `ps`, `top`, `kick`, `healthcheck`.
//!
//! Names in their output come from certificates and request paths, which is to say from whoever connected: control characters
//! are shown escaped, so that a name cannot drive the terminal of the person who looks.

mod healthcheck;
mod render;
mod top;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{ControlArgs, HealthcheckArgs, KickArgs, PsArgs, TopArgs};
use crate::config::{self, error::ConfigError};
use crate::observe::control::client::{ClientError, ControlClient};
use crate::observe::control::{Connections, Kick, Kicked};

/// For one answer of the gate.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the control socket is off (control-socket = \"off\")")]
    Off,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Runs `dockgate ps`.
#[must_use]
pub fn ps(args: &PsArgs) -> ExitCode {
    finish(run(async {
        let client = client(&args.control)?;
        let mut live = client.connections().await?;
        if let Some(wanted) = &args.client {
            live.connections.retain(|c| c.is_of(wanted));
        }
        print_connections(&live, args.json)?;
        Ok(ExitCode::SUCCESS)
    }))
}

/// Runs `dockgate top`.
#[must_use]
pub fn top(args: &TopArgs) -> ExitCode {
    finish(run(async {
        let client = client(&args.control)?;
        top::watch(&client, Duration::from_secs(args.interval)).await?;
        Ok(ExitCode::SUCCESS)
    }))
}

/// Runs `dockgate kick`; fails when nobody was cut.
#[must_use]
pub fn kick(args: &KickArgs) -> ExitCode {
    finish(run(async {
        let targets = &args.targets;
        let kick = Kick {
            ids: targets.connections.clone(),
            serial: targets.serial.clone(),
            cn: targets.cn.clone(),
            client: targets.client.clone(),
            all: targets.all,
        };
        let kicked = client(&args.control)?.kick(&kick).await?;
        print_kicked(&kicked, args.json)?;
        Ok(if kicked.kicked.is_empty() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }))
}

/// Runs `dockgate healthcheck`: exit 0 when the gate is ready, else 1, with one sentence.
#[must_use]
pub fn healthcheck(args: &HealthcheckArgs) -> ExitCode {
    finish(run(healthcheck::ask(args)))
}

fn run<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn finish(end: Result<ExitCode, Fault>) -> ExitCode {
    match end {
        Ok(code) => code,
        // `dockgate ps | head` has had enough.
        Err(Fault::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("dockgate: {fault}");
            if let Fault::Client(e) = &fault
                && let Some(hint) = e.hint()
            {
                eprintln!("hint: {hint}");
            }
            match fault {
                Fault::Config(e) => ExitCode::from(e.exit_code()),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn socket(args: &ControlArgs) -> Result<PathBuf, Fault> {
    config::control_socket(args, std::env::vars_os())?.ok_or(Fault::Off)
}

fn client(args: &ControlArgs) -> Result<ControlClient, Fault> {
    Ok(ControlClient::new(socket(args)?, DEADLINE))
}

fn print_connections(live: &Connections, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, live)?;
        return writeln!(out);
    }
    out.write_all(render::table(&live.connections, None).as_bytes())
}

fn print_kicked(kicked: &Kicked, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, kicked)?;
        return writeln!(out);
    }
    for connection in &kicked.kicked {
        writeln!(out, "cut {}", render::sentence(connection))?;
    }
    out.flush()?;
    for id in &kicked.missing {
        eprintln!("dockgate: connection {id} is not live");
    }
    if kicked.kicked.is_empty() && kicked.missing.is_empty() {
        eprintln!("dockgate: no live connection matches");
    }
    Ok(())
}

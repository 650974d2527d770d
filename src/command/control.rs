//! The commands that talk to the running gate: `reload`, `ps`, `top`, `kick`, `healthcheck`.
//!
//! Names in their output come from certificates and request paths, which is to say from peers: control characters
//! are shown escaped, so that a name cannot drive the terminal of the person who looks.

mod healthcheck;
mod render;
mod top;

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{ControlArgs, HealthcheckArgs, KickArgs, PsArgs, ReloadArgs, TopArgs};
use crate::command::output::{Exit, Failure, Output};
use crate::config;
use crate::observe::control::client::ControlClient;
use crate::observe::control::{Kick, Kicked, Reloaded};
use text::escape;

/// For one answer of the gate.
const DEADLINE: Duration = Duration::from_secs(5);

/// For a reload, which reads every file and judges every connection.
const RELOAD_DEADLINE: Duration = Duration::from_secs(60);

/// Runs `dockgate reload`; fails when the old configuration stays in force.
///
/// # Errors
/// When the gate cannot be asked, or says what is wrong.
pub fn reload(args: &ReloadArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    block_on(async {
        let client = ControlClient::new(socket(&args.control)?, RELOAD_DEADLINE);
        let reloaded = client.reload().await?;
        if args.json {
            output.json(&reloaded);
        } else {
            print_reloaded(output, &reloaded);
        }
        Ok(Exit::OK)
    })
}

/// Runs `dockgate ps`.
///
/// # Errors
/// When the gate cannot be asked.
pub fn ps(args: &PsArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    block_on(async {
        let client = client(&args.control)?;
        if args.owners {
            let owners = client.owners().await?;
            match args.json {
                true => output.json(&owners),
                false => render::owners(output, &owners),
            }
            return Ok(Exit::OK);
        }
        let mut live = client.connections().await?;
        if let Some(wanted) = &args.client {
            live.connections.retain(|c| c.is_of(wanted));
        }
        if args.json {
            output.json(&live);
        } else {
            render::table(output, &live.connections, None);
            if let Some(sentence) = &live.report_only {
                output.note(sentence);
            }
        }
        Ok(Exit::OK)
    })
}

/// Runs `dockgate top`.
///
/// # Errors
/// When the gate cannot be asked.
pub fn top(args: &TopArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    block_on(async {
        let client = client(&args.control)?;
        top::watch(&client, Duration::from_secs(args.interval), output).await?;
        Ok(Exit::OK)
    })
}

/// Runs `dockgate kick`; fails when nobody was cut, or a connection that was named was not.
///
/// # Errors
/// When the gate cannot be asked.
pub fn kick(args: &KickArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    block_on(async {
        let targets = &args.targets;
        let kick = Kick {
            ids: targets.connections.clone(),
            serial: targets.serial.clone(),
            cn: targets.cn.clone(),
            client: targets.client.clone(),
            all: targets.all,
        };
        let kicked = client(&args.control)?.kick(&kick).await?;
        print_kicked(output, &kicked, args.json);
        Ok(if kicked.kicked.is_empty() || !kicked.missing.is_empty() {
            Exit::FAILED
        } else {
            Exit::OK
        })
    })
}

/// Runs `dockgate healthcheck`: exit 0 when the gate is ready, else 1, with one sentence.
///
/// # Errors
/// When the gate cannot be asked.
pub fn healthcheck(args: &HealthcheckArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    block_on(healthcheck::ask(args, output))
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::FAILED, &error))?
        .block_on(work)
}

fn socket(args: &ControlArgs) -> Result<PathBuf, Failure> {
    config::control_socket(args, std::env::vars_os())?.ok_or_else(|| {
        Failure::new(
            Exit::FAILED,
            "the control socket is off (control-socket = \"off\")",
        )
    })
}

fn client(args: &ControlArgs) -> Result<ControlClient, Failure> {
    Ok(ControlClient::new(socket(args)?, DEADLINE))
}

fn print_reloaded(output: &mut Output<'_>, reloaded: &Reloaded) {
    if reloaded.changed.is_empty() {
        output.line("reloaded: nothing has changed");
    }
    for sentence in &reloaded.changed {
        output.row(format!("reloaded: {sentence}"));
    }
    for name in &reloaded.next_start {
        output.line(format!(
            "setting {name} changed: takes effect at the next start"
        ));
    }
    if let Some(list) = &reloaded.unread_list {
        let list = escape::quoted(&list.to_string_lossy());
        output.note(format!(
            "{list} lies beside the CA and is not read: name it with --tlscrl"
        ));
    }
    for cut in &reloaded.cut {
        let who = render::sentence(&cut.connection);
        output.row(format!("cut {who}: {}", cut.reason));
    }
}

fn print_kicked(output: &mut Output<'_>, kicked: &Kicked, json: bool) {
    if json {
        output.json(kicked);
        return;
    }
    for connection in &kicked.kicked {
        output.row(format!("cut {}", render::sentence(connection)));
    }
    for id in &kicked.missing {
        output.note(format!("connection {id} is not live, or does not match"));
    }
    if kicked.kicked.is_empty() && kicked.missing.is_empty() {
        output.note("no live connection matches");
    }
}

//! The commands: what each does once its arguments are read.

use std::ffi::OsString;

use crate::cli::{self, Command};

pub mod certs;
pub mod check;
pub mod control;
pub mod doctor;
mod exposure;
mod failure;
mod invite;
mod join;
mod manual;
mod memory;
pub mod output;
pub mod policy;
mod renew;
mod serve;
mod signer;

use output::{Exit, Failure, Output};

/// Reads the command line and does what it says.
///
/// # Errors
/// When that cannot be done; the failure says how the process ends.
pub fn run(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let command = match cli::parse(args) {
        Ok(cli) => cli.into_command(),
        Err(error) => return Ok(output.usage(&error)),
    };
    let env = std::env::vars_os;
    match command {
        Command::Serve(args) => serve::run(&args, output),
        Command::Check(args) => Ok(check::run(&args, env(), output)),
        Command::Doctor(args) => doctor::run(&args, env(), output),
        Command::Certs(args) => certs::run(&args, output),
        Command::Signer(args) => signer::run(&args, output),
        Command::Invite(args) => invite::run(&args, output),
        Command::Join(args) => join::run(&args, output),
        Command::Renew(args) => renew::run(&args, output),
        Command::Policy(args) => policy::run(&args, output),
        Command::Reload(args) => control::reload(&args, output),
        Command::Ps(args) => control::ps(&args, output),
        Command::Top(args) => control::top(&args, output),
        Command::Kick(args) => control::kick(&args, output),
        Command::Healthcheck(args) => control::healthcheck(&args, output),
        Command::Completions(args) => Ok(manual::completions(&args, output)),
        Command::Man(args) => manual::pages(&args, output),
    }
}

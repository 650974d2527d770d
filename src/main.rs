//! The `dockgate` binary: process edge only.

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use dockgate::{certs, cli::certs::CertsArgs};

#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Certs(CertsArgs),
}

fn main() -> ExitCode {
    let Command::Certs(args) = Cli::parse().command;
    let Err(error) = certs::command::run(&args) else {
        return ExitCode::SUCCESS;
    };
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

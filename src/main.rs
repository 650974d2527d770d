//! The `dockgate` binary: process edge only.

use std::process::ExitCode;

use clap::Parser;
use dockgate::cli::policy::PolicyArgs;

#[derive(Parser)]
enum Command {
    Policy(PolicyArgs),
}

fn main() -> ExitCode {
    let Command::Policy(args) = Command::parse();
    match dockgate::policy::command::run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(78)
        }
    }
}

//! The `dockgate` binary: process edge only.

use std::process::ExitCode;

use dockgate::cli::{self, Command};

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli.into_command(),
        Err(err) => err.exit(),
    };
    match command {
        Command::Serve(args) => match dockgate::config::load(&args, std::env::vars_os()) {
            Ok(config) => {
                println!("{config:#?}");
                ExitCode::SUCCESS
            }
            Err(err) => {
                eprintln!("dockgate: {err}");
                ExitCode::from(err.exit_code())
            }
        },
        _ => ExitCode::FAILURE,
    }
}

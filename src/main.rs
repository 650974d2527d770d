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
        Command::Check(args) => {
            let policy = |path: &std::path::Path| {
                vec![dockgate::finding::Finding::warning(format!(
                    "policy {path:?} was not read"
                ))]
            };
            match dockgate::check::run(
                &args,
                std::env::vars_os(),
                policy,
                &mut std::io::stdout().lock(),
            ) {
                Ok(code) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            }
        }
        Command::Doctor(args) => {
            match dockgate::doctor::run(&args, std::env::vars_os(), &mut std::io::stdout().lock()) {
                Ok(code) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::FAILURE,
    }
}

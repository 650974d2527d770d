//! Measures dockgate and its peers on loopback: the CPU time of the proxy's processes per unit of verified work.
//!
//! One binary plays every part: `run` orchestrates and generates the load, `engine` is the fast fake Docker Engine on a
//! unix socket, `tunnel` is the bare tokio-rustls tunnel (the floor), and `guard` starts a peer so that it cannot
//! outlive the run. The modules stand in the order data flows.

mod options;
mod run;

mod cases;
mod report;

mod load;
mod peers;

mod client;
mod engine;
mod floor;
mod tunnel;

mod children;
mod measure;
mod pattern;
mod pki;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{BenchCommand, Options};

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        BenchCommand::Run(options) => run::run(&options),
        BenchCommand::Engine { socket } => engine::run(&socket)
            .map(|()| true)
            .map_err(|e| e.to_string()),
        BenchCommand::Tunnel(options) => tunnel::run(&options).map(|()| true),
        BenchCommand::Guard { program, arguments } => Err(children::guard(&program, &arguments)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dockgate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

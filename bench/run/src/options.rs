//! The command line. No behaviour here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures dockgate and its peers on loopback.
#[derive(Parser)]
#[command(name = "dockgate-bench", disable_help_subcommand = true)]
pub(crate) struct Options {
    /// What this process is to be.
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// The parts that the binary can play.
#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure, print a Markdown table, write JSON
    Run(RunOptions),
    /// Be the fake engine on a unix socket
    Engine {
        /// Where to listen; an existing socket there is replaced
        #[arg(long)]
        socket: PathBuf,
    },
    /// Be the bare tokio-rustls tunnel: TLS in, the same bytes to a unix socket
    Tunnel(TunnelOptions),
    /// Start a program that ends when its parent does
    Guard {
        /// The program to become
        program: OsString,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Options of `run`.
#[derive(Args)]
pub(crate) struct RunOptions {
    /// Fewer cases, shorter windows, three rounds: under 90 seconds in all
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these cases (a comma-separated list; a trailing `*` matches a prefix)
    #[arg(long, value_delimiter = ',')]
    pub(crate) cases: Vec<String>,
    /// Only these peers (dockgate, other, tunnel, haproxy, nginx, stunnel, book, direct)
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Rounds of each case; the peers take turns within a round
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Write every figure to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The dockgate binary to measure
    #[arg(long, value_name = "FILE")]
    pub(crate) dockgate: Option<PathBuf>,
    /// Further arguments for `dockgate serve`, separated by spaces
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(crate) dockgate_args: String,
    /// A second dockgate, measured in turn with the first: another build, or the same one with other arguments
    #[arg(long, value_name = "FILE")]
    pub(crate) other: Option<PathBuf>,
    /// Further arguments for the second dockgate
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(crate) other_args: String,
    /// Fail when a unit of dockgate's failed, or when its CPU time is beyond a wide multiple of the bare tunnel's
    #[arg(long)]
    pub(crate) guard: bool,
    /// Name the cases and stop
    #[arg(long)]
    pub(crate) list: bool,
    /// Keep the work directory (certificates, configurations, logs) and name it
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Options of `tunnel`.
#[derive(Args)]
pub(crate) struct TunnelOptions {
    /// TCP port on 127.0.0.1
    #[arg(long)]
    pub(crate) port: u16,
    /// Trust anchor of the client certificates
    #[arg(long)]
    pub(crate) tlscacert: PathBuf,
    /// Server certificate
    #[arg(long)]
    pub(crate) tlscert: PathBuf,
    /// Server key
    #[arg(long)]
    pub(crate) tlskey: PathBuf,
    /// The unix socket to join
    #[arg(long)]
    pub(crate) upstream: PathBuf,
}

//! `dockgate policy` (types).

/// The subcommands of `policy`.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {}

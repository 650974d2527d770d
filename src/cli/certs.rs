//! `dockgate certs` (types).

/// The subcommands of `certs`.
#[derive(Debug, clap::Subcommand)]
pub enum CertsCommand {}

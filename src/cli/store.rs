//! `--store`: where the index of a CA is, if not in its directory.

use std::path::PathBuf;

use clap::Args;

/// Where the index is.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreArgs {
    /// URL of a PostgreSQL database that several signers share, without a password [default: what the directory has joined, else the directory itself]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// File whose first line is the password of the database's user
    #[arg(long, value_name = "FILE")]
    pub store_password_file: Option<PathBuf>,
}

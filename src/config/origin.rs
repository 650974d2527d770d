//! Where a value came from, kept for every setting so that `check` and errors can say it.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In this environment variable.
    Env(String),
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1; 0 for the file as a whole.
        line: usize,
    },
    /// In dockerd's configuration, by `--from-daemon-json`.
    DaemonJson(PathBuf),
    /// Nowhere: the file lies in a place that is searched.
    Found(PathBuf),
    /// Nowhere: the built-in value.
    Default,
}

impl Origin {
    /// Whether somebody wrote the value for dockgate, rather than for dockerd or not at all.
    pub fn is_explicit(&self) -> bool {
        matches!(self, Self::Flag | Self::Env(_) | Self::File { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::DaemonJson(path) => write!(f, "{}", path.display()),
            Self::Found(path) => write!(f, "found in {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting as it is in force: what was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the configuration file.
    pub name: &'static str,
    /// What was written; several values are joined by commas, nothing is empty.
    pub value: String,
    /// What the program made of it: equal for two spellings of one value ("60s", "1m").
    pub meaning: String,
    /// Where.
    pub origin: Origin,
}

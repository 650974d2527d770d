//! What can be wrong with a policy, and how it is told.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One fault of a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do about it, if anything more can be said.
    pub hint: Option<String>,
}

/// Why a policy could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file could not be read.
    #[error("{what} \"{}\" cannot be read", path.display())]
    Read {
        /// What it is: `policy file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The policy has faults.
    #[error("{}", Faults(file, faults))]
    Invalid {
        /// The file's name, for the messages.
        file: String,
        /// Every fault found, in the file's order.
        faults: Vec<PolicyFault>,
    },
    /// An environment toggle is not understood.
    #[error("{0}")]
    Toggle(String),
    /// An input of a `policy` command is not understood.
    #[error("{0}")]
    Input(String),
}

struct Faults<'f>(&'f str, &'f [PolicyFault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.1.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}: {}", self.0, fault.line, fault.message)?;
            if let Some(hint) = &fault.hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

//! The gate in this process, or as a process with its options on the command line or in a file.

mod alone;
mod by_file;
mod by_options;
mod in_process;

pub use alone::Alone;
pub use by_file::{ByFile, Files, replace};
pub use by_options::{ByOptions, engine_socket, with_engine};
pub use in_process::{InProcess, Wire, client_of, connect, options};

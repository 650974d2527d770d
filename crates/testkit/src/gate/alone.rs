//! The gate as a process of its own with the options of [`super::InProcess`], where signals, limits or memory are at stake.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::in_process::{connect, options};
use crate::TlsClient;
use crate::process::GateProcess;
use crate::programs::dockgate;

/// A running gate without an engine; a test starts one at `socket` where it needs it.
pub struct Alone {
    process: GateProcess,
    /// Where it expects the engine.
    pub socket: PathBuf,
    _dir: TempDir,
}

impl Deref for Alone {
    type Target = GateProcess;

    fn deref(&self) -> &GateProcess {
        &self.process
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut GateProcess {
        &mut self.process
    }
}

impl Alone {
    /// Starts one with these options.
    #[track_caller]
    pub fn start(extra: &[&str]) -> Self {
        let mut command = dockgate();
        command.arg("serve").stdout(Stdio::null());
        Self::run(command, extra)
    }

    /// The same, with at most `files` file descriptors.
    #[track_caller]
    pub fn with_files(extra: &[&str], files: u32) -> Self {
        Self::run(GateProcess::with_files(files), extra)
    }

    #[track_caller]
    fn run(mut command: Command, extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        command
            .args(options(dir.path(), extra))
            .args(["--log-format", "json"]);
        Self {
            process: GateProcess::spawn(&mut command),
            socket: dir.path().join("docker.sock"),
            _dir: dir,
        }
    }

    /// A connection of the one client.
    #[track_caller]
    pub fn client(&self) -> TlsClient {
        connect(self.addr).expect("a connection and a handshake")
    }

    /// Waits for a log line that contains `what`.
    #[track_caller]
    pub fn logged(&self, what: &str) -> Value {
        let found = self.log.after(0, |line| line.to_string().contains(what));
        found.1
    }
}

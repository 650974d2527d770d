//! The gate that runs on this host: its control socket says which process it is, and `/proc` how that was started.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::cli::{self, Command, ControlArgs, ServeArgs};
use crate::config;
use crate::finding::Finding;
use crate::observe::control::client::ControlClient;

/// For the answer of the control socket.
const DEADLINE: Duration = Duration::from_secs(2);

/// Longest command line or environment that is read.
const LONGEST: u64 = 1 << 20;

/// How a gate was started.
pub(super) struct RunningGate {
    pub(super) args: ServeArgs,
    pub(super) env: Vec<(OsString, OsString)>,
    /// Says where the options come from, or why they cannot be had.
    pub(super) finding: Finding,
}

/// The gate that runs here, as `serve` was called; `None` if none answers.
pub(super) fn find(env: &[(OsString, OsString)]) -> Option<RunningGate> {
    let socket = config::control_socket(&ControlArgs::default(), env.iter().cloned());
    let client = ControlClient::new(socket.ok()??, DEADLINE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let pid = runtime.block_on(client.status()).ok()?.pid;
    Some(match started(pid) {
        Ok((args, own)) => RunningGate {
            args,
            env: own,
            finding: Finding::ok(format!(
                "a gate runs here, pid {pid}: its options are taken"
            )),
        },
        Err(error) => RunningGate {
            args: ServeArgs::default(),
            env: env.to_vec(),
            finding: Finding::warning(format!(
                "a gate runs here, pid {pid}, but how it was started cannot be read: {error}"
            ))
            .hint("run the doctor as root, or with the options of the gate"),
        },
    })
}

/// The options and the environment of a process. Paths in them are relative to its directory, which becomes this process's.
fn started(pid: u32) -> io::Result<(ServeArgs, Vec<(OsString, OsString)>)> {
    let words = read(&format!("/proc/{pid}/cmdline"))?;
    let words = words.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let mut words: Vec<&OsStr> = words.collect();
    // Each word ends with a zero.
    words.pop();
    let other = || io::Error::other("it is not `dockgate serve` of this version");
    let parsed = cli::parse(words).map_err(|_| other())?;
    let Command::Serve(args) = parsed.into_command() else {
        return Err(other());
    };
    let variables = read(&format!("/proc/{pid}/environ"))?;
    let pairs = variables.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        Some((text(&pair[..at]), text(&pair[at + 1..])))
    });
    let pairs = pairs.collect();
    let directory = fs::read_link(format!("/proc/{pid}/cwd"))?;
    if env::current_dir()? != directory {
        env::set_current_dir(directory)?;
    }
    Ok((*args, pairs))
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LONGEST {
        true => Err(io::Error::other(format!("{path} is over 1 MiB"))),
        false => Ok(bytes),
    }
}

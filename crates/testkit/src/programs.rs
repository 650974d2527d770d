//! Programs that judge or are judged: the binary under test, and others that may be missing on a developer's machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::DEADLINE;

/// The variable under which a missing program or engine fails a test instead of leaving a line that says so.
pub const REQUIRE: &str = "DOCKGATE_REQUIRE_ENGINE";

/// The binary under test, in an empty environment and without input.
pub fn dockgate() -> Command {
    let mut command = Command::new(binary());
    command.env_clear().stdin(Stdio::null());
    command
}

/// Where cargo has put the binary: two folders above the test that runs.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the running test");
    let profile = test.parent().and_then(|deps| deps.parent());
    let binary = profile.expect("target/PROFILE").join("dockgate");
    assert!(binary.is_file(), "{binary:?} is not built");
    binary
}

/// Runs a program to its end. `None`, with a line that says so, where it is not installed and [`REQUIRE`] is not set.
#[track_caller]
pub fn external(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing(program);
            None
        }
        Err(error) => panic!("cannot start {program}: {error}"),
    }
}

/// Says that a program, or a right, is missing, and fails where [`REQUIRE`] is set.
#[track_caller]
pub fn missing(program: &str) {
    assert!(
        std::env::var_os(REQUIRE).is_none(),
        "{program} is not there, and {REQUIRE} is set"
    );
    not_run(&format!(
        "{program} is not there, so its judgement is missing here"
    ));
}

/// Says that a test leaves something out, and why.
pub fn not_run(why: &str) {
    let test = std::thread::current();
    let line = format!("NOT RUN: {}: {why}\n", test.name().unwrap_or("a test"));
    // Not by a macro, whose text the harness keeps to itself when a test passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs a command to its end; one that still runs after [`DEADLINE`] is killed, and the test fails.
#[track_caller]
pub fn finished(command: &mut Command) -> Output {
    let child = command.spawn().expect("start the command");
    let pid = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    if let Ok(output) = told.recv_timeout(DEADLINE) {
        return output.expect("read the command's output");
    }
    kill_process(pid, Signal::KILL).expect("kill the command");
    panic!("it does not end: {:?}", told.recv());
}

/// Both streams of a finished command.
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

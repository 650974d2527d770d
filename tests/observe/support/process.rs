//! Commands that must end by themselves.

use std::process::{Command, Output};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// Runs it to its end; what still runs after [`PATIENCE`] is killed, and the test fails.
#[track_caller]
pub(crate) fn finished(command: &mut Command) -> Output {
    let child = command.spawn().expect("runs");
    let pid = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    if let Ok(output) = told.recv_timeout(PATIENCE) {
        return output.expect("its output");
    }
    kill_process(pid, Signal::KILL).expect("killed");
    panic!("it does not end: {:?}", told.recv());
}

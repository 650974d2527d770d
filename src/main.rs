//! The `dockgate` binary: arguments in, exit code out.

use std::process::ExitCode;

use dockgate::command;
use dockgate::command::output::Output;

fn main() -> ExitCode {
    let mut output = Output::process();
    let end = command::run(std::env::args_os(), &mut output);
    output.finish(end)
}

//! The `dockgate` binary: arguments in, exit code out.

use std::process::ExitCode;

use dockgate::command;
use dockgate::command::output::Output;

// What a burst took goes back to the kernel within seconds: glibc keeps it for the life of the process (tests/wire/burst.rs).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut output = Output::process();
    let end = command::run(std::env::args_os(), &mut output);
    output.finish(end)
}

//! The `dockgate` binary: process edge only.
fn main() {}

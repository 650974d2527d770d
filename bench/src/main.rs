//! Measures dockgate and its peers.
fn main() {}

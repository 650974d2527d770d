//! Trust while connections live: who is let in, what a reload changes and whom it cuts, and what the log says of it.
//!
//! Every test runs the binary with real handshakes, certificates made by `dockgate certs` (odd ones by rcgen, under the
//! same CA), and an engine that is a thread here.

mod agreement;
mod asked;
mod authorities;
mod cuts;
mod faults;
mod kinds;
mod lists;
mod reloads;
mod rules;
mod soak;
mod warnings;

//! What travels on the wire, byte by byte: a scripted engine on one side, a raw TLS client on the other.
//!
//! Each test names the line of the specification it proves ("R5" is a rule of the wire notes, "C12" one of their scenarios).
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

mod admission;
mod answers;
mod broken;
mod builds;
mod burst;
mod connections;
mod contexts;
mod drain;
mod early;
mod faults;
mod fields;
mod floods;
mod forwarding;
mod gone;
mod halfclose;
mod hijack;
mod memory;
mod plugin;
mod refused;
mod scope;
mod socket;

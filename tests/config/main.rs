//! Configuration and certificate files: what is accepted, what is refused and in which words.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

mod check;
mod fixtures;
mod pki;
mod sources;
mod tls;

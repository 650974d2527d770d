//! Configuration and certificate files: what is accepted, what is refused and in which words.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

mod agreement;
mod certificates;
mod check;
mod doctor;
mod fixtures;
mod hints;
mod host;
mod owner_key;
mod pki;
mod reference;
mod restraints;
mod revocation;
mod server;
mod sources;
mod starts;
mod tls;
mod words;

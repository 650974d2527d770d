//! clap types only; no behaviour.

pub mod certs;

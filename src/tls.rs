//! TLS.

pub mod files;

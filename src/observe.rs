//! What is known while the gate runs: the log, the audit, metrics, the registry of live connections, health, and who may ask.

pub mod admin;
pub mod audit;
pub mod control;
pub mod expiry;
pub mod health;
pub mod log;
pub mod metrics;
pub mod registry;

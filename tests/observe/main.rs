//! The gate as its operator sees it: metrics, health, the control commands and the limits, driven through the real binary.

mod control;
mod decisions;
mod docs;
mod handshakes;
mod health;
mod limits;
mod metrics;
mod started;

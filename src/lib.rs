//! dockgate: the gate between a network and a Docker Engine.
//!
//! The modules stand in the order data flows; a module imports only from modules listed below it.

pub mod cli;

pub mod check;
pub mod doctor;

pub mod tls;

pub mod config;
pub mod finding;
pub mod socket;

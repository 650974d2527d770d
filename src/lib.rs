//! dockgate: the gate between a network and a Docker Engine.
//!
//! The modules stand in the order data flows; a module imports only from modules listed below it.

pub mod banner;
pub mod check;
pub mod cli;
pub mod doctor;
pub mod logging;

pub mod app;
pub mod commands;
pub mod reload;

pub mod admin;
pub mod control;
pub mod health;

pub mod audit;
pub mod certs;
pub mod front;
pub mod listener;
pub mod plugin;
pub mod policy;
pub mod proxy;
pub mod tls;
pub mod upstream;
pub mod worker;

pub mod expiry;
pub mod metrics;
pub mod registry;
pub mod shutdown;

pub mod config;
pub mod docker;
pub mod finding;
pub mod identity;
pub mod limits;
pub mod net;
pub mod socket;

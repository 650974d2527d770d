//! dockgate: the gate between a network and a Docker Engine.
//!
//! The life of a request: `listener` accepts, `front` tracks the connection, `tls` turns it into a verified `identity`, `proxy`
//! reads heads and asks `policy`, `upstream` reaches the engine, and `audit` and `metrics` keep the record.
//!
//! The modules stand in the order data flows; a module imports from modules listed below it. Three pairs lean on each other:
//! `certs` and `config` share their vocabulary with `cli`, `policy learn` reads what `audit` writes, and `policy explain` asks `tls`
//! who issued a certificate.

// What the binary does.
pub mod banner;

pub mod commands;

pub mod doctor;

pub mod check;

// Put together, kept current, looked at.
pub mod app;

pub mod control;

pub mod reload;

pub mod admin;

// The path of a request.
pub mod front;

pub mod listener;

pub mod worker;

pub mod proxy;

pub mod tls;

pub mod upstream;

pub mod plugin;

pub mod audit;

pub mod policy;

// What is known while it runs.
pub mod metrics;

pub mod registry;

pub mod expiry;

pub mod health;

pub mod limits;

pub mod shutdown;

// What is known before it runs.
pub mod certs;

pub mod config;

pub mod cli;

// Vocabulary and tools.
pub mod docker;

pub mod finding;

pub mod identity;

pub mod logging;

pub mod net;

pub mod socket;

pub mod text;

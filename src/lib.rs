#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]
//! dockgate: the gate between a network and a Docker Engine.
//!
//! The life of a request: `listener` accepts, `connection` tracks it, `tls` turns it into a verified identity, `http`
//! reads heads and asks `policy`, `engine` reaches the Docker Engine, and `observe` keeps the record.
//!
//! Pure crates lie below: `docker_api` (what a request means), `policy` (what it may), `pki` (who asks), `text` (what people read).
//! The modules are listed in the order data flows; a module imports from modules listed below it.

// What the binary does.
pub mod command;

pub mod banner;

// Assembled, kept current.
pub mod app;

pub mod reload;

// Certificates asked for and handed out over the network.
pub mod signer;

pub mod enrolment;

pub mod companion;

// The path of a request.
pub mod connection;

pub mod worker;

pub mod http;

pub mod generation;

pub mod tls;

pub mod cage;

pub mod house;

pub mod plugin;

// What is known while it runs.
pub mod observe;

// The Docker Engine: connections, questions of the gate's own, what keeps it from being reached.
pub mod engine;

pub mod shutdown;

pub mod service;

// What is known before it runs.
pub mod cli;

pub mod config;

// Vocabulary and tools.
pub mod finding;

pub mod error;

pub mod listener;

pub mod net;

pub mod limits;

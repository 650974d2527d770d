//! dockgate: the gate between a network and a Docker Engine.
//!
//! The modules stand in the order data flows; a module imports only from modules listed below it.

pub mod certs;
pub mod front;
pub mod listener;
pub mod proxy;
pub mod tls;
pub mod upstream;
pub mod worker;

pub mod registry;

pub mod docker;
pub mod identity;
pub mod net;

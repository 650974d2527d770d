//! dockgate: the gate between a network and a Docker Engine.
//!
//! The modules stand in the order data flows; a module imports only from modules listed below it.

pub mod cli;

pub mod policy;

pub mod audit;

pub mod docker;

pub mod identity;

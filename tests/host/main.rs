//! How the gate sits on its host: the service manager, and what the system lets it do.

mod cage;
mod deployments;
mod manual;
mod release;
mod service;
mod user;

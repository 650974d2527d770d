//! The commands: what each does once its arguments are read.

pub mod certs;
pub mod check;
pub mod control;
pub mod doctor;
pub mod policy;

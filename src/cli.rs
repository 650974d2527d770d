//! Command line types.

pub mod policy;

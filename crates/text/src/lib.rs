//! Text that came from elsewhere, made safe to show, and the few ways in which everything that prints lays text out.
//!
//! Pure: no files, no clock, no terminal.

pub mod escape;

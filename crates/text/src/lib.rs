//! Text that came from elsewhere, made safe to show, and the few ways in which everything that prints lays text out.
//!
//! Pure: no files, no clock, no terminal.

mod columns;
pub mod escape;
mod nearest;

pub use columns::{Align, columns};
pub use nearest::{likeness, nearest, nearest_of};

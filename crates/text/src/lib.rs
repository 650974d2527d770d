//! Text that came from elsewhere: made safe to show, and measured where others will evaluate it; and the few ways in which
//! everything that prints lays text out.
//!
//! Pure: no files, no clock, no terminal.

mod columns;
mod count;
pub mod escape;
mod ids;
mod nearest;
mod pattern;

pub use columns::{Align, columns};
pub use count::counted;
pub use ids::short_ids;
pub use nearest::{likeness, nearest, nearest_of};
pub use pattern::{is_plain, pattern_steps};

//! The one computation of trust. Time is given to it, so its edges are tested to the second.

mod lists;
mod matrix;
mod strings;
mod support;
mod times;

//! The Engine API's vocabulary: operations, and the one reading of a request target.
//!
//! [`classify`] answers what the engine's own router would do with a method and a target. The gate asks it before a
//! byte goes upstream, so it must agree with that router for every input, or refuse.

mod absolute;
pub mod image;
pub mod json;
mod operation;
mod path;
pub mod query;
mod route;
pub mod work;

pub use absolute::{Absolute, absolute};
pub use operation::{Hijack, Operation, OperationKind, Risk, Streams};
pub use path::{Classified, Form, Irregular, TargetError, classify};

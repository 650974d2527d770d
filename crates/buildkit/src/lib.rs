//! Reads the BuildKit calls that the gate judges: protobuf on the wire, the messages that ask for something, LLB
//! definitions, and gRPC's framing.
//!
//! The engine and the gate must understand the same thing by the same bytes, whichever protobuf library the engine was
//! built with. Those libraries differ in corners (a field that occurs twice, an unknown wire type, a tag above 32 bits),
//! and no real client writes such bytes, so every corner is refused. What passes has one meaning.
//! Nothing is encoded again: the gate sends on the client's bytes, with fields of its own appended.
//!
//! Reading takes time and memory linear in the bytes. Nothing here does I/O or panics on input.

pub mod answers;
pub mod append;
pub mod calls;
pub mod debug;
pub mod definition;
pub mod grpc;
pub mod solve;
pub mod wire;

pub use answers::HistoryEvent;
pub use calls::Call;
pub use definition::Llb;
pub use solve::{CacheEntry, Exporter, FrontendSolve, Solve};
pub use wire::{MAX_LIST, Unreadable};

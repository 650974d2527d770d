//! The HTTP front: one session per connection, from the first head to the last byte.
//!
//! identify, read a head, classify, decide, forward, record, and again. hyper is not used here, on evidence: it takes bare
//! line feeds for line ends and drops a Content-Length beside a transfer coding without a word (both have two readings), it
//! cuts the target at `#`, it cannot hand over the `200` that Docker's legacy hijack answers with, and two of its state
//! machines per request cost more than everything else together. The strict relay here is small enough to read, and is
//! compared with hyper's reading by property tests.

pub mod body_judge;
pub mod build;
pub mod client;
pub mod exchange;
pub mod framing;
pub mod head;
pub mod outgoing;
pub mod record;
pub mod relay;
pub mod respond;
pub mod response_authorization;
pub mod scope;
pub mod session;
pub mod shared;
pub mod tunnel;

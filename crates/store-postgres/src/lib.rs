//! What several signers of one CA share, in PostgreSQL: the events of the index and the signed lists.
//!
//! Contract: the number of the last change is in one row, and each write names the change it is based on: one that is not
//! based on the last one writes nothing. A session's lock only spares others a write in vain. A write whose outcome is not
//! known is looked up under that lock, which nobody has before the session that wrote has ended. TLS is verified; without
//! it only a socket or an address of this host is connected to. No question outlasts its deadline.

mod address;
mod password;
mod session;
mod store;
mod tls;

pub use address::{DatabaseUrl, DatabaseUrlFault};
pub use password::PasswordFile;
pub use store::PostgresStore;

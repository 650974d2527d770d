//! Certificates asked for and handed out over the network: the signer, invitations, joining, renewing.

mod advice;
mod ci;
mod clock;
#[cfg(feature = "postgres")]
mod compose;
#[cfg(feature = "postgres")]
mod database;
mod external;
mod fleet;
mod hints;
mod impostor;
mod joining;
mod killed;
mod long;
mod losses;
#[cfg(feature = "postgres")]
mod outage;
mod pages;
mod programs;
mod prompt;
mod protocol;
#[cfg(feature = "postgres")]
mod readers;
mod rollover;
mod room;
#[cfg(feature = "postgres")]
mod shared;
#[cfg(feature = "postgres")]
mod succession;
mod support;
mod timer;
mod travel;

//! Certificates asked for and handed out over the network: the signer, invitations, joining, renewing.

mod advice;
mod ci;
#[cfg(feature = "postgres")]
mod database;
mod external;
mod fleet;
mod impostor;
mod joining;
mod losses;
mod pages;
mod programs;
mod protocol;
mod rollover;
#[cfg(feature = "postgres")]
mod shared;
mod support;
mod timer;
mod travel;

//! Certificates asked for and handed out over the network: the signer, invitations, joining, renewing.

mod advice;
mod ci;
mod external;
mod fleet;
mod impostor;
mod joining;
mod losses;
mod pages;
mod programs;
mod protocol;
mod rollover;
mod support;
mod timer;
mod travel;

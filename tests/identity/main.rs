//! Certificates asked for and handed out over the network: the signer, invitations, joining, renewing.

mod ci;
mod external;
mod fleet;
mod impostor;
mod joining;
mod programs;
mod protocol;
mod rollover;
mod support;
mod timer;
mod travel;

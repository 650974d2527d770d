//! How certificates are asked for over the network, as far as it needs no network: tokens, the bodies of EST messages
//! (RFC 7030, RFC 8951), invitations, and the rules by which the signer issues and renews.
//!
//! Contract: what a peer sends is read here within bounds and never trusted. The names in a certificate come from the
//! invitation or from the certificate that is renewed. Each rule writes to the index before its caller may answer, so that
//! a certificate that exists is always in the index.

pub mod basic;
mod bounds;
pub mod message;
pub mod oidc;
pub mod rules;
pub mod token;

pub use rules::{EnrollRefusal, InvitationState, NewInvitation, SigningRules};
pub use token::{Secret, SignerAddress, SignerPin, Token, TokenFault};

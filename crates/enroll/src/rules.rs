//! What an invitation is good for, and how a line of certificates goes on.

mod ci;
mod due;
mod figures;
mod invitation;
mod line;

pub use ci::redeem_token;
pub use figures::SignerFigures;
pub use invitation::{InvitationState, NewInvitation, authenticate, invite, state, withdraw};
pub use line::{allow, find, redeem, renew};

use crate::oidc::OidcFault;
use pki::{CertsError, RequestFault, request::SigningRequest};

/// What the signer lays down for every certificate.
#[derive(Clone, Debug)]
pub struct SigningRules {
    /// The life of a person's certificate, in seconds, where the invitation does not say.
    pub client_secs: u64,
    /// The life of a gate's certificate, in seconds, where the invitation does not say.
    pub gate_secs: u64,
    /// How long after its end a certificate may still be renewed, in seconds.
    pub late_secs: u64,
}

/// The life of a person's certificate.
pub const CLIENT_LIFE_SECS: u64 = 7 * 86_400;
/// The life of a gate's certificate.
pub const GATE_LIFE_SECS: u64 = 30 * 86_400;

impl Default for SigningRules {
    fn default() -> Self {
        Self {
            client_secs: CLIENT_LIFE_SECS,
            gate_secs: GATE_LIFE_SECS,
            late_secs: 0,
        }
    }
}

/// Why a certificate was refused.
#[derive(Debug, thiserror::Error)]
pub enum EnrollRefusal {
    /// Wrong secret, unknown, used, expired or taken back: who asks is not told which.
    #[error("the invitation is not known, was used, has expired or was taken back")]
    Unauthorized,
    /// A token of CI that cannot be used: who asks is not told why.
    #[error("the token is not accepted; the signer's log says why at the level debug")]
    Token(#[source] OidcFault),
    /// The request cannot be used.
    #[error("{0}")]
    Request(String),
    /// The certificate may not be renewed.
    #[error("{0}")]
    Forbidden(String),
    /// It is too early to renew the certificate.
    #[error(
        "this certificate is not due for renewal before {due}, and {alive} of its line are good already"
    )]
    Early {
        /// When it is due, RFC 3339.
        due: String,
        /// How many seconds that is from now.
        secs: u64,
        /// How many certificates of the line have not ended.
        alive: usize,
    },
    /// The jobs of one subject have got more certificates than anybody needs.
    #[error(
        "this token's subject has got {most} certificates that are good or less than a day old, and gets no more until one is neither"
    )]
    Many {
        /// How many there may be.
        most: usize,
    },
    /// Others were served until its time was over. Nothing was used up.
    #[error("the signer is busy with other requests; try again later")]
    Busy,
    /// Two holders of one certificate have asked for its successor.
    #[error(
        "another key has renewed this certificate before: somebody has a copy of it, or it came out of a backup; all certificates of {name:?} from this line are on hold"
    )]
    Copy {
        /// Whose it is.
        name: String,
        /// What was put on hold.
        serials: Vec<String>,
    },
    /// Something failed here.
    #[error(transparent)]
    Failed(#[from] CertsError),
}

impl From<RequestFault> for EnrollRefusal {
    fn from(fault: RequestFault) -> Self {
        Self::Request(format!("expected a certificate request, got {fault}"))
    }
}

/// Keys that are signed for.
const KEYS: &str = "ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits";

fn check_key(request: &SigningRequest) -> Result<(), EnrollRefusal> {
    let rsa = request.key.strip_prefix("RSA ");
    let bits = rsa.and_then(|bits| bits.parse::<usize>().ok());
    let good = match bits {
        Some(bits) => (2048..=4096).contains(&bits),
        None => matches!(
            request.key.as_str(),
            "ECDSA P-256" | "ECDSA P-384" | "Ed25519"
        ),
    };
    match good {
        true => Ok(()),
        false => Err(EnrollRefusal::Request(format!(
            "the key is {}, expected {KEYS}",
            request.key
        ))),
    }
}

#[cfg(test)]
mod tests;

//! Why a certificate could not be had.

use std::io;
use std::path::PathBuf;

use enroll::{SignerAddress, TokenFault};
use pki::CertsError;

/// Why a certificate could not be had, or not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The signer cannot be reached.
    #[error("cannot connect to the signer at {signer}")]
    Connect {
        /// Where.
        signer: SignerAddress,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server that answers has not proved to be the signer.
    #[error(
        "what answers at {signer} is not the signer of this CA: {why}; nothing secret was sent"
    )]
    Impostor {
        /// Where.
        signer: SignerAddress,
        /// What is wrong with its certificate.
        why: String,
    },
    /// The exchange broke off.
    #[error("the signer's answer is incomplete")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("the signer at {0} does not answer in time")]
    TimedOut(SignerAddress),
    /// The signer refused.
    #[error("the signer refused ({status}): {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its sentence.
        said: String,
    },
    /// The answer is not what it should be.
    #[error("the signer sent {0}")]
    Answer(&'static str),
    /// The certificate is not good for what it was asked for.
    #[error("the signer sent a certificate that cannot be used here: {0}")]
    Unfit(String),
    /// A context of that name was made by somebody else.
    #[error("the docker context {name:?} was not made by dockgate join")]
    Foreign {
        /// Its name.
        name: String,
    },
    /// The directory holds something else.
    #[error("{0:?} does not hold a certificate that dockgate join brought")]
    NotJoined(PathBuf),
    /// Files.
    #[error(transparent)]
    Certs(#[from] CertsError),
}

impl EnrolError {
    /// Whether files could not be written here; the signer has no part in it.
    #[must_use]
    pub fn is_of_writing(&self) -> bool {
        matches!(self, Self::Certs(CertsError::Io { action, .. }) if *action != "read")
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Token(_) => "ask for the whole line that `dockgate invite` printed",
            Self::Connect { .. } | Self::TimedOut(_) => {
                "is `dockgate signer` running there, and does a firewall let its port through?"
            }
            Self::Impostor { .. } => {
                "compare the clocks; if they agree, somebody may be in between: do not use the token over this network, and take it back with `dockgate invite revoke`"
            }
            Self::Refused { status: 401, said } if said.starts_with("the token") => {
                "is each of the token's issuer, audience and claims the one of an [[oidc]] table of the signer? a token is good once, until it ends"
            }
            Self::Refused { status: 401, .. } => "ask for a new invitation: `dockgate invite NAME`",
            Self::Refused { status: 403, .. } => {
                "a certificate that is revoked, on hold or has ended is replaced by a new invitation: `dockgate invite NAME`"
            }
            Self::Refused { status: 429, said } if said.starts_with("this certificate") => {
                "the certificate that you have is good: `dockgate renew` without --force renews it when it is due"
            }
            Self::Refused { status: 429, said } if said.starts_with("this token") => {
                "one certificate is good for a whole job: look for a job that asks for one again and again"
            }
            Self::Foreign { .. } => "give the new one another name with --context NAME",
            Self::NotJoined(_) => "name the directory that `dockgate join` printed",
            Self::Certs(error) => return error.hint().map(std::borrow::Cow::into_owned),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_here_is_told_apart_from_a_signer_that_is_silent() {
        let of = |action, kind: io::ErrorKind| {
            EnrolError::Certs(CertsError::io(
                action,
                "/var/lib/dockgate/trust",
                kind.into(),
            ))
        };
        let kept = of("create", io::ErrorKind::ReadOnlyFilesystem);
        assert!(kept.is_of_writing());
        let hint = kept.hint().expect("a hint");
        assert!(hint.contains("/var/lib/dockgate"), "{hint}");
        assert!(of("write", io::ErrorKind::PermissionDenied).is_of_writing());
        assert!(!of("read", io::ErrorKind::PermissionDenied).is_of_writing());
        assert!(!EnrolError::Answer("news that cannot be read").is_of_writing());
    }
}

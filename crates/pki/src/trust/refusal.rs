//! Why a certificate was refused, as a value.

use std::fmt;

use super::identity::Identity;

/// Why a certificate was refused, from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionReason {
    /// Past its notAfter.
    Expired,
    /// Before its notBefore.
    NotYetValid,
    /// A CA it leads to is outside its own validity.
    IssuerExpired,
    /// No path to a trusted CA.
    UnknownIssuer,
    /// Listed in a CRL of its issuer.
    Revoked,
    /// No CRL says whether it is revoked, or the newest CRL is out of time.
    RevocationUnknown,
    /// On the deny list.
    DenyListed,
    /// Not meant for client authentication.
    WrongUsage,
    /// Not a readable certificate, or it breaks a rule that `detail` names.
    Invalid,
}

impl RejectionReason {
    /// The word used in metrics labels and log fields.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuerExpired => "issuer_expired",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::DenyListed => "deny_listed",
            Self::WrongUsage => "wrong_usage",
            Self::Invalid => "invalid",
        }
    }
}

/// A refused certificate.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Why, for machines.
    pub reason: RejectionReason,
    /// Why, for people: what breaks which rule. Empty where the reason says it all.
    pub detail: String,
    /// What the certificate called itself; unverified, so worth no trust.
    pub identity: Option<Identity>,
}

impl Rejection {
    /// Why, without whose certificate it was.
    #[must_use]
    pub fn why(&self) -> String {
        let said = match self.reason {
            RejectionReason::Expired => "the client certificate has expired",
            RejectionReason::NotYetValid => {
                "the client certificate is not valid yet (compare the clocks)"
            }
            RejectionReason::IssuerExpired => {
                "the CA of the client certificate is outside its own validity"
            }
            RejectionReason::UnknownIssuer => {
                "the client certificate was not issued by the configured CA"
            }
            RejectionReason::Revoked => "the client certificate is revoked",
            RejectionReason::RevocationUnknown => {
                "no current CRL covers the client certificate's issuer"
            }
            RejectionReason::DenyListed => "the client certificate is on the deny list",
            RejectionReason::WrongUsage => {
                "the client certificate lacks the clientAuth extended key usage"
            }
            RejectionReason::Invalid => "the client certificate is not acceptable",
        };
        if self.detail.is_empty() {
            said.to_owned()
        } else {
            format!("{said}: {}", self.detail)
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why())?;
        if let Some(identity) = &self.identity {
            write!(
                f,
                "; subject {:?}, issuer {:?}, serial {}",
                identity.label(),
                identity.issuer,
                identity.serial
            )?;
        }
        Ok(())
    }
}

//! Why a certificate was refused, as a value.

use std::fmt;

use crate::identity::Identity;

/// Why a certificate was refused, from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
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

impl Reason {
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
pub struct Refusal {
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people: what breaks which rule. Empty where the reason says it all.
    pub detail: String,
    /// What the certificate called itself; unverified, so worth no trust.
    pub identity: Option<Identity>,
}

impl Refusal {
    /// Why, without whose certificate it was.
    #[must_use]
    pub fn why(&self) -> String {
        let said = match self.reason {
            Reason::Expired => "the client certificate has expired",
            Reason::NotYetValid => "the client certificate is not valid yet (compare the clocks)",
            Reason::IssuerExpired => "the CA of the client certificate is outside its own validity",
            Reason::UnknownIssuer => "the client certificate was not issued by the configured CA",
            Reason::Revoked => "the client certificate is revoked",
            Reason::RevocationUnknown => "no current CRL covers the client certificate's issuer",
            Reason::DenyListed => "the client certificate is on the deny list",
            Reason::WrongUsage => "the client certificate lacks the clientAuth extended key usage",
            Reason::Invalid => "the client certificate is not acceptable",
        };
        if self.detail.is_empty() {
            said.to_owned()
        } else {
            format!("{said}: {}", self.detail)
        }
    }
}

impl fmt::Display for Refusal {
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

//! What rustls-webpki refuses, in words of its rule.

use rustls_pki_types::UnixTime;
use webpki::Error;

use super::certificate::{Certificate, timestamp};
use super::refusal::RejectionReason;
use super::rules::RuleFault;
use super::{Purpose, key_kind};

/// What an explanation may look at: the chain as presented, and the CAs.
pub(crate) struct PresentedChain<'p> {
    pub(crate) leaf: &'p Certificate,
    /// Those of the other certificates that can be read.
    pub(crate) others: &'p [Certificate],
    pub(crate) cas: &'p [&'p Certificate],
    pub(crate) usable: &'p dyn Fn(&Certificate) -> bool,
    pub(crate) now: UnixTime,
}

impl PresentedChain<'_> {
    /// The reason for an error of path building.
    pub(crate) fn explain(&self, error: &Error) -> RuleFault {
        let leaf = self.leaf;
        match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => self.dates(error),
            Error::UnknownIssuer => (RejectionReason::UnknownIssuer, self.unknown_issuer()),
            Error::InvalidSignatureForPublicKey => self.signature(),
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => self.algorithm(),
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => self.usage(),
            Error::CaUsedAsEndEntity if self.others.iter().any(|it| !it.is_ca) => invalid(
                "it is the certificate of a CA, and the client's own comes after it; the client's own must be the first in the file",
            ),
            Error::CaUsedAsEndEntity => invalid(
                "it is the certificate of a CA, and no CA is let in as a client; give the client a certificate of its own",
            ),
            Error::EndEntityUsedAsCa => {
                let found = self.others.iter().find(|it| !it.is_ca);
                let name = found.map_or(leaf.issuer.as_str(), |it| it.subject.as_str());
                invalid(format!(
                    "{name:?} is not a CA, so it may not issue certificates"
                ))
            }
            Error::PathLenConstraintViolated => invalid(format!(
                "CA {:?} allows fewer CAs below it than there are (pathLenConstraint)",
                self.limited().unwrap_or(leaf.issuer.as_str())
            )),
            Error::NameConstraintViolation
            | Error::MalformedNameConstraint
            | Error::InvalidNetworkMaskConstraint => self.constrained(),
            Error::UnsupportedCriticalExtension => self.critical(),
            Error::UnsupportedCertVersion => version(leaf),
            Error::SignatureAlgorithmMismatch => {
                invalid("it names two different signature algorithms")
            }
            Error::InvalidCertValidity => invalid("its validity ends before it begins"),
            Error::MaximumPathDepthExceeded => {
                invalid("its chain is too long: at most 6 CAs may be between it and the trusted CA")
            }
            Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => {
                invalid("too many certificates or names would have to be compared to find its CA")
            }
            Error::CertDistrusted => (
                RejectionReason::UnknownIssuer,
                "its key is known to be public".to_owned(),
            ),
            Error::BadDer
            | Error::BadDerTime
            | Error::TrailingData(_)
            | Error::ExtensionValueInvalid
            | Error::MalformedExtensions
            | Error::MalformedDnsIdentifier
            | Error::InvalidSerialNumber => invalid("its encoding is damaged"),
            _ => invalid("it breaks a rule for certificates (RFC 5280)"),
        }
    }

    fn dates(&self, error: &Error) -> RuleFault {
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        if !self.leaf.is_in_force(now) {
            let reason = match error {
                Error::CertExpired { .. } if self.leaf.not_after.unix_timestamp() < now => {
                    RejectionReason::Expired
                }
                _ if self.leaf.not_before.unix_timestamp() > now => RejectionReason::NotYetValid,
                _ => RejectionReason::Expired,
            };
            return (reason, String::new());
        }
        let detail = match self.others.iter().find(|it| !it.is_in_force(now)) {
            Some(ca) if ca.not_before.unix_timestamp() > now => format!(
                "CA {:?} is not valid before {}",
                ca.subject,
                timestamp(ca.not_before)
            ),
            Some(ca) => format!("CA {:?} expired on {}", ca.subject, timestamp(ca.not_after)),
            None => String::new(),
        };
        (RejectionReason::IssuerExpired, detail)
    }

    fn unknown_issuer(&self) -> String {
        if self.leaf.self_issued {
            return "it was issued by itself".to_owned();
        }
        String::new()
    }

    /// The CAs by whose name some certificate of the chain was issued.
    fn issuers(&self) -> impl Iterator<Item = &Certificate> {
        let presented = std::iter::once(self.leaf).chain(self.others);
        let names: Vec<_> = presented.map(|it| &it.details.issuer).collect();
        let cas = self.cas.iter().copied().chain(self.others);
        cas.filter(move |ca| names.contains(&&ca.details.subject))
    }

    fn signature(&self) -> RuleFault {
        if let Some(ca) = self.issuers().find(|ca| !(self.usable)(ca)) {
            return unusable(ca, true);
        }
        (
            RejectionReason::UnknownIssuer,
            "a CA of the same name but with another key signed it".to_owned(),
        )
    }

    fn algorithm(&self) -> RuleFault {
        if let Some(ca) = self.issuers().find(|ca| !(self.usable)(ca)) {
            return unusable(ca, true);
        }
        let algorithm = match self.leaf.details.signature_algorithm.as_str() {
            "1.2.840.113549.1.1.4" => "MD5 with RSA".to_owned(),
            "1.2.840.113549.1.1.5" => "SHA-1 with RSA".to_owned(),
            "1.2.840.10045.4.1" => "SHA-1 with ECDSA".to_owned(),
            "1.2.840.113549.1.1.10" => "RSA-PSS with these parameters".to_owned(),
            other => format!("algorithm {other}"),
        };
        invalid(format!(
            "it was signed with {algorithm}, which is not accepted; sign it again with SHA-256 or better"
        ))
    }

    fn usage(&self) -> RuleFault {
        let name = |it: &Certificate| format!("its issuer {:?} lacks it too", it.subject);
        let detail = if self.leaf.permits(Purpose::Client) {
            let ca = self.others.iter().find(|it| !it.permits(Purpose::Client));
            ca.map_or_else(String::new, name)
        } else if self.leaf.names_any_usage() {
            "anyExtendedKeyUsage does not stand for it".to_owned()
        } else {
            String::new()
        };
        (RejectionReason::WrongUsage, detail)
    }

    fn limited(&self) -> Option<&str> {
        let limited = self.others.iter().find(|it| it.path_len.is_some());
        limited.map(|it| it.subject.as_str())
    }

    fn constrained(&self) -> RuleFault {
        let cas = self.others.iter().chain(self.cas.iter().copied());
        let mut constrained = cas.filter(|ca| !ca.details.constraints.kinds.is_empty());
        let Some(ca) = constrained.next() else {
            return invalid("a CA may not issue for its names (nameConstraints)");
        };
        let kinds = &ca.details.constraints.kinds;
        let unevaluated: Vec<_> = kinds
            .iter()
            .filter(|kind| !matches!(**kind, "DNS names" | "IP addresses"))
            .copied()
            .collect();
        let tail = if unevaluated.is_empty() {
            String::new()
        } else {
            format!(
                "; dockgate does not evaluate constraints on {}",
                unevaluated.join(" and ")
            )
        };
        invalid(format!(
            "CA {:?} may not issue for all its names (nameConstraints on {}){tail}",
            ca.subject,
            kinds.join(" and ")
        ))
    }

    fn critical(&self) -> RuleFault {
        let presented = std::iter::once(self.leaf).chain(self.others);
        let named = presented.flat_map(|it| {
            let names = it.details.unknown_critical.iter();
            names.map(move |name| (it, name))
        });
        match { named }.next() {
            Some((it, name)) => {
                let whose = if std::ptr::eq(it, self.leaf) {
                    "it".to_owned()
                } else {
                    format!("CA {:?}", it.subject)
                };
                invalid(format!(
                    "{whose} has the critical extension {name}, which dockgate does not evaluate"
                ))
            }
            None => invalid("it has a critical extension that dockgate does not evaluate"),
        }
    }
}

/// A certificate of a version that has no extensions.
pub(crate) fn version(leaf: &Certificate) -> RuleFault {
    invalid(format!(
        "it is an X.509 version {} certificate, and only version 3 says what a certificate may be used for; \
         sign it with extensions (`openssl x509 -req -extfile FILE`, or `dockgate certs sign`)",
        leaf.details.version
    ))
}

/// A certificate whose key cannot be used.
pub(crate) fn unusable(certificate: &Certificate, is_ca: bool) -> RuleFault {
    let whose = if is_ca {
        format!("CA {:?}", certificate.subject)
    } else {
        "it".to_owned()
    };
    invalid(format!(
        "{whose} has a key that cannot be used ({}); use {}",
        certificate.key,
        key_kind::USABLE
    ))
}

fn invalid(detail: impl Into<String>) -> RuleFault {
    (RejectionReason::Invalid, detail.into())
}

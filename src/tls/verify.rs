//! Verifies client certificates, and remembers why one was refused.
//!
//! The decision is rustls's own `WebPkiClientVerifier`, asked once per chain and generation of trust ([`Memo`]); this wrapper
//! adds four things. It refuses what the deny list names,
//! and what only a CA outside its own validity vouches for ([`Issuers::in_force`]). It keeps the reason and the certificate's names for the log, which TLS itself would reduce to an alert number. And it
//! sends the alert dockerd sends for a certificate without the clientAuth usage, since newer Docker clients recognise that
//! one and tell the user to look at their certificate.
//!
//! No CA names are sent to the client (RFC 8446 §4.3.2 makes them optional). With them, Go clients silently withhold a
//! certificate of another CA, and neither side could say more than "no certificate".

mod memo;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};

use super::issuer::Issuers;
use crate::tls::signatures;
use pki::identity::{Identity, IdentityError};

pub use memo::Memo;

/// Certificates refused by name, whatever their CA says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// Serial numbers, lower-case hex without leading zero bytes.
    pub serials: HashSet<String>,
    /// SHA-256 digests of the SubjectPublicKeyInfo.
    pub spki_sha256: HashSet<[u8; 32]>,
}

/// Why a certificate was refused, from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Past its notAfter.
    Expired,
    /// Before its notBefore.
    NotYetValid,
    /// The CA it leads to is outside its own validity.
    IssuerExpired,
    /// No path to a trusted CA.
    UnknownIssuer,
    /// Listed in a CRL of its issuer.
    Revoked,
    /// No CRL says whether it is revoked, or the CRL has lapsed.
    RevocationUnknown,
    /// On the deny list.
    DenyListed,
    /// Not meant for client authentication.
    WrongUsage,
    /// Not a readable certificate, or another fault in it.
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

/// A refused certificate, for the log.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What it called itself; unverified, so worth no trust.
    pub identity: Option<Identity>,
    detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Expired => f.write_str("the client certificate has expired")?,
            Reason::NotYetValid => {
                f.write_str("the client certificate is not valid yet (compare the clocks)")?;
            }
            Reason::IssuerExpired => {
                f.write_str("the CA of the client certificate is outside its own validity")?;
            }
            Reason::UnknownIssuer => {
                f.write_str("the client certificate was not issued by the configured CA")?;
            }
            Reason::Revoked => f.write_str("the client certificate is revoked")?,
            Reason::RevocationUnknown => {
                f.write_str("no current CRL covers the client certificate's issuer")?;
            }
            Reason::DenyListed => f.write_str("the client certificate is on the deny list")?,
            Reason::WrongUsage => {
                f.write_str("the client certificate lacks the clientAuth extended key usage")?;
            }
            Reason::Invalid => write!(
                f,
                "the client certificate is not acceptable: {}",
                self.detail
            )?,
        }
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

thread_local! {
    static LAST: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

/// The refusal that the handshake just polled on this thread ended with. A handshake verifies and fails within one poll, so
/// what stands here right after a failed poll is its own.
pub fn take_refusal() -> Option<Refusal> {
    LAST.with(|last| last.borrow_mut().take())
}

/// The client certificate verifier of one generation of trust.
#[derive(Debug)]
pub struct GateVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    denied: Denied,
    issuers: Issuers,
    memo: Memo,
}

impl GateVerifier {
    /// Wraps a chain verifier, a deny list and the CAs; `memo` must be new and know the verifier's revocation lists.
    #[must_use]
    pub fn new(
        inner: Arc<dyn ClientCertVerifier>,
        denied: Denied,
        issuers: Issuers,
        memo: Memo,
    ) -> Self {
        Self {
            inner,
            denied,
            issuers,
            memo,
        }
    }

    /// Whose chain this is; it must have been verified.
    ///
    /// # Errors
    /// When a name in the leaf is not readable text.
    pub fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Arc<Identity>, IdentityError> {
        let key = Memo::key(leaf, intermediates);
        if let Some(identity) = self.memo.identity(&key) {
            return Ok(identity);
        }
        let mut identity = Identity::from_der(leaf)?;
        identity.issuer_spki = self.issuers.spki(leaf, intermediates);
        let identity = Arc::new(identity);
        self.memo.know(&key, &identity);
        Ok(identity)
    }

    /// Verifies a chain as at `now`; also used to judge live connections again after a reload.
    ///
    /// # Errors
    /// The refusal, and the TLS error (hence alert) that goes with it.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Box<(Refusal, Error)>> {
        let refuse = |reason, detail: String, error| {
            let identity = Identity::from_der(leaf).ok();
            Err(Box::new((
                Refusal {
                    reason,
                    identity,
                    detail,
                },
                error,
            )))
        };
        let key = Memo::key(leaf, intermediates);
        if !self.memo.holds(&key, now) {
            if let Err(error) = self.inner.verify_client_cert(leaf, intermediates, now) {
                let (reason, error) = classify(error);
                return refuse(reason, error.to_string(), error);
            }
            if !self.issuers.in_force(leaf, intermediates, now) {
                let error = CertificateError::Expired.into();
                return refuse(Reason::IssuerExpired, String::new(), error);
            }
            let until = self.issuers.until(now);
            self.memo.keep(key, leaf, intermediates, now, until);
        }
        if self.denied == Denied::default() {
            return Ok(());
        }
        match self.identify(leaf, intermediates) {
            Ok(identity)
                if self.denied.serials.contains(&identity.serial)
                    || self.denied.spki_sha256.contains(&identity.spki) =>
            {
                let error = CertificateError::Revoked.into();
                refuse(Reason::DenyListed, String::new(), error)
            }
            Ok(_) => Ok(()),
            // What cannot be read cannot be looked up in the list.
            Err(e) => refuse(
                Reason::Invalid,
                e.to_string(),
                CertificateError::BadEncoding.into(),
            ),
        }
    }
}

fn classify(error: Error) -> (Reason, Error) {
    use CertificateError as E;
    let Error::InvalidCertificate(fault) = &error else {
        return (Reason::Invalid, error);
    };
    let reason = match fault {
        E::Expired | E::ExpiredContext { .. } => Reason::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Reason::NotYetValid,
        E::UnknownIssuer => Reason::UnknownIssuer,
        E::Revoked => Reason::Revoked,
        E::UnknownRevocationStatus
        | E::ExpiredRevocationList
        | E::ExpiredRevocationListContext { .. } => Reason::RevocationUnknown,
        // dockerd (Go) answers bad_certificate here; rustls would say unsupported_certificate.
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            return (Reason::WrongUsage, E::BadEncoding.into());
        }
        _ => Reason::Invalid,
    };
    (reason, error)
}

impl ClientCertVerifier for GateVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(leaf, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refused) => {
                let (refusal, error) = *refused;
                LAST.with(|last| *last.borrow_mut() = Some(refusal));
                Err(error)
            }
        }
    }

    signatures::left_to!(inner);
}

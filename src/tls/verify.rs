//! Verifies the client's certificate of one handshake, and hands the outcome back as a value.
//!
//! Who is let in is computed by [`TrustStore::admit`] alone. rustls asks a verifier and passes on nothing but an error of
//! its own, so each handshake has a verifier to itself that keeps what was found: the identity of who was let in, or the
//! refusal with its reason. The alert is the one dockerd (Go) sends in the same case, since newer Docker clients
//! recognise it and tell the user to look at their certificate.
//!
//! No CA names are sent to the client (RFC 8446 §4.3.2 makes them optional). With them, Go clients silently withhold a
//! certificate of another CA, and neither side could say more than "no certificate".

use std::sync::{Arc, OnceLock};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};

use super::signatures::delegate_signatures;
use pki::{Admitted, Algorithms, Rejection, RejectionReason, TrustStore};

/// What a handshake's certificate led to.
type Found = Result<Arc<Admitted>, Box<Rejection>>;

/// The verifier of one handshake.
#[derive(Debug)]
pub struct ClientVerifier {
    store: Arc<TrustStore>,
    supported: WebPkiSupportedAlgorithms,
    found: OnceLock<Found>,
}

impl ClientVerifier {
    /// For one handshake under this trust.
    #[must_use]
    pub fn new(store: Arc<TrustStore>, supported: WebPkiSupportedAlgorithms) -> Self {
        Self {
            store,
            supported,
            found: OnceLock::new(),
        }
    }

    /// What the certificate led to; nothing if none came. That the peer holds the key is proved only by a handshake that
    /// succeeded.
    #[must_use]
    pub fn found(&self) -> Option<&Found> {
        self.found.get()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(leaf)
            .chain(intermediates)
            .map(|der| CertificateDer::from(der.as_ref()))
            .collect();
        match self.found.get_or_init(|| self.store.admit(&chain, now)) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => Err(alert(refusal.reason).into()),
        }
    }

    delegate_signatures!(algorithms: supported);
}

/// The error whose alert goes to the peer.
fn alert(reason: RejectionReason) -> CertificateError {
    match reason {
        RejectionReason::Expired
        | RejectionReason::NotYetValid
        | RejectionReason::IssuerExpired => CertificateError::Expired,
        RejectionReason::UnknownIssuer => CertificateError::UnknownIssuer,
        RejectionReason::Revoked | RejectionReason::DenyListed => CertificateError::Revoked,
        RejectionReason::RevocationUnknown => CertificateError::UnknownRevocationStatus,
        // bad_certificate, as dockerd answers whatever else is wrong.
        RejectionReason::WrongUsage | RejectionReason::Invalid => CertificateError::BadEncoding,
    }
}

/// The signature algorithms that the gate's own cryptographic library checks.
#[must_use]
pub fn algorithms(supported: &WebPkiSupportedAlgorithms) -> Algorithms {
    let handshake = supported.mapping.iter().flat_map(|(_, these)| these.iter());
    Algorithms {
        certificates: supported.all.to_vec(),
        handshake: handshake.copied().collect(),
    }
}

//! Whose key signed a client certificate: policies may pin it (`issuer_spki`), and with several CAs a name alone does not tell.
//!
//! The answer is the path that rustls-webpki builds to a configured CA, as it did when the chain was verified: a client may
//! present what it likes beside its leaf, a CA of the true issuer's name and key among it, and only what is on the path counts.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::sha256;

/// The configured CAs.
#[derive(Debug, Default)]
pub struct Issuers {
    anchors: Vec<TrustAnchor<'static>>,
    /// SHA-256 of each anchor's SubjectPublicKeyInfo, which the anchor itself holds without its ASN.1 header.
    pins: Vec<[u8; 32]>,
}

impl Issuers {
    /// Those of a CA file.
    #[must_use]
    pub fn of(cas: &[CertificateDer<'_>]) -> Self {
        let read = |der| {
            let anchor = anchor_from_trusted_cert(der).ok()?.to_owned();
            let (_, cert) = X509Certificate::from_der(der).ok()?;
            Some((anchor, sha256(cert.public_key().raw)))
        };
        let (anchors, pins) = cas.iter().filter_map(read).unzip();
        Self { anchors, pins }
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the CA that signed a verified leaf. Checks signatures, within webpki's bounds;
    /// remember what it says.
    #[must_use]
    pub fn spki(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<[u8; 32]> {
        let leaf = EndEntityCert::try_from(leaf).ok()?;
        let path = leaf
            .verify_for_usage(
                aws_lc_rs::default_provider()
                    .signature_verification_algorithms
                    .all,
                &self.anchors,
                intermediates,
                UnixTime::now(),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .ok()?;
        if let Some(issuer) = path.intermediate_certificates().next() {
            return Some(sha256(&issuer.subject_public_key_info()));
        }
        let index = self.anchors.iter().position(|a| a == path.anchor())?;
        self.pins.get(index).copied()
    }
}

#[cfg(test)]
mod tests;

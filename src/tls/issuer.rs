//! Whose key signed a client certificate: policies may pin it (`issuer_spki`), and with several CAs a name alone does not tell.
//!
//! The chain has been verified when this is asked, so the issuer is among the configured CAs and what the client presented. A
//! client may present what it likes, a CA of the same name among it; then the signature decides.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::sha256;

/// One that could have signed.
#[derive(Debug)]
struct Issuer {
    subject: Vec<u8>,
    key: Vec<u8>,
    spki: [u8; 32],
}

impl Issuer {
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        let key = cert.public_key();
        Some(Self {
            subject: cert.subject().as_raw().to_vec(),
            key: key.subject_public_key.data.to_vec(),
            spki: sha256(key.raw),
        })
    }

    fn signed(&self, cert: &X509Certificate<'_>) -> bool {
        let (message, signature) = (cert.tbs_certificate.as_ref(), &cert.signature_value.data);
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all
            .iter()
            .any(|algorithm| {
                algorithm
                    .verify_signature(&self.key, message, signature)
                    .is_ok()
            })
    }
}

/// The configured CAs.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// Those of a CA file.
    pub fn of(cas: &[CertificateDer<'_>]) -> Self {
        Self(cas.iter().filter_map(Issuer::of).collect())
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the CA that signed a verified leaf.
    pub fn spki(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<[u8; 32]> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let presented: Vec<Issuer> = intermediates.iter().filter_map(Issuer::of).collect();
        let named: Vec<&Issuer> = self
            .0
            .iter()
            .chain(&presented)
            .filter(|issuer| issuer.subject == leaf.issuer().as_raw())
            .collect();
        let first = named.first()?;
        let only = named.iter().all(|issuer| issuer.spki == first.spki);
        let signer = named.iter().find(|issuer| only || issuer.signed(&leaf))?;
        Some(signer.spki)
    }
}

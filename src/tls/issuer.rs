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
    fn of(cert: &X509Certificate<'_>) -> Self {
        let key = cert.public_key();
        Self {
            subject: cert.subject().as_raw().to_vec(),
            key: key.subject_public_key.data.to_vec(),
            spki: sha256(key.raw),
        }
    }

    fn is_named_by(&self, cert: &X509Certificate<'_>) -> bool {
        self.subject == cert.issuer().as_raw()
    }

    fn signed(&self, cert: &X509Certificate<'_>) -> bool {
        let (message, signature) = (cert.tbs_certificate.as_ref(), &cert.signature_value.data);
        self.is_named_by(cert)
            && aws_lc_rs::default_provider()
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

fn read<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert)
}

/// The configured CAs.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// Those of a CA file.
    pub fn of(cas: &[CertificateDer<'_>]) -> Self {
        Self(
            cas.iter()
                .filter_map(read)
                .map(|ca| Issuer::of(&ca))
                .collect(),
        )
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the CA that signed a verified leaf.
    pub fn spki(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<[u8; 32]> {
        let leaf = read(leaf)?;
        let mut named = self.0.iter().filter(|ca| ca.is_named_by(&leaf));
        if intermediates.is_empty()
            && let Some(first) = named.next()
            && named.all(|other| other.spki == first.spki)
        {
            // The chain has been verified, and nobody else could have signed.
            return Some(first.spki);
        }
        if let Some(signer) = self.0.iter().find(|ca| ca.signed(&leaf)) {
            return Some(signer.spki);
        }
        let vouched = self.vouched(intermediates);
        let signer = vouched.iter().find(|ca| ca.signed(&leaf))?;
        Some(signer.spki)
    }

    /// The presented certificates that a configured CA vouches for, directly or through others of them: a client may present
    /// one of its own making, with a true issuer's name and key in other wrapping. Each is tried once against each that has been
    /// vouched for, so that presenting many costs no more than reading them.
    fn vouched(&self, presented: &[CertificateDer<'_>]) -> Vec<Issuer> {
        let mut strangers: Vec<_> = presented.iter().filter_map(read).collect();
        let mut vouched: Vec<Issuer> = Vec::new();
        let by_configured = |cert: &X509Certificate<'_>| self.0.iter().any(|ca| ca.signed(cert));
        let mut fresh: Vec<Issuer> = strangers
            .extract_if(.., |cert| by_configured(cert))
            .map(|cert| Issuer::of(&cert))
            .collect();
        while !fresh.is_empty() {
            let next = strangers
                .extract_if(.., |cert| fresh.iter().any(|ca| ca.signed(cert)))
                .map(|cert| Issuer::of(&cert))
                .collect();
            vouched.append(&mut fresh);
            fresh = next;
        }
        vouched
    }
}

#[cfg(test)]
mod tests;

//! Whose key a certificate is for, and what signs where the CA's key is elsewhere.

use std::path::Path;

use rcgen::{PublicKeyData, SignatureAlgorithm, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateDer;

use super::{Certificate, CertsError, key::PrivateKey, request::SigningRequest};

/// What signs in a CA's stead, where its key is kept elsewhere.
pub trait LeafSigner: std::fmt::Debug + Send + Sync {
    /// Signs for a request what is wanted, and nothing else; the certificate in DER.
    ///
    /// # Errors
    /// When it cannot, or what it signed is something else.
    fn sign(&self, wanted: &Certificate, request: &[u8]) -> Result<Vec<u8>, CertsError>;
}

/// Whose key a certificate is for.
pub trait Requester: PublicKeyData {
    /// The certificate request for the key.
    ///
    /// # Errors
    /// When there is none.
    fn request(&self) -> Result<Vec<u8>, CertsError>;
}

impl Requester for PrivateKey {
    fn request(&self) -> Result<Vec<u8>, CertsError> {
        SigningRequest::make(self)
    }
}

impl Requester for SubjectPublicKeyInfo {
    fn request(&self) -> Result<Vec<u8>, CertsError> {
        Err(CertsError::refused(
            "a public key alone cannot make a certificate request",
            "make a certificate with a new key",
        ))
    }
}

impl PublicKeyData for SigningRequest {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl Requester for SigningRequest {
    fn request(&self) -> Result<Vec<u8>, CertsError> {
        Ok(self.der.clone())
    }
}

/// That a certificate is one of a CA that signs others.
pub(crate) fn can_sign(path: &Path, info: &Certificate) -> Result<(), CertsError> {
    let unexpected = |found: String, hint: &str| CertsError::Unexpected {
        path: path.into(),
        expected: "the certificate of a CA that matches its key",
        found,
        hint: Some(hint.into()),
    };
    if !info.is_ca {
        return Err(unexpected(
            format!(
                "{:?}, a certificate that is not a CA (basicConstraints)",
                info.subject
            ),
            "a leaf cannot sign: give the CA's certificate and key",
        ));
    }
    if !info.may("keyCertSign") {
        return Err(unexpected(
            format!(
                "{:?}, whose key usage forbids signing certificates",
                info.subject
            ),
            "use a CA with keyCertSign",
        ));
    }
    Ok(())
}

/// Lets another sign what was drafted here.
pub(crate) fn sign_elsewhere(
    signer: &dyn LeafSigner,
    draft: &[u8],
    public: &impl Requester,
) -> Result<CertificateDer<'static>, CertsError> {
    let wanted = Certificate::read(draft)
        .map_err(|why| CertsError::crypto("read back a draft of a certificate", why))?;
    let signed = signer.sign(&wanted, &public.request()?)?;
    Ok(CertificateDer::from(signed))
}

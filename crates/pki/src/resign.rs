//! Puts exact names into what `rcgen` encoded, then signs.
//!
//! `rcgen` keeps a distinguished name as a map: a CA named `DC=example, DC=com`, with two OUs, or with a multi-valued
//! RDN would come out changed, and verifiers compare issuer and subject byte for byte (RFC 5280 §6.1.3). So what it
//! encodes is treated as a draft: the names are replaced by the CA's own bytes, and only then is it signed.

use pkcs8::der::{
    Decode, Encode,
    asn1::{Any, BitString},
};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};

use super::CertsError;

/// Position of the issuer in a TBSCertificate with an explicit version (RFC 5280 §4.1).
pub const CERTIFICATE_ISSUER: usize = 3;
/// Position of the subject in a TBSCertificate.
pub const CERTIFICATE_SUBJECT: usize = 5;
/// Position of the issuer in a TBSCertList with a version (RFC 5280 §5.1).
pub const CRL_ISSUER: usize = 2;

/// A signer that leaves the signature empty: its output is a draft for [`resign`].
pub struct Draft<'a, K>(pub &'a K);

impl<K: SigningKey> PublicKeyData for Draft<'_, K> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl<K: SigningKey> SigningKey for Draft<'_, K> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// Replaces fields of a draft certificate or CRL by the given DER and signs the result with `key`.
pub fn resign<K: SigningKey>(
    draft: &[u8],
    fields: &[(usize, &[u8])],
    key: &K,
) -> Result<Vec<u8>, CertsError> {
    let encoding =
        |source: pkcs8::der::Error| CertsError::crypto("encode a certificate or CRL", source);
    let mut outer = Vec::<Any>::from_der(draft).map_err(encoding)?;
    let [tbs, _, signature] = outer.as_mut_slice() else {
        return Err(CertsError::crypto(
            "encode a certificate or CRL",
            "the draft does not have three parts",
        ));
    };
    let mut parts = Vec::<Any>::from_der(&tbs.to_der().map_err(encoding)?).map_err(encoding)?;
    for (position, der) in fields {
        let Some(part) = parts.get_mut(*position) else {
            return Err(CertsError::crypto(
                "encode a certificate or CRL",
                "the draft has too few fields",
            ));
        };
        *part = Any::from_der(der).map_err(encoding)?;
    }
    let signed = parts.to_der().map_err(encoding)?;
    let bytes = key
        .sign(&signed)
        .map_err(|source| CertsError::crypto("sign", source))?;
    *tbs = Any::from_der(&signed).map_err(encoding)?;
    *signature =
        Any::encode_from(&BitString::from_bytes(&bytes).map_err(encoding)?).map_err(encoding)?;
    outer.to_der().map_err(encoding)
}

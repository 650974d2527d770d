//! Kinds of public keys: what they are called, and whether the gate can check signatures with them.

use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::der;

/// RSA moduli that the cryptographic library takes, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key in words: `ECDSA P-256`, `RSA 2048`, `Ed25519`.
pub(crate) fn of(spki: &[u8]) -> String {
    let Ok((_, read)) = SubjectPublicKeyInfo::from_der(spki) else {
        return "unreadable".to_owned();
    };
    let id = read.algorithm.algorithm.to_id_string();
    let named = match id.as_str() {
        "1.2.840.113549.1.1.1" => {
            return match read.parsed() {
                Ok(PublicKey::RSA(key)) => format!("RSA {}", rsa_bits(&key)),
                _ => "RSA, unreadable".to_owned(),
            };
        }
        "1.2.840.10045.2.1" => return elliptic(&read),
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.110" => "X25519",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        _ => return format!("algorithm {id}"),
    };
    named.to_owned()
}

fn elliptic(key: &SubjectPublicKeyInfo<'_>) -> String {
    let parameters = key.algorithm.parameters.as_ref();
    let named = parameters.filter(|it| it.tag() == Tag::Oid);
    let Some(curve) = named.and_then(|it| it.as_oid().ok()) else {
        return "ECDSA with explicit parameters".to_owned();
    };
    match curve.to_id_string().as_str() {
        "1.2.840.10045.3.1.1" => "ECDSA P-192".to_owned(),
        "1.3.132.0.33" => "ECDSA P-224".to_owned(),
        "1.2.840.10045.3.1.7" => "ECDSA P-256".to_owned(),
        "1.3.132.0.34" => "ECDSA P-384".to_owned(),
        "1.3.132.0.35" => "ECDSA P-521".to_owned(),
        "1.3.132.0.10" => "ECDSA secp256k1".to_owned(),
        other => format!("ECDSA on curve {other}"),
    }
}

fn rsa_bits(key: &RSAPublicKey<'_>) -> usize {
    let start = key.modulus.iter().position(|byte| *byte != 0);
    let modulus = start.and_then(|start| key.modulus.get(start..));
    modulus
        .and_then(|bytes| Some(bytes.len() * 8 - bytes.first()?.leading_zeros() as usize))
        .unwrap_or(0)
}

/// Whether one of `algorithms` checks signatures of this key.
pub(crate) fn is_usable(spki: &[u8], algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
    let Some((algorithm, _)) = der::public_key(spki) else {
        return false;
    };
    let known = algorithms
        .iter()
        .any(|it| it.public_key_alg_id().as_ref() == algorithm);
    known
        && match SubjectPublicKeyInfo::from_der(spki) {
            Ok((_, read)) => match read.parsed() {
                Ok(PublicKey::RSA(key)) => RSA_BITS.contains(&rsa_bits(&key)),
                _ => true,
            },
            Err(_) => false,
        }
}

/// Whether the signature of a certificate or a list is of this key, by the algorithm that it names.
pub(crate) fn verifies(
    spki: &[u8],
    signed: &der::Signed<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> bool {
    let named = algorithms
        .iter()
        .copied()
        .filter(|it| it.signature_alg_id().as_ref() == signed.algorithm);
    verifies_by(spki, signed.message, signed.signature, named)
}

/// Whether `signature` over `message` is of this key, by any algorithm that its kind has.
pub(crate) fn verifies_text(
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> bool {
    verifies_by(spki, message, signature, algorithms.iter().copied())
}

fn verifies_by<'a>(
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
    algorithms: impl Iterator<Item = &'a dyn SignatureVerificationAlgorithm>,
) -> bool {
    let Some((key_algorithm, bits)) = der::public_key(spki) else {
        return false;
    };
    let mut of_this_kind = algorithms.filter(|it| it.public_key_alg_id().as_ref() == key_algorithm);
    of_this_kind.any(|it| it.verify_signature(bits, message, signature).is_ok())
}

/// What [`is_usable`] takes, for people.
pub(crate) const USABLE: &str = "ECDSA P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 8192 bits";

//! Private keys: generated as PKCS#8, read in any of the usual forms, encrypted with PBES2, wiped on drop.

use std::{fmt, path::Path};

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, der::Encode, pkcs5::pbes2::Parameters};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, RsaKeySize, SignatureAlgorithm, SigningKey,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::{Zeroize, Zeroizing};

use super::{
    CertsError, Passphrase,
    pem::{self, Block},
    write,
};

/// PBKDF2-HMAC-SHA-256 rounds for an encrypted CA key (OWASP's figure of 2023): about a quarter of a second.
const PBKDF2_ROUNDS: u32 = 600_000;

/// The kinds of key `--key-type` offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on P-256: small, fast, understood by everything. The default.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519: not understood by every old client.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits: handshakes cost many times more.
    Rsa4096,
}

impl KeyType {
    /// Each kind with its name on the command line and what to know of it.
    pub const ALL: &[(Self, &str, &str)] = &[
        (
            Self::P256,
            "p256",
            "ECDSA on P-256: small, fast, understood by everything. The default",
        ),
        (Self::P384, "p384", "ECDSA on P-384"),
        (
            Self::Ed25519,
            "ed25519",
            "Ed25519: not understood by every old client",
        ),
        (Self::Rsa2048, "rsa2048", "RSA with 2048 bits"),
        (
            Self::Rsa4096,
            "rsa4096",
            "RSA with 4096 bits: handshakes cost many times more",
        ),
    ];

    /// The kind of that name on the command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(kind, ..)| *kind)
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(kind, ..)| *kind == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// A private key. Its `Debug` shows the algorithm only; its bytes are wiped on drop.
pub struct PrivateKey {
    pair: KeyPair,
}

impl PrivateKey {
    /// A new random key.
    pub fn generate(kind: KeyType) -> Result<Self, CertsError> {
        let pair = match kind {
            KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyType::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        }
        .map_err(|source| CertsError::crypto("generate a private key", source))?;
        Ok(Self { pair })
    }

    /// Reads a key file: PKCS#8 (also encrypted), PKCS#1 or SEC1, in PEM.
    pub fn load(path: &Path, passphrase: &Passphrase) -> Result<Self, CertsError> {
        let bytes = write::read(path)?;
        let blocks = pem::blocks(path, &bytes)?;
        // `openssl ecparam -genkey` puts an EC PARAMETERS block first: look for the key itself.
        let Some(block) = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
        else {
            return Err(CertsError::Unexpected {
                path: path.into(),
                expected: "a PRIVATE KEY in PEM",
                found: pem::describe(&blocks),
                hint: Some(
                    "keys start with -----BEGIN PRIVATE KEY-----; are certificate and key swapped?"
                        .into(),
                ),
            });
        };
        if block.old_encryption {
            return Err(CertsError::Passphrase {
                message: format!(
                    "the private key {path:?} is encrypted in OpenSSL's old way (Proc-Type), which derives its key from one MD5"
                ),
                hint: format!(
                    "convert it once: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {} -out NEW.pem",
                    path.display()
                ),
            });
        }
        let mut der = Self::decode(path, block, passphrase)?;
        let pair = KeyPair::try_from(&der);
        der.zeroize();
        pair.map(|pair| Self { pair })
            .map_err(|source| CertsError::Unexpected {
                path: path.into(),
                expected: "an RSA (2048 bits or more), ECDSA P-256, P-384, P-521 or Ed25519 key",
                found: format!("a key that cannot be used ({source})"),
                hint: None,
            })
    }

    /// Unencrypted PKCS#8 in PEM. Version 1 of the format, because OpenSSL 3.0 does not read version 2.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, CertsError> {
        Ok(pem::encode("PRIVATE KEY", &self.to_pkcs8()?))
    }

    /// PKCS#8 encrypted with PBES2 (PBKDF2-HMAC-SHA-256, AES-256-CBC), which OpenSSL, Go and Java read.
    pub fn to_encrypted_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, CertsError> {
        let failed = |source: pkcs8::Error| CertsError::crypto("encrypt a private key", source);
        let mut salt = [0; 16];
        let mut iv = [0; 16];
        random(&mut salt)?;
        random(&mut iv)?;
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
            .map_err(|source| CertsError::crypto("encrypt a private key", source.to_string()))?;
        let der = self.to_pkcs8()?;
        let info = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(failed)?;
        let document = info
            .encrypt_with_params(parameters, passphrase)
            .map_err(failed)?;
        Ok(pem::encode("ENCRYPTED PRIVATE KEY", document.as_bytes()))
    }

    /// The public half, as a DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// Its kind, or the nearest that is made here.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        let algorithm = self.pair.algorithm();
        [
            (&PKCS_ECDSA_P384_SHA384, KeyType::P384),
            (&PKCS_ED25519, KeyType::Ed25519),
            (&PKCS_RSA_SHA256, KeyType::Rsa2048),
        ]
        .into_iter()
        .find(|(known, _)| *known == algorithm)
        .map_or(KeyType::P256, |(_, kind)| kind)
    }

    /// Whether TLS 1.2 may encrypt to this key (RSA), which its certificate's key usage then says.
    pub fn is_rsa(&self) -> bool {
        *self.pair.algorithm() == PKCS_RSA_SHA256
    }

    /// Unencrypted PKCS#8.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CertsError> {
        let failed = |source: String| CertsError::crypto("encode a private key", source);
        let mut info = PrivateKeyInfoRef::try_from(self.pair.serialized_der())
            .map_err(|source| failed(source.to_string()))?;
        info.public_key = None;
        info.to_der()
            .map(Zeroizing::new)
            .map_err(|source| failed(source.to_string()))
    }

    fn decode(
        path: &Path,
        block: &Block,
        passphrase: &Passphrase,
    ) -> Result<PrivateKeyDer<'static>, CertsError> {
        let der = block.der.to_vec();
        Ok(match block.label.as_str() {
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
            "ENCRYPTED PRIVATE KEY" => {
                PrivatePkcs8KeyDer::from(decrypt(path, &block.der, passphrase)?).into()
            }
            other => {
                return Err(CertsError::Unexpected {
                    path: path.into(),
                    expected: "a PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY or ENCRYPTED PRIVATE KEY block",
                    found: format!("a {other} block"),
                    hint: Some(format!(
                        "convert it: openssl pkey -in {} -out NEW.pem",
                        path.display()
                    )),
                });
            }
        })
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.pair.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.pair.sign(message)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", PublicKeyData::algorithm(self))
            .finish_non_exhaustive()
    }
}

/// Fills `bytes` from the operating system's generator by way of aws-lc.
pub fn random(bytes: &mut [u8]) -> Result<(), CertsError> {
    aws_lc_rs::rand::fill(bytes)
        .map_err(|_| CertsError::crypto("get random bytes", "the system's generator failed"))
}

fn decrypt(path: &Path, der: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, CertsError> {
    let unsupported = |why: String| CertsError::Passphrase {
        message: format!(
            "the private key {path:?} is encrypted in a way that is not supported ({why})"
        ),
        hint: format!(
            "convert it once: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in {} -out NEW.pem",
            path.display()
        ),
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| unsupported(error.to_string()))?;
    let secret = passphrase.for_opening(path)?;
    match info
        .encryption_algorithm
        .decrypt(secret.as_bytes(), info.encrypted_data.as_bytes())
    {
        // A wrong passphrase shows as bad padding, or rarely as good padding around nonsense.
        Ok(plain) if PrivateKeyInfoRef::try_from(plain.as_slice()).is_ok() => Ok(plain),
        Ok(mut plain) => {
            plain.zeroize();
            Err(wrong_passphrase(path))
        }
        Err(pkcs8::pkcs5::Error::DecryptFailed) => Err(wrong_passphrase(path)),
        Err(error) => Err(unsupported(error.to_string())),
    }
}

fn wrong_passphrase(path: &Path) -> CertsError {
    CertsError::Passphrase {
        message: format!("the passphrase does not open the private key {path:?}"),
        hint: "check the passphrase; of a --passphrase-file the first line counts, without its line end".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_nothing_of_the_key() {
        let key = PrivateKey::generate(KeyType::P256).expect("key");
        let shown = format!("{key:?}");
        assert!(shown.starts_with("Key {"), "{shown}");
        let der = key.to_pkcs8().expect("PKCS#8");
        // The private scalar of a P-256 key: octets 36 to 67 of its PKCS#8 form.
        let secret = &der[36..68];
        for form in [
            data_encoding::HEXLOWER.encode(secret),
            data_encoding::BASE64.encode(secret),
            format!("{secret:?}"),
        ] {
            assert!(!shown.contains(form.trim_matches(['[', ']'])), "{shown}");
        }
    }
}

//! An issuer's public keys: a JWK Set (RFC 7517), of which RSA and P-256 keys for signatures are read.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use data_encoding::BASE64URL_NOPAD;
use docker_api::json::{self, Value};

/// The largest set that is read.
pub const MAX_KEYS_BYTES: usize = 256 * 1024;

/// The most keys of a set.
const MAX_KEYS: usize = 100;

/// What a key signs with; the key says it, and the token has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PublicPart {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OidcKey {
    kid: String,
    public: PublicPart,
}

/// An issuer's public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcKeys(Vec<OidcKey>);

/// Why a set of keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcKeysFault {
    /// It is too large.
    #[error("more than {MAX_KEYS_BYTES} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// It is not a set of keys.
    #[error("not a JWK Set (RFC 7517): {0}")]
    Form(String),
    /// A key cannot be read.
    #[error("key {0:?} is damaged, or weaker than RSA with 2048 bits")]
    Key(String),
    /// Two keys have one name.
    #[error("two keys are called {0:?}")]
    Twice(String),
    /// Nothing in it can be used.
    #[error("no RSA or P-256 key with a `kid` for signatures")]
    Empty,
}

impl OidcKeys {
    /// Reads a set. Keys of other kinds and for other uses are passed over.
    ///
    /// # Errors
    /// When it is damaged, too large, or has no key that can be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, OidcKeysFault> {
        if bytes.len() > MAX_KEYS_BYTES {
            return Err(OidcKeysFault::TooLarge);
        }
        let set = json::parse(bytes, MAX_KEYS_BYTES);
        let set = set.map_err(|fault| OidcKeysFault::Form(fault.to_string()))?;
        let members = set.get("keys").map(Value::items).unwrap_or_default();
        if members.len() > MAX_KEYS {
            return Err(OidcKeysFault::TooLarge);
        }
        let mut keys: Vec<OidcKey> = Vec::new();
        for jwk in members {
            let Some((kid, kind)) = wanted(jwk) else {
                continue;
            };
            let public = public(jwk, kind).ok_or_else(|| OidcKeysFault::Key(kid.to_owned()))?;
            if keys.iter().any(|known| known.kid == kid) {
                return Err(OidcKeysFault::Twice(kid.to_owned()));
            }
            keys.push(OidcKey {
                kid: kid.to_owned(),
                public,
            });
        }
        match keys.is_empty() {
            true => Err(OidcKeysFault::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// Whether there is a key of this name.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// Whether the key of this name made a signature with this algorithm.
    pub(super) fn signed(
        &self,
        kid: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let Some(key) = self.0.iter().find(|key| key.kid == kid) else {
            return false;
        };
        match (&key.public, algorithm) {
            (PublicPart::Rsa { n, e }, Algorithm::Rs256) => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (PublicPart::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}

/// The name and kind of a key that signs tokens; nothing for a key of another kind or use.
fn wanted<'j>(jwk: &'j Value<'_>) -> Option<(&'j str, Algorithm)> {
    let kid = jwk.text_at("kid")?;
    let kind = match (jwk.text_at("kty")?, jwk.text_at("crv")) {
        ("RSA", _) => Algorithm::Rs256,
        ("EC", Some("P-256")) => Algorithm::Es256,
        _ => return None,
    };
    let signs = jwk.text_at("use").is_none_or(|usage| usage == "sig");
    let named = jwk.text_at("alg").map(Algorithm::of);
    let fits = named.is_none_or(|named| named == Some(kind));
    (signs && fits).then_some((kid, kind))
}

fn public(jwk: &Value<'_>, kind: Algorithm) -> Option<PublicPart> {
    let number = |name: &str| {
        let bytes = BASE64URL_NOPAD.decode(jwk.text_at(name)?.as_bytes()).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some((bytes.clone(), bytes.get(zeros..)?.to_vec()))
    };
    match kind {
        Algorithm::Rs256 => {
            let ((_, n), (_, e)) = (number("n")?, number("e")?);
            let is_good = (256..=1024).contains(&n.len()) && (1..=8).contains(&e.len());
            is_good.then_some(PublicPart::Rsa { n, e })
        }
        Algorithm::Es256 => {
            let ((x, _), (y, _)) = (number("x")?, number("y")?);
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            (x.len() == 32 && y.len() == 32).then_some(PublicPart::P256(point))
        }
    }
}

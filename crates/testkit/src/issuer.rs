//! An issuer of OIDC tokens, honest or not.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// An issuer with an RSA key called `rsa` and a P-256 key called `ec`.
pub struct FakeIssuer {
    /// `iss`
    pub url: String,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

impl FakeIssuer {
    /// One with new keys.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key"),
        }
    }

    /// The RSA key's modulus and exponent.
    #[must_use]
    pub fn rsa_public(&self) -> (Vec<u8>, Vec<u8>) {
        let public = self.rsa.public_key();
        (
            public.modulus().big_endian_without_leading_zero().to_vec(),
            public.exponent().big_endian_without_leading_zero().to_vec(),
        )
    }

    /// Its keys as a JWK Set.
    #[must_use]
    pub fn keys(&self) -> String {
        let (n, e) = self.rsa_public();
        let point = self.ec.public_key().as_ref();
        let of = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": of(&n), "e": of(&e) },
            { "kty": "EC", "kid": "ec", "use": "sig", "crv": "P-256", "x": of(&point[1..33]), "y": of(&point[33..]) },
            { "kty": "oct", "kid": "shared", "k": of(b"a secret that no issuer would publish") },
        ] })
        .to_string()
    }

    /// What an honest token for `audience` says now, with a `jti` of its own.
    #[must_use]
    pub fn claims(&self, audience: &str, id: &str) -> Value {
        let now = now();
        json!({
            "iss": self.url, "aud": audience, "jti": id, "sub": "repo:example/app:ref:refs/heads/main",
            "iat": now, "nbf": now - 30, "exp": now + 300,
            "repository": "example/app", "ref": "refs/heads/main", "run_attempt": "1", "protected": true,
        })
    }

    /// Signs with the key of this name.
    #[must_use]
    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm(kid), "kid": kid, "typ": "JWT" });
        self.sign_as(kid, &header.to_string(), &claims.to_string())
    }

    /// Signs texts as they are with the key of this name.
    #[must_use]
    pub fn sign_as(&self, kid: &str, header: &str, claims: &str) -> String {
        let signed = signed_part(header, claims);
        let random = SystemRandom::new();
        let signature = match kid {
            "ec" => {
                let made = self.ec.sign(&random, signed.as_bytes());
                made.expect("sign").as_ref().to_vec()
            }
            _ => {
                let mut made = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut made)
                    .expect("sign");
                made
            }
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

/// What a signature is made over.
#[must_use]
pub fn signed_part(header: &str, claims: &str) -> String {
    let of = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}", of(header), of(claims))
}

/// Now, in seconds since the Unix epoch.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("a clock after 1970").as_secs()).expect("a time")
}

fn algorithm(kid: &str) -> &'static str {
    match kid {
        "ec" => "ES256",
        _ => "RS256",
    }
}

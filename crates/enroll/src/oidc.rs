//! Tokens of CI (OpenID Connect Core 1.0 §2, in the form of RFC 7515 and RFC 7519) that stand for a certificate.
//!
//! Contract: nothing of a token is believed before one of the issuer's configured keys has proved its signature
//! ([`OidcToken::prove`]), and nothing is granted that no rule says ([`ProvenToken::approve`]). Keys that a token brings or
//! points to are refused. JSON has one reading: repeated members are refused.

mod keys;
mod rule;
mod token;

pub use keys::{MAX_KEYS_BYTES, OidcKeys, OidcKeysFault};
pub use rule::{ApprovedToken, DEFAULT_LIFE_SECS, OidcRule};
pub use token::{MAX_OIDC_TOKEN_BYTES, OidcFault, OidcToken, ProvenToken};

/// The token in an `Authorization` field (RFC 6750 §2.1); nothing if the field is of another kind.
#[must_use]
pub fn bearer(field: &[u8]) -> Option<&str> {
    let (scheme, token) = field.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    std::str::from_utf8(token.trim_ascii()).ok()
}

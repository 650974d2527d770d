//! Whose tokens become whose certificates.

use std::collections::BTreeMap;

use pki::{CertsError, name};

use crate::bounds::{MAX_LIFE_SECS, check_name};

/// The life of a certificate whose rule does not say.
pub const DEFAULT_LIFE_SECS: u64 = 3600;

/// One `[[oidc]]` table: tokens that say all of this become certificates of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcRule {
    /// `iss`, exactly.
    pub issuer: String,
    /// `aud`, exactly.
    pub audience: String,
    /// Further claims, each a string that has to be equal.
    pub claims: BTreeMap<String, String>,
    /// The name in the certificate.
    pub name: String,
    /// `O`
    pub organization: Option<String>,
    /// `OU`
    pub organizational_unit: Option<String>,
    /// Life of the certificate, in seconds.
    pub life_secs: u64,
}

/// What a token is good for: one certificate of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedToken {
    pub(crate) name: String,
    pub(crate) organization: Option<String>,
    pub(crate) organizational_unit: Option<String>,
    pub(crate) life_secs: u64,
    /// What the index keeps of the token: [`pki::event::TOKEN`] and a digest.
    pub(crate) used_as: String,
    /// A digest of whose job it is, by its issuer and rule.
    pub(crate) subject: String,
}

impl OidcRule {
    /// That the rule can be kept, and lets in nobody by accident.
    ///
    /// # Errors
    /// When a part of it is missing or out of bounds.
    pub fn check(&self) -> Result<(), CertsError> {
        let refuse = |what: String, hint: &str| Err(CertsError::refused(what, hint));
        if !self.issuer.starts_with("https://") {
            return refuse(
                format!("the issuer {:?} is not an https address", self.issuer),
                "write the token's `iss`, such as https://token.actions.githubusercontent.com",
            );
        }
        if self.audience.is_empty() {
            return refuse(
                "the audience is empty".into(),
                "write what the job asks its token for, such as the address of this signer",
            );
        }
        if self.claims.is_empty() || self.claims.values().any(String::is_empty) {
            return refuse(
                format!(
                    "the rule for {:?} names no claims, or an empty one: every job of the issuer would match",
                    self.name
                ),
                "write claims = { repository = \"OWNER/NAME\", ref = \"refs/heads/main\" }",
            );
        }
        let standard = ["iss", "aud", "exp", "nbf", "iat", "jti"];
        if let Some(claim) = standard
            .iter()
            .find(|name| self.claims.contains_key(**name))
        {
            return refuse(
                format!("the claim {claim:?} is always checked and cannot be one of `claims`"),
                "write `issuer` and `audience` beside `claims`",
            );
        }
        check_name(&self.name)?;
        for (option, value) in [("o", &self.organization), ("ou", &self.organizational_unit)] {
            if let Some(value) = value {
                name::check_attribute(option, value)?;
            }
        }
        match (1..=MAX_LIFE_SECS).contains(&self.life_secs) {
            true => Ok(()),
            false => refuse(
                "the life is out of bounds".into(),
                "write at most 825d, and at least the length of the longest job",
            ),
        }
    }
}

//! One token: read, proved, approved, in this order.

use std::collections::BTreeMap;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use docker_api::json::{self, Value};
use pki::event::TOKEN;
use pki::identity::sha256;
use time::OffsetDateTime;

use super::keys::{Algorithm, OidcKeys};
use super::rule::{ApprovedToken, OidcRule};

/// The longest token that is read; GitHub's and GitLab's have about two KiB.
pub const MAX_OIDC_TOKEN_BYTES: usize = 8 * 1024;

/// How far the issuer's clock may differ.
const SKEW_SECS: i64 = 60;

/// The oldest token that is taken, whatever end it says: its use is known for longer than this.
const MAX_AGE_SECS: i64 = 86_400;

/// Parts of a header that bring a key or point to one, or that have to be understood (RFC 7515 §4.1).
const FOREIGN: [&str; 6] = ["jku", "jwk", "x5u", "x5c", "crit", "b64"];

/// Why a token is not accepted. It quotes nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcFault {
    /// It is not a token, or has more than one reading.
    #[error("it is not a signed token (RFC 7515) with one reading: {0}")]
    Form(&'static str),
    /// It is signed in another way.
    #[error("its algorithm is neither RS256 nor ES256")]
    Algorithm,
    /// Its header says more than it may.
    #[error("its header brings a key or points to one: {0:?}")]
    Foreign(&'static str),
    /// No rule is about its issuer.
    #[error("no rule names its issuer")]
    Issuer,
    /// The issuer's keys have none of this name.
    #[error("its issuer has no key of this `kid`")]
    UnknownKey,
    /// The issuer's keys cannot be had.
    #[error("the keys of its issuer cannot be had now")]
    NoKeys,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is not good now.
    #[error("{0}")]
    Time(&'static str),
    /// It is for somebody else, or for somebody else too.
    #[error("its audience is not exactly the one of a rule")]
    Audience,
    /// No rule has its claims.
    #[error("no rule has its claims")]
    Claims,
    /// It was used.
    #[error("it was used before")]
    Used,
}

/// A token that was read. Nothing in it is proved.
#[derive(Clone, Debug)]
pub struct OidcToken {
    algorithm: Algorithm,
    kid: String,
    signed: Vec<u8>,
    signature: Vec<u8>,
    claims: TokenClaims,
}

#[derive(Clone, Debug)]
struct TokenClaims {
    issuer: String,
    audience: Vec<String>,
    expires: i64,
    not_before: Option<i64>,
    issued: i64,
    id: String,
    texts: BTreeMap<String, String>,
}

/// A token that one of its issuer's keys has signed.
#[derive(Clone, Debug)]
pub struct ProvenToken(TokenClaims);

impl OidcToken {
    /// Reads a token.
    ///
    /// # Errors
    /// When it is not one, or says what no token may.
    pub fn parse(text: &str) -> Result<Self, OidcFault> {
        if text.len() > MAX_OIDC_TOKEN_BYTES {
            return Err(OidcFault::Form("it is too long"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(OidcFault::Form("it has not three parts"));
        };
        let decode = |part: &str| {
            let decoded = BASE64URL_NOPAD.decode(part.as_bytes());
            decoded.map_err(|_| OidcFault::Form("a part of it is not base64url"))
        };
        let (header_bytes, claim_bytes) = (decode(header)?, decode(claims)?);
        let (algorithm, kid) = read_header(&object(&header_bytes)?)?;
        let claims_read = TokenClaims::read(&object(&claim_bytes)?)?;
        Ok(Self {
            algorithm,
            kid,
            signed: format!("{header}.{claims}").into_bytes(),
            signature: decode(signature)?,
            claims: claims_read,
        })
    }

    /// Who says to have issued it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.claims.issuer
    }

    /// Which key says to have signed it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Proves the signature with the issuer's keys.
    ///
    /// # Errors
    /// When none of them made it.
    pub fn prove(self, keys: &OidcKeys) -> Result<ProvenToken, OidcFault> {
        if !keys.has(&self.kid) {
            return Err(OidcFault::UnknownKey);
        }
        match keys.signed(&self.kid, self.algorithm, &self.signed, &self.signature) {
            true => Ok(ProvenToken(self.claims)),
            false => Err(OidcFault::Signature),
        }
    }
}

impl ProvenToken {
    /// What the first rule that fits makes of it at a moment.
    ///
    /// # Errors
    /// When it is not good now, or no rule fits.
    pub fn approve(
        &self,
        rules: &[OidcRule],
        now: OffsetDateTime,
    ) -> Result<ApprovedToken, OidcFault> {
        let claims = &self.0;
        let now = now.unix_timestamp();
        match () {
            () if claims.expires <= now - SKEW_SECS => {
                return Err(OidcFault::Time("it has expired"));
            }
            () if claims.not_before.is_some_and(|from| from > now + SKEW_SECS) => {
                return Err(OidcFault::Time("it is not good yet"));
            }
            () if claims.issued > now + SKEW_SECS => {
                return Err(OidcFault::Time("it was issued in the future"));
            }
            () if claims.issued < now - MAX_AGE_SECS => {
                return Err(OidcFault::Time("it was issued more than a day ago"));
            }
            () => {}
        }
        let mut of_issuer = rules
            .iter()
            .filter(|rule| rule.issuer == claims.issuer)
            .peekable();
        of_issuer.peek().ok_or(OidcFault::Issuer)?;
        let mut for_us = of_issuer
            .filter(|rule| claims.audience.iter().all(|aud| *aud == rule.audience))
            .peekable();
        for_us.peek().ok_or(OidcFault::Audience)?;
        let rule = for_us.find(|rule| {
            let mut wanted = rule.claims.iter();
            wanted.all(|(name, value)| claims.texts.get(name) == Some(value))
        });
        let rule = rule.ok_or(OidcFault::Claims)?;
        let id = [claims.issuer.as_bytes(), &[0], claims.id.as_bytes()].concat();
        let subject = claims.texts.get("sub").map_or("", String::as_str);
        let whose = [claims.issuer.as_str(), subject, &rule.name].map(str::as_bytes);
        Ok(ApprovedToken {
            subject: HEXLOWER.encode(&sha256(&whose.join(&0))[..8]),
            name: rule.name.clone(),
            organization: rule.organization.clone(),
            organizational_unit: rule.organizational_unit.clone(),
            life_secs: rule.life_secs,
            used_as: format!("{TOKEN}{}", HEXLOWER.encode(&sha256(&id))),
        })
    }
}

impl TokenClaims {
    fn read(claims: &Value<'_>) -> Result<Self, OidcFault> {
        let text = |name: &str, missing| {
            let text = claims.text_at(name).map(ToOwned::to_owned);
            text.ok_or(OidcFault::Form(missing))
        };
        let moment = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_i64()
                .filter(|at| *at >= 0)
                .map(Some)
                .ok_or(OidcFault::Form("a time is not a number of seconds")),
            Some(_) => Err(OidcFault::Form("a time is not a number of seconds")),
        };
        let audience: Vec<String> = match claims.get("aud") {
            Some(Value::Text(one)) => vec![one.to_string()],
            Some(Value::Array(all)) => all
                .iter()
                .map(|it| it.text().map(ToOwned::to_owned))
                .collect::<Option<_>>()
                .ok_or(OidcFault::Audience)?,
            _ => Vec::new(),
        };
        if audience.is_empty() {
            return Err(OidcFault::Audience);
        }
        let texts = claims
            .members()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.text()?.to_owned())));
        Ok(Self {
            issuer: text("iss", "it has no `iss`")?,
            audience,
            expires: moment("exp")?.ok_or(OidcFault::Form("it has no `exp`"))?,
            not_before: moment("nbf")?,
            issued: moment("iat")?.ok_or(OidcFault::Form("it has no `iat`"))?,
            id: text("jti", "it has no `jti`")?,
            texts: texts.collect(),
        })
    }
}

fn object(bytes: &[u8]) -> Result<Value<'_>, OidcFault> {
    match json::parse(bytes, MAX_OIDC_TOKEN_BYTES) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(OidcFault::Form(
            "a part of it is not one JSON object without repeated members",
        )),
    }
}

fn read_header(header: &Value<'_>) -> Result<(Algorithm, String), OidcFault> {
    let algorithm = header.text_at("alg").and_then(Algorithm::of);
    let algorithm = algorithm.ok_or(OidcFault::Algorithm)?;
    let has = |name: &&&str| header.members().iter().any(|(member, _)| member == **name);
    if let Some(name) = FOREIGN.iter().find(has) {
        return Err(OidcFault::Foreign(name));
    }
    let kind = header.get("typ").map(|kind| kind.text().unwrap_or(""));
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
        return Err(OidcFault::Form("its `typ` is not JWT"));
    }
    let kid = header.text_at("kid");
    let kid = kid.ok_or(OidcFault::Form("its header has no `kid`"))?;
    Ok((algorithm, kid.to_owned()))
}

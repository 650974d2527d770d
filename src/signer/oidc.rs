//! Tokens of CI at the signer: whose rules there are, and where the keys of their issuers come from.
//!
//! Contract: keys come from the files and addresses of the configuration and from nowhere else. An issuer is asked once
//! at a time, and not within ten seconds after the end of the last question, however many tokens name a key that is not
//! known. A token whose key is held does not wait for an answer.

mod config;
mod fetch;
mod source;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use enroll::oidc::{ApprovedToken, OidcFault, OidcRule, OidcToken};
use pki::CertsError;
use pki::issue::now;

use source::IssuerKeys;

/// The issuers whose tokens are taken, and what their tokens are good for.
#[derive(Debug, Default)]
pub struct TrustedIssuers {
    rules: Vec<OidcRule>,
    keys: HashMap<String, Arc<IssuerKeys>>,
}

impl TrustedIssuers {
    /// Reads the signer's configuration, and the keys that are in files.
    ///
    /// # Errors
    /// When a file is missing, or something in it is wrong.
    pub fn read(path: &Path) -> Result<Self, CertsError> {
        config::read(path)
    }

    /// What a token is good for, if its issuer's keys prove it and a rule has its claims.
    ///
    /// # Errors
    /// When it is good for nothing.
    pub(super) async fn approve(&self, text: &str) -> Result<ApprovedToken, OidcFault> {
        let token = OidcToken::parse(text)?;
        let keys = self.keys.get(token.issuer()).ok_or(OidcFault::Issuer)?;
        let keys = keys.with(token.kid()).await?;
        token.prove(&keys)?.approve(&self.rules, now())
    }
}

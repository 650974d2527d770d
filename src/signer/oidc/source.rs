//! The keys of one issuer: read when they are asked for, kept for an hour, and read again for a key that is not known.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use enroll::oidc::{MAX_KEYS_BYTES, OidcFault, OidcKeys};
use hyper::Uri;
use pki::{CertsError, write};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::fetch::{self, FetchFault};
use crate::error;

/// The shortest time between two questions.
const REST: Duration = Duration::from_secs(10);
/// How long an answer counts without being asked for again: a key that the issuer has dropped is good no longer.
const FRESH: Duration = Duration::from_secs(3600);
/// How long it counts if the issuer cannot be asked.
const KEPT: Duration = Duration::from_secs(86_400);

/// Where keys come from: the configuration says it and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    File(PathBuf),
    Https { address: Uri, ca: Option<PathBuf> },
}

impl KeySource {
    pub(super) fn parse(text: &str, ca: Option<PathBuf>) -> Result<Self, CertsError> {
        let refuse = |what: String| {
            CertsError::refused(
                what,
                "write keys = \"https://HOST/PATH\", or the path of a file with a JWK Set",
            )
        };
        if !text.contains("://") {
            return match (text.is_empty(), ca) {
                (false, None) => Ok(Self::File(text.into())),
                (true, _) => Err(refuse("keys is empty".into())),
                (_, Some(_)) => Err(refuse("keys-ca is set, but keys is a file".into())),
            };
        }
        let address: Option<Uri> = text.parse().ok();
        let address = address.filter(|it| {
            let user = it.authority().is_some_and(|it| it.as_str().contains('@'));
            it.scheme_str() == Some("https") && it.host().is_some() && !user
        });
        let address = address.ok_or_else(|| refuse(format!("keys = {text:?} is not https")))?;
        Ok(Self::Https { address, ca })
    }

    async fn ask(&self) -> Result<OidcKeys, FetchFault> {
        let bytes = match self {
            Self::File(path) => write::read(path)?.to_vec(),
            Self::Https { address, ca } => {
                fetch::get(address, ca.as_deref(), MAX_KEYS_BYTES).await?
            }
        };
        Ok(OidcKeys::parse(&bytes)?)
    }
}

#[derive(Clone, Debug)]
struct HeldKeys {
    keys: Arc<OidcKeys>,
    since: Instant,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    source: KeySource,
    held: RwLock<Option<HeldKeys>>,
    /// When they were asked for last.
    asked: Mutex<Option<Instant>>,
}

impl IssuerKeys {
    /// Reads a file at once; an address is asked with the first token.
    pub(super) fn new(source: KeySource) -> Result<Self, CertsError> {
        if let KeySource::File(path) = &source {
            OidcKeys::parse(&write::read(path)?).map_err(|fault| CertsError::Unexpected {
                path: path.clone(),
                expected: "the keys of an issuer as a JWK Set",
                found: fault.to_string(),
                hint: None,
            })?;
        }
        Ok(Self {
            source,
            held: RwLock::default(),
            asked: Mutex::default(),
        })
    }

    pub(super) fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys, if one of them is called `kid`.
    pub(super) async fn with(&self, kid: &str) -> Result<Arc<OidcKeys>, OidcFault> {
        let named = |keys: &Arc<OidcKeys>| keys.has(kid);
        if let Some(keys) = self.held(FRESH).filter(named) {
            return Ok(keys);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(keys) = self.held(FRESH).filter(named) {
            return Ok(keys);
        }
        if asked.is_none_or(|at| at.elapsed() >= REST) {
            *asked = Some(Instant::now());
            match self.source.ask().await {
                Ok(keys) => self.keep(keys),
                Err(fault) => {
                    warn!(source = ?self.source, error = %error::report(&fault), "The keys of an issuer cannot be read");
                }
            }
        }
        match self.held(KEPT) {
            Some(keys) if named(&keys) => Ok(keys),
            Some(_) => Err(OidcFault::UnknownKey),
            None => Err(OidcFault::NoKeys),
        }
    }

    fn held(&self, longest: Duration) -> Option<Arc<OidcKeys>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        (held.since.elapsed() < longest).then(|| held.keys.clone())
    }

    fn keep(&self, keys: OidcKeys) {
        let held = HeldKeys {
            keys: Arc::new(keys),
            since: Instant::now(),
        };
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
        info!(source = ?self.source, "Read the keys of an issuer");
    }
}

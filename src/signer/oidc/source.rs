//! The keys of one issuer: read when they are asked for, kept for an hour, and read again for a key that is not known.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use enroll::oidc::{MAX_KEYS_BYTES, OidcFault, OidcKeys};
use hyper::Uri;
use pki::{CertsError, write};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use tracing::{info, warn};

use super::fetch::{self, FetchFault};
use crate::error;

/// From the end of one question to the next: one that took all its time is not followed by another at once.
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
    /// When the last question ended. It is held while one is asked.
    asked: Arc<Mutex<Option<Instant>>>,
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
            asked: Arc::default(),
        })
    }

    pub(super) fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys, if one of them is called `kid`.
    pub(super) async fn with(self: &Arc<Self>, kid: &str) -> Result<Arc<OidcKeys>, OidcFault> {
        let named = |keys: &Arc<OidcKeys>| keys.has(kid);
        if let Some(keys) = self.held(FRESH).filter(named) {
            return Ok(keys);
        }
        let asked = match self.asked.clone().try_lock_owned() {
            Ok(asked) => asked,
            // Somebody asks already: a key that still counts does not wait for the answer.
            Err(_) => match self.held(KEPT).filter(named) {
                Some(keys) => return Ok(keys),
                None => self.asked.clone().lock_owned().await,
            },
        };
        // Somebody else may have asked meanwhile.
        if let Some(keys) = self.held(FRESH).filter(named) {
            return Ok(keys);
        }
        if asked.is_none_or(|at| at.elapsed() >= REST) {
            let keys = self.clone();
            // The answer is for all who wait, so the question goes on when this request is given up.
            let question = tokio::spawn(async move { keys.read(asked).await });
            // One that panicked has brought no keys.
            let _ = question.await;
        }
        match self.held(KEPT) {
            Some(keys) if named(&keys) => Ok(keys),
            Some(_) => Err(OidcFault::UnknownKey),
            None => Err(OidcFault::NoKeys),
        }
    }

    /// Asks the issuer, whose turn it is.
    async fn read(&self, mut asked: OwnedMutexGuard<Option<Instant>>) {
        match self.source.ask().await {
            Ok(keys) => self.keep(keys),
            Err(fault) => {
                warn!(source = ?self.source, error = %error::report(&fault), "The keys of an issuer cannot be read");
            }
        }
        *asked = Some(Instant::now());
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::pin::pin;

    use testkit::issuer::FakeIssuer;
    use testkit::pki::Pki;
    use tokio::net::TcpListener;

    use super::*;

    /// An issuer that takes connections and says nothing, with keys of long ago.
    async fn silent(dir: &Path) -> (TcpListener, Arc<IssuerKeys>) {
        let pki = Pki::create(dir);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("its address");
        let ca = Some(pki.dir.join("ca.pem"));
        let source = KeySource::parse(&format!("https://{address}/keys"), ca).expect("a source");
        let keys = IssuerKeys::new(source).expect("no keys yet");
        let text = FakeIssuer::new("https://issuer.example").keys();
        let held = HeldKeys {
            keys: Arc::new(OidcKeys::parse(text.as_bytes()).expect("keys")),
            since: Instant::now().checked_sub(FRESH).expect("an hour ago"),
        };
        *keys.held.write().expect("nobody panicked") = Some(held);
        (listener, Arc::new(keys))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(test)
    }

    #[test]
    fn a_key_that_still_counts_does_not_wait_for_an_issuer_that_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        run(async {
            let (issuer, keys) = silent(dir.path()).await;
            let mut first = pin!(keys.with("rsa"));
            let connection = tokio::select! {
                accepted = issuer.accept() => accepted.expect("a question").0,
                _ = &mut first => panic!("answered without the issuer"),
            };
            // Somebody asks: others have the key at once, one after the other and all together.
            let started = Instant::now();
            for _ in 0..10 {
                assert!(keys.with("rsa").await.is_ok());
            }
            assert!(started.elapsed() < fetch::DEADLINE);
            drop(connection);
            assert!(first.await.is_ok(), "kept for a day");
        });
    }

    #[test]
    fn the_pause_begins_with_the_end_of_a_question_and_leaving_does_not_end_one() {
        let dir = tempfile::tempdir().expect("a directory");
        run(async {
            let (issuer, keys) = silent(dir.path()).await;
            let connection = {
                let mut left = pin!(keys.with("unknown"));
                tokio::select! {
                    accepted = issuer.accept() => accepted.expect("a question").0,
                    _ = &mut left => panic!("answered without the issuer"),
                }
            };
            let mut second = pin!(keys.with("unknown"));
            tokio::select! {
                biased;
                _ = &mut second => panic!("answered without the issuer"),
                () = tokio::task::yield_now() => {}
            }
            let closed = Instant::now();
            drop(connection);
            assert_eq!(second.await.err(), Some(OidcFault::UnknownKey));
            let ended = keys.asked.lock().await.expect("a question ended");
            assert!(ended >= closed, "the pause began before the end");
            assert_eq!(
                keys.with("unknown").await.err(),
                Some(OidcFault::UnknownKey)
            );
            let more = tokio::select! {
                biased;
                _ = issuer.accept() => true,
                () = tokio::task::yield_now() => false,
            };
            assert!(!more, "asked again without a pause");
        });
    }
}

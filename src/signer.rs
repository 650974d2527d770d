//! The signer: a process of its own that holds the CA's key, and hands out certificates over EST (RFC 7030, RFC 8951).
//!
//! Contract: it opens no engine's socket. Every wait has a deadline, every body and table a bound. The names in a certificate
//! come from the invitation or from the certificate that is renewed ([`enroll::rules`]); the index has a certificate before
//! its answer leaves. A secret that is wrong gets one answer, whatever is wrong with it.

mod answer;
mod cas;
mod desk;
mod external;
mod figures;
mod http;
mod listen;
mod mirror;
mod oidc;
mod store;
mod throttle;
mod tls;
mod turns;
mod upkeep;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enroll::{SignerAddress, SigningRules};
use pki::CertsError;
use pki::Passphrase;
use pki::place::StorePlace;
use pki::san::{self, San};
use serde::{Deserialize, Serialize};

use crate::listener;
use desk::Desk;
pub use desk::LIST_DAYS;
pub use external::ExternalCa;
pub use mirror::Mirror;
pub use oidc::TrustedIssuers;
pub use store::{is_elsewhere, store_place};

/// The file in which a signer tells `dockgate invite` where it is.
const ABOUT: &str = "signer.json";

/// What a signer is started with.
#[derive(Debug)]
pub struct SignerOptions {
    /// The directory of the CA, and where its index is.
    pub place: StorePlace,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The names and addresses that its clients use; those of this host if empty.
    pub sans: Vec<San>,
    /// What tokens say; the first remote name and the port of the listener if not given.
    pub address: Option<SignerAddress>,
    /// Where the gate is, if not at the token's host.
    pub gate: Option<String>,
    /// The lives of certificates.
    pub rules: SigningRules,
    /// Whose tokens of CI are taken.
    pub issuers: TrustedIssuers,
    /// What opens the CA's key.
    pub passphrase: Passphrase,
    /// A CA whose key is elsewhere, in place of the directory's.
    pub external: Option<ExternalCa>,
    /// The file that gets the metrics.
    pub metrics_file: Option<PathBuf>,
}

/// What `dockgate invite` has to know of a signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerAbout {
    /// `HOST:PORT`, as tokens say it.
    pub address: String,
    /// The names in its certificate.
    pub names: Vec<String>,
    /// Whether a command signs for the CA, so that revocation lists come from elsewhere.
    #[serde(default)]
    pub elsewhere: bool,
}

impl SignerAbout {
    /// What the signer of a directory said last; nothing if none ever ran.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, CertsError> {
        let path = dir.join(ABOUT);
        if !path.is_file() {
            return Ok(None);
        }
        let read = serde_json::from_slice(&pki::write::read(&path)?);
        read.map(Some).map_err(|_| CertsError::Unexpected {
            path,
            expected: "the address of a signer in JSON",
            found: "something else".into(),
            hint: Some("start `dockgate signer` again, which writes it".into()),
        })
    }

    fn write(&self, dir: &Path) -> Result<(), CertsError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| CertsError::crypto("encode the signer's address", source))?;
        let (mode, existing) = (pki::write::FileMode::Public, pki::write::Existing::Replace);
        pki::write::write(&dir.join(ABOUT), &text, mode, existing)
    }
}

/// Why a signer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The directory of the CA cannot be used.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be served with.
    #[error("the signer's certificate cannot be used")]
    Tls(#[from] rustls::Error),
    /// The CA cannot be trusted.
    #[error("the CA cannot be used: {0}")]
    Ca(String),
}

/// A signer that is bound and ready to run.
#[derive(Debug)]
pub struct Signer {
    desk: Arc<Desk>,
    listener: TcpListener,
    about: SignerAbout,
}

impl Signer {
    /// Reads the CA, makes the signer's own certificate, binds the listener.
    ///
    /// # Errors
    /// The first thing that does not work.
    pub fn build(options: SignerOptions) -> Result<Self, SignerError> {
        let bound = listener::bind(options.listen, false);
        let listener = bound.map_err(|source| SignerError::Bind {
            address: options.listen,
            source,
        })?;
        let port = listener.local_addr().map_or(0, |address| address.port());
        let names = match options.sans.is_empty() {
            true => san::of_this_host(),
            false => options.sans.clone(),
        };
        let address = options.address.clone().unwrap_or_else(|| SignerAddress {
            host: public_name(&names),
            port,
        });
        let about = SignerAbout {
            address: address.to_string(),
            names: names.iter().map(ToString::to_string).collect(),
            elsewhere: options.external.is_some(),
        };
        let place = options.place.with_ca_elsewhere(about.elsewhere);
        let desk = Desk::open(SignerOptions { place, ..options }, names)?;
        about.write(desk.dir())?;
        Ok(Self {
            desk: Arc::new(desk),
            listener,
            about,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn listens_on(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// What tokens will say.
    #[must_use]
    pub fn about(&self) -> &SignerAbout {
        &self.about
    }

    /// Serves until `shutdown` resolves.
    ///
    /// # Errors
    /// When the listener cannot be registered with the runtime.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tokio::select! {
            () = shutdown => Ok(()),
            () = upkeep::run(self.desk.clone()) => Ok(()),
            () = figures::keep(self.desk.clone()) => Ok(()),
            () = listen::accept(listener, self.desk) => Ok(()),
        }
    }
}

/// The first name that is not only good on this host.
fn public_name(names: &[San]) -> String {
    let remote = names.iter().find_map(|san| match san {
        San::Dns(name) if name != "localhost" && !name.starts_with("*.") => Some(name.clone()),
        San::Ip(address) if !address.is_loopback() => Some(address.to_string()),
        _ => None,
    });
    let local = names.iter().find_map(|san| match san {
        San::Dns(name) if !name.starts_with("*.") => Some(name.clone()),
        San::Ip(address) => Some(address.to_string()),
        _ => None,
    });
    remote.or(local).unwrap_or_else(|| "localhost".to_owned())
}

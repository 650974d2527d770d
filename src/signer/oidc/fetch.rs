//! One GET over https, to an address that the configuration names. No redirect is followed, no proxy used.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enroll::oidc::OidcKeysFault;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use pki::{CertsError, pem};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error;
use crate::tls::config;

/// For all of it.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFault {
    #[error(transparent)]
    File(#[from] CertsError),
    #[error("no CA certificates of the system can be used ({0}); name some with keys-ca")]
    Roots(String),
    #[error("{0:?} of keys-ca has no CA certificate that can be used")]
    RootsFile(PathBuf),
    #[error("the connection failed")]
    Connect(#[from] io::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("no answer within {} seconds", DEADLINE.as_secs())]
    TimedOut,
    #[error("the answer broke off")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0}, expected 200")]
    Status(StatusCode),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the address cannot be asked")]
    Address,
    #[error("the keys cannot be used")]
    Keys(#[from] OidcKeysFault),
}

pub(super) async fn get(
    address: &Uri,
    ca: Option<&Path>,
    most: usize,
) -> Result<Vec<u8>, FetchFault> {
    let asked = timeout(DEADLINE, exchange(address, ca, most)).await;
    asked.map_err(|_| FetchFault::TimedOut)?
}

async fn exchange(address: &Uri, ca: Option<&Path>, most: usize) -> Result<Vec<u8>, FetchFault> {
    let authority = address.authority().ok_or(FetchFault::Address)?;
    let host = authority.host().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchFault::Address)?;
    let port = authority.port_u16().unwrap_or(443);
    let socket = TcpStream::connect((host, port)).await?;
    let connector = TlsConnector::from(Arc::new(client(ca)?));
    let stream = connector.connect(name, socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = address.path_and_query().map_or("/", |it| it.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchFault::Address)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchFault::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|fault| match fault.is::<LengthLimitError>() {
            true => FetchFault::TooLarge(most),
            false => FetchFault::Body(fault),
        })?;
        Ok(body.to_bytes().to_vec())
    };
    tokio::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        // Its end may come with the last byte of the answer.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

fn client(ca: Option<&Path>) -> Result<ClientConfig, FetchFault> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            roots.add_parsable_certificates(pem::certificates(path)?);
            if roots.is_empty() {
                return Err(FetchFault::RootsFile(path.to_owned()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map(|fault| error::report(fault));
                let why = why.unwrap_or_else(|| "none were found".to_owned());
                return Err(FetchFault::Roots(why));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(config::provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(client)
}

//! One GET over https, to an address that the configuration names. No redirect is followed, no proxy used.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use enroll::oidc::OidcKeysFault;
use http_body_util::{BodyExt, Empty, Limited};
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

use crate::tls::config;

/// For all of it.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFault {
    #[error(transparent)]
    File(#[from] CertsError),
    #[error("no CA certificates of the system were found; name some with keys-ca")]
    Roots,
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
    #[error("the answer broke off or is too large")]
    Body,
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
        Ok(body.map_err(|_| FetchFault::Body)?.to_bytes().to_vec())
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
    let trusted = match ca {
        Some(path) => pem::certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(trusted);
    if roots.is_empty() {
        return Err(FetchFault::Roots);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(config::provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(client)
}

//! One connection to a signer, which has to prove itself before anything is sent.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enroll::SignerAddress;
use enroll::message::{GATE_HEADER, MAX_BODY_BYTES};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{DATE, ETAG};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pki::key::PrivateKey;
use pki::{Purpose, RejectionReason, identity};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{EnrolError, client_config};
use crate::tls::config;
use crate::tls::signatures::delegate_signatures;

/// How far the signer's clock may differ without a warning.
const SKEW: time::Duration = time::Duration::MINUTE;

/// For looking up the name and connecting.
const CONNECT: Duration = Duration::from_secs(10);
/// For the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For an answer, beyond what the request itself lets the signer wait.
const ANSWER: Duration = Duration::from_secs(40);
/// The largest answer: a CA's bundle with its revocation list.
const ANSWER_BYTES: usize = 64 * MAX_BODY_BYTES;

/// Whose word counts about the signer.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// The CA certificate with this SHA-256, which the signer has to present.
    Pinned([u8; 32]),
    /// These CAs.
    Known(Vec<CertificateDer<'static>>),
}

/// A connection to a signer that has proved itself.
#[derive(Debug)]
pub struct SignerLine {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    signer: SignerAddress,
}

/// What a signer answered.
#[derive(Debug)]
pub struct SignerAnswered {
    /// The status.
    pub status: StatusCode,
    /// Where it says the gate is.
    pub gate: Option<String>,
    /// The entity tag.
    pub tag: Option<String>,
    /// How far the signer's clock is ahead of the one here, in seconds.
    pub clock: Option<i64>,
    /// The body.
    pub body: Vec<u8>,
}

impl SignerAnswered {
    /// The answer as a refusal, with the signer's sentence.
    #[must_use]
    pub fn refused(&self) -> EnrolError {
        let text = String::from_utf8_lossy(&self.body);
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("dockgate: ").unwrap_or(line);
        EnrolError::Refused {
            status: self.status.as_u16(),
            said: line.chars().take(400).collect(),
        }
    }
}

impl SignerLine {
    /// Connects, and does not return before the signer has proved itself.
    ///
    /// # Errors
    /// When it cannot be reached, or has not.
    pub async fn open(
        signer: &SignerAddress,
        anchor: Anchor,
        identity: Option<(Vec<CertificateDer<'static>>, &PrivateKey)>,
    ) -> Result<Self, EnrolError> {
        let failed = |source| EnrolError::Connect {
            signer: signer.clone(),
            source,
        };
        let late = |_| failed(io::ErrorKind::TimedOut.into());
        let connecting = TcpStream::connect((signer.host.as_str(), signer.port));
        let socket = timeout(CONNECT, connecting)
            .await
            .map_err(late)?
            .map_err(failed)?;
        let _ = socket.set_nodelay(true);
        let verifier = Arc::new(SignerVerifier::new(anchor));
        let config = client_config(verifier.clone(), identity)?;
        let name = ServerName::try_from(signer.host.clone());
        let name = name.map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
        let stream = timeout(HANDSHAKE, handshake).await.map_err(late)?;
        let stream = stream.map_err(|error| match verifier.refusal() {
            Some(why) => EnrolError::Impostor {
                signer: signer.clone(),
                why,
            },
            None => failed(error),
        })?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await?;
        // Its own fault, if any, reaches the answer.
        let driver = tokio::spawn(async move { _ = connection.await });
        Ok(Self {
            sender,
            driver,
            signer: signer.clone(),
        })
    }

    /// Sends a request and takes its whole answer. No redirect is followed.
    ///
    /// # Errors
    /// When no complete answer comes in time.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<SignerAnswered, EnrolError> {
        self.send_patiently(request, ANSWER).await
    }

    /// The same with a deadline of the caller's.
    ///
    /// # Errors
    /// When no complete answer comes in time.
    pub async fn send_patiently(
        &mut self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<SignerAnswered, EnrolError> {
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await;
            let body =
                body.map_err(|_| EnrolError::Answer("an answer that is too large or broke off"))?;
            let date = head.headers.get(DATE).and_then(|it| it.to_str().ok());
            let skew = date.and_then(|it| skew(it, OffsetDateTime::now_utc()));
            warn_of_skew(skew);
            let text = |name: &str| {
                let value = head.headers.get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            Ok(SignerAnswered {
                status: head.status,
                gate: text(GATE_HEADER),
                tag: text(ETAG.as_str()),
                clock: skew.map(time::Duration::whole_seconds),
                body: body.to_bytes().to_vec(),
            })
        };
        let late = |_| EnrolError::TimedOut(self.signer.clone());
        timeout(patience, exchange).await.map_err(late)?
    }
}

/// Says once when the clocks differ: certificates seem not yet valid then, or end early.
fn warn_of_skew(skew: Option<time::Duration>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let Some(skew) = skew.filter(|it| it.abs() > SKEW) else {
        return;
    };
    if !SAID.swap(true, Ordering::Relaxed) {
        let seconds = skew.whole_seconds();
        tracing::warn!(
            seconds,
            "The signer's clock differs from the one here: certificates may seem not yet valid or end early"
        );
    }
}

/// How far the clock of an answer is ahead.
fn skew(date: &str, now: OffsetDateTime) -> Option<time::Duration> {
    Some(OffsetDateTime::parse(date, &Rfc2822).ok()? - now)
}

impl Drop for SignerLine {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Judges a signer's certificate: it has to lead to the anchor, name the host, and be for servers, within its dates. That the
/// anchor's certificate is presented proves nothing by itself: anybody may present it.
#[derive(Debug)]
pub struct SignerVerifier {
    anchor: Anchor,
    supported: WebPkiSupportedAlgorithms,
    refusal: Mutex<Option<String>>,
}

impl SignerVerifier {
    fn new(anchor: Anchor) -> Self {
        Self {
            anchor,
            supported: config::provider().signature_verification_algorithms,
            refusal: Mutex::default(),
        }
    }

    fn refusal(&self) -> Option<String> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.clone()
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), String> {
        let owned = |der: &CertificateDer<'_>| der.clone().into_owned();
        let anchors = match &self.anchor {
            Anchor::Known(cas) => cas.clone(),
            Anchor::Pinned(digest) => {
                let pinned = others.iter().find(|der| identity::sha256(der) == *digest);
                let pinned = pinned.ok_or("its CA is not the one that the token names")?;
                vec![owned(pinned)]
            }
        };
        let trust = config::trust_store(&anchors, Vec::new(), pki::DenyList::default())?;
        let chain: Vec<_> = std::iter::once(leaf).chain(others).map(owned).collect();
        let judged = trust.judging(Purpose::Server).admit(&chain, now);
        judged.map_err(|refusal| {
            let what = match refusal.reason {
                RejectionReason::Expired => "its certificate has expired",
                RejectionReason::NotYetValid => {
                    "its certificate is not valid yet (compare the clocks)"
                }
                RejectionReason::IssuerExpired => "its CA is outside its own validity",
                RejectionReason::UnknownIssuer => {
                    "its certificate was not issued by the CA that the token names"
                }
                RejectionReason::WrongUsage => "its certificate is not for servers",
                _ => "its certificate is not acceptable",
            };
            match refusal.detail.is_empty() {
                true => what.to_owned(),
                false => format!("{what}: {}", refusal.detail),
            }
        })?;
        match pki::trust::names_host(leaf, name) {
            true => Ok(()),
            false => Err("its certificate does not name this host".to_owned()),
        }
    }
}

impl ServerCertVerifier for SignerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|why| {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                CertificateError::ApplicationVerificationFailure.into()
            })
    }

    delegate_signatures!(algorithms: supported);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_an_answer_is_compared_with_the_one_here() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).expect("a time");
        let of = |date: &str| skew(date, now).map(time::Duration::whole_seconds);
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(of("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(of("Sun, 06 Nov 1994 07:49:37 GMT"), Some(-3600));
        assert_eq!(of("yesterday"), None);
    }
}

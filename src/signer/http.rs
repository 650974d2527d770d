//! What the signer answers: EST (RFC 7030, RFC 8951), the revocation list, and what gates are told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use enroll::message::{
    self, CERTIFICATES_TYPE, GATE_HEADER, KIND_HEADER, LIST_TYPE, MAX_BODY_BYTES, kind_word,
};
use enroll::oidc::{ApprovedToken, OidcFault, bearer};
use enroll::{EnrollRefusal, Secret, basic};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, RETRY_AFTER,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pki::Certificate;
use pki::event::{Issued, IssuedKind};
use pki::pkcs7;
use pki::request::SigningRequest;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use super::answer::{self, SignerAnswer, document, sentence};
use super::desk::Desk;
use super::listen::VisitPlace;
use super::turns::blocking;
use crate::tls::config::algorithms;
use crate::tls::socket::WideSocket;

/// For a head, and between two of them.
const HEAD: Duration = Duration::from_secs(10);
/// For a body.
const BODY: Duration = Duration::from_secs(10);
/// Bytes of a head.
const HEAD_BYTES: usize = 16 * 1024;
/// For the rest of a refused request.
const REFUSED: Duration = Duration::from_secs(1);
/// How many bytes of it are taken.
const REFUSED_BYTES: usize = 1024 * 1024;
/// A whole connection, however busy. A gate's ends with it too and begins again.
pub(super) const CONNECTION: Duration = Duration::from_secs(300);
/// The longest that a gate's question is held until there is something new.
const HOLD: Duration = Duration::from_secs(120);

/// The answer to a request that is refused.
type RefusedAnswer = Box<Response<SignerAnswer>>;

/// Who is at the other end.
pub(super) struct Visitor {
    pub(super) addr: SocketAddr,
    /// A certificate whose key it has. Nothing else is known of it.
    pub(super) leaf: Option<CertificateDer<'static>>,
}

/// One connection's view of the signer.
struct Visit {
    desk: Arc<Desk>,
    peer: Visitor,
    /// Given back once the peer is known to be a gate: gates stay connected.
    place: Mutex<Option<VisitPlace>>,
}

/// Serves one connection, for as long as it may last.
pub(super) async fn serve(
    stream: TlsStream<WideSocket>,
    peer: Visitor,
    desk: Arc<Desk>,
    place: VisitPlace,
    longest: Duration,
) {
    let addr = peer.addr;
    let visit = Arc::new(Visit {
        desk,
        peer,
        place: Mutex::new(Some(place)),
    });
    let service = service_fn(move |request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(visit.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(longest, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(client.addr = %addr, %error, "A connection to the signer failed"),
        Err(_) => debug!(client.addr = %addr, "A connection to the signer ended at its deadline"),
    }
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Response<SignerAnswer> {
        let path = request.uri().path();
        let known = match path {
            "/.well-known/est/simpleenroll" | "/.well-known/est/simplereenroll" => "POST",
            "/.well-known/est/cacerts" | "/.well-known/est/csrattrs" | "/crl" | TRUST => {
                "GET, HEAD"
            }
            _ => {
                let text = "there is nothing here; this is an EST server (RFC 7030)";
                return sentence(StatusCode::NOT_FOUND, text);
            }
        };
        if !known.split(", ").any(|method| request.method() == method) {
            let text = format!("expected {known}");
            let mut response = sentence(StatusCode::METHOD_NOT_ALLOWED, &text);
            answer::with(&mut response, ALLOW, known);
            return response;
        }
        match path {
            "/.well-known/est/cacerts" => {
                let body =
                    message::encode(&pkcs7::encode(self.desk.cas().iter().map(AsRef::as_ref)));
                document(CERTIFICATES_TYPE, body)
            }
            "/.well-known/est/csrattrs" => answer::empty(StatusCode::NO_CONTENT),
            "/crl" => self.list(),
            TRUST => self.trust(&request).await,
            "/.well-known/est/simpleenroll" => self.enrol(request).await,
            _ => self.reenrol(request).await,
        }
    }

    async fn enrol(&self, mut request: Request<Incoming>) -> Response<SignerAnswer> {
        let voucher = match self.may_enrol(&request).await {
            Ok(voucher) => voucher,
            Err(refused) => {
                drain(request.body_mut()).await;
                return *refused;
            }
        };
        let request = match read(request).await {
            Ok(request) => request,
            Err(refused) => return *refused,
        };
        let desk = self.desk.clone();
        let work = move || match voucher {
            EnrolVoucher::Invitation(id, secret) => desk.enrol(&id, &secret, &request),
            EnrolVoucher::Token(token) => desk.enrol_by_token(&token, &request),
        };
        self.issued("Issued a certificate", self.desk.turns.work(work).await)
    }

    /// What a request for a first certificate rests on, if it can be used; told before the body is read.
    async fn may_enrol(&self, request: &Request<Incoming>) -> Result<EnrolVoucher, RefusedAnswer> {
        unfit(request)?;
        let mut fields = request.headers().get_all(AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(Box::new(answer::unauthorized()));
        };
        if let Some(token) = bearer(field.as_bytes()) {
            return match self.desk.issuers.approve(token).await {
                Ok(_) if !is_of(request, IssuedKind::Client) => {
                    let text =
                        "a token of CI is good for a client: use `dockgate join` without --server";
                    Err(Box::new(sentence(StatusCode::BAD_REQUEST, text)))
                }
                Ok(token) => Ok(EnrolVoucher::Token(token)),
                Err(fault) => Err(Box::new(self.wrong_token(fault))),
            };
        }
        let Some((id, secret)) = basic::read(field.as_bytes()) else {
            return Err(Box::new(answer::unauthorized()));
        };
        let desk = self.desk.clone();
        let known = blocking(move || {
            let kind = desk.knows(&id, &secret)?;
            Ok(kind.map(|kind| (kind, id, secret)))
        });
        match known.await {
            Ok(Some((kind, ..))) if !is_of(request, kind) => {
                let text = match kind {
                    IssuedKind::Server => {
                        "this invitation is for a gate: use `dockgate join --server`"
                    }
                    _ => "this invitation is for a client: use `dockgate join` without --server",
                };
                Err(Box::new(sentence(StatusCode::BAD_REQUEST, text)))
            }
            Ok(Some((_, id, secret))) => Ok(EnrolVoucher::Invitation(id, secret)),
            Ok(None) => Err(Box::new(self.wrong())),
            Err(refusal) => Err(Box::new(answer::refusal(&refusal))),
        }
    }

    /// The certificate in the index that the peer has proved to hold.
    async fn holder(&self, leaf: &CertificateDer<'static>) -> Result<Issued, EnrollRefusal> {
        let (desk, leaf) = (self.desk.clone(), leaf.clone());
        blocking(move || desk.holder(&leaf)).await
    }

    /// The certificate that a renewal follows, if it may be renewed.
    async fn may_renew(
        &self,
        request: &Request<Incoming>,
    ) -> Result<CertificateDer<'static>, RefusedAnswer> {
        unfit(request)?;
        let Some(leaf) = self.peer.leaf.clone() else {
            let text = "a renewal needs the certificate that is renewed in the TLS handshake";
            return Err(Box::new(sentence(StatusCode::FORBIDDEN, text)));
        };
        match self.holder(&leaf).await {
            Ok(_) => Ok(leaf),
            Err(refusal) => Err(Box::new(answer::refusal(&refusal))),
        }
    }

    async fn reenrol(&self, mut request: Request<Incoming>) -> Response<SignerAnswer> {
        let leaf = match self.may_renew(&request).await {
            Ok(leaf) => leaf,
            Err(refused) => {
                drain(request.body_mut()).await;
                return *refused;
            }
        };
        let request = match read(request).await {
            Ok(request) => request,
            Err(refused) => return *refused,
        };
        let desk = self.desk.clone();
        let work = move || desk.renew(&leaf, &request);
        self.issued("Renewed a certificate", self.desk.turns.work(work).await)
    }

    fn issued(
        &self,
        what: &'static str,
        made: Result<Vec<u8>, EnrollRefusal>,
    ) -> Response<SignerAnswer> {
        let der = match made {
            Ok(der) => der,
            Err(EnrollRefusal::Unauthorized) => return self.wrong(),
            Err(EnrollRefusal::Token(fault)) => return self.wrong_token(fault),
            Err(refusal) => {
                debug!(client.addr = %self.peer.addr, error = %refusal, "No certificate");
                return answer::refusal(&refusal);
            }
        };
        if let Ok(info) = Certificate::read(&der) {
            info!(
                client.addr = %self.peer.addr,
                client.id = info.common_name,
                serial = info.serial,
                until = pki::timestamp(info.not_after),
                "{what}"
            );
        }
        let body = message::encode(&pkcs7::encode([der.as_slice()]));
        let mut response = document(CERTIFICATES_TYPE, body);
        if let Some(gate) = &self.desk.gate {
            answer::with(&mut response, HeaderName::from_static(GATE_HEADER), gate);
        }
        response
    }

    /// The answer to a secret that cannot be used.
    fn wrong(&self) -> Response<SignerAnswer> {
        let peer = self.peer.addr;
        if !self.desk.throttle.failed(peer.ip(), Instant::now()) {
            debug!(client.addr = %peer, "An invitation was refused");
            return answer::unauthorized();
        }
        too_often()
    }

    /// The answer to a token of CI that cannot be used.
    fn wrong_token(&self, fault: OidcFault) -> Response<SignerAnswer> {
        let peer = self.peer.addr;
        debug!(client.addr = %peer, error = %fault, "A token was refused");
        if fault == OidcFault::NoKeys {
            let text =
                "the keys of the token's issuer cannot be read now; the signer's log says why";
            return sentence(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        match self.desk.throttle.failed(peer.ip(), Instant::now()) {
            false => answer::bad_token(),
            true => too_often(),
        }
    }

    fn list(&self) -> Response<SignerAnswer> {
        let trust = self.desk.trust.borrow().clone();
        let der = trust.crl.as_deref().and_then(|pem| {
            let blocks = pki::pem::read(pem.as_bytes()).ok()?;
            blocks.into_iter().next().map(|block| block.der.to_vec())
        });
        match der {
            Some(der) => document(LIST_TYPE, der),
            None => sentence(StatusCode::NOT_FOUND, "there is no revocation list yet"),
        }
    }

    /// What a gate needs to judge its clients, told at once or as soon as it changes (RFC 7240 `Prefer: wait`).
    async fn trust(&self, request: &Request<Incoming>) -> Response<SignerAnswer> {
        let Some(leaf) = &self.peer.leaf else {
            return sentence(StatusCode::FORBIDDEN, "this needs a gate's certificate");
        };
        match self.holder(leaf).await {
            Ok(issued)
                if issued.kind == IssuedKind::Server && issued.is_alive(pki::issue::now()) => {}
            Ok(_) => return sentence(StatusCode::FORBIDDEN, "this needs a gate's certificate"),
            Err(refusal) => return answer::refusal(&refusal),
        }
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let known = request.headers().get(IF_NONE_MATCH);
        let known = known.map(|tag| tag.as_bytes().to_vec());
        let mut news = self.desk.trust.subscribe();
        let is_new = |tag: &str| known.as_deref() != Some(tag.as_bytes());
        let wait = wait(request);
        if !wait.is_zero() {
            let waiting = news.wait_for(|document| is_new(&document.tag()));
            // Without news in time the gate learns just that.
            let _ = timeout(wait, waiting).await;
        }
        let trust = self.desk.trust.borrow().clone();
        let tag = trust.tag();
        let mut response = match is_new(&tag) {
            false => answer::empty(StatusCode::NOT_MODIFIED),
            true => {
                let body = serde_json::json!({
                    "ca": trust.ca,
                    "crl": trust.crl,
                    "denied": trust.denied,
                });
                document("application/json", body.to_string())
            }
        };
        answer::with(&mut response, ETAG, &tag);
        response
    }
}

/// What a first certificate rests on.
enum EnrolVoucher {
    /// Id and secret of an invitation.
    Invitation(String, Secret),
    /// A token that its issuer has signed and a rule approves.
    Token(ApprovedToken),
}

/// The answer to an address that was wrong too often.
fn too_often() -> Response<SignerAnswer> {
    let text = "too many attempts from this address; try again later";
    let mut response = sentence(StatusCode::TOO_MANY_REQUESTS, text);
    answer::with(&mut response, RETRY_AFTER, "60");
    response
}

/// Where gates ask what to trust.
pub(super) const TRUST: &str = "/.well-known/dockgate/trust";

/// Whether who asks expects what the invitation is for; not everybody says.
fn is_of(request: &Request<Incoming>, kind: IssuedKind) -> bool {
    let said = request.headers().get(KIND_HEADER);
    said.is_none_or(|said| said.as_bytes() == kind_word(kind).as_bytes())
}

/// How long a gate lets its question be held.
fn wait(request: &Request<Incoming>) -> Duration {
    let field = request.headers().get("prefer");
    let text = field.and_then(|field| field.to_str().ok()).unwrap_or("");
    let seconds = text.split(',').find_map(|preference| {
        let value = preference.trim().strip_prefix("wait=")?;
        value.parse::<u64>().ok()
    });
    Duration::from_secs(seconds.unwrap_or(0)).min(HOLD)
}

/// What is wrong with the form of a request for a certificate before its body is read.
fn unfit(request: &Request<Incoming>) -> Result<(), RefusedAnswer> {
    let field = request.headers().get(CONTENT_TYPE);
    if !field.is_some_and(|field| message::is_type(field.as_bytes(), message::REQUEST_TYPE)) {
        let text = format!("expected Content-Type {}", message::REQUEST_TYPE);
        return Err(Box::new(sentence(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &text,
        )));
    }
    let length = request.body().size_hint().lower();
    match length > MAX_BODY_BYTES as u64 {
        true => Err(Box::new(too_large())),
        false => Ok(()),
    }
}

/// Takes the rest of a refused request and drops it, as far as it comes soon: closing over unread bytes would destroy the
/// answer on its way.
async fn drain(body: &mut Incoming) {
    let taking = async {
        let mut left = REFUSED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Beyond that the peer may lose the answer.
    let _ = timeout(REFUSED, taking).await;
}

fn too_large() -> Response<SignerAnswer> {
    let text = "the body is above 64 KiB, which no certificate request needs";
    sentence(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// Reads the certificate request in a body.
async fn read(request: Request<Incoming>) -> Result<SigningRequest, RefusedAnswer> {
    let refuse = |status, text: &str| Box::new(sentence(status, text));
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let body = match timeout(BODY, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => return Err(Box::new(too_large())),
        Ok(Err(_)) => return Err(refuse(StatusCode::BAD_REQUEST, "the body is incomplete")),
        Err(_) => {
            return Err(refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
            ));
        }
    };
    let Some(der) = message::decode(&body) else {
        let text = "expected a certificate request in DER, in base64";
        return Err(refuse(StatusCode::BAD_REQUEST, text));
    };
    SigningRequest::read(&der, &algorithms().certificates)
        .map_err(|fault| Box::new(answer::refusal(&fault.into())))
}

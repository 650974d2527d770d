//! The signer's answers: a status, one sentence or one document.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Response, StatusCode};

use enroll::EnrollRefusal;
use pki::CertsError;
use tracing::{debug, error};

use crate::error;

/// The body of an answer.
pub(super) type SignerAnswer = Full<Bytes>;

/// A document.
pub(super) fn document(kind: &'static str, body: impl Into<Bytes>) -> Response<SignerAnswer> {
    let mut response = Response::new(Full::new(body.into()));
    with(&mut response, CONTENT_TYPE, kind);
    with(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// A sentence with a status. The connection of a request that is refused ends with it.
pub(super) fn sentence(status: StatusCode, text: &str) -> Response<SignerAnswer> {
    let mut response = document("text/plain; charset=utf-8", format!("dockgate: {text}\n"));
    *response.status_mut() = status;
    if !status.is_success() {
        with(&mut response, CONNECTION, "close");
    }
    response
}

/// Nothing, with a status.
pub(super) fn empty(status: StatusCode) -> Response<SignerAnswer> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Sets a field; a value that cannot be one is left out.
pub(super) fn with(response: &mut Response<SignerAnswer>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The answer to a request that gets no certificate.
pub(super) fn refusal(refusal: &EnrollRefusal) -> Response<SignerAnswer> {
    match refusal {
        EnrollRefusal::Unauthorized => unauthorized(),
        EnrollRefusal::Token(_) => bad_token(),
        EnrollRefusal::Request(why) => sentence(StatusCode::BAD_REQUEST, why),
        EnrollRefusal::Forbidden(why) => sentence(StatusCode::FORBIDDEN, why),
        EnrollRefusal::Copy { .. } => sentence(StatusCode::FORBIDDEN, &refusal.to_string()),
        EnrollRefusal::Early { secs, .. } => too_many(refusal, *secs),
        EnrollRefusal::Many { .. } => too_many(refusal, 600),
        EnrollRefusal::Busy => {
            let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string());
            with(&mut response, RETRY_AFTER, "10");
            response
        }
        EnrollRefusal::Failed(fault @ CertsError::Unavailable { .. }) => {
            // That the store is lost is logged once, and not for each request.
            debug!(error = %error::report(fault), "A request has to wait for the store");
            let text = "the signer's store cannot be used now; try again soon";
            let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, text);
            with(&mut response, RETRY_AFTER, "5");
            response
        }
        EnrollRefusal::Failed(fault @ CertsError::Full { .. }) => {
            // The log says it once an hour.
            debug!(error = %error::report(fault), "Nothing is issued");
            let text = "the signer's index is so full that nothing is issued; its log and `dockgate check` say it to the signer's owner";
            let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, text);
            with(&mut response, RETRY_AFTER, "3600");
            response
        }
        EnrollRefusal::Failed(fault) => {
            error!(error = %error::report(fault), "A certificate cannot be issued");
            let text = "the signer cannot do this now; its log says why";
            sentence(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// The answer to who asks more often than anybody needs.
fn too_many(refusal: &EnrollRefusal, secs: u64) -> Response<SignerAnswer> {
    let mut response = sentence(StatusCode::TOO_MANY_REQUESTS, &refusal.to_string());
    with(&mut response, RETRY_AFTER, &secs.to_string());
    response
}

/// The one answer to every secret that cannot be used.
pub(super) fn unauthorized() -> Response<SignerAnswer> {
    let text = EnrollRefusal::Unauthorized.to_string();
    let mut response = sentence(StatusCode::UNAUTHORIZED, &text);
    let name = hyper::header::WWW_AUTHENTICATE;
    with(&mut response, name, "Basic realm=\"dockgate signer\"");
    response
}

/// The one answer to every token of CI that cannot be used (RFC 6750 §3).
pub(super) fn bad_token() -> Response<SignerAnswer> {
    let text = "the token is not accepted; the signer's log says why at the level debug";
    let mut response = sentence(StatusCode::UNAUTHORIZED, text);
    let name = hyper::header::WWW_AUTHENTICATE;
    with(&mut response, name, "Bearer error=\"invalid_token\"");
    response
}

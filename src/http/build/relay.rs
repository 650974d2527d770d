//! Passes one call on: the engine gets a request of the gate's own making, and what it answers comes back.

use std::future::poll_fn;

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};

use super::Respond;
use buildkit::Call;

/// The metadata that names the build a call belongs to.
pub(super) const BUILD_ID: HeaderName = HeaderName::from_static("buildkit-controlapi-buildid");

/// Fields of a call that go on; all others end here.
const FIELDS: &[&str] = &[
    "baggage",
    "buildkit-controlapi-buildid",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "grpc-trace-bin",
    "traceparent",
    "tracestate",
];

/// Bytes sent at once.
const CHUNK: usize = 64 * 1024;

/// What the engine gets as a call's body.
pub(super) enum Upload {
    /// A message that was judged.
    Judged(Bytes),
    /// The client's own, as it comes.
    Streamed(RecvStream),
}

/// Passes the call on and its answer back.
pub(super) async fn pass(
    call: Call,
    fields: &HeaderMap,
    upload: Upload,
    mut engine: SendRequest<Bytes>,
    mut respond: Respond,
) -> Result<(), h2::Error> {
    let request = request(call, fields)?;
    engine = tokio::select! {
        ready = engine.ready() => ready?,
        reason = poll_fn(|cx| respond.poll_reset(cx)) => return reason.map(|_| ()),
    };
    let (answer, mut up) = engine.send_request(request, false)?;
    let uploading = async {
        match upload {
            Upload::Judged(body) => send(&mut up, body, true).await,
            Upload::Streamed(mut body) => {
                let sent = stream(&mut body, &mut up).await;
                match sent {
                    Ok(_) => up.send_data(Bytes::new(), true),
                    Err(e) => {
                        up.send_reset(Reason::CANCEL);
                        Err(e)
                    }
                }
            }
        }
    };
    tokio::pin!(uploading);
    let mut uploaded = false;
    let answering = answered(answer, respond);
    tokio::pin!(answering);
    loop {
        tokio::select! {
            // The answer may come before the upload is complete, and its end is the end of the call.
            done = &mut answering => return done,
            sent = &mut uploading, if !uploaded => {
                uploaded = true;
                if let Err(e) = sent
                    && e.reason() != Some(Reason::NO_ERROR)
                {
                    return Err(e);
                }
            }
        }
    }
}

fn request(call: Call, fields: &HeaderMap) -> Result<Request<()>, h2::Error> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    let uri = format!("http://localhost{}", call.path());
    *request.uri_mut() = uri
        .parse()
        .map_err(|_| h2::Error::from(Reason::INTERNAL_ERROR))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("dockgate"));
    for name in FIELDS {
        for value in fields.get_all(*name) {
            headers.append(*name, value.clone());
        }
    }
    Ok(request)
}

async fn answered(
    answer: h2::client::ResponseFuture,
    mut respond: Respond,
) -> Result<(), h2::Error> {
    let response = tokio::select! {
        response = answer => response?,
        // The client gave the call up: dropping the engine's side cancels it there.
        reason = poll_fn(|cx| respond.poll_reset(cx)) => return reason.map(|_| ()),
    };
    let (head, mut body) = response.into_parts();
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let ended = body.is_end_stream();
    let mut down = respond.send_response(response, ended)?;
    if ended {
        return Ok(());
    }
    let trailers = tokio::select! {
        trailers = stream(&mut body, &mut down) => trailers?,
    };
    match trailers {
        Some(trailers) => down.send_trailers(trailers),
        None => down.send_data(Bytes::new(), true),
    }
}

/// Moves a body as fast as its receiver takes it; its trailers.
async fn stream(
    from: &mut RecvStream,
    to: &mut SendStream<Bytes>,
) -> Result<Option<HeaderMap>, h2::Error> {
    loop {
        let data = tokio::select! {
            data = from.data() => data,
            reason = poll_fn(|cx| to.poll_reset(cx)) => return Err(reason?.into()),
        };
        let Some(data) = data else {
            return from.trailers().await;
        };
        let data = data?;
        let length = data.len();
        send(to, data, false).await?;
        from.flow_control().release_capacity(length)?;
    }
}

/// Sends bytes within the receiver's window.
async fn send(to: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        to.reserve_capacity(data.len().min(CHUNK));
        let room = match poll_fn(|cx| to.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        let part = data.split_to(room.min(data.len()));
        let last = end && data.is_empty();
        to.send_data(part, last)?;
    }
    Ok(())
}

/// Answers a call in the engine's stead: trailers only.
pub(super) fn refuse(mut respond: Respond, status: u8, message: &str) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    if let Ok(message) = HeaderValue::from_str(&encoded(message)) {
        headers.insert("grpc-message", message);
    }
    // It only fails where the client has gone.
    let _ = respond.send_response(response, true);
}

/// Percent-encoding of a gRPC message: everything but printable ASCII, and `%`.
fn encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes().take(2048) {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

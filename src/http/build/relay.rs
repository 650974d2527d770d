//! Passes one call on: the engine gets a request of the gate's own making, and what it answers comes back.

use std::future::poll_fn;
use std::task::{Context, Poll};

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use buildkit::grpc::{self, Messages};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};

use super::Respond;
use super::call::Served;
use super::held;
use super::segments::Segments;
use crate::limits::Reservation;
use policy::build::Objection;

/// The metadata that names the build a call belongs to.
pub(super) const BUILD_ID: HeaderName = HeaderName::from_static("buildkit-controlapi-buildid");

/// Fields of a call that go on; all others end here.
const FIELDS: &[&str] = &[
    "baggage",
    "buildkit-controlapi-buildid",
    "grpc-timeout",
    "grpc-trace-bin",
    "traceparent",
    "tracestate",
];

/// Fields that go on too where no message of the call is looked at: those would come compressed.
const ENCODING: &[&str] = &["grpc-accept-encoding", "grpc-encoding"];

/// Bytes sent at once, if as many have come. Clients send frames of 16 KiB, and the engine takes larger ones.
const CHUNK: usize = 128 * 1024;

/// Bytes of the engine's message about a failure that are looked at.
const MOST_MESSAGE: usize = 4096;

/// What the engine gets as a call's body.
pub(super) enum Upload {
    /// A message that was judged.
    Judged(Bytes),
    /// The client's own, as it comes.
    Streamed(RecvStream),
}

/// Judges one message of the client's.
pub(super) type JudgeMessage<'p> = &'p (dyn Fn(&[u8]) -> Result<(), Objection> + Send + Sync);

/// Looks at one message of the engine's, `None` if it cannot be read; whether it goes on.
pub(super) type LookAtMessage<'p> = &'p mut (dyn FnMut(Option<&[u8]>) -> bool + Send);

/// Whether a message of either goes on; a refusal ends the call.
type PassMessage<'p> = &'p mut (dyn FnMut(Option<&[u8]>) -> Result<bool, Objection> + Send);

/// Told that the engine has begun to speak in a stream: whether the call may go on.
pub(super) type BeginStream<'p> = &'p (dyn Fn() -> Result<(), Objection> + Send + Sync);

/// A call on its way.
pub(super) struct Passage<'p> {
    /// Its path.
    pub(super) path: &'p str,
    /// The fields of its head.
    pub(super) fields: &'p HeaderMap,
    /// Further fields that the engine gets.
    pub(super) more: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub(super) upload: Upload,
    /// Judges the messages of a body that streams.
    pub(super) judge: Option<JudgeMessage<'p>>,
    /// Looks at the messages of the answer.
    pub(super) look: Option<LookAtMessage<'p>>,
    /// Told when the engine begins to speak.
    pub(super) begin: Option<BeginStream<'p>>,
    /// What incomplete messages of both may hold.
    pub(super) room: &'p mut Reservation,
}

/// How the engine answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GrpcEnd {
    /// gRPC's status, if it gave one.
    pub(super) status: Option<u16>,
    /// What it said.
    pub(super) message: String,
}

/// Why a call did not come to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// One of the two connections, or the client gave it up.
    Http(h2::Error),
    /// A later message is refused.
    Refused(Objection),
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        Self::Http(error)
    }
}

impl From<Reason> for Broken {
    fn from(reason: Reason) -> Self {
        Self::Http(reason.into())
    }
}

/// Passes the call on and its answer back.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) async fn pass(
    passage: Passage<'_>,
    mut engine: SendRequest<Segments>,
    respond: &mut Respond,
) -> Result<GrpcEnd, Broken> {
    let Passage {
        path,
        fields,
        more,
        upload,
        judge,
        look,
        begin,
        room,
    } = passage;
    let plain = judge.is_none() && look.is_none() && matches!(upload, Upload::Streamed(_));
    let mut request = request(path, fields, plain)?;
    for (name, value) in more {
        request.headers_mut().append(name, value);
    }
    engine = tokio::select! {
        ready = engine.ready() => ready?,
        reason = poll_fn(|cx| respond.poll_reset(cx)) => return Err(reason?.into()),
    };
    let (answer, mut up) = engine.send_request(request, false)?;
    let (mut up_room, mut down_room) = (room.beside(), room.beside());
    let uploading = async {
        match upload {
            Upload::Judged(body) => send(&mut up, body.into(), true).await.map_err(Broken::Http),
            Upload::Streamed(mut body) => {
                let sent = match judge {
                    None => stream(&mut body, &mut up).await.map_err(Broken::Http),
                    Some(judge) => {
                        let mut pass = |message: Option<&[u8]>| match message {
                            Some(message) => judge(message).map(|()| true),
                            None => Err(Objection::new("message", "the message is compressed")),
                        };
                        messages(&mut body, &mut up, &mut pass, &mut up_room).await
                    }
                };
                match sent {
                    Ok(_) => Ok(up.send_data(Segments::default(), true)?),
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
    let answering = answered(answer, respond, (look, begin), &mut down_room);
    tokio::pin!(answering);
    loop {
        tokio::select! {
            // The answer may come before the upload is complete, and its end is the end of the call.
            done = &mut answering => return done,
            sent = &mut uploading, if !uploaded => {
                uploaded = true;
                match sent {
                    Ok(()) => {}
                    Err(Broken::Http(e)) if e.reason() == Some(Reason::NO_ERROR) => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }
}

fn request(path: &str, fields: &HeaderMap, plain: bool) -> Result<Request<()>, h2::Error> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    let uri = format!("http://localhost{path}");
    *request.uri_mut() = uri
        .parse()
        .map_err(|_| h2::Error::from(Reason::INTERNAL_ERROR))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("dockgate"));
    let encoding = if plain { ENCODING } else { &[] };
    for name in FIELDS.iter().chain(encoding) {
        for value in fields.get_all(*name) {
            headers.append(*name, value.clone());
        }
    }
    Ok(request)
}

async fn answered(
    answer: h2::client::ResponseFuture,
    respond: &mut Respond,
    (look, begin): (Option<LookAtMessage<'_>>, Option<BeginStream<'_>>),
    room: &mut Reservation,
) -> Result<GrpcEnd, Broken> {
    let response = tokio::select! {
        response = answer => response?,
        // The client gave the call up: dropping the engine's side cancels it there.
        reason = poll_fn(|cx| respond.poll_reset(cx)) => return Err(reason?.into()),
    };
    let (head, mut body) = response.into_parts();
    let mut end = GrpcEnd::of(&head.headers);
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let ended = body.is_end_stream();
    let mut down = respond.send_response(response, ended)?;
    if ended {
        return Ok(end);
    }
    if let Some(begin) = begin
        && let Some(data) = received(&mut body, &mut down).await?
    {
        begin().map_err(Broken::Refused)?;
        pass_on(data, &mut body, &mut down).await?;
    }
    let trailers = match look {
        None => stream(&mut body, &mut down).await?,
        Some(look) => {
            let mut pass = |message: Option<&[u8]>| Ok(look(message));
            messages(&mut body, &mut down, &mut pass, room).await?
        }
    };
    match trailers {
        Some(trailers) => {
            end = GrpcEnd::of(&trailers);
            down.send_trailers(trailers)?;
        }
        None => down.send_data(Segments::default(), true)?,
    }
    Ok(end)
}

impl GrpcEnd {
    fn of(fields: &HeaderMap) -> Self {
        let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
        let message = text("grpc-message").unwrap_or_default();
        Self {
            status: text("grpc-status").and_then(|status| status.parse().ok()),
            message: decoded(message.get(..MOST_MESSAGE).unwrap_or(message)),
        }
    }
}

/// The text of a gRPC message, which is percent-encoded.
fn decoded(message: &str) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Moves a body as fast as its receiver takes it; its trailers.
async fn stream(
    from: &mut RecvStream,
    to: &mut SendStream<Segments>,
) -> Result<Option<HeaderMap>, h2::Error> {
    while let Some(data) = received(from, to).await? {
        pass_on(data, from, to).await?;
    }
    from.trailers().await
}

/// Sends what was received, with what has come behind it meanwhile, and lets its sender send as much again.
async fn pass_on(
    data: Bytes,
    from: &mut RecvStream,
    to: &mut SendStream<Segments>,
) -> Result<(), h2::Error> {
    let mut gathered = Segments::from(data);
    while gathered.len() < CHUNK
        && let Some(more) = poll_fn(|cx| at_hand(from, cx)).await
    {
        gathered.push(more?);
    }
    let length = gathered.len();
    send(to, gathered, false).await?;
    from.flow_control().release_capacity(length)
}

/// The next bytes of a body if they have come; `None` at its end too.
fn at_hand(from: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
    match from.poll_data(cx) {
        Poll::Ready(data) => Poll::Ready(data),
        Poll::Pending => Poll::Ready(None),
    }
}

/// The same, one whole message after the other; `pass` says of each whether it goes on.
async fn messages(
    from: &mut RecvStream,
    to: &mut SendStream<Segments>,
    pass: PassMessage<'_>,
    room: &mut Reservation,
) -> Result<Option<HeaderMap>, Broken> {
    let bad =
        |why: &dyn std::fmt::Display| Broken::Refused(Objection::new("message", why.to_string()));
    let mut held = Messages::default();
    while let Some(data) = received(from, to).await? {
        held.push(&data);
        let mut passed = Vec::new();
        while let Some(message) = held.next_message().map_err(|e| bad(&e))? {
            if pass(grpc::content(message)).map_err(Broken::Refused)? {
                passed.extend_from_slice(message);
            }
        }
        held::grow(room, held.waiting())
            .map_err(|_| bad(&"too much waits for judgement already"))?;
        send(to, Bytes::from(passed).into(), false).await?;
        from.flow_control().release_capacity(data.len())?;
    }
    match held.waiting() {
        0 => Ok(from.trailers().await?),
        _ => Err(bad(&"the call ends inside a message")),
    }
}

/// The next bytes of a body; `None` at its end.
async fn received(
    from: &mut RecvStream,
    to: &mut SendStream<Segments>,
) -> Result<Option<Bytes>, h2::Error> {
    tokio::select! {
        data = from.data() => data.transpose(),
        reason = poll_fn(|cx| to.poll_reset(cx)) => Err(reason?.into()),
    }
}

/// Sends bytes within the receiver's window.
async fn send(
    to: &mut SendStream<Segments>,
    mut data: Segments,
    end: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        to.reserve_capacity(data.len().min(CHUNK));
        let room = match poll_fn(|cx| to.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        let part = data.take_first(room);
        let last = end && data.is_empty();
        to.send_data(part, last)?;
    }
    Ok(())
}

/// Answers a call in the engine's stead: trailers only.
pub(super) fn refuse(respond: &mut Respond, status: u8, message: &str) -> Served {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    if let Ok(message) = HeaderValue::from_str(&encoded(message)) {
        headers.insert("grpc-message", message);
    }
    // It only fails where the client has gone, or the engine's answer has begun; the stream is reset then.
    match respond.send_response(response, true) {
        Ok(_) => Served::Answered,
        Err(_) => {
            respond.send_reset(Reason::CANCEL);
            Served::BrokeOff
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        for text in ["denied: 100%", "%zz", "a\u{e4}\n", "%", "%4"] {
            assert_eq!(decoded(&encoded(text)), text);
        }
        assert_eq!(decoded("%41%zz%4"), "A%zz%4");
    }
}

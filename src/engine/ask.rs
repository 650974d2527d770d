//! One HTTP exchange of the gate's own over a unix socket: with the engine, and with an authorization plugin, which speaks the same way.
//!
//! Most have a connection that ends with them. What only reads may go on one that is kept: each worker keeps a few, since a new
//! connection costs the engine more than the answer.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyperlocal::UnixConnector;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{NoRoom, Reservation};
use crate::net::BACKLOG_RETRY;

/// How long a connection without an exchange is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Most connections without an exchange that one worker keeps.
const MOST_IDLE: usize = 2;

/// How long the end of an answer is waited for whose body is complete.
const END: Duration = Duration::from_secs(1);

type SocketClient = Client<UnixConnector, Full<Bytes>>;

thread_local! {
    /// The connections of this worker. The socket's path is a part of what they are found by.
    static KEPT: SocketClient = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .build(UnixConnector);
}

/// Which connection an exchange goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeWire {
    /// One of its own.
    Own,
    /// One that was kept, if there is one. Only for what may be asked twice: a kept one may have ended unnoticed, and is not trusted.
    Kept,
}

/// An exchange without a complete answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The socket cannot be opened.
    #[error("cannot connect to its socket")]
    Connect(#[source] io::Error),
    /// Not an answer in HTTP.
    #[error("no answer in HTTP")]
    Http(#[from] ClientError),
    /// The target is no URI.
    #[error("the target cannot be sent")]
    Target(#[from] hyper::http::uri::InvalidUriParts),
    /// The body failed.
    #[error("incomplete answer")]
    Body(#[source] hyper::Error),
    /// There is no memory for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The body is too large.
    #[error("the answer is above {0} bytes")]
    TooLarge(usize),
}

/// Sends `request` and takes at most `limit` bytes of answer, as far as `room` has room for them. The caller sets the
/// deadline; `patience` bounds the wait for a place in a full accept queue.
///
/// # Errors
/// When the socket cannot be opened, or no complete answer within `limit` comes.
pub async fn ask(
    socket: &Path,
    patience: Duration,
    request: Request<Full<Bytes>>,
    limit: usize,
    room: Option<&mut Reservation>,
) -> Result<(StatusCode, Vec<u8>), AskError> {
    let own = ExchangeWire::Own;
    let answer = ask_whole(
        (socket, own),
        patience,
        request,
        (limit, &mut |_| false),
        room,
    )
    .await?;
    Ok((answer.status(), answer.into_body()))
}

/// Whether the body of an answer of 200 is complete, as far as it has come: the end of what is sent in chunks is a packet of its own.
pub type IsWhole<'w> = &'w mut (dyn FnMut(&[u8]) -> bool + Send);

/// The same, with the fields of the answer's head, on the connection that is wanted.
///
/// # Errors
/// Those of [`ask`].
pub async fn ask_whole(
    (socket, wire): (&Path, ExchangeWire),
    patience: Duration,
    request: Request<Full<Bytes>>,
    (limit, is_whole): (usize, IsWhole<'_>),
    mut room: Option<&mut Reservation>,
) -> Result<Response<Vec<u8>>, AskError> {
    if wire == ExchangeWire::Kept {
        let kept = KEPT.with(Client::clone);
        let asked = send(socket, patience, request.clone(), &kept).await;
        let answer = match asked {
            Ok(answer) => whole(answer, (limit, is_whole), room.as_deref_mut()).await,
            Err(error) => Err(error),
        };
        // The engine may have ended it, by a restart or for its own reasons.
        if !matches!(answer, Err(AskError::Http(_) | AskError::Body(_))) {
            return answer;
        }
    }
    let answer = send(socket, patience, request, &unkept()).await?;
    whole(answer, (limit, is_whole), room).await
}

/// Sends `request` on a connection of its own, which ends with the answer's body.
///
/// # Errors
/// When the socket cannot be opened, or no head comes.
pub async fn begin(
    socket: &Path,
    patience: Duration,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, AskError> {
    send(socket, patience, request, &unkept()).await
}

/// A client whose connections end with their exchange.
fn unkept() -> SocketClient {
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false)
        .build(UnixConnector)
}

async fn whole(
    answer: Response<Incoming>,
    (limit, is_whole): (usize, IsWhole<'_>),
    mut room: Option<&mut Reservation>,
) -> Result<Response<Vec<u8>>, AskError> {
    let (head, mut from) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = from.frame().await {
        let Ok(data) = frame.map_err(AskError::Body)?.into_data() else {
            continue;
        };
        if body.len() + data.len() > limit {
            return Err(AskError::TooLarge(limit));
        }
        body.extend_from_slice(&data);
        if let Some(room) = &mut room {
            room.grow_to(body.capacity())?;
        }
        if head.status == StatusCode::OK && is_whole(&body) {
            // The connection is kept where the end comes.
            tokio::spawn(timeout(END, async move {
                while from.frame().await.is_some() {}
            }));
            break;
        }
    }
    Ok(Response::from_parts(head, body))
}

async fn send(
    socket: &Path,
    patience: Duration,
    request: Request<Full<Bytes>>,
    client: &SocketClient,
) -> Result<Response<Incoming>, AskError> {
    let (mut head, body) = request.into_parts();
    // The client finds the socket in the URI, and sends path and query of it.
    let mut uri = Uri::from(hyperlocal::Uri::new(socket, "/")).into_parts();
    uri.path_and_query = head.uri.path_and_query().cloned();
    head.uri = Uri::from_parts(uri)?;
    let deadline = Instant::now() + patience;
    loop {
        let request = Request::from_parts(head.clone(), body.clone());
        let error = match client.request(request).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_connect() => unopened(&error),
            Err(error) => return Err(error.into()),
        };
        // A full accept queue says so at once, and has room again when the engine gets to it.
        if error.kind() != io::ErrorKind::WouldBlock || Instant::now() >= deadline {
            return Err(AskError::Connect(error));
        }
        sleep(BACKLOG_RETRY).await;
    }
}

/// The system's own error below the client's.
fn unopened(error: &ClientError) -> io::Error {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(io) = source.downcast_ref::<io::Error>() {
            return match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), io.to_string()),
            };
        }
        cause = source.source();
    }
    io::Error::other(error.to_string())
}

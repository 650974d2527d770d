//! A small, bounded HTTP/1 server on hyper, for the metrics listener and the control socket alike.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::debug;

use crate::observe::health::Readiness;

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// For a head, and between two of them.
const HEAD: Duration = Duration::from_secs(10);

/// A whole connection, however busy: a reader that stops reading gives its place back.
const CONNECTION: Duration = Duration::from_secs(120);

/// Bytes of a head.
const HEAD_BYTES: usize = 16 * 1024;

/// Wait after an accept that failed.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The body of an answer.
pub type AdminAnswer = Full<Bytes>;

/// Accepts connections without end, `CONNECTIONS` at once, and drops them all when it is dropped.
pub async fn accept<S, C>(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    serve: impl Fn(S) -> C,
) where
    C: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match poll_fn(&mut next).await {
            Ok(stream) => {
                let connection = serve(stream);
                tasks.spawn(async move {
                    if tokio::time::timeout(CONNECTION, connection).await.is_err() {
                        debug!("Local connection closed at its deadline");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "Cannot accept a local connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Serves one connection.
pub async fn connection<S, H, F>(stream: S, handle: H)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<AdminAnswer>>,
{
    let service = service_fn(|request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "Local connection failed");
    }
}

/// An answer in text.
pub fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<AdminAnswer> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer in JSON, with a line feed at its end for those who use curl.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<AdminAnswer> {
    let mut bytes = serde_json::to_vec(body).unwrap_or_default();
    bytes.push(b'\n');
    text(status, "application/json", bytes)
}

/// The status code of an answer about readiness.
#[must_use]
pub fn readiness(ready: &Readiness) -> StatusCode {
    if ready.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

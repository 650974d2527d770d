//! One HTTP exchange of the gate's own over a unix socket, on a connection that ends with it.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

/// An exchange without a complete answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The socket cannot be opened.
    #[error("cannot connect to its socket")]
    Connect(#[source] io::Error),
    /// Not an answer in HTTP.
    #[error("no answer in HTTP")]
    Http(#[from] hyper::Error),
    /// The body failed.
    #[error("incomplete answer")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// The body is too large.
    #[error("the answer is above {0} bytes")]
    TooLarge(usize),
}

/// Sends `request` and takes at most `limit` bytes of answer. The caller sets the deadline; `patience` bounds the wait for a
/// place in a full accept queue.
///
/// # Errors
/// When the socket cannot be opened, or no complete answer within `limit` comes.
pub async fn ask(
    socket: &Path,
    patience: Duration,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    let stream = super::connect(socket, patience)
        .await
        .map_err(AskError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|e| {
            if e.is::<LengthLimitError>() {
                AskError::TooLarge(limit)
            } else {
                AskError::Body(e)
            }
        })?;
        Ok((status, body.to_bytes()))
    };
    // The connection has to be driven; its own fault, if any, reaches the answer.
    let driver = async {
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = driver => match never {},
    }
}

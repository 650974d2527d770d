//! One HTTP exchange of the gate's own over a unix socket, on a connection that ends with it.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::limits::{NoRoom, Reservation};

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
    let answer = ask_whole(socket, patience, request, limit, room).await?;
    Ok((answer.status(), answer.into_body()))
}

/// The same, with the fields of the answer's head.
///
/// # Errors
/// Those of [`ask`].
pub async fn ask_whole(
    socket: &Path,
    patience: Duration,
    request: Request<Full<Bytes>>,
    limit: usize,
    mut room: Option<&mut Reservation>,
) -> Result<Response<Vec<u8>>, AskError> {
    let stream = super::connect(socket, patience)
        .await
        .map_err(AskError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (head, mut from) = response.into_parts();
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
        }
        Ok(Response::from_parts(head, body))
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

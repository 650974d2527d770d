//! Questions of the gate's own to the engine: what a container is, before a decision about it.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Upstream;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest answer: an inspected container is a few kilobytes.
const LIMIT: usize = 8 << 20;

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The socket cannot be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// Not an answer in HTTP.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// The target is no URI.
    #[error("the target cannot be sent: {0}")]
    Target(#[from] hyper::http::Error),
    /// The body failed.
    #[error("incomplete answer: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The deadline passed.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// The answer is too large.
    #[error("the answer is above {LIMIT} bytes")]
    TooLarge,
}

impl Upstream {
    /// `GET target`, on a connection of its own; answers status and body.
    ///
    /// # Errors
    /// When there is no complete answer within 10 s and 8 MiB.
    pub async fn get(&self, target: &str) -> Result<(u16, Vec<u8>), LookupError> {
        timeout(DEADLINE, self.ask(target))
            .await
            .unwrap_or(Err(LookupError::TimedOut))
    }

    async fn ask(&self, target: &str) -> Result<(u16, Vec<u8>), LookupError> {
        let socket = UnixStream::connect(self.path())
            .await
            .map_err(LookupError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(target)
            .header(HOST, "docker")
            .body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LIMIT)
                .collect()
                .await
                .map_err(|e| {
                    if e.is::<LengthLimitError>() {
                        LookupError::TooLarge
                    } else {
                        LookupError::Body(e)
                    }
                })?;
            Ok((status, body.to_bytes().to_vec()))
        };
        // The connection has to be driven; its own fault, if any, reaches the answer.
        let driver = async {
            let _ = connection.await;
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            answer = answer => answer,
            never = driver => match never {},
        }
    }
}

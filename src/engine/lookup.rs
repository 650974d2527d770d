//! Questions of the gate's own to the engine: what a container is, before a decision about it.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HOST;
use tokio::time::timeout;

use super::Upstream;
use crate::limits::Reservation;
use crate::net::ask::{AskError, ask};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest answer: an inspected container is a few kilobytes.
const LIMIT: usize = 8 << 20;

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No answer came.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The target is no URI.
    #[error("the target cannot be sent")]
    Target(#[from] hyper::http::Error),
    /// The deadline passed.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    TimedOut,
}

impl Upstream {
    /// `GET target`, on a connection of its own; answers status and body, which `room` has room for.
    ///
    /// # Errors
    /// When there is no complete answer within 10 s and 8 MiB, or no room for it.
    pub async fn get(
        &self,
        target: &str,
        room: Option<&mut Reservation>,
    ) -> Result<(u16, Vec<u8>), LookupError> {
        let request = Request::get(target)
            .header(HOST, "docker")
            .body(Full::<Bytes>::default())?;
        let asked = ask(self.path(), self.connect_timeout, request, LIMIT, room);
        match timeout(DEADLINE, asked).await {
            Ok(answer) => {
                let (status, body) = answer?;
                Ok((status.as_u16(), body))
            }
            Err(_) => Err(LookupError::TimedOut),
        }
    }
}

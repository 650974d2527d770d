//! `GET /_ping`: whether an engine is there, and what it says of itself.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use tokio::runtime;
use tokio::time::timeout;

use super::ask::{AskError, ExchangeWire, IsWhole, ask_whole};

/// Bytes of an answer that are read; it says `OK`.
const LIMIT: usize = 4 << 10;

/// What an engine answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingAnswer {
    /// The status; a healthy engine says 200.
    pub status: StatusCode,
    /// `Server`.
    pub server: Option<String>,
    /// `Api-Version`, which every engine sends.
    pub api_version: Option<String>,
}

/// An engine that did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The socket cannot be opened.
    #[error("cannot connect to its socket")]
    Connect(#[source] io::Error),
    /// It took the connection and said nothing, or not all, in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It said something else.
    #[error(transparent)]
    Ask(AskError),
    /// The request could not be made.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// There is nothing to wait with.
    #[error("cannot wait for the answer")]
    Runtime(#[source] io::Error),
}

impl PingAnswer {
    fn of(answer: &Response<Vec<u8>>) -> Self {
        let field = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Self {
            status: answer.status(),
            server: field("server"),
            api_version: field("api-version"),
        }
    }
}

impl fmt::Display for PingAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, &self.api_version) {
            (Some(server), Some(version)) => write!(f, "{server}, API {version}"),
            (None, Some(version)) => write!(f, "API {version}"),
            (Some(server), None) => f.write_str(server),
            (None, None) => write!(f, "status {}", self.status.as_u16()),
        }
    }
}

/// Asks the engine at `socket` once, for at most `deadline`. The whole answer counts: an engine that stops in the middle of it
/// is not well.
///
/// # Errors
/// When it cannot be reached, or gives no whole answer in time.
pub async fn ping(socket: &Path, deadline: Duration) -> Result<PingAnswer, PingError> {
    let request = Request::get("/_ping")
        .header(HOST, "docker")
        .body(Full::<Bytes>::default())?;
    // A full accept queue is not waited for: the caller wants to know how the engine is now.
    let limits: (usize, IsWhole<'_>) = (LIMIT, &mut |_| false);
    let asked = ask_whole(
        (socket, ExchangeWire::Own),
        Duration::ZERO,
        request,
        limits,
        None,
    );
    match timeout(deadline, asked).await {
        Err(_) => Err(PingError::Silent(deadline)),
        Ok(Err(AskError::Connect(error))) => Err(PingError::Connect(error)),
        Ok(Err(error)) => Err(PingError::Ask(error)),
        Ok(Ok(answer)) => Ok(PingAnswer::of(&answer)),
    }
}

/// The same for a command, which has nothing else to do meanwhile.
///
/// # Errors
/// Those of [`ping`].
pub fn ping_and_wait(socket: &Path, deadline: Duration) -> Result<PingAnswer, PingError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(PingError::Runtime)?
        .block_on(ping(socket, deadline))
}

//! The commands' side of the control socket, and of the metrics listener's `/ready`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Connections, ControlRefused, GateStatus, Kick, Kicked, OwnersReport, Reloaded};
use crate::observe::health::Readiness;

/// Bytes of an answer: a full table of ten thousand connections is a few megabytes.
const MAX_BODY: usize = 64 << 20;

/// Why the running gate could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket.
    #[error("there is no control socket at {}: no gate is running here, or it uses another one", .0.display())]
    Missing(PathBuf),
    /// Nobody listens.
    #[error("no gate is running at the control socket {}", .0.display())]
    Refused(PathBuf),
    /// It is for its owner only.
    #[error("the control socket {} is only for the gate's own user and root", .0.display())]
    Forbidden(PathBuf),
    /// The connection failed.
    #[error("cannot talk to the gate at {0}: {1}")]
    Talk(String, String),
    /// No answer in time.
    #[error("the gate at {0} did not answer within {1:?}")]
    TimedOut(String, Duration),
    /// It refused.
    #[error("the gate refused: {0}")]
    Answer(String),
}

impl ClientError {
    /// Whether no gate is there at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Refused(_))
    }

    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) | Self::Refused(_) => Some(
                "name the gate's own with --control-socket, DOCKGATE_CONTROL_SOCKET or --config-file",
            ),
            Self::Forbidden(_) => Some("run the command as root or as the gate's user"),
            _ => None,
        }
    }
}

/// Asks the gate behind a control socket. Each call is one connection under one deadline.
#[derive(Clone, Debug)]
pub struct ControlClient {
    path: PathBuf,
    deadline: Duration,
}

impl ControlClient {
    /// Names the socket.
    #[must_use]
    pub fn new(path: PathBuf, deadline: Duration) -> Self {
        Self { path, deadline }
    }

    /// `GET /connections`.
    ///
    /// # Errors
    /// When there is no gate, or no proper answer in time.
    pub async fn connections(&self) -> Result<Connections, ClientError> {
        self.ask(Method::GET, "/connections", &()).await
    }

    /// `GET /owners`.
    ///
    /// # Errors
    /// When there is no gate, when the engine cannot be asked, or no proper answer in time.
    pub async fn owners(&self) -> Result<OwnersReport, ClientError> {
        self.ask(Method::GET, "/owners", &()).await
    }

    /// `POST /kick`.
    ///
    /// # Errors
    /// When there is no gate, or no proper answer in time.
    pub async fn kick(&self, kick: &Kick) -> Result<Kicked, ClientError> {
        self.ask(Method::POST, "/kick", kick).await
    }

    /// `POST /reload`.
    ///
    /// # Errors
    /// When there is no gate, when the reload failed, or no proper answer in time.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.ask(Method::POST, "/reload", &()).await
    }

    /// `GET /ready`.
    ///
    /// # Errors
    /// When there is no gate, or no proper answer in time.
    pub async fn ready(&self) -> Result<Readiness, ClientError> {
        self.ask(Method::GET, "/ready", &()).await
    }

    /// `GET /status`.
    ///
    /// # Errors
    /// When there is no gate, or no proper answer in time.
    pub async fn status(&self) -> Result<GateStatus, ClientError> {
        self.ask(Method::GET, "/status", &()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let name = format!("unix://{}", self.path.display());
        let work = async {
            let stream = UnixStream::connect(&self.path)
                .await
                .map_err(|e| self.connecting(&name, &e))?;
            exchange(stream, &name, method, path, body).await
        };
        timeout(self.deadline, work)
            .await
            .unwrap_or(Err(ClientError::TimedOut(name.clone(), self.deadline)))
    }

    fn connecting(&self, name: &str, error: &io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::NotFound => ClientError::Missing(self.path.clone()),
            io::ErrorKind::ConnectionRefused => ClientError::Refused(self.path.clone()),
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(self.path.clone()),
            _ => ClientError::Talk(name.to_owned(), error.to_string()),
        }
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `GET /ready` of the metrics listener.
///
/// # Errors
/// When it cannot be reached, or gives no proper answer in time.
pub async fn ready_by_tcp(
    address: SocketAddr,
    deadline: Duration,
) -> Result<Readiness, ClientError> {
    let name = format!("http://{address}");
    let work = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| ClientError::Talk(name.clone(), e.to_string()))?;
        exchange(stream, &name, Method::GET, "/ready", &()).await
    };
    timeout(deadline, work)
        .await
        .unwrap_or(Err(ClientError::TimedOut(name.clone(), deadline)))
}

async fn exchange<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    name: &str,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> Result<T, ClientError> {
    let talk = |e: &dyn std::fmt::Display| ClientError::Talk(name.to_owned(), e.to_string());
    let body = if method == Method::GET {
        Vec::new()
    } else {
        serde_json::to_vec(body).map_err(|e| talk(&e))?
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "dockgate")
        .header("Content-Type", "application/json")
        .body(Full::<Bytes>::from(body))
        .map_err(|e| talk(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| talk(&e))?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|e| talk(&e))?;
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|e| talk(&e))?
        .to_bytes();
    driver.abort();
    // Readiness answers 503 with the same body.
    if !matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) {
        let message = serde_json::from_slice::<ControlRefused>(&bytes)
            .map_or_else(|_| status.to_string(), |refused| refused.message);
        return Err(ClientError::Answer(message));
    }
    serde_json::from_slice(&bytes).map_err(|e| talk(&e))
}

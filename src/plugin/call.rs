//! One call of the engine's plugin protocol: a JSON object posted over a unix socket, a JSON object back.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::Path;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::DEADLINE;

/// What dockerd sends as `Content-Type` and `Accept`.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Largest answer of a plugin, in bytes.
const LIMIT: usize = 1 << 20;

/// A call without a usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The socket cannot be opened.
    #[error("cannot connect to its socket: {0}")]
    Connect(#[source] io::Error),
    /// Not an answer in HTTP.
    #[error("no answer in HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The question cannot be written.
    #[error("the question cannot be sent: {0}")]
    Question(String),
    /// The answer ended early.
    #[error("incomplete answer: {0}")]
    Body(String),
    /// The answer is too large.
    #[error("the answer is above {LIMIT} bytes")]
    TooLarge,
    /// Not the status of an answer.
    #[error("it answered {0}, expected 200")]
    Status(StatusCode),
    /// Not the protocol's JSON.
    #[error("its answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// It is another kind of plugin.
    #[error("it is no authorization plugin: it implements [{0}], expected authz")]
    Kind(String),
    /// The deadline passed.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    TimedOut,
}

/// A plugin's word. Go reads field names in any case, so plugins in other languages may write them so.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Word {
    #[serde(default, rename = "Allow", alias = "allow")]
    pub(super) allow: bool,
    #[serde(default, rename = "Msg", alias = "msg")]
    pub(super) msg: String,
    #[serde(default, rename = "Err", alias = "err")]
    pub(super) err: String,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default, rename = "Implements", alias = "implements")]
    implements: Vec<String>,
}

/// The handshake: the plugin says what it is.
pub(super) async fn activate(socket: &Path) -> Result<(), CallError> {
    let manifest: Manifest = post(socket, "Plugin.Activate", Bytes::new()).await?;
    if manifest.implements.iter().any(|kind| kind == "authz") {
        return Ok(());
    }
    Err(CallError::Kind(manifest.implements.join(", ")))
}

/// Asks for the plugin's word.
pub(super) async fn ask(
    socket: &Path,
    method: &str,
    request: &super::Request,
) -> Result<Word, CallError> {
    let question = serde_json::to_vec(request).map_err(|e| CallError::Question(e.to_string()))?;
    post(socket, method, question.into()).await
}

async fn post<T: DeserializeOwned>(
    socket: &Path,
    method: &str,
    body: Bytes,
) -> Result<T, CallError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(CallError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{method}"))
        .header(HOST, "plugin")
        .header(ACCEPT, MEDIA_TYPE)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(Full::new(body))
        .map_err(|e| CallError::Question(e.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect();
        let body = body.await.map_err(|e| {
            if e.is::<LengthLimitError>() {
                CallError::TooLarge
            } else {
                CallError::Body(e.to_string())
            }
        })?;
        if status != StatusCode::OK {
            return Err(CallError::Status(status));
        }
        Ok(serde_json::from_slice(&body.to_bytes())?)
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

#[cfg(test)]
mod tests {
    use super::Word;

    fn word(text: &str) -> Option<Word> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn only_a_clear_allow_allows() {
        assert!(word(r#"{"Allow":true}"#).is_some_and(|word| word.allow));
        assert!(word(r#"{"allow":true,"Extra":1}"#).is_some_and(|word| word.allow));
        assert!(
            word(r#"{"Allow":false,"Msg":"no"}"#)
                .is_some_and(|word| !word.allow && word.msg == "no")
        );
        assert!(word("{}").is_some_and(|word| !word.allow));
        for text in [r#"{"Allow":"true"}"#, r#"{"Allow":1}"#, "null", "true", ""] {
            assert!(word(text).is_none_or(|word| !word.allow), "{text}");
        }
    }
}

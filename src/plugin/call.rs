//! One call of the engine's plugin protocol: a JSON object posted over a unix socket, a JSON object back.

use std::path::Path;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::DEADLINE;
use crate::engine::ask::{AskError, ask};

/// What dockerd sends as `Content-Type` and `Accept`.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Largest answer of a plugin, in bytes.
const LIMIT: usize = 1 << 20;

/// A call without a usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CallError {
    /// No answer came over its socket.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The question cannot be written.
    #[error("the question cannot be sent")]
    Question(#[from] serde_json::Error),
    /// The question cannot be addressed.
    #[error("the question cannot be sent")]
    Address(#[from] hyper::http::Error),
    /// Not the status of an answer.
    #[error("it answered {0}, expected 200")]
    Status(StatusCode),
    /// Not the protocol's JSON.
    #[error("its answer cannot be read")]
    Answer(#[source] serde_json::Error),
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
pub(super) async fn word(
    socket: &Path,
    method: &str,
    request: &super::PluginRequest,
) -> Result<Word, CallError> {
    let question = serde_json::to_vec(request)?;
    post(socket, method, question.into()).await
}

async fn post<T: DeserializeOwned>(
    socket: &Path,
    method: &str,
    body: Bytes,
) -> Result<T, CallError> {
    let request = Request::post(format!("/{method}"))
        .header(HOST, "plugin")
        .header(ACCEPT, MEDIA_TYPE)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(Full::new(body))?;
    let (status, body) = ask(socket, DEADLINE, request, LIMIT, None).await?;
    if status != StatusCode::OK {
        return Err(CallError::Status(status));
    }
    serde_json::from_slice(&body).map_err(CallError::Answer)
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

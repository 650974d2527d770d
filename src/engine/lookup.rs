//! Questions of the gate's own to the engine: what a container is, before a decision about it; and requests that the gate sends in a
//! client's stead, where it has to see the answer before the client does.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, Response};
use tokio::time::timeout;

use super::Upstream;
use super::ask::{AskError, ExchangeWire, IsWhole, ask_whole, begin};
use crate::limits::Reservation;
use policy::Permitted;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for what a request does: an engine may unpack or remove much.
const PATIENCE: Duration = Duration::from_secs(600);

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
    /// The engine answered something else than what was asked for.
    #[error("it answered {0}")]
    Answer(u16),
    /// The deadline passed.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// A request that the gate sends in a client's stead.
#[derive(Clone, Debug, Default)]
pub struct EngineCall {
    /// The method.
    pub method: String,
    /// The target, origin form.
    pub target: String,
    /// The body's type, where there is a body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The engine's answer to an [`EngineCall`].
#[derive(Debug, Default)]
pub struct EngineReply {
    /// The status.
    pub status: u16,
    /// The fields of the head, without those of the connection and of the framing.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What the body takes of the memory that all share, for as long as it is held.
    pub room: Option<Reservation>,
}

impl Upstream {
    /// `GET target`, on a connection that may be kept; answers status and body, which `room` has room for.
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
        let place = (self.path(), ExchangeWire::Kept);
        let limits: (usize, IsWhole<'_>) = (LIMIT, &mut |_| false);
        let asked = ask_whole(place, self.connect_timeout, request, limits, room);
        match timeout(DEADLINE, asked).await {
            Ok(answer) => {
                let answer = answer?;
                Ok((answer.status().as_u16(), answer.into_body()))
            }
            Err(_) => Err(LookupError::TimedOut(DEADLINE)),
        }
    }

    /// Sends a request that the policy has permitted, and takes the whole answer, which `room` has room for and which keeps it. What
    /// changes something goes on a connection of its own, so that it is never sent twice.
    ///
    /// # Errors
    /// When there is no complete answer within 10 minutes and 8 MiB, or no room for it.
    pub async fn perform(
        &self,
        permit: &Permitted,
        call: EngineCall,
        room: Reservation,
    ) -> Result<EngineReply, LookupError> {
        self.perform_until(permit, call, &mut |_| false, room).await
    }

    /// The same; the answer may go on as soon as its body is found to be whole.
    ///
    /// # Errors
    /// Those of [`Upstream::perform`].
    pub async fn perform_until(
        &self,
        _permit: &Permitted,
        call: EngineCall,
        is_whole: IsWhole<'_>,
        mut room: Reservation,
    ) -> Result<EngineReply, LookupError> {
        let wire = match call.method.as_str() {
            "GET" | "HEAD" => ExchangeWire::Kept,
            _ => ExchangeWire::Own,
        };
        let mut request = Request::builder()
            .method(call.method.as_str())
            .uri(call.target)
            .header(HOST, "docker");
        if let Some(kind) = call.content_type {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(Bytes::from(call.body)))?;
        let asked = ask_whole(
            (self.path(), wire),
            self.connect_timeout,
            request,
            (LIMIT, is_whole),
            // What has been done is told: its answer is small, and must not be lost because others hold the memory.
            matches!(wire, ExchangeWire::Kept).then_some(&mut room),
        );
        let answer = match timeout(PATIENCE, asked).await {
            Ok(answer) => answer?,
            Err(_) => return Err(LookupError::TimedOut(PATIENCE)),
        };
        Ok(EngineReply {
            status: answer.status().as_u16(),
            fields: fields(answer.headers()),
            body: answer.into_body(),
            room: Some(room),
        })
    }

    /// `GET target`, which the policy has permitted; the body comes as the engine sends it, and its connection ends with it.
    ///
    /// # Errors
    /// When no head comes within 10 s: an engine sends it before there is anything to tell.
    pub async fn stream(
        &self,
        _permit: &Permitted,
        target: &str,
    ) -> Result<(EngineReply, Incoming), LookupError> {
        let request = Request::get(target)
            .header(HOST, "docker")
            .body(Full::<Bytes>::default())?;
        let asked = begin(self.path(), self.connect_timeout, request);
        let answer = timeout(DEADLINE, asked).await;
        let answer = answer.map_err(|_| LookupError::TimedOut(DEADLINE))??;
        let (head, body) = Response::into_parts(answer);
        let reply = EngineReply {
            status: head.status.as_u16(),
            fields: fields(&head.headers),
            ..EngineReply::default()
        };
        Ok((reply, body))
    }
}

/// The fields of an answer's head, without those of the connection and of the framing.
fn fields(of: &HeaderMap) -> Vec<(String, String)> {
    let fields = of.iter().filter_map(|(name, value)| {
        let framing = matches!(
            name.as_str(),
            "connection" | "content-length" | "keep-alive" | "transfer-encoding" | "upgrade"
        );
        (!framing).then_some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    fields.collect()
}

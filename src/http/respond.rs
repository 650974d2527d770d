//! The one place that turns a refusal into a response, in Docker's own error shape.
//!
//! The docker CLI prints `message` after "Error response from daemon:", and compares the content type exactly: no charset.

use hyper::StatusCode;
use serde::Serialize;
use text::escape;

use crate::engine::lookup::EngineReply;

/// Statuses the gate answers with by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The request has no single reading.
    BadRequest,
    /// The policy does not allow it.
    Forbidden,
    /// The target of the request does not exist.
    NotFound,
    /// Somebody else has the name.
    Conflict,
    /// The head did not come in time.
    Timeout,
    /// The body of an attach or exec start is too large.
    ContentTooLarge,
    /// Too many requests or connections of one client.
    TooMany,
    /// An expectation that nobody here can meet.
    ExpectationFailed,
    /// The head is too large.
    HeadTooLarge,
    /// The engine cannot be reached, or answered nonsense.
    BadGateway,
    /// Something the gate depends on does not work.
    Unavailable,
    /// A version of HTTP that is not spoken.
    Version,
}

impl Status {
    /// Code and reason phrase.
    #[must_use]
    pub fn line(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::Conflict => (409, "Conflict"),
            Self::Timeout => (408, "Request Timeout"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::ExpectationFailed => (417, "Expectation Failed"),
            Self::TooMany => (429, "Too Many Requests"),
            Self::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Self::BadGateway => (502, "Bad Gateway"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::Version => (505, "HTTP Version Not Supported"),
        }
    }
}

impl Status {
    /// Whether the next request may be read from the same connection: this one was understood, and where it ends is known.
    #[must_use]
    pub fn keeps_connection(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::NotFound
                | Self::Conflict
                | Self::TooMany
                | Self::BadGateway
                | Self::Unavailable
        )
    }
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: Status,
    /// What the user reads, without the `dockgate:` in front.
    pub message: String,
    /// When to try again, in whole seconds (RFC 9110 §10.2.3).
    pub retry_after: Option<u64>,
    /// A denial has the request's id, as the log and the audit have it.
    pub request: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
}

impl Refusal {
    /// A refusal with a message.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            request: None,
        }
    }

    /// The whole response. `is_head` leaves the body out (RFC 9110 §9.3.2); `connection` is the option that the client is told.
    #[must_use]
    pub fn to_bytes(&self, is_head: bool, connection: Option<&str>) -> Vec<u8> {
        let (code, reason) = self.status.line();
        let message = format!("dockgate: {}", escape::without_url_secrets(&self.message));
        let mut body = serde_json::to_string(&Body { message: &message }).unwrap_or_default();
        body.push('\n');
        let connection =
            connection.map_or_else(String::new, |option| format!("Connection: {option}\r\n"));
        let retry = self
            .retry_after
            .map_or_else(String::new, |s| format!("Retry-After: {s}\r\n"));
        let request = self
            .request
            .as_ref()
            .map_or_else(String::new, |id| format!("X-Request-Id: {id}\r\n"));
        let mut response = format!(
            "HTTP/1.1 {code} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}{request}{connection}\r\n",
            body.len()
        );
        if !is_head {
            response.push_str(&body);
        }
        response.into_bytes()
    }
}

/// The head of an answer of the engine's that the gate has in its hands; a body of its length follows, unless `is_head`.
#[must_use]
pub fn head(reply: &EngineReply, is_head: bool, connection: Option<&str>) -> Vec<u8> {
    let bodiless = is_head || matches!(reply.status, 204 | 304);
    let length = format!("Content-Length: {}\r\n", reply.body.len());
    let framing = if bodiless { "" } else { &length };
    head_with(reply, framing, connection)
}

/// The head of an answer of the engine's whose body comes bit by bit: in chunks, or up to the end of the connection.
#[must_use]
pub fn stream_head(reply: &EngineReply, in_chunks: bool, connection: Option<&str>) -> Vec<u8> {
    let framing = match in_chunks {
        true => "Transfer-Encoding: chunked\r\n",
        false => "",
    };
    head_with(reply, framing, connection)
}

fn head_with(reply: &EngineReply, framing: &str, connection: Option<&str>) -> Vec<u8> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in &reply.fields {
        head.push_str(&format!("{}: {value}\r\n", title(name)));
    }
    head.push_str(framing);
    if let Some(option) = connection {
        head.push_str(&format!("Connection: {option}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A field's name as Go writes it.
fn title(name: &str) -> String {
    let part = |part: &str| match part.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

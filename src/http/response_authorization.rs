//! The authorization plugin's word on an answer, awaited between the engine's head and the client.
//!
//! A JSON answer of bounded length of an operation that does not stream is shown with its body; of everything else, streams and
//! tunnels among them, the plugin sees status and fields, before the first byte goes back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::framing::Framing;
use crate::plugin::{self, MAX_ANSWER_BODY, Plugin, PluginDenied, PluginRequest};
use docker_api::{Operation, Streams};

type Review = Pin<Box<dyn Future<Output = Result<(), PluginDenied>> + Send>>;

/// Who has to be asked about an answer.
#[derive(Clone, Debug)]
pub struct ResponseAuthorization {
    plugin: Arc<Plugin>,
    request: Arc<PluginRequest>,
    streams: bool,
}

impl ResponseAuthorization {
    /// The plugin that allowed `request`.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>, request: Arc<PluginRequest>, operation: Operation) -> Self {
        let streams = matches!(operation.streams(), Streams::Response | Streams::Both);
        Self {
            plugin,
            request,
            streams,
        }
    }

    /// Whether more of the answer has to come before the plugin is asked; `body` is what came behind `head`.
    #[must_use]
    pub fn waits(&self, head: &[u8], framing: &Framing, body: &[u8]) -> bool {
        if self.streams
            || body.len() > MAX_ANSWER_BODY
            || !self.request.shows_answer(&plugin::fields(head))
        {
            return false;
        }
        let mut framing = framing.clone();
        // A malformed chunk is for the relay to report.
        framing.take(body).is_ok() && !framing.is_done()
    }

    /// Asks about an answer. `complete` is its body as it came, framing included, where all of it has come.
    #[must_use]
    pub fn ask(
        &self,
        status: u16,
        head: &[u8],
        framing: &Framing,
        complete: Option<&[u8]>,
    ) -> Question {
        let fields = plugin::fields(head);
        let shown = complete.filter(|body| {
            !self.streams && body.len() <= MAX_ANSWER_BODY && self.request.shows_answer(&fields)
        });
        let body = shown.map(|raw| {
            if framing.is_chunked() {
                super::framing::content(raw)
            } else {
                raw.to_vec()
            }
        });
        let question = self.request.answered(status, fields, body.as_deref());
        let plugin = self.plugin.clone();
        Question(Box::pin(async move {
            plugin.authorize_response(&question).await
        }))
    }
}

/// A question on its way.
pub struct Question(Review);

impl Question {
    /// Waits for the plugin's word.
    ///
    /// # Errors
    /// Unless it allows the answer.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PluginDenied>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

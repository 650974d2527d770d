//! Asks the authorization plugin, once the policy has permitted a request.

use std::sync::Arc;

use super::super::framing::Framing;
use super::super::head::RequestHead;
use super::super::outgoing::Outgoing;
use super::super::record::RequestRecord;
use super::super::respond::{Refusal, Status};
use super::super::response_authorization::ResponseAuthorization;
use super::{Session, Stop};
use crate::plugin::{MAX_REQUEST_BODY, PluginDenied, PluginRequest};

impl Session<'_> {
    /// What the plugin will be told of the request whose head is `out`: the target is the client's own spelling, as it would be
    /// at dockerd, not the full id the policy may put in its place. `None` without a plugin.
    pub(super) fn question(
        &mut self,
        record: &mut RequestRecord<'_>,
        out: &Outgoing,
    ) -> Result<Option<PluginRequest>, Stop> {
        self.authorization = None;
        let Some(plugin) = &self.shared.plugin else {
            return Ok(None);
        };
        PluginRequest::new(&self.entry.identity, out.head(), record.operation)
            .map(Some)
            .map_err(|why| refused(record, &plugin.denied(why)))
    }

    /// Asks the plugin, with the body where it is of a kind that plugins are shown, and has its answer wait for the plugin
    /// as well.
    pub(super) async fn authorize(
        &mut self,
        record: &mut RequestRecord<'_>,
        question: Option<PluginRequest>,
        request: &RequestHead,
        out: &mut Outgoing,
        body: &mut Framing,
    ) -> Result<(), Stop> {
        let (Some(plugin), Some(mut question)) = (self.shared.plugin.clone(), question) else {
            return Ok(());
        };
        question.certificates(&self.entry.chain);
        if question.shows_body() {
            let is_whole = out.content().is_some() || out.body().is_empty() && body.is_done();
            if !is_whole
                && !self
                    .inspected_body(request, out, body, MAX_REQUEST_BODY)
                    .await?
            {
                let message = format!(
                    "the body is over {MAX_REQUEST_BODY} bytes, more than a plugin is shown"
                );
                return Err(refused(record, &plugin.denied(message)));
            }
            question.body(out.body());
        }
        if let Err(denied) = Box::pin(plugin.authorize_request(&question)).await {
            return Err(refused(record, &denied));
        }
        self.authorization = Some(ResponseAuthorization::new(
            plugin,
            Arc::new(question),
            record.operation,
        ));
        Ok(())
    }
}

fn refused(record: &mut RequestRecord<'_>, denied: &PluginDenied) -> Stop {
    let message = denied.to_string();
    record.denied_by_plugin(&message);
    Stop::Refused(Refusal::new(Status::Forbidden, message))
}

//! Asks the policy, and fetches what it has to see first: the whole body, or the engine's word about a target.
//!
//! What is judged is what is sent: an inspected body is read to its end before anything is forwarded, and goes on as the
//! same bytes with its own length; a checked target goes on by its full id.

use std::io;
use std::sync::{Arc, PoisonError};

use super::super::framing::{self, Framing};
use super::super::head::RequestHead;
use super::super::outgoing::Outgoing;
use super::super::record::RequestRecord;
use super::super::respond::{Refusal, Status};
use super::body::Read;
use super::{Session, Stop};
use crate::finding;
use crate::house;
use crate::limits::Reservation;
use policy::{Answer, ClientRef, Denied, Lookup, Permitted, Policy, Request, Source};

impl Session<'_> {
    /// Decides on a request; `out` holds the head that would go on, and gets the body where it had to be read.
    pub(super) async fn decide(
        &mut self,
        record: &mut RequestRecord<'_>,
        facts: &Request<'_>,
        request: &RequestHead,
        out: &mut Outgoing,
        body: &mut Framing,
    ) -> Result<Permitted, Stop> {
        let (policy, client) = self.judged_as(record);
        if let Some(audit) = &self.shared.audit
            && let Err(e) = audit.ready()
        {
            return Err(unrecorded(record, &e));
        }
        let limited = policy.role(client).is_some_and(|role| !role.unlimited());
        let (policy, client) = match limited && self.shared.know_house().await {
            true => self.judged_as(record),
            false => (policy, client),
        };
        let mut question = self.question(record, out)?;
        let mut source = Asking {
            session: self,
            request,
            out: &mut *out,
            body: &mut *body,
        };
        match policy.decide_with(client, facts, &mut source).await? {
            Ok(permit) => {
                if let Some(target) = permit.target() {
                    out.retarget(target);
                }
                record.permitted(&permit);
                self.authorize(record, question.take(), request, out, body)
                    .await?;
                match record.goes_on() {
                    Ok(()) => Ok(permit),
                    Err(e) => Err(unrecorded(record, &e)),
                }
            }
            Err(denied) => {
                record.denied(&denied);
                Err(Stop::Refused(refusal(&denied)))
            }
        }
    }

    /// Notes under which entry and role of the policy in force this client is.
    pub(super) fn judged_as(&mut self, record: &mut RequestRecord<'_>) -> (Arc<Policy>, ClientRef) {
        let (policy, client) = self.client_entry();
        let mode = (!policy.is_open()).then(|| policy.mode(client));
        record.judged_as(policy.client_name(client), policy.role_name(client), mode);
        (policy, client)
    }

    /// The policy in force, and this client's entry in it, found anew when the policy has changed.
    fn client_entry(&mut self) -> (Arc<Policy>, ClientRef) {
        let policy = self
            .shared
            .policy
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match &self.role {
            Some((known, client)) if Arc::ptr_eq(known, &policy) => (policy, *client),
            _ => {
                let client = policy.client_for(&self.entry.identity);
                self.role = Some((policy.clone(), client));
                (policy, client)
            }
        }
    }

    /// Reads the whole body and puts it behind the head in `out`, with a length of its own; `false` if it is larger than
    /// `limit` bytes, framing included. What of it stands there already, from a try with another limit, counts.
    pub(super) async fn inspected_body(
        &mut self,
        request: &RequestHead,
        out: &mut Outgoing,
        body: &mut Framing,
        limit: usize,
    ) -> Result<bool, Stop> {
        let chunked = body.is_chunked();
        let begun = out.take_body();
        let raw = match self.read_body(request, body, begun, limit).await? {
            Read::Whole(raw) => raw,
            // Report mode lets it pass unseen: what has been read goes on, and the rest streams behind it.
            Read::Beyond(raw) => {
                out.tail().extend_from_slice(&raw);
                return Ok(false);
            }
        };
        let content = if chunked { framing::content(&raw) } else { raw };
        out.set_content(&content, chunked);
        Ok(true)
    }
}

/// What a decision may have to see of a request: its body from the client, the rest from the engine and the host.
struct Asking<'r, 's> {
    session: &'r mut Session<'s>,
    request: &'r RequestHead,
    out: &'r mut Outgoing,
    body: &'r mut Framing,
}

impl Source for Asking<'_, '_> {
    type Error = Stop;

    async fn body(&mut self, most: usize) -> Result<Option<&[u8]>, Stop> {
        let read = self
            .session
            .inspected_body(self.request, self.out, self.body, most);
        Ok(read.await?.then(|| self.out.body()))
    }

    async fn look_up(&mut self, lookup: &Lookup) -> Result<Result<Answer, String>, Stop> {
        let shared = self.session.shared;
        let mut room = Reservation::new(&shared.pending_bodies);
        let asked = Box::pin(shared.upstream.get(&lookup.target, Some(&mut room))).await;
        Ok(asked
            .map(|(status, body)| Answer { status, body })
            .map_err(|e| finding::chain(&e)))
    }

    async fn follow(
        &mut self,
        paths: &[String],
        protected: &[String],
    ) -> Result<Result<Vec<String>, String>, Stop> {
        let (paths, protected) = (paths.to_vec(), protected.to_vec());
        let looked = tokio::task::spawn_blocking(move || house::lead_to(&paths, &protected));
        Ok(looked
            .await
            .map_err(|_| "host paths could not be resolved".to_owned()))
    }
}

/// Without a record there is no access.
fn unrecorded(record: &mut RequestRecord<'_>, error: &io::Error) -> Stop {
    let message = format!("the audit cannot be written, so nothing is let through: {error}");
    record.refused_by("audit", &message);
    Stop::Refused(Refusal::new(Status::Unavailable, message))
}

pub(super) fn refusal(denied: &Denied) -> Refusal {
    let status = match denied.status {
        404 => Status::NotFound,
        413 => Status::ContentTooLarge,
        502 => Status::BadGateway,
        _ => Status::Forbidden,
    };
    Refusal::new(status, denied.to_string())
}

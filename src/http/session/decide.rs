//! Asks the policy, and fetches what it has to see first: the whole body, or the engine's word about a target.
//!
//! What is judged is what is sent: an inspected body is read to its end before anything is forwarded, and goes on as the
//! same bytes with its own length; a checked target goes on by its full id. Nothing waits for the client between a decision and
//! the head that goes to the engine, which finds its objects by the head alone: a body that streams comes behind it.

use std::io;
use std::sync::Arc;

use super::super::framing::{self, Framing};
use super::super::head::RequestHead;
use super::super::outgoing::Outgoing;
use super::super::record::RequestRecord;
use super::super::respond::{Refusal, Status};
use super::super::scope::OwnerView;
use super::body::Read;
use super::{Session, Stop, scoped, takes_over};
use crate::error;
use crate::generation::Generation;
use crate::house;
use crate::limits::Reservation;
use crate::observe::registry::Cut;
use policy::{
    ClientRef, DecisionSource, DenialStatus, Denied, EngineAnswer, Lookup, Permitted, Request,
};

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
        let (mut generation, mut client) = self.judged_as(record)?;
        if let Some(audit) = &self.shared.audit
            && let Err(e) = audit.ready()
        {
            return Err(unrecorded(record, &e));
        }
        // Before anything is looked at: how long it takes is the client's to choose, and what was looked at may change meanwhile.
        if takes_over(record.hijack) {
            self.takeover_body(request, body, out).await?;
            (generation, client) = self.judged_as(record)?;
        }
        let role = generation.policy.role(client);
        if role.is_some_and(|role| !role.unlimited()) && self.shared.know_house().await {
            (generation, client) = self.judged_as(record)?;
        }
        let mut question = self.question(record, out)?;
        loop {
            if let Some(denied) = self.ownerless(record) {
                return Err(scoped::stopped(record, &denied));
            }
            let mut source = Asking {
                session: self,
                request,
                out: &mut *out,
                body: &mut *body,
            };
            let policy = &generation.policy;
            match policy.decide_with(client, facts, &mut source).await {
                Ok(Ok(permit)) => {
                    if let Some(target) = permit.target() {
                        out.retarget(target);
                    }
                    record.permitted(&permit);
                    self.authorize(record, question.take(), request, out, body)
                        .await?;
                    if !self.is_replaced() {
                        match record.goes_on().await {
                            Err(e) => return Err(unrecorded(record, &e)),
                            // The audit may have been waited for.
                            Ok(()) if !self.is_replaced() => return Ok(permit),
                            Ok(()) => {}
                        }
                    }
                }
                Ok(Err(mut denied)) => {
                    denied.name_certificate(&self.entry.identity);
                    record.denied(&denied);
                    return Err(Stop::Refused(refusal(&denied)));
                }
                Err(Interrupted::Stopped(stop)) => return Err(stop),
                Err(Interrupted::Replaced) => {}
            }
            // What was published meanwhile decides, from the beginning.
            (generation, client) = self.judged_as(record)?;
        }
    }

    /// Whether a reload has published since this client was last judged.
    fn is_replaced(&self) -> bool {
        !Arc::ptr_eq(&self.shared.generation(), &self.judged.0)
    }

    /// Judges the client by the generation in force, if it was not yet, and notes under which entry and role of its policy the
    /// client is. A client that the trust in force refuses is cut before its request is decided.
    pub(super) fn judged_as(
        &mut self,
        record: &mut RequestRecord<'_>,
    ) -> Result<(Arc<Generation>, ClientRef), Stop> {
        let generation = self.shared.generation();
        let (before, _) = &self.judged;
        if !Arc::ptr_eq(&generation, before) {
            if !generation.has_trust_of(before)
                && let Err(why) = generation.judge(&self.entry.chain)
            {
                self.entry.cut(Cut::Untrusted(why));
                return Err(Stop::Gone);
            }
            let client = generation.policy.client_for(&self.entry.identity);
            self.scope = scoped::scope_of(&generation, client, &self.entry.identity);
            self.judged = (generation, client);
        }
        let (generation, client) = self.judged.clone();
        let policy = &generation.policy;
        let mode = (!policy.is_open()).then(|| policy.mode(client));
        record.judged_as(policy.client_name(client), policy.role_name(client), mode);
        Ok((generation, client))
    }

    /// Reads the whole body and puts it behind the head in `out`, with a length of its own; `false` if it is larger than
    /// `limit` bytes, framing included. Bytes appended by an earlier call are included.
    pub(super) async fn inspected_body(
        &mut self,
        request: &RequestHead,
        out: &mut Outgoing,
        body: &mut Framing,
        limit: usize,
    ) -> Result<bool, Stop> {
        if let Some(content) = out.content() {
            return Ok(content.len() <= limit);
        }
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

/// Why a decision has not come to its end.
enum Interrupted {
    /// The request goes no further.
    Stopped(Stop),
    /// Another generation was published while something was fetched.
    Replaced,
}

impl Asking<'_, '_> {
    fn still(&self) -> Result<(), Interrupted> {
        match self.session.is_replaced() {
            true => Err(Interrupted::Replaced),
            false => Ok(()),
        }
    }
}

impl DecisionSource for Asking<'_, '_> {
    type Error = Interrupted;

    async fn body(&mut self, most: usize) -> Result<Option<&[u8]>, Interrupted> {
        let read = self
            .session
            .inspected_body(self.request, self.out, self.body, most);
        let is_whole = read.await.map_err(Interrupted::Stopped)?;
        self.still()?;
        Ok(is_whole.then(|| self.out.body()))
    }

    async fn look_up(
        &mut self,
        lookup: &Lookup,
    ) -> Result<Result<EngineAnswer, String>, Interrupted> {
        let shared = self.session.shared;
        if let Some(Ok(client)) = self.session.scope.clone() {
            let own = std::mem::take(&mut self.session.own);
            let mut view = OwnerView::new(shared, &client, own);
            let answer = Box::pin(view.answer(&lookup.target)).await;
            self.session.own = view.own;
            self.still()?;
            return Ok(answer.map_err(|e| error::report(&e)));
        }
        // Its time is the engine's, not the client's.
        let mut room = Reservation::new(shared.pending_bodies.all());
        let asked = Box::pin(shared.upstream.get(&lookup.target, Some(&mut room))).await;
        self.still()?;
        Ok(asked
            .map(|(status, body)| EngineAnswer { status, body })
            .map_err(|e| error::report(&e)))
    }

    async fn follow(
        &mut self,
        paths: &[String],
        protected: &[String],
    ) -> Result<Result<Vec<String>, String>, Interrupted> {
        let known = Box::pin(self.session.shared.know_data_root()).await;
        self.still()?;
        if let Err(why) = known {
            return Ok(Err(why));
        }
        let (paths, protected) = (paths.to_vec(), protected.to_vec());
        let looked = tokio::task::spawn_blocking(move || house::lead_to(&paths, &protected));
        let looked = looked.await;
        self.still()?;
        Ok(looked.map_err(|_| "host paths could not be resolved".to_owned()))
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
        DenialStatus::Forbidden => Status::Forbidden,
        DenialStatus::NotFound => Status::NotFound,
        DenialStatus::TooLarge => Status::ContentTooLarge,
        DenialStatus::BadGateway => Status::BadGateway,
    };
    Refusal::new(status, denied.to_string())
}

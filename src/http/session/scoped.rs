//! A client whose role has a scope: who it is, what it sees, and the answers that the gate gives from the engine's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use super::super::framing::Framing;
use super::super::outgoing::Outgoing;
use super::super::record::RequestRecord;
use super::super::respond::{self, Refusal, Status};
use super::super::scope::{Course, Halt, OwnerView, ScopedClient, ScopedRequest};
use super::{After, LINGER, Ready, Session, Stop, decide};
use crate::engine::lookup::EngineReply;
use crate::generation::Generation;
use crate::limits::Reservation;
use crate::plugin::MAX_ANSWER_BODY;
use pki::identity::Identity;
use policy::scope::budget::BUDGET_RULE;
use policy::scope::{ObjectOwner, OwnerError, SCOPE_RULE};
use policy::{ClientRef, Denied};

/// What a plugin's question about an answer is: the body, in base64, in JSON, and that on its way.
const COPIES: usize = 4;

/// Room for the head of an answer; the engine's fields are a few hundred bytes.
const LONGEST_HEAD: usize = 4096;

/// How much of an answer a client has to take in time.
const PART: usize = 256 * 1024;

/// How long it may take for that.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same where a client holds more than half of its share: it takes what it asked for before it asks for more.
const SCARCE: Duration = Duration::from_secs(10);

/// How often it is looked at whether it does.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a client may take for all of an answer that is held for it.
const WHOLE: Duration = Duration::from_secs(120);

/// A client's scope; an error where its certificate cannot own anything.
pub(super) type ScopeOf = Option<Result<Arc<ScopedClient>, OwnerError>>;

/// The scope of a client under a generation.
pub(super) fn scope_of(generation: &Generation, client: ClientRef, identity: &Identity) -> ScopeOf {
    let policy = &generation.policy;
    let scope = policy.role(client)?.scope.clone()?;
    let Some(key) = &generation.owner_key else {
        return Some(Err(OwnerError::Keyless));
    };
    let owner = ObjectOwner::of(scope.by, identity, policy.client_name(client), key);
    Some(owner.map(|owner| Arc::new(ScopedClient { scope, owner })))
}

impl<'a> Session<'a> {
    /// The denial of a client that has a scope and cannot own anything.
    pub(super) fn ownerless(&self, record: &RequestRecord<'_>) -> Option<Box<Denied>> {
        let error = self.scope.as_ref()?.as_ref().err()?;
        Some(self.outside(record, error.to_string()))
    }

    fn outside(&self, record: &RequestRecord<'_>, detail: String) -> Box<Denied> {
        let (generation, client) = &self.judged;
        Box::new(Denied {
            client: generation.policy.client_name(*client).to_owned(),
            role: generation.policy.role_name(*client).to_owned(),
            operation: record.operation,
            rule: SCOPE_RULE,
            detail,
            allowed: String::new(),
            grant: String::new(),
            status: policy::DenialStatus::Forbidden,
            command: None,
            asked: policy::Powers::default(),
        })
    }

    /// Finds the course of a permitted request of a scoped client: `None` if it goes on, with its objects pinned.
    pub(super) async fn scoped(&mut self, ready: &mut Ready<'a>) -> Option<After> {
        let client = match self.scope.clone()? {
            Ok(client) => client,
            Err(error) => {
                let denied = self.outside(&ready.record, error.to_string());
                return Some(self.deny(ready, &denied).await);
            }
        };
        let sent = Instant::now();
        let course = self.course_of(&client, ready).await;
        match course {
            Ok(Course::Forward) => None,
            Ok(Course::Retarget(target)) => {
                ready.out.retarget(&target);
                None
            }
            Ok(Course::Events(target)) => {
                Some(Box::pin(self.events(&client, ready, &target)).await)
            }
            Ok(Course::Answer(reply)) | Err(Halt::Answer(reply)) => {
                ready.record.answered(sent, Some(Instant::now()));
                Some(self.answer(ready, reply).await)
            }
            Err(Halt::Budget(detail)) => {
                let mut denied = self.outside(&ready.record, detail);
                denied.rule = BUDGET_RULE;
                Some(self.deny(ready, &denied).await)
            }
            Err(Halt::Denied(detail)) => {
                let denied = self.outside(&ready.record, detail);
                Some(self.deny(ready, &denied).await)
            }
            Err(Halt::Full(full)) => {
                let refusal = self.full(full);
                Some(self.refuse_ready(ready, refusal).await)
            }
            Err(Halt::Refused(status, message)) => Some(
                self.refuse_ready(ready, Refusal::new(status, message))
                    .await,
            ),
        }
    }

    async fn course_of(
        &mut self,
        client: &ScopedClient,
        ready: &Ready<'a>,
    ) -> Result<Course, Halt> {
        let mut view = OwnerView::new(self.shared, client, std::mem::take(&mut self.own));
        let target = target_of(&ready.out);
        let classified = docker_api::classify(&ready.record.method, &target)
            .map_err(|e| Halt::Refused(Status::BadRequest, e.to_string()))?;
        let request = ScopedRequest {
            shared: self.shared,
            room: self.shared.pending_bodies.of(&self.entry.identity.spki),
            permit: &ready.permit,
            classified,
            content_type: self.content_type.take(),
            content: ready.out.content().unwrap_or_default(),
        };
        Box::pin(request.course(&mut view)).await
    }

    async fn deny(&mut self, ready: &mut Ready<'a>, denied: &Denied) -> After {
        ready.record.denied(denied);
        self.refuse_ready(ready, decide::refusal(denied)).await
    }

    pub(super) async fn refuse_ready(&mut self, ready: &mut Ready<'a>, refusal: Refusal) -> After {
        let is_head = ready.record.method == "HEAD";
        Box::pin(self.finish_refused(refusal, is_head, &ready.body, &mut ready.record)).await
    }

    /// Sends an answer that the gate has in its hands, once the authorization plugin has seen it. What it takes of the memory that all
    /// share is given back when the client has it.
    pub(super) async fn answer(&mut self, ready: &mut Ready<'a>, mut reply: EngineReply) -> After {
        let mut room = reply.room.take().unwrap_or_else(|| self.held.beside());
        if let Some(authorization) = self.authorization.take() {
            let told = room.grow_to(COPIES * reply.body.len().min(MAX_ANSWER_BODY));
            if let Err(full) = told
                && ready.record.method == "GET"
            {
                let refusal = self.full(full);
                return self.refuse_ready(ready, refusal).await;
            }
            let head = respond::head(&reply, false, None);
            let framing = Framing::length(reply.body.len() as u64);
            let mut question = authorization.ask(reply.status, &head, &framing, Some(&reply.body));
            let answered = std::future::poll_fn(|cx| question.poll(cx)).await;
            if let Err(denied) = answered {
                let message = denied.to_string();
                ready.record.denied_by_plugin(&message);
                let refusal = Refusal::new(Status::Forbidden, message);
                return self.refuse_ready(ready, refusal).await;
            }
        }
        let is_head = ready.record.method == "HEAD";
        let held = room.grow_to(LONGEST_HEAD + reply.body.len());
        // What was done is told in any case: its answer is small, and was reserved while it was read.
        if let Err(full) = held
            && ready.record.method == "GET"
        {
            let refusal = self.full(full);
            return self.refuse_ready(ready, refusal).await;
        }
        let (keeps, option) = self.persists(&ready.body, &ready.record, true);
        let head = respond::head(&reply, is_head, option);
        if is_head {
            reply.body = Vec::new();
        }
        let sent = self.sent(&head, &reply.body, &room).await;
        let error = sent.as_ref().err().copied();
        ready.record.finish(Some(reply.status), error);
        drop((reply, room));
        match sent {
            Ok(()) if keeps => After::Next,
            Ok(()) => After::LingerAndClose(LINGER.0),
            Err(_) => After::Drop,
        }
    }

    /// Sends what is held for the client; why it did not arrive. A client may be slow, and takes each part and the whole in time: what
    /// is held is taken from all.
    pub(super) async fn sent(
        &mut self,
        mut head: &[u8],
        mut body: &[u8],
        room: &Reservation,
    ) -> Result<(), &'static str> {
        let last = Instant::now() + WHOLE;
        while !head.is_empty() || !body.is_empty() {
            let (part, rest) = body.split_at(body.len().min(PART));
            let written = tokio::select! {
                biased;
                written = self.client.write_both(head, part) => Some(written),
                () = too_late(room) => None,
                () = sleep_until(last.into()) => None,
            };
            match written {
                Some(Ok(())) => self.entry.meter.down(head.len() + part.len()),
                Some(Err(_)) => return Err("client_gone"),
                None => return Err("the client did not take the answer in time"),
            }
            (head, body) = (&[], rest);
        }
        Ok(())
    }
}

/// Waits for as long as a client may take for a part, which is less once it holds much.
async fn too_late(room: &Reservation) {
    let began = Instant::now();
    loop {
        let most = if room.is_scarce() { SCARCE } else { PATIENCE };
        if began.elapsed() >= most {
            return;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The target in a head that is about to go on.
fn target_of(out: &Outgoing) -> String {
    let line = out.head().split(|b| *b == b'\r').next().unwrap_or_default();
    let target = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
    String::from_utf8_lossy(target).into_owned()
}

/// A stop with a denial.
pub(super) fn stopped(record: &mut RequestRecord<'_>, denied: &Denied) -> Stop {
    record.denied(denied);
    Stop::Refused(decide::refusal(denied))
}

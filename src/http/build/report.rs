//! The record of one call: a log line, audit records, a count, and what `ps` shows of it.

use std::io;
use std::time::{Instant, SystemTime};

use buildkit::Call;
use tracing::info;

use super::Respond;
use super::call::Served;
use super::relay::{self, GrpcEnd};
use crate::http::shared::Shared;
use crate::observe::audit::sink::Room;
use crate::observe::audit::{
    self, AuditCertificate, Decision, Event, MAX_DETAIL, Record, SCHEMA, shown,
};
use crate::observe::metrics::DecisionLabel;
use crate::observe::registry::{Entry, LiveCall};
use docker_api::Operation;
use policy::build::{BuildFacts, Objection};
use policy::{ClientRef, Denied, Mode, Policy, Powers};
use text::escape;

/// Bytes of a call that `ps` shows.
const MOST_SHOWN: usize = 512;

/// The engine's message before and behind a source that its policy refuses.
const REFUSED_SOURCE: (&str, [&str; 2]) = (
    "source \"",
    ["\" denied by policy", "\" not allowed by policy"],
);

/// One call from its head to its end.
pub(super) struct CallRecord<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    id: String,
    known: Option<Call>,
    path: String,
    client: String,
    role: String,
    mode: Mode,
    started: Instant,
    time: SystemTime,
    facts: BuildFacts,
    /// What report mode let pass.
    reported: Option<Objection>,
    room: Option<Room>,
    /// Whether its end has been recorded.
    ended: bool,
}

impl<'a> CallRecord<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        entry: &'a Entry,
        (policy, client): (&Policy, ClientRef),
        id: String,
        known: Option<Call>,
        path: &str,
    ) -> Self {
        Self {
            shared,
            entry,
            id,
            known,
            path: shown(path, MAX_DETAIL),
            client: policy.client_name(client).to_owned(),
            role: policy.role_name(client).to_owned(),
            mode: policy.mode(client),
            started: Instant::now(),
            time: SystemTime::now(),
            facts: known.map(BuildFacts::call).unwrap_or_default(),
            reported: None,
            room: None,
            ended: false,
        }
    }

    fn call(&self) -> &'static str {
        self.known.map_or("build.unknown", Call::id)
    }

    /// Notes what the call asks for.
    pub(super) fn asks(&mut self, facts: BuildFacts) {
        self.facts = facts;
    }

    /// Notes what the engine says it takes.
    pub(super) fn takes(&mut self, facts: BuildFacts) {
        self.facts.join(facts);
    }

    /// Notes what would be refused if it were enforced.
    pub(super) fn would_deny(&mut self, objection: &Objection) {
        self.reported.get_or_insert_with(|| objection.clone());
    }

    /// Shows the call among what its connection does, as long as the answer is kept.
    pub(super) fn live(&self) -> LiveCall<'a> {
        let mut text = self.call().to_owned();
        for (key, value) in &self.facts.kept {
            let key = policy::build::build_key(key).unwrap_or(key);
            text.push_str(&format!(" {key}={value}"));
        }
        self.entry.calls(shown(&text, MOST_SHOWN))
    }

    /// Answers the call with a refusal, and records that. A client that has given the call up meanwhile has no answer.
    pub(super) fn refuse(
        &mut self,
        respond: &mut Respond,
        status: u8,
        objection: &Objection,
    ) -> Served {
        let denied = Denied {
            client: self.client.clone(),
            role: self.role.clone(),
            operation: Operation::BuildGrpc,
            rule: objection.rule,
            detail: objection.detail.clone(),
            allowed: objection.allowed.clone(),
            grant: String::new(),
            status: policy::DenialStatus::Forbidden,
            command: None,
            asked: Powers::default(),
        };
        let served = relay::refuse(respond, status, &format!("dockgate: {denied}"));
        self.finish(Decision::Deny, Some(objection), None);
        served
    }

    /// Records that the call goes on, and keeps room for the record of its end.
    pub(super) async fn goes_on(&mut self) -> io::Result<()> {
        let Some(audit) = &self.shared.audit else {
            return Ok(());
        };
        let (decision, objection) = self.decision();
        let record = self.audited(Event::Decided, decision, objection.as_ref(), None);
        let room = audit.decided(&record, 1)?;
        self.room.insert(room).recorded().await
    }

    fn decision(&self) -> (Decision, Option<Objection>) {
        match &self.reported {
            Some(objection) => (Decision::WouldDeny, Some(objection.clone())),
            None => (Decision::Allow, None),
        }
    }

    /// Notes that its client left before anything was decided.
    pub(super) fn gone(&mut self) {
        self.finish(Decision::Deny, None, Some("client_gone"));
    }

    /// Notes that it broke off.
    pub(super) fn broken(&mut self, error: &h2::Error) {
        let (decision, objection) = self.decision();
        self.finish(decision, objection.as_ref(), Some(&error.to_string()));
    }

    /// Notes its end. A source that the engine refused, by the rules that were appended, counts as refused.
    pub(super) fn ended(&mut self, end: &GrpcEnd) {
        let (mut decision, mut objection) = self.decision();
        if let Some(source) = refused_source(end) {
            self.facts.add("sources", source);
            decision = Decision::Deny;
            let detail = format!("the engine refused the source {}", escape::quoted(source));
            objection = Some(Objection::new("sources", detail));
        }
        let error = end.status.filter(|status| *status != 0);
        let error = error.map(|status| format!("gRPC status {status}: {}", end.message));
        let error = error.map(|error| shown(&escape::without_url_secrets(&error), 512));
        self.finish(decision, objection.as_ref(), error.as_deref());
    }

    fn finish(&mut self, decision: Decision, objection: Option<&Objection>, error: Option<&str>) {
        self.ended = true;
        let label = match decision {
            Decision::Allow => DecisionLabel::Allowed,
            Decision::Deny => DecisionLabel::Denied,
            Decision::WouldDeny => DecisionLabel::WouldDeny,
        };
        self.shared.metrics.build_call(self.known, label);
        self.said(decision, objection, error);
        let record = self.audited(Event::Request, decision, objection, error);
        match (&mut self.room, &self.shared.audit) {
            (Some(room), _) => room.write(&record),
            (None, Some(sink)) => sink.write(&record),
            (None, None) => {}
        }
    }

    fn said(&self, decision: Decision, objection: Option<&Objection>, error: Option<&str>) {
        let decision = match decision {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
            Decision::WouldDeny => "would_deny",
        };
        info!(
            conn.id = self.entry.id,
            req.id = self.id,
            client.addr = %self.entry.peer,
            client.id = self.entry.identity.label(),
            role = self.role,
            path = self.path,
            op = self.call(),
            decision,
            rule = objection.map(|objection| objection.rule),
            reason = objection.map(|objection| objection.detail.as_str()),
            duration_ms = self.started.elapsed().as_secs_f64() * 1e3,
            error,
            "Build call"
        );
    }

    fn audited(
        &self,
        event: Event,
        decision: Decision,
        objection: Option<&Objection>,
        reason: Option<&str>,
    ) -> Record {
        Record {
            schema: SCHEMA,
            time: audit::timestamp(self.time),
            event,
            request: self.id.clone(),
            connection: format!("{:x}", self.entry.id),
            address: self.entry.peer.to_string(),
            certificate: AuditCertificate::of(&self.entry.identity),
            client: self.client.clone(),
            role: self.role.clone(),
            operation: self.call().to_owned(),
            method: "POST".to_owned(),
            path: self.path.clone(),
            target: None,
            decision,
            rule: objection.map(|objection| objection.rule.to_owned()),
            detail: objection.map(|objection| {
                shown(&escape::without_url_secrets(&objection.detail), MAX_DETAIL)
            }),
            grant: None,
            mode: match self.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Report => "report".to_owned(),
            },
            status: match decision {
                Decision::Deny => 403,
                Decision::Allow | Decision::WouldDeny => 200,
            },
            bytes_in: 0,
            bytes_out: 0,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            upstream_us: 0,
            command: None,
            facts: self.facts.kept.clone(),
            facts_omitted: self.facts.omitted,
            reason: reason.map(ToOwned::to_owned),
        }
    }
}

impl Drop for CallRecord<'_> {
    /// A call whose connection is cut in the middle has an end too.
    fn drop(&mut self) {
        if !self.ended {
            let (decision, objection) = match &self.room {
                Some(_) => self.decision(),
                None => (Decision::Deny, None),
            };
            self.finish(decision, objection.as_ref(), Some("cut"));
        }
    }
}

/// The source that the engine says it refused.
fn refused_source(end: &GrpcEnd) -> Option<&str> {
    let (before, behind) = REFUSED_SOURCE;
    let end = behind
        .iter()
        .find_map(|behind| end.message.split_once(behind));
    let (_, source) = end?.0.rsplit_once(before)?;
    Some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_refusal_names_the_source() {
        let end = |message: &str| GrpcEnd {
            status: Some(2),
            message: message.to_owned(),
        };
        for (message, source) in [
            (
                "failed to solve: x: error evaluating the source policy: source \"docker-image://x/y:1\" denied by policy: source denied by policy",
                Some("docker-image://x/y:1"),
            ),
            (
                "source \"https://h/x\" not allowed by policy: action DENY",
                Some("https://h/x"),
            ),
            ("process \"/bin/sh\" did not complete successfully", None),
        ] {
            assert_eq!(refused_source(&end(message)), source, "{message}");
        }
    }
}

//! The record of one call: a log line, an audit record and a count.

use std::io;
use std::time::{Instant, SystemTime};

use buildkit::{FrontendSolve, Llb, Solve};
use tracing::info;

use super::Respond;
use super::relay;
use crate::http::shared::Shared;
use crate::observe::audit::{
    self, AuditCertificate, Decision, Event, MAX_DETAIL, Record, SCHEMA, shown,
};
use crate::observe::metrics;
use crate::observe::registry::Entry;
use docker_api::Operation;
use policy::build::Objection;
use policy::{ClientRef, Denied, Policy, Powers};

/// Facts that one record has at most.
const MOST_FACTS: usize = 32;

/// What a call asks for, as keys of `[role.NAME.build]` and values.
#[derive(Debug, Default)]
pub(super) struct Facts {
    kept: Vec<(String, String)>,
    omitted: usize,
}

impl Facts {
    fn add(&mut self, key: &str, value: &str) {
        if self.kept.len() < MOST_FACTS {
            self.kept.push((format!("build.{key}"), shown(value, 256)));
        } else {
            self.omitted += 1;
        }
    }

    /// What a build asks for.
    pub(super) fn solve(solve: &Solve<'_>) -> Self {
        let mut facts = Self::default();
        for entitlement in &solve.entitlements {
            facts.add("entitlements", entitlement);
        }
        for exporter in &solve.exporters {
            facts.add("outputs", exporter.kind);
            let names = exporter.attributes.get("name").copied().unwrap_or_default();
            for name in names.split(',').filter(|name| !name.is_empty()) {
                facts.add("tags", name);
            }
            if let Some(push) = exporter.attributes.get("push") {
                facts.add("push", push);
            }
        }
        for cache in solve.cache_exports.iter().chain(&solve.cache_imports) {
            facts.add("cache", cache.attributes.get("ref").unwrap_or(&cache.kind));
        }
        facts.llb(&solve.inputs);
        facts.llb(&solve.raw);
        facts
    }

    /// What a frontend asks for within a build.
    pub(super) fn frontend(solve: &FrontendSolve<'_>) -> Self {
        let mut facts = Self::default();
        for cache in &solve.cache_imports {
            facts.add("cache", cache.attributes.get("ref").unwrap_or(&cache.kind));
        }
        facts.llb(&solve.inputs);
        facts.llb(&solve.raw);
        facts
    }

    /// The sources that are named.
    pub(super) fn sources(llb: &Llb<'_>) -> Self {
        let mut facts = Self::default();
        facts.llb(llb);
        facts
    }

    fn llb(&mut self, llb: &Llb<'_>) {
        for source in &llb.sources {
            self.add("sources", &text::escape::without_credentials(source));
        }
    }
}

/// One call from its head to its end.
pub(super) struct CallRecord<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    call: &'static str,
    path: String,
    client: String,
    role: String,
    started: Instant,
    time: SystemTime,
    facts: Facts,
}

impl<'a> CallRecord<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        entry: &'a Entry,
        policy: &Policy,
        client: ClientRef,
        call: &'static str,
        path: &str,
    ) -> Self {
        Self {
            shared,
            entry,
            call,
            path: shown(path, MAX_DETAIL),
            client: policy.client_name(client).to_owned(),
            role: policy.role_name(client).to_owned(),
            started: Instant::now(),
            time: SystemTime::now(),
            facts: Facts::default(),
        }
    }

    /// Notes what the call asks for.
    pub(super) fn asks(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Answers the call with a refusal, and records that.
    pub(super) fn refuse(&self, respond: Respond, status: u8, objection: &Objection) {
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
        relay::refuse(respond, status, &format!("dockgate: {denied}"));
        if let Some(audit) = &self.shared.audit {
            audit.write(&self.audited(Decision::Deny, Some(objection)));
        }
        self.said("deny", Some(objection), None);
        self.count(metrics::DecisionLabel::Denied, 403);
    }

    /// Records that the call goes on.
    pub(super) fn goes_on(&self) -> io::Result<()> {
        match &self.shared.audit {
            Some(audit) => audit
                .decided(&self.audited(Decision::Allow, None), 0)
                .map(drop),
            None => Ok(()),
        }
    }

    /// Notes that its client left before anything was decided.
    pub(super) fn gone(&self) {
        self.said("deny", None, Some("client_gone"));
        self.count(metrics::DecisionLabel::Denied, 0);
    }

    /// Notes its end.
    pub(super) fn ended(&self, error: Option<&h2::Error>) {
        let error = error.map(ToString::to_string);
        self.said("allow", None, error.as_deref());
        self.count(metrics::DecisionLabel::Allowed, 200);
    }

    fn count(&self, decision: metrics::DecisionLabel, status: u16) {
        let status = Some(status).filter(|status| *status > 0);
        let took = self.started.elapsed();
        self.shared
            .metrics
            .request(Operation::BuildGrpc, decision, status, took);
    }

    fn said(&self, decision: &str, objection: Option<&Objection>, error: Option<&str>) {
        info!(
            conn.id = self.entry.id,
            client.addr = %self.entry.peer,
            client.id = self.entry.identity.label(),
            role = self.role,
            path = self.path,
            op = self.call,
            decision,
            rule = objection.map(|objection| objection.rule),
            reason = objection.map(|objection| objection.detail.as_str()),
            duration_ms = self.started.elapsed().as_secs_f64() * 1e3,
            error,
            "Build call"
        );
    }

    fn audited(&self, decision: Decision, objection: Option<&Objection>) -> Record {
        Record {
            schema: SCHEMA,
            time: audit::timestamp(self.time),
            event: Event::Request,
            request: format!("{:x}", self.entry.id),
            connection: format!("{:x}", self.entry.id),
            address: self.entry.peer.to_string(),
            certificate: AuditCertificate::of(&self.entry.identity),
            client: self.client.clone(),
            role: self.role.clone(),
            operation: self.call.to_owned(),
            method: "POST".to_owned(),
            path: self.path.clone(),
            target: None,
            decision,
            rule: objection.map(|objection| objection.rule.to_owned()),
            detail: objection.map(|objection| shown(&objection.detail, MAX_DETAIL)),
            grant: None,
            mode: "enforce".to_owned(),
            status: if objection.is_some() { 403 } else { 200 },
            bytes_in: 0,
            bytes_out: 0,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            upstream_us: 0,
            command: None,
            facts: self.facts.kept.clone(),
            facts_omitted: self.facts.omitted,
            reason: None,
        }
    }
}

//! The record of one request: a log line, and an audit record where an audit is kept.
//!
//! A transaction that is dropped unfinished (its connection was cut, or its task panicked) is recorded all the same.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use tracing::{debug, info};

use super::head::Persistence;
use super::shared::Shared;
use crate::observe::audit::sink::Room;
use crate::observe::audit::{
    self, AuditCertificate, Decision, Event, MAX_DETAIL, Record, SCHEMA, shown,
};
use crate::observe::metrics;
use crate::observe::registry::Entry;
use docker_api::{Hijack, Operation};
use policy::{Denied, Mode, Permitted};
use text::escape;

/// Bytes of the reason that are recorded.
const MAX_REASON: usize = 1024;

/// Bytes of a method that are recorded.
const MAX_METHOD: usize = 64;

/// What the policy said of a request.
#[derive(Debug)]
struct Judgement {
    client: String,
    role: String,
    /// `None` without a policy.
    mode: Option<Mode>,
    /// `None` as long as nothing was decided.
    decision: Option<Decision>,
    rule: Option<&'static str>,
    detail: Option<String>,
    grant: Option<String>,
}

/// How much the log makes of a request.
enum Weight {
    /// It was a session.
    Session,
    /// A refusal, a fault, or all are wanted.
    Notable,
    /// One of many.
    Plain,
}

/// One request from its head to its end.
#[derive(Debug)]
pub struct RequestRecord<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    /// Its id: connection and number.
    pub id: String,
    /// The method.
    pub method: String,
    /// The path as sent, without the query, at most 2,048 bytes of it.
    pub path: String,
    /// The operation.
    pub operation: Operation,
    /// How the engine may take the connection out of HTTP, which Podman's own paths may as well although they are no
    /// known operation.
    pub hijack: Hijack,
    /// Whether it carries an `Upgrade` field.
    pub upgrade: bool,
    /// What the client's head says of its connection.
    pub connection: Persistence,
    target: Option<String>,
    started: Instant,
    time: SystemTime,
    before: (u64, u64),
    judgement: Option<Judgement>,
    audit: Option<Box<Record>>,
    /// Room for the records that follow the decision.
    room: Option<Room>,
    upstream_us: u64,
    limited: bool,
    /// Whether its head could not be read.
    unread: bool,
    /// The status that made a tunnel of it.
    switched: Option<u16>,
    open: bool,
}

impl<'a> RequestRecord<'a> {
    /// Starts the record.
    pub fn begin(
        shared: &'a Shared,
        entry: &'a Entry,
        (method, path): (&str, &str),
        (operation, hijack): (Operation, Hijack),
        target: Option<&str>,
    ) -> Self {
        let path = shown(&escape::public_path(path), MAX_DETAIL);
        let number = entry.begin(operation, &path);
        Self {
            shared,
            entry,
            id: format!("{:x}-{number}", entry.id),
            method: shown(method, MAX_METHOD),
            path,
            operation,
            hijack,
            upgrade: false,
            connection: Persistence::default(),
            target: shared
                .audit
                .is_some()
                .then(|| target.map(|name| shown(&escape::without_credentials(name), MAX_DETAIL)))
                .flatten(),
            started: Instant::now(),
            time: SystemTime::now(),
            before: entry.meter.totals(),
            judgement: None,
            audit: None,
            room: None,
            unread: false,
            upstream_us: 0,
            limited: false,
            switched: None,
            open: true,
        }
    }

    /// Starts the record of a request whose head is refused, `held` being what has come of it.
    pub fn unread(shared: &'a Shared, entry: &'a Entry, held: &[u8]) -> Self {
        let (method, path) = request_line(held);
        let nothing = (Operation::Unknown, Hijack::None);
        let mut record = Self::begin(shared, entry, (&method, &path), nothing, None);
        record.unread = true;
        record
    }

    /// Notes under which entry and role the policy judges.
    pub fn judged_as(&mut self, client: &str, role: &str, mode: Option<Mode>) {
        self.judgement = Some(Judgement {
            client: client.to_owned(),
            role: role.to_owned(),
            mode,
            decision: None,
            rule: None,
            detail: None,
            grant: None,
        });
    }

    /// Notes a permit.
    pub fn permitted(&mut self, permitted: &Permitted) {
        match permitted.would_deny() {
            Some(denied) => self.refused(Decision::WouldDeny, denied),
            None => self.decided(Decision::Allow, None),
        }
        if let Some(record) = self.record() {
            record.permitted(permitted);
        }
    }

    /// Notes a denial.
    pub fn denied(&mut self, denied: &Denied) {
        self.refused(Decision::Deny, denied);
        if let Some(record) = self.record() {
            record.denied(denied);
        }
    }

    /// Notes a denial that came while the body went on, and was not enforced.
    pub fn would_deny(&mut self, denied: &Denied) {
        self.refused(Decision::WouldDeny, denied);
        if let Some(record) = self.record() {
            record.denied(denied);
            record.decision = Decision::WouldDeny;
        }
    }

    fn refused(&mut self, decision: Decision, denied: &Denied) {
        self.decided(decision, Some((denied.rule, &denied.detail)));
        if let Some(judgement) = &mut self.judgement {
            judgement.grant = Some(denied.grant.clone()).filter(|line| !line.is_empty());
        }
    }

    fn decided(&mut self, decision: Decision, why: Option<(&'static str, &str)>) {
        if let Some(judgement) = &mut self.judgement {
            judgement.decision = Some(decision);
            judgement.grant = None;
            (judgement.rule, judgement.detail) =
                why.map(|(rule, detail)| (rule, detail.to_owned())).unzip();
        }
    }

    /// Whether it was denied, by whatever rule.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let decision = self.judgement.as_ref().and_then(|j| j.decision);
        decision == Some(Decision::Deny)
    }

    /// Notes that the authorization plugin refused it, or its answer.
    pub fn denied_by_plugin(&mut self, why: &str) {
        self.refused_by("authz-plugin", why);
    }

    /// Notes a refusal that no rule of the policy made.
    pub fn refused_by(&mut self, rule: &'static str, why: &str) {
        self.decided(Decision::Deny, Some((rule, why)));
        if let Some(record) = self.record() {
            record.decision = Decision::Deny;
            record.rule = Some(rule.to_owned());
            record.detail = Some(shown(&escape::without_url_secrets(why), MAX_DETAIL));
        }
    }

    /// Notes that a limit refused it, before the policy was asked.
    pub fn limited(&mut self, why: &str) {
        self.limited = true;
        self.refused_by("limit", why);
    }

    /// Records that the request is about to go on, and keeps room for the record of its end. Where the reader of the audit is
    /// late, it waits for it.
    ///
    /// # Errors
    /// When that cannot be recorded: without a record there is no access.
    pub async fn goes_on(&mut self) -> io::Result<()> {
        let Some(sink) = self.shared.audit.clone() else {
            return Ok(());
        };
        // A session has a record at its start too.
        let ends = if self.hijack == Hijack::None { 1 } else { 2 };
        let Some(record) = self.record() else {
            return Ok(());
        };
        record.event = Event::Decided;
        let room = sink.decided(record, ends);
        record.event = Event::Request;
        self.room.insert(room?).recorded().await
    }

    fn write(&mut self) {
        let Some(record) = self.audit.as_deref() else {
            return;
        };
        match (&mut self.room, &self.shared.audit) {
            (Some(room), _) => room.write(record),
            (None, Some(sink)) => sink.write(record),
            (None, None) => {}
        }
    }

    /// Notes when the engine's head came.
    pub fn answered(&mut self, sent: Instant, answered: Option<Instant>) {
        let waited = answered
            .unwrap_or_else(Instant::now)
            .saturating_duration_since(sent);
        self.upstream_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    }

    /// Notes that the connection has become a tunnel.
    pub fn tunnel(&mut self, status: u16) {
        self.entry.tunnel();
        self.switched = Some(status);
        info!(
            conn.id = self.entry.id, req.id = self.id, client.addr = %self.entry.peer, client.id = self.entry.identity.label(),
            method = self.method, path = self.path, op = self.operation.id(), status, "Session started"
        );
        if let Some(record) = self.record() {
            record.event = Event::SessionStart;
            record.status = status;
            self.write();
        }
        if let Some(record) = self.record() {
            record.event = Event::SessionEnd;
        }
    }

    /// Ends the record; `reason` says what was out of the ordinary, or how a tunnel ended.
    pub fn finish(&mut self, status: Option<u16>, reason: Option<&str>) {
        self.open = false;
        self.entry.end();
        let (up, down) = self.entry.meter.totals();
        let (bytes_in, bytes_out) = (up - self.before.0, down - self.before.1);
        let elapsed = self.started.elapsed();
        let status = status.or(self.switched);
        self.count(status, elapsed);
        let judged = self.judgement.as_ref().filter(|j| j.mode.is_some());
        let decision = judged.and_then(|j| j.decision).map(|d| match d {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
            Decision::WouldDeny => "would_deny",
        });
        // That an engine ended its session is how sessions end.
        let error = reason.filter(|reason| *reason != "engine_ended");
        macro_rules! say {
            ($level:ident, $message:literal) => {
                $level!(
            conn.id = self.entry.id,
            req.id = self.id,
            client.addr = %self.entry.peer,
            client.id = self.entry.identity.label(),
            role = judged.map(|j| j.role.as_str()),
            method = self.method,
            path = self.path,
            op = self.operation.id(),
            decision,
            rule = judged.and_then(|j| j.rule),
            reason = judged.and_then(|j| j.detail.as_deref()),
            grant = judged.and_then(|j| j.grant.as_deref()),
            status,
            duration_ms = elapsed.as_secs_f64() * 1e3,
            bytes.in = bytes_in,
            bytes.out = bytes_out,
            error,
            $message
                )
            };
        }
        match self.weight(status, error) {
            Weight::Session => say!(info, "Session ended"),
            Weight::Notable => say!(info, "Request"),
            Weight::Plain => say!(debug, "Request"),
        }
        let upstream_us = self.upstream_us;
        if let Some(record) = self.record() {
            record.status = status.unwrap_or_default();
            record.bytes_in = bytes_in;
            record.bytes_out = bytes_out;
            record.duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            record.upstream_us = upstream_us;
            record.reason = reason.map(|why| shown(&escape::without_url_secrets(why), MAX_REASON));
            self.write();
        }
    }

    /// How much the log makes of the request's end. A cut connection has a line of its own.
    fn weight(&self, status: Option<u16>, error: Option<&str>) -> Weight {
        let decision = self.judgement.as_ref().and_then(|j| j.decision);
        let is_fault = status.is_some_and(|status| status >= 500)
            || error.is_some_and(|error| error != "client_gone");
        if self.entry.cut_reason().is_some() {
            Weight::Plain
        } else if self.switched.is_some() {
            Weight::Session
        } else if self.unread
            || self.limited
            || is_fault
            || matches!(decision, Some(Decision::Deny | Decision::WouldDeny))
            || self.shared.access_log
        {
            Weight::Notable
        } else {
            Weight::Plain
        }
    }

    fn count(&self, status: Option<u16>, took: Duration) {
        if self.unread {
            return self.shared.metrics.malformed(status.unwrap_or_default());
        }
        // Under a policy, what ended before it was decided was not let through; the audit says the same.
        let judged = self.judgement.as_ref().filter(|j| j.mode.is_some());
        let decision = match (judged, self.judgement.as_ref().and_then(|j| j.decision)) {
            _ if self.limited => metrics::DecisionLabel::Limited,
            (Some(_), None) | (_, Some(Decision::Deny)) => metrics::DecisionLabel::Denied,
            (None, None) | (_, Some(Decision::Allow)) => metrics::DecisionLabel::Allowed,
            (_, Some(Decision::WouldDeny)) => metrics::DecisionLabel::WouldDeny,
        };
        self.shared
            .metrics
            .request(self.operation, decision, status, took);
    }

    /// The audit record, made at its first use; `None` where no audit is kept.
    fn record(&mut self) -> Option<&mut Record> {
        self.shared.audit.as_ref()?;
        let record = self.audit.take().unwrap_or_else(|| {
            let judgement = self.judgement.as_ref();
            Box::new(Record {
                schema: SCHEMA,
                time: audit::timestamp(self.time),
                event: Event::Request,
                request: self.id.clone(),
                connection: format!("{:x}", self.entry.id),
                address: self.entry.peer.to_string(),
                certificate: AuditCertificate::of(&self.entry.identity),
                client: judgement.map_or_else(|| "-".into(), |j| j.client.clone()),
                role: judgement.map_or_else(|| "none".into(), |j| j.role.clone()),
                operation: self.operation.id().to_owned(),
                method: self.method.clone(),
                path: self.path.clone(),
                target: self.target.clone(),
                // Until a permit says otherwise; who left before that was not let through.
                decision: Decision::Deny,
                rule: None,
                detail: None,
                grant: None,
                mode: match judgement.and_then(|j| j.mode) {
                    Some(Mode::Enforce) => "enforce",
                    Some(Mode::Report) => "report",
                    None => "none",
                }
                .to_owned(),
                status: 0,
                bytes_in: 0,
                bytes_out: 0,
                duration_us: 0,
                upstream_us: 0,
                command: None,
                facts: Vec::new(),
                facts_omitted: 0,
                reason: None,
            })
        });
        self.audit = Some(record);
        self.audit.as_deref_mut()
    }
}

/// Method and path of a head that was refused, as far as they can be told; nothing of a query is shown.
fn request_line(held: &[u8]) -> (String, String) {
    let line = held.split(|b| matches!(b, b'\r' | b'\n')).next();
    let mut words = line.unwrap_or_default().split(|b| *b == b' ');
    let (method, target) = (words.next(), words.next());
    let method = method.filter(|m| m.len() <= MAX_METHOD && m.iter().all(u8::is_ascii_alphabetic));
    let path = target
        .filter(|target| method.is_some() && target.starts_with(b"/"))
        .and_then(|target| target.split(|b| *b == b'?').next());
    let text = |bytes: Option<&[u8]>| {
        let bytes = bytes.unwrap_or_default();
        String::from_utf8_lossy(&bytes[..bytes.len().min(2 * MAX_DETAIL)]).into_owned()
    };
    (text(method), text(path))
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        if self.open {
            let cut = self.entry.cut_reason();
            let reason = match &cut {
                Some(cut) => cut.id(),
                None if std::thread::panicking() => "panic",
                None => "aborted",
            };
            self.finish(None, Some(reason));
        }
    }
}

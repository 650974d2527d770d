//! Sends a permitted request on, relays its answer or its tunnel, and says what comes next on the connection.

use std::future::poll_fn;
use std::time::Instant;

use tracing::warn;

use super::super::body_judge::BodyJudge;
use super::super::build::{self, Holding};
use super::super::exchange::{Exchange, ExchangeEnd, ExchangeFacts, ExchangeFailure};
use super::super::framing::Framing;
use super::super::outgoing::Outgoing;
use super::super::record::RequestRecord;
use super::super::relay::{OutBuffer, Relay};
use super::super::respond::{Refusal, Status};
use super::super::shared::Shared;
use super::super::tunnel::{Tunnel, TunnelEnd};
use super::decide::refusal;
use super::{After, LINGER, Ready, Session, Stop, gone, takes_over};
use crate::engine::diagnose::diagnose;
use crate::engine::{ConnectError, EngineStream};
use crate::observe::metrics::UpstreamError;
use crate::observe::registry::Entry;
use docker_api::{Hijack, Operation};
use policy::{BodyLength, ClientRef, Mode, Permitted, Policy};

/// Why a build session is not opened, or ended.
const FOREIGN_SESSION: &str =
    "X-Docker-Expose-Session-Uuid: expected one id that no other client has used";

impl<'a> Session<'a> {
    /// Sends the request on and sees it to its end.
    #[expect(clippy::too_many_lines, reason = "sequence")]
    pub(super) async fn forward(&mut self, ready: &mut Ready<'a>) -> After {
        let is_head = ready.record.method == "HEAD";
        let mut judge = match self.begin_body(ready) {
            Ok(judge) => judge,
            Err(stop) => {
                return self
                    .stop(stop, is_head, &ready.body, &mut ready.record)
                    .await;
            }
        };
        let facts = ready.facts();
        let sessions = match ready.record.operation {
            Operation::BuildSession => build::sessions_named(ready.out.head()),
            _ => Vec::new(),
        };
        let mut up = OutBuffer::new(std::mem::take(&mut ready.out).into_bytes());
        let (permit, body, record) = (&ready.permit, &ready.body, &mut ready.record);
        loop {
            let mut engine = match self.engine.take().filter(EngineStream::is_quiet) {
                Some(engine) => engine,
                None => match self.connect(permit).await {
                    Ok(engine) => engine,
                    Err(e) => {
                        let stop = Stop::Refused(self.unreachable(&e));
                        return self.stop(stop, is_head, body, record).await;
                    }
                },
            };
            let relay = Relay {
                client: &mut self.client,
                engine: &mut engine,
                up,
                down: OutBuffer::default(),
                meter: &self.entry.meter,
                surplus: false,
                judge: judge.take(),
            };
            let sent = Instant::now();
            let mut exchange = Exchange::new(relay, facts, body.clone(), &self.shared.draining);
            exchange.authorization.clone_from(&self.authorization);
            let end = poll_fn(|cx| exchange.poll(cx)).await;
            let status = exchange.status;
            let rest = exchange.body().clone();
            record.answered(sent, exchange.answered);
            let mut relay = exchange.into_relay();
            if let Some(denied) = relay.judge.as_mut().and_then(|judge| judge.reported.take()) {
                record.would_deny(&denied);
            }
            match end {
                ExchangeEnd::Stale => {
                    up = relay.up;
                    up.rewind();
                }
                ExchangeEnd::Reuse => {
                    engine.reuse();
                    self.engine = Some(engine);
                    record.finish(status, None);
                    return After::Next;
                }
                ExchangeEnd::Close => {
                    record.finish(status, None);
                    return After::LingerAndClose(LINGER.0);
                }
                ExchangeEnd::Tunnel(early) => {
                    if !opened((self.shared, self.entry), &sessions) {
                        record.refused_by("owner", FOREIGN_SESSION);
                        record.finish(status, Some(FOREIGN_SESSION));
                        return After::Drop;
                    }
                    let judged = record.operation == Operation::BuildGrpc
                        && judges_builds(&self.judged.0.policy, self.judged.1);
                    let switched = Switched {
                        status,
                        early,
                        judged,
                    };
                    return tunnel((self.shared, self.entry), relay, switched, record).await;
                }
                ExchangeEnd::ClientGone => {
                    record.finish(status, Some("client_gone"));
                    return After::Drop;
                }
                ExchangeEnd::Unanswered(failure) => {
                    // The engine must not take what it has for a whole body, and not wait for the rest.
                    drop(engine);
                    let stop = Stop::Refused(self.unanswered(failure, record));
                    return self.stop(stop, is_head, &rest, record).await;
                }
                ExchangeEnd::Cut(failure) => {
                    self.cut(failure, status, record);
                    return After::Drop;
                }
            }
        }
    }

    /// Takes the first of the body along, as far as it may go; what judges the rest comes back.
    fn begin_body(&mut self, ready: &mut Ready<'a>) -> Result<Option<Box<BodyJudge>>, Stop> {
        let Ready {
            permit,
            request,
            body,
            out,
            record,
        } = ready;
        // A plugin may have had the body read whole, which took the chunks off it.
        let length = match body.is_done() {
            true => BodyLength::Exact(out.body().len() as u64),
            false => body.announced(),
        };
        let mut judge = permit
            .context()
            .filter(|_| !request.framing.is_done())
            .map(|context| Box::new(BodyJudge::new(context, length)));
        // That of an attach or exec start was read before the decision.
        if !takes_over(record.hijack) {
            self.first_of_body(body, out.tail())?;
        }
        if let Some(judge) = &mut judge
            && let Err(denied) = judge.look_at(out.body())
        {
            record.denied(&denied);
            return Err(Stop::Refused(refusal(&denied)));
        }
        match self.foreign_session(record, out) {
            Some(refusal) => Err(Stop::Refused(refusal)),
            None => Ok(judge),
        }
    }

    /// The refusal of a request that the engine did not answer, or whose answer may not go back.
    fn unanswered(&self, failure: ExchangeFailure, record: &mut RequestRecord<'_>) -> Refusal {
        match failure {
            ExchangeFailure::Request(bad) => Refusal::new(Status::BadRequest, bad.to_string()),
            ExchangeFailure::Policy(denied) => {
                record.denied(&denied);
                refusal(&denied)
            }
            ExchangeFailure::Plugin(denied) => {
                let denied = denied.to_string();
                record.denied_by_plugin(&denied);
                Refusal::new(Status::Forbidden, denied)
            }
            failure => {
                self.shared.metrics.upstream_error(UpstreamError::NoAnswer);
                warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "No answer from the engine");
                Refusal::new(Status::BadGateway, failure.to_string())
            }
        }
    }

    /// Records an answer that ends before its end.
    fn cut(&self, failure: ExchangeFailure, status: Option<u16>, record: &mut RequestRecord<'_>) {
        match failure {
            ExchangeFailure::Policy(denied) => {
                record.denied(&denied);
                record.finish(status, Some(&denied.to_string()));
            }
            ExchangeFailure::Request(bad) => record.finish(status, Some(&bad.to_string())),
            failure => {
                self.shared.metrics.upstream_error(UpstreamError::CutOff);
                warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "Answer cut off");
                record.finish(status, Some("cut_off"));
            }
        }
    }

    /// The refusal of a build session whose id is another client's: its owner's secrets and files could be had by it.
    fn foreign_session(
        &self,
        record: &mut RequestRecord<'_>,
        out: &mut Outgoing,
    ) -> Option<Refusal> {
        if record.operation != Operation::BuildSession {
            return None;
        }
        let owner = &self.entry.identity.spki;
        let ids = build::sessions_named(out.head());
        let builds = &self.shared.builds;
        let foreign = ids
            .iter()
            .any(|id| builds.owns(Holding::Session, id, owner) == Some(false));
        // What cannot have an owner goes on where no build is judged: no judged build can name it.
        let unclear = ids.len() > 1
            || ids
                .iter()
                .any(|id| !builds.is_free(Holding::Session, id, owner));
        let enforced = self.judged.0.policy.mode(self.judged.1) == Mode::Enforce;
        let judged = judges_builds(&self.judged.0.policy, self.judged.1) && enforced;
        let refused = foreign || unclear && judged;
        if !refused {
            if judged {
                build::keep_contexts_apart(out, owner);
            }
            return None;
        }
        record.refused_by("owner", FOREIGN_SESSION);
        Some(Refusal::new(Status::Forbidden, FOREIGN_SESSION.to_owned()))
    }

    async fn connect(&self, permit: &Permitted) -> Result<EngineStream, ConnectError> {
        self.shared.metrics.upstream_connect();
        let connected = self.shared.upstream.connect(permit).await;
        if let Err(e) = &connected {
            let reason = UpstreamError::of(&e.source);
            self.shared.metrics.upstream_error(reason);
        }
        connected
    }

    fn unreachable(&self, error: &ConnectError) -> Refusal {
        let problem = diagnose(&error.path, &error.source);
        let (what, hint) = (problem.message(), problem.hint());
        warn!(
            conn.id = self.entry.id,
            error = what,
            hint,
            "Cannot reach the Docker Engine"
        );
        let advice = hint
            .map(|hint| format!(" (hint: {hint})"))
            .unwrap_or_default();
        Refusal::new(Status::BadGateway, format!("{what}{advice}"))
    }

    /// Whether the next request may be read behind an answer of the gate's own, and the option that says so.
    pub(super) fn persists(
        &mut self,
        body: &Framing,
        record: &RequestRecord<'_>,
        keeps: bool,
    ) -> (bool, Option<&'static str>) {
        let mut body = body.clone();
        let complete = self.first_of_body(&mut body, &mut Vec::new()).is_ok() && body.is_done();
        // What a client sends ahead of a switch that is refused is no request (RFC 9931).
        let keeps = complete
            && keeps
            && record.hijack == Hijack::None
            && !record.upgrade
            && record.connection.persistent
            && !self.shared.draining.is_cancelled();
        let option = match (keeps, record.connection.http10) {
            (false, _) => Some("close"),
            (true, true) => Some("keep-alive"),
            (true, false) => None,
        };
        (keeps, option)
    }

    /// Ends a request that goes no further.
    pub(super) async fn stop(
        &mut self,
        stop: Stop,
        is_head: bool,
        body: &Framing,
        record: &mut RequestRecord<'_>,
    ) -> After {
        match stop {
            Stop::Refused(refusal) => {
                Box::pin(self.finish_refused(refusal, is_head, body, record)).await
            }
            Stop::Gone => gone(record),
        }
    }

    /// Answers a request that goes no further. The connection stays open where the next request's start is known.
    pub(super) async fn finish_refused(
        &mut self,
        mut refusal: Refusal,
        is_head: bool,
        body: &Framing,
        record: &mut RequestRecord<'_>,
    ) -> After {
        if record.is_denied() {
            refusal.request = Some(record.id.clone());
        }
        let (keeps, option) = self.persists(body, record, refusal.status.keeps_connection());
        let bytes = refusal.to_bytes(is_head, option);
        let sent = self.client.write_all(&bytes).await;
        self.entry.meter.down(bytes.len());
        record.finish(Some(refusal.status.line().0), Some(&refusal.message));
        match sent {
            Ok(()) if keeps => After::Next,
            Ok(()) => After::LingerAndClose(LINGER.0),
            Err(_) => After::Drop,
        }
    }
}

impl Ready<'_> {
    fn facts(&self) -> ExchangeFacts {
        let (request, record) = (&self.request, &self.record);
        let is_head = record.method == "HEAD";
        ExchangeFacts {
            is_head,
            http10: request.http10,
            persistent: request.persistent,
            upgrade: request.upgrade,
            may_switch: record.hijack != Hijack::None,
            may_take_over: takes_over(record.hijack),
            replayable: (is_head || record.method == "GET")
                && request.framing.is_done()
                && !request.upgrade,
        }
    }
}

/// Gives the client the sessions that the engine has opened for it; false if one has become another's meanwhile. What the engine
/// refuses is not the client's: it may be somebody else's, opened past the gate.
fn opened((shared, entry): (&Shared, &Entry), sessions: &[String]) -> bool {
    let (builds, owner) = (&shared.builds, &entry.identity.spki);
    sessions.iter().all(|id| {
        builds.claim(Holding::Session, id, owner)
            || builds.owns(Holding::Session, id, owner) != Some(false)
    })
}

/// An answer that makes a tunnel of the connection.
struct Switched {
    status: Option<u16>,
    /// What the engine sent behind its head.
    early: Vec<u8>,
    /// Whether the calls within are judged.
    judged: bool,
}

/// Relays the tunnel to its end.
async fn tunnel(
    (shared, entry): (&Shared, &Entry),
    mut relay: Relay<'_>,
    switched: Switched,
    record: &mut RequestRecord<'_>,
) -> After {
    let status = switched.status;
    // The engine forgets what comes before its 101, so the gate cannot tell where HTTP/2 begins.
    if switched.judged && !relay.client.held().is_empty() {
        record.finish(status, Some("bytes before the switch to HTTP/2"));
        return After::Drop;
    }
    if poll_fn(|cx| relay.poll_down_pending(cx)).await.is_err() {
        return gone(record);
    }
    record.tunnel(status.unwrap_or_default());
    let most = shared.limits.session_max_age;
    let end = if switched.judged {
        let Relay { client, engine, .. } = relay;
        let bridge = build::bridge(shared, entry, client, engine, switched.early);
        Box::pin(entry.within(most, bridge)).await
    } else {
        relay.down = OutBuffer::new(switched.early);
        let mut tunnel = Tunnel::new(relay);
        entry.within(most, poll_fn(|cx| tunnel.poll(cx))).await
    };
    record.finish(status, Some(end.id()));
    match end {
        TunnelEnd::Engine => After::LingerAndClose(shared.deadlines.tunnel_grace),
        TunnelEnd::EngineFailed(_) | TunnelEnd::Client(_) => After::Drop,
    }
}

/// Whether a client's builds are judged call by call.
fn judges_builds(policy: &Policy, client: ClientRef) -> bool {
    policy.role(client).is_some_and(|role| role.build.is_some())
}

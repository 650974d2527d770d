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
use super::super::tunnel::{self, Tunnel};
use super::decide::refusal;
use super::{After, LINGER, Ready, Session, Stop, gone, takes_over};
use crate::engine::diagnose::diagnose;
use crate::engine::{ConnectError, EngineStream};
use crate::observe::metrics::UpstreamError;
use docker_api::{Hijack, Operation};
use policy::{BodyLength, ClientRef, Mode, Permitted, Policy};

impl<'a> Session<'a> {
    /// Sends the request on and sees it to its end.
    pub(super) async fn forward(&mut self, ready: &mut Ready<'a>) -> After {
        let Ready {
            permit,
            request,
            body,
            out,
            record,
        } = ready;
        let takes_over = takes_over(record.hijack);
        // A plugin may have had the body read whole, which took the chunks off it.
        let length = match body.is_done() {
            true => BodyLength::Exact(out.body().len() as u64),
            false => body.announced(),
        };
        let mut judge = permit
            .context()
            .filter(|_| !request.framing.is_done())
            .map(|context| BodyJudge::new(context, length));
        let read = if takes_over {
            self.takeover_body(request, body, out).await
        } else {
            self.first_of_body(body, out.tail())
        };
        let is_head = record.method == "HEAD";
        match read {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => {
                return Box::pin(self.finish_refused(refusal, is_head, body, record)).await;
            }
            Err(Stop::Gone) => return gone(record),
        }
        if let Some(judge) = &mut judge
            && let Err(denied) = judge.look_at(out.body())
        {
            record.denied(&denied);
            return Box::pin(self.finish_refused(refusal(&denied), is_head, body, record)).await;
        }
        if let Some(refusal) = self.foreign_session(record, out) {
            return Box::pin(self.finish_refused(refusal, is_head, body, record)).await;
        }
        let facts = ExchangeFacts {
            is_head,
            http10: request.http10,
            persistent: request.persistent,
            upgrade: request.upgrade,
            may_switch: record.hijack != Hijack::None,
            may_take_over: takes_over,
            replayable: (is_head || record.method == "GET")
                && request.framing.is_done()
                && !request.upgrade,
        };
        let mut up = OutBuffer::new(std::mem::take(out).into_bytes());
        loop {
            let mut engine = match self.engine.take().filter(EngineStream::is_quiet) {
                Some(engine) => engine,
                None => match self.connect(permit).await {
                    Ok(engine) => engine,
                    Err(e) => {
                        let refusal = self.unreachable(&e);
                        return Box::pin(self.finish_refused(refusal, is_head, body, record)).await;
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
                    let judged = record.operation == Operation::BuildGrpc
                        && judges_builds(&self.judged.0.policy, self.judged.1);
                    // The engine forgets what comes before its 101, so the gate cannot tell where HTTP/2 begins.
                    if judged && !relay.client.held().is_empty() {
                        record.finish(status, Some("bytes before the switch to HTTP/2"));
                        return After::Drop;
                    }
                    if poll_fn(|cx| relay.poll_down_pending(cx)).await.is_err() {
                        return gone(record);
                    }
                    record.tunnel(status.unwrap_or_default());
                    let most = self.shared.limits.session_max_age;
                    let end = if judged {
                        let Relay { client, engine, .. } = relay;
                        let bridge = build::bridge(self.shared, self.entry, client, engine, early);
                        Box::pin(self.entry.within(most, bridge)).await
                    } else {
                        relay.down = OutBuffer::new(early);
                        let mut tunnel = Tunnel::new(relay);
                        self.entry.within(most, poll_fn(|cx| tunnel.poll(cx))).await
                    };
                    record.finish(status, Some(end.id()));
                    return match end {
                        tunnel::TunnelEnd::Engine => {
                            After::LingerAndClose(self.shared.deadlines.tunnel_grace)
                        }
                        tunnel::TunnelEnd::EngineFailed(_) | tunnel::TunnelEnd::Client(_) => {
                            After::Drop
                        }
                    };
                }
                ExchangeEnd::ClientGone => {
                    record.finish(status, Some("client_gone"));
                    return After::Drop;
                }
                ExchangeEnd::Unanswered(ExchangeFailure::Request(bad)) => {
                    // The engine must not wait for the rest of a body that will not come.
                    drop(engine);
                    let refusal = Refusal::new(Status::BadRequest, bad.to_string());
                    return Box::pin(self.finish_refused(refusal, is_head, &rest, record)).await;
                }
                ExchangeEnd::Unanswered(ExchangeFailure::Policy(denied)) => {
                    // The engine must not get what it has for a whole body, and not wait for the rest.
                    drop(engine);
                    record.denied(&denied);
                    return Box::pin(self.finish_refused(refusal(&denied), is_head, &rest, record))
                        .await;
                }
                ExchangeEnd::Unanswered(ExchangeFailure::Plugin(denied)) => {
                    let denied = denied.to_string();
                    record.denied_by_plugin(&denied);
                    let refusal = Refusal::new(Status::Forbidden, denied);
                    return Box::pin(self.finish_refused(refusal, is_head, &rest, record)).await;
                }
                ExchangeEnd::Unanswered(failure) => {
                    self.shared.metrics.upstream_error(UpstreamError::NoAnswer);
                    warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "No answer from the engine");
                    let refusal = Refusal::new(Status::BadGateway, failure.to_string());
                    return Box::pin(self.finish_refused(refusal, is_head, &rest, record)).await;
                }
                ExchangeEnd::Cut(ExchangeFailure::Policy(denied)) => {
                    record.denied(&denied);
                    record.finish(status, Some(&denied.to_string()));
                    return After::Drop;
                }
                ExchangeEnd::Cut(ExchangeFailure::Request(bad)) => {
                    record.finish(status, Some(&bad.to_string()));
                    return After::Drop;
                }
                ExchangeEnd::Cut(failure) => {
                    self.shared.metrics.upstream_error(UpstreamError::CutOff);
                    warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "Answer cut off");
                    record.finish(status, Some("cut_off"));
                    return After::Drop;
                }
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
        let unclaimed = ids
            .iter()
            .filter(|id| !builds.claim(Holding::Session, id, owner));
        let foreign = unclaimed
            .clone()
            .any(|id| builds.owns(Holding::Session, id, owner) == Some(false));
        // What cannot have an owner goes on where no build is judged: no judged build can name it.
        let unclear = ids.len() > 1 || unclaimed.count() > 0;
        let enforced = self.judged.0.policy.mode(self.judged.1) == Mode::Enforce;
        let judged = judges_builds(&self.judged.0.policy, self.judged.1) && enforced;
        let refused = foreign || unclear && judged;
        if !refused {
            if judged {
                build::keep_contexts_apart(out, owner);
            }
            return None;
        }
        let why = "X-Docker-Expose-Session-Uuid: expected one id that no other client has used";
        record.refused_by("owner", why);
        Some(Refusal::new(Status::Forbidden, why.to_owned()))
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

/// Whether a client's builds are judged call by call.
fn judges_builds(policy: &Policy, client: ClientRef) -> bool {
    policy.role(client).is_some_and(|role| role.build.is_some())
}

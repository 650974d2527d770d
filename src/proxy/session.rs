//! One client connection: requests one after the other, until it closes or becomes a tunnel.

mod authorize;
mod body;
mod decide;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::client::ClientStream;
use super::exchange::{End, Exchange, Facts, Failure};
use super::framing::Framing;
use super::gate::Gate;
use super::head::{self, HeadError, RequestHead};
use super::relay::{Pending, Relay};
use super::respond::{Refusal, Status};
use super::transaction::Transaction;
use super::tunnel::{self, Tunnel};
use super::witness::Witness;
use crate::docker::{self, Hijack};
use crate::metrics::{Limit, UpstreamError};
use crate::policy::{self, ClientRef, Permitted, Policy};
use crate::registry::{Entry, Place};
use crate::socket;
use crate::tls::socket::WideSocket;
use crate::upstream::{ConnectError, EngineStream};

/// How long, and for how many bytes, a client is listened to after its last answer.
const PART: (Duration, usize) = (Duration::from_secs(5), 64 << 20);

/// What comes after a request.
#[derive(Clone, Copy)]
enum After {
    Next,
    /// Close so that the last answer arrives.
    Part(Duration),
    /// Close at once, without close_notify, so that a cut answer is seen as cut.
    Drop,
}

/// Why a request goes no further.
enum Stop {
    /// It is answered with this.
    Refused(Refusal),
    /// Its client is.
    Gone,
}

struct Session<'a> {
    gate: &'a Gate,
    entry: &'a Entry,
    client: ClientStream,
    engine: Option<EngineStream>,
    role: Option<(Arc<Policy>, ClientRef)>,
    /// Who has to be asked about the answer of the request at hand.
    witness: Option<Witness>,
    fresh: bool,
}

/// Serves one connection to its end. Dropping the future closes both sides at once.
pub async fn serve(gate: Arc<Gate>, entry: Arc<Entry>, tls: Box<TlsStream<WideSocket>>) {
    let mut session = Session {
        gate: &gate,
        entry: &entry,
        client: ClientStream::new(tls),
        engine: None,
        role: None,
        witness: None,
        fresh: true,
    };
    let last = loop {
        match session.step().await {
            After::Next => session.fresh = false,
            last => break last,
        }
    };
    session.engine = None;
    if let After::Part(time) = last {
        session.client.part(time, PART.1).await;
    }
}

/// A request that may go on.
struct Ready<'a> {
    permit: Permitted,
    request: RequestHead,
    body: Framing,
    out: Vec<u8>,
    tx: Transaction<'a>,
}

impl<'a> Session<'a> {
    async fn step(&mut self) -> After {
        let len = match self.head().await {
            Ok(len) => len,
            Err(after) => return after,
        };
        // In two parts, so that what only the first one needs is not kept for as long as an answer may take.
        let mut admitted = self.admit(len).await;
        match &mut admitted {
            Ok(ready) => self.forward(ready).await,
            Err(after) => *after,
        }
    }

    /// Reads the head of `len` bytes and decides on the request; one that goes no further has been answered.
    async fn admit(&mut self, len: usize) -> Result<Ready<'a>, After> {
        let head = &self.client.held()[..len];
        // The first of the body goes with it.
        let room = self.client.held().len().min(len + 512);
        let mut out = Vec::with_capacity(room + 32);
        let lines = self.gate.limits.header_lines;
        let parsed = head::request_within(head, lines, &mut out, |method, target| {
            docker::classify(method, target).is_ok_and(|c| takes_over(c.hijack))
        });
        let request = match parsed {
            Ok(request) => request,
            Err(e) => return Err(Box::pin(self.refuse_head(e)).await),
        };
        let text = |range: &std::ops::Range<usize>| {
            String::from_utf8_lossy(&head[range.clone()]).into_owned()
        };
        let (method, target) = (text(&request.method), text(&request.target));
        let is_head = method == "HEAD";
        let classified = match docker::classify(&method, &target) {
            Ok(classified) => classified,
            Err(e) => {
                let refusal = Refusal::new(Status::BadRequest, e.to_string());
                return Err(Box::pin(self.refuse(refusal, is_head)).await);
            }
        };
        let value = |range: &Option<std::ops::Range<usize>>| range.as_ref().map(&text);
        let (content_type, content_encoding) = (
            value(&request.content_type),
            value(&request.content_encoding),
        );
        let mut tx = Transaction::begin(
            self.gate,
            self.entry,
            (method, classified.path().to_owned()),
            (classified.operation, classified.hijack),
            classified.name(),
        );
        tx.upgrade = request.upgrade;
        self.entry.meter.up(len);
        self.client.release(len);
        if let Some(refusal) = self.limited() {
            tx.limited();
            let body = request.framing.clone();
            return Err(Box::pin(self.finish_refused(refusal, is_head, &body, &mut tx)).await);
        }
        if let Some(hook) = self.gate.on_request {
            hook(&tx.path);
        }
        let facts = policy::Request {
            classified: &classified,
            content_type: content_type.as_deref(),
            content_encoding: content_encoding.as_deref(),
            body: request.framing.announced(),
        };
        let mut body = request.framing.clone();
        match self
            .decide(&mut tx, &facts, &request, &mut out, &mut body)
            .await
        {
            Ok(permit) => Ok(Ready {
                permit,
                request,
                body,
                out,
                tx,
            }),
            Err(Stop::Refused(refusal)) => {
                Err(Box::pin(self.finish_refused(refusal, is_head, &body, &mut tx)).await)
            }
            Err(Stop::Gone) => Err(gone(&mut tx)),
        }
    }

    /// Waits for a complete head at the front of the held bytes.
    async fn head(&mut self) -> Result<usize, After> {
        let limit = self.gate.deadlines.head;
        if !self.client.held().is_empty() {
            return self.rest_in_time(Instant::now() + limit).await;
        }
        let first = Instant::now() + limit;
        let idle = poll_fn(|cx| self.client.poll_hold(cx));
        tokio::select! {
            read = idle => match read {
                Ok(true) => {}
                Ok(false) => return Err(After::Part(PART.0)),
                Err(_) => return Err(After::Drop),
            },
            () = self.gate.draining.cancelled() => return Err(After::Part(PART.0)),
            // Only the first head has to begin in time; later ones may take hours.
            () = sleep_until(first.into()), if self.fresh => return Err(After::Part(PART.0)),
        }
        match head::head_len(self.client.held(), 0) {
            Some(len) if len <= self.gate.limits.head_bytes => Ok(len),
            _ if self.fresh => self.rest_in_time(first).await,
            _ => self.rest_in_time(Instant::now() + limit).await,
        }
    }

    /// Reads the rest of a head of which something is here.
    async fn rest_in_time(&mut self, deadline: Instant) -> Result<usize, After> {
        match timeout_at(deadline.into(), self.rest_of_head()).await {
            Ok(head) => head,
            Err(_) => {
                let refusal =
                    Refusal::new(Status::Timeout, "the request head did not come in time");
                Err(self.refuse(refusal, false).await)
            }
        }
    }

    async fn rest_of_head(&mut self) -> Result<usize, After> {
        let most = self.gate.limits.head_bytes;
        let mut scanned = 0;
        loop {
            let held = self.client.held();
            match head::head_len(held, scanned) {
                Some(len) if len <= most => return Ok(len),
                None if held.len() <= most => {}
                _ => {
                    self.gate.metrics.limited(Limit::HeadSize);
                    let message =
                        format!("the request head is larger than {most} bytes (max-head-size)");
                    return Err(self
                        .refuse(Refusal::new(Status::HeadTooLarge, message), false)
                        .await);
                }
            }
            scanned = held.len();
            match poll_fn(|cx| self.client.poll_hold(cx)).await {
                Ok(true) => {}
                Ok(false) => return Err(After::Part(PART.0)),
                Err(_) => return Err(After::Drop),
            }
        }
    }

    async fn refuse_head(&mut self, error: HeadError) -> After {
        let refusal = match error {
            HeadError::TooManyLines => {
                self.gate.metrics.limited(Limit::HeaderLines);
                let most = self.gate.limits.header_lines;
                let message = format!("more than {most} header lines (max-header-lines)");
                Refusal::new(Status::HeadTooLarge, message)
            }
            HeadError::Version => Refusal::new(Status::Version, error.to_string()),
            HeadError::Malformed(_) => Refusal::new(Status::BadRequest, error.to_string()),
        };
        self.refuse(refusal, false).await
    }

    /// The refusal of a client that is above a limit of its own.
    fn limited(&self) -> Option<Refusal> {
        let (limit, message, wait) = if self.entry.place != Place::Within {
            let most = self.entry.per_client.connections;
            let message = format!(
                "client \"{}\" already has {most} connections, the most one client may have (max-connections-per-client)",
                self.entry.identity
            );
            (Limit::ConnectionsPerClient, message, Duration::ZERO)
        } else if let Err(wait) = self.entry.admit() {
            let most = self.entry.per_client.requests_per_second;
            let message = format!(
                "client \"{}\" sends more than {} requests per second (max-requests-per-second-per-client)",
                self.entry.identity,
                most.map_or(0, std::num::NonZero::get)
            );
            (Limit::RequestsPerSecond, message, wait)
        } else {
            return None;
        };
        self.gate.metrics.limited(limit);
        let mut refusal = Refusal::new(Status::TooMany, message);
        refusal.retry_after = Some(wait.as_secs_f64().ceil().max(1.0) as u64);
        Some(refusal)
    }

    /// Answers a request that cannot go on; the connection ends, since where the next request begins is not known.
    async fn refuse(&mut self, refusal: Refusal, is_head: bool) -> After {
        let (status, _) = refusal.status.line();
        self.gate.metrics.malformed(status);
        debug!(
            conn.id = self.entry.id, client.addr = %self.entry.peer, client.id = %self.entry.identity, status,
            error = refusal.message, "Request refused"
        );
        let bytes = refusal.to_bytes(is_head, true);
        self.entry.meter.up(self.client.held().len());
        self.entry.meter.down(bytes.len());
        match self.client.write_all(&bytes).await {
            Ok(()) => After::Part(PART.0),
            Err(_) => After::Drop,
        }
    }

    /// Sends the request on and sees it to its end.
    async fn forward(&mut self, ready: &mut Ready<'a>) -> After {
        let Ready {
            permit,
            request,
            body,
            out,
            tx,
        } = ready;
        let takes_over = takes_over(tx.hijack);
        let read = if takes_over {
            self.takeover_body(request, body, out).await
        } else {
            self.first_of_body(body, out)
        };
        let is_head = tx.method == "HEAD";
        match read {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => {
                return Box::pin(self.finish_refused(refusal, is_head, body, tx)).await;
            }
            Err(Stop::Gone) => return gone(tx),
        }
        let facts = Facts {
            is_head,
            http10: request.http10,
            persistent: request.persistent,
            upgrade: request.upgrade,
            may_switch: tx.hijack != Hijack::None,
            may_take_over: takes_over,
            replayable: (is_head || tx.method == "GET")
                && request.framing.is_done()
                && !request.upgrade,
        };
        let mut up = Pending::new(std::mem::take(out));
        loop {
            let mut engine = match self.engine.take().filter(EngineStream::is_quiet) {
                Some(engine) => engine,
                None => match self.connect(permit).await {
                    Ok(engine) => engine,
                    Err(e) => {
                        let refusal = self.unreachable(&e);
                        return Box::pin(self.finish_refused(refusal, is_head, body, tx)).await;
                    }
                },
            };
            let relay = Relay {
                client: &mut self.client,
                engine: &mut engine,
                up,
                down: Pending::default(),
                meter: &self.entry.meter,
                surplus: false,
            };
            let sent = Instant::now();
            let mut exchange = Exchange::new(relay, facts, body.clone(), &self.gate.draining);
            exchange.witness.clone_from(&self.witness);
            let end = poll_fn(|cx| exchange.poll(cx)).await;
            let status = exchange.status;
            let rest = exchange.body().clone();
            tx.answered(sent, exchange.answered);
            let mut relay = exchange.into_relay();
            match end {
                End::Stale => {
                    up = relay.up;
                    up.rewind();
                }
                End::Reuse => {
                    engine.reuse();
                    self.engine = Some(engine);
                    tx.finish(status, None);
                    return After::Next;
                }
                End::Close => {
                    tx.finish(status, None);
                    return After::Part(PART.0);
                }
                End::Tunnel(early) => {
                    if poll_fn(|cx| relay.poll_down_pending(cx)).await.is_err() {
                        return gone(tx);
                    }
                    relay.down = Pending::new(early);
                    tx.tunnel(status.unwrap_or_default());
                    let mut tunnel = Tunnel::new(relay);
                    let end = self
                        .entry
                        .within(
                            self.gate.limits.session_max_age,
                            poll_fn(|cx| tunnel.poll(cx)),
                        )
                        .await;
                    drop(tunnel);
                    tx.finish(status, Some(end.id()));
                    return match end {
                        tunnel::End::Engine => After::Part(self.gate.deadlines.tunnel_grace),
                        tunnel::End::EngineFailed(_) | tunnel::End::Client(_) => After::Drop,
                    };
                }
                End::ClientGone => {
                    tx.finish(status, Some("client_gone"));
                    return After::Drop;
                }
                End::Unanswered(Failure::Request(bad)) => {
                    let refusal = Refusal::new(Status::BadRequest, bad.to_string());
                    return Box::pin(self.finish_refused(refusal, is_head, &rest, tx)).await;
                }
                End::Unanswered(Failure::Plugin(denied)) => {
                    let denied = denied.to_string();
                    tx.denied_by_plugin(&denied);
                    // Where the next request begins is known only if this one's body had been sent before.
                    let rest = if body.is_done() {
                        body.clone()
                    } else {
                        Framing::until_eof()
                    };
                    let refusal = Refusal::new(Status::Forbidden, denied);
                    return self.finish_refused(refusal, is_head, &rest, tx).await;
                }
                End::Unanswered(failure) => {
                    self.gate.metrics.upstream_error(UpstreamError::NoAnswer);
                    warn!(conn.id = self.entry.id, op = tx.operation.id(), error = %failure, "No answer from the engine");
                    let refusal = Refusal::new(Status::BadGateway, failure.to_string());
                    return Box::pin(self.finish_refused(refusal, is_head, &rest, tx)).await;
                }
                End::Cut(failure) => {
                    self.gate.metrics.upstream_error(UpstreamError::CutOff);
                    warn!(conn.id = self.entry.id, op = tx.operation.id(), error = %failure, "Answer cut off");
                    tx.finish(status, Some("cut_off"));
                    return After::Drop;
                }
            }
        }
    }

    async fn connect(&self, permit: &Permitted) -> Result<EngineStream, ConnectError> {
        self.gate.metrics.upstream_connect();
        let connected = self.gate.upstream.connect(permit).await;
        if let Err(e) = &connected {
            let reason = UpstreamError::of(&e.source);
            self.gate.metrics.upstream_error(reason);
        }
        connected
    }

    fn unreachable(&self, error: &ConnectError) -> Refusal {
        let problem = socket::diagnose(&error.path, &error.source);
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

    /// Answers a request that goes no further. The connection stays open where the next request's start is known.
    async fn finish_refused(
        &mut self,
        refusal: Refusal,
        is_head: bool,
        body: &Framing,
        tx: &mut Transaction<'_>,
    ) -> After {
        let mut body = body.clone();
        let complete = self.first_of_body(&mut body, &mut Vec::new()).is_ok() && body.is_done();
        // What a client sends ahead of a switch that is refused is no request (RFC 9931).
        let keeps = complete
            && refusal.status.keeps_connection()
            && tx.hijack == Hijack::None
            && !tx.upgrade;
        let bytes = refusal.to_bytes(is_head, !keeps);
        let sent = self.client.write_all(&bytes).await;
        self.entry.meter.down(bytes.len());
        tx.finish(Some(refusal.status.line().0), Some(&refusal.message));
        match sent {
            Ok(()) if keeps => After::Next,
            Ok(()) => After::Part(PART.0),
            Err(_) => After::Drop,
        }
    }
}

fn gone(tx: &mut Transaction<'_>) -> After {
    tx.finish(None, Some("client_gone"));
    After::Drop
}

/// The endpoints that take the connection over with or without an upgrade.
fn takes_over(hijack: Hijack) -> bool {
    hijack == Hijack::Tcp
}

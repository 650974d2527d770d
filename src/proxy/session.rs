//! One client connection: requests one after the other, until it closes or becomes a tunnel.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::client::ClientStream;
use super::exchange::{End, Exchange, Facts, Failure};
use super::framing::Framing;
use super::head::{self, HeadError, RequestHead};
use super::relay::{Pending, Relay};
use super::respond::{Refusal, Status};
use super::tunnel::{self, Tunnel};
use crate::docker::{self, Hijack, Operation};
use crate::metrics::{Decision, Limit, Metrics, UpstreamError};
use crate::registry::{Entry, Place};
use crate::tls::socket::WideSocket;
use crate::upstream::{ConnectError, EngineStream, Upstream};

/// The largest body of an attach or exec start, which is read before it is sent.
const MAX_TAKEOVER_BODY: usize = 64 * 1024;

/// How long, and for how many bytes, a client is listened to after its last answer.
const PART: (Duration, usize) = (Duration::from_secs(5), 64 << 20);

/// Deadlines of a session. None of them touches a stream.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For the first head after the handshake, and for the rest of any later head once its first byte has come.
    pub head: Duration,
    /// How long a client's late input is dropped after the engine ended a tunnel.
    pub tunnel_grace: Duration,
}

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Lines of a request head.
    pub header_lines: usize,
    /// Life of a hijacked connection.
    pub session_max_age: Option<Duration>,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Gate {
    /// The engine.
    pub upstream: Upstream,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Bounds.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the gate drains: idle connections close, requests in flight are the last of theirs.
    pub draining: CancellationToken,
    /// Called with each request's path before it is forwarded; tests use it to prove that a panic stays in its connection.
    pub on_request: Option<fn(&str)>,
}

/// What comes after a request.
enum After {
    Next,
    /// Close so that the last answer arrives.
    Part(Duration),
    /// Close at once, without close_notify, so that a cut answer is seen as cut.
    Drop,
}

/// A request on its way, for the record.
struct Record {
    method: String,
    path: String,
    operation: Operation,
    decision: Decision,
    started: Instant,
    up: u64,
    down: u64,
}

struct Session<'a> {
    gate: &'a Gate,
    entry: &'a Entry,
    client: ClientStream,
    engine: Option<EngineStream>,
    fresh: bool,
}

/// Serves one connection to its end. Dropping the future closes both sides at once.
pub async fn serve(gate: Arc<Gate>, entry: Arc<Entry>, tls: TlsStream<WideSocket>) {
    let mut session = Session {
        gate: &gate,
        entry: &entry,
        client: ClientStream::new(tls),
        engine: None,
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

impl Session<'_> {
    async fn step(&mut self) -> After {
        let len = match self.head().await {
            Ok(len) => len,
            Err(after) => return after,
        };
        let head = &self.client.held()[..len];
        let mut out = Vec::with_capacity(len + 512);
        let lines = self.gate.limits.header_lines;
        let parsed = head::request_within(head, lines, &mut out, |method, target| {
            docker::classify(method, target).is_ok_and(|c| takes_over(c.operation))
        });
        let request = match parsed {
            Ok(request) => request,
            Err(e) => return self.refuse_head(e).await,
        };
        let text = |range: &std::ops::Range<usize>| {
            String::from_utf8_lossy(&head[range.clone()]).into_owned()
        };
        let (method, target) = (text(&request.method), text(&request.target));
        let is_head = method == "HEAD";
        let classified = match docker::classify(&method, &target) {
            Ok(classified) => classified,
            Err(e) => {
                return self
                    .refuse(Refusal::new(Status::BadRequest, e.to_string()), is_head)
                    .await;
            }
        };
        let operation = classified.operation;
        let path = classified.path();
        self.entry.begin(operation, path);
        let (up, down) = self.entry.meter.totals();
        let mut record = Record {
            path: path.to_owned(),
            method,
            operation,
            decision: Decision::Allowed,
            started: Instant::now(),
            up,
            down,
        };
        self.entry.meter.up(len);
        self.client.release(len);
        if let Some(refusal) = self.limited() {
            record.decision = Decision::Limited;
            let after = self.finish_refused(refusal, is_head, &record).await;
            self.entry.end();
            return after;
        }
        if let Some(hook) = self.gate.on_request {
            hook(&record.path);
        }
        let after = self.forward(request, out, &record).await;
        self.entry.end();
        after
    }

    /// Waits for a complete head at the front of the held bytes.
    async fn head(&mut self) -> Result<usize, After> {
        if self.fresh || !self.client.held().is_empty() {
            return match timeout(self.gate.deadlines.head, self.rest_of_head()).await {
                Ok(head) => head,
                Err(_) if self.client.held().is_empty() => Err(After::Part(PART.0)),
                Err(_) => {
                    let refusal =
                        Refusal::new(Status::Timeout, "the request head did not come in time");
                    Err(self.refuse(refusal, false).await)
                }
            };
        }
        let idle = poll_fn(|cx| self.client.poll_hold(cx));
        tokio::select! {
            read = idle => match read {
                Ok(true) => {}
                Ok(false) => return Err(After::Part(PART.0)),
                Err(_) => return Err(After::Drop),
            },
            () = self.gate.draining.cancelled() => return Err(After::Part(PART.0)),
        }
        match head::head_len(self.client.held(), 0) {
            Some(len) if len <= self.gate.limits.head_bytes => Ok(len),
            _ => Box::pin(self.head()).await,
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
        match self
            .client
            .write_all(&refusal.to_bytes(is_head, true))
            .await
        {
            Ok(()) => After::Part(PART.0),
            Err(_) => After::Drop,
        }
    }

    async fn forward(&mut self, request: RequestHead, mut out: Vec<u8>, record: &Record) -> After {
        let takes_over = takes_over(record.operation);
        let mut body = request.framing.clone();
        let read = if takes_over {
            self.whole_body(&request, &mut body, &mut out).await
        } else {
            self.first_of_body(&mut body, &mut out)
        };
        let is_head = record.method == "HEAD";
        if let Err(refused) = read {
            return match refused {
                Some(refusal) => self.finish_refused(refusal, is_head, record).await,
                None => self.gone(record),
            };
        }
        let facts = Facts {
            is_head,
            http10: request.http10,
            persistent: request.persistent,
            upgrade: request.upgrade,
            may_switch: record.operation.hijack() != Hijack::None,
            may_take_over: takes_over,
            replayable: (is_head || record.method == "GET") && body.is_done() && !request.upgrade,
        };
        let mut up = Pending::new(out);
        loop {
            let mut engine = match self.engine.take().filter(EngineStream::is_quiet) {
                Some(engine) => engine,
                None => match self.connect().await {
                    Ok(engine) => engine,
                    Err(e) => {
                        warn!(conn.id = self.entry.id, error = %e.source, "{e}");
                        let refusal =
                            Refusal::new(Status::BadGateway, format!("{e}: {}", e.source));
                        return self.finish_refused(refusal, is_head, record).await;
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
            let mut exchange = Exchange::new(
                relay,
                facts,
                body.clone(),
                self.gate.draining.is_cancelled(),
            );
            let end = poll_fn(|cx| exchange.poll(cx)).await;
            let status = exchange.status;
            let mut relay = exchange.into_relay();
            match end {
                End::Stale => {
                    up = relay.up;
                    up.rewind();
                }
                End::Reuse => {
                    engine.reuse();
                    self.engine = Some(engine);
                    self.log(record, status, None);
                    return After::Next;
                }
                End::Close => {
                    self.log(record, status, None);
                    return After::Part(PART.0);
                }
                End::Tunnel(early) => {
                    if poll_fn(|cx| relay.poll_down_pending(cx)).await.is_err() {
                        return self.gone(record);
                    }
                    relay.down = Pending::new(early);
                    self.entry.tunnel();
                    let mut tunnel = Tunnel::new(relay);
                    let end = self
                        .entry
                        .within(
                            self.gate.limits.session_max_age,
                            poll_fn(|cx| tunnel.poll(cx)),
                        )
                        .await;
                    drop(tunnel);
                    self.log(record, status, Some(end.id()));
                    return match end {
                        tunnel::End::Engine => After::Part(self.gate.deadlines.tunnel_grace),
                        tunnel::End::EngineFailed(_) | tunnel::End::Client(_) => After::Drop,
                    };
                }
                End::ClientGone => {
                    self.log(record, status, Some("client_gone"));
                    return After::Drop;
                }
                End::Unanswered(Failure::Request(bad)) => {
                    let refusal = Refusal::new(Status::BadRequest, bad.to_string());
                    return self.finish_refused(refusal, is_head, record).await;
                }
                End::Unanswered(failure) => {
                    self.gate.metrics.upstream_error(UpstreamError::NoAnswer);
                    warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "No answer from the engine");
                    let refusal = Refusal::new(Status::BadGateway, failure.to_string());
                    return self.finish_refused(refusal, is_head, record).await;
                }
                End::Cut(failure) => {
                    self.gate.metrics.upstream_error(UpstreamError::CutOff);
                    warn!(conn.id = self.entry.id, op = record.operation.id(), error = %failure, "Answer cut off");
                    self.log(record, status, Some("cut_off"));
                    return After::Drop;
                }
            }
        }
    }

    async fn connect(&self) -> Result<EngineStream, ConnectError> {
        self.gate.metrics.upstream_connect();
        let connected = self.gate.upstream.connect().await;
        if let Err(e) = &connected {
            let reason = UpstreamError::of(&e.source);
            self.gate.metrics.upstream_error(reason);
        }
        connected
    }

    /// Adds what has come of the body to the head, so that a small request is one write.
    fn first_of_body(
        &mut self,
        body: &mut Framing,
        out: &mut Vec<u8>,
    ) -> Result<(), Option<Refusal>> {
        let held = self.client.held();
        let n = body
            .take(held)
            .map_err(|e| Some(Refusal::new(Status::BadRequest, e.to_string())))?;
        out.extend_from_slice(&held[..n]);
        self.entry.meter.up(n);
        self.client.release(n);
        Ok(())
    }

    /// Reads the body of an attach or exec start before anything is sent: the engine takes what arrives later for stdin
    /// (docker-transport R5).
    async fn whole_body(
        &mut self,
        request: &RequestHead,
        body: &mut Framing,
        out: &mut Vec<u8>,
    ) -> Result<(), Option<Refusal>> {
        if request.expects_continue && !body.is_done() && self.client.held().is_empty() {
            self.client
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .map_err(|_| None)?;
        }
        let limit = self.gate.deadlines.head;
        let mut size = 0;
        let read = async {
            loop {
                let held = self.client.held().len();
                self.first_of_body(body, out)?;
                size += held - self.client.held().len();
                if body.is_done() {
                    return Ok(());
                }
                if size > MAX_TAKEOVER_BODY {
                    let message = format!(
                        "the body of an attach or exec start is limited to {MAX_TAKEOVER_BODY} bytes"
                    );
                    return Err(Some(Refusal::new(Status::ContentTooLarge, message)));
                }
                match poll_fn(|cx| self.client.poll_hold(cx)).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Err(None),
                }
            }
        };
        let late = Refusal::new(
            Status::Timeout,
            "the body of an attach or exec start did not come in time",
        );
        timeout(limit, read).await.unwrap_or(Err(Some(late)))
    }

    async fn finish_refused(&mut self, refusal: Refusal, is_head: bool, record: &Record) -> After {
        let bytes = refusal.to_bytes(is_head, true);
        let sent: io::Result<()> = self.client.write_all(&bytes).await;
        self.entry.meter.down(bytes.len());
        self.log(
            record,
            Some(refusal.status.line().0),
            Some(&refusal.message),
        );
        if sent.is_ok() {
            After::Part(PART.0)
        } else {
            After::Drop
        }
    }

    fn gone(&self, record: &Record) -> After {
        self.log(record, None, Some("client_gone"));
        After::Drop
    }

    fn log(&self, record: &Record, status: Option<u16>, error: Option<&str>) {
        let (up, down) = self.entry.meter.totals();
        let took = record.started.elapsed();
        self.gate
            .metrics
            .request(record.operation, record.decision, status, took);
        info!(
            conn.id = self.entry.id,
            client.addr = %self.entry.peer,
            client.id = %self.entry.identity,
            method = record.method,
            path = record.path,
            op = record.operation.id(),
            status,
            duration_ms = took.as_secs_f64() * 1e3,
            bytes.in = up - record.up,
            bytes.out = down - record.down,
            error,
            "Request"
        );
    }
}

/// The endpoints that take the connection over with or without an upgrade.
fn takes_over(operation: Operation) -> bool {
    operation.hijack() == Hijack::Tcp
}

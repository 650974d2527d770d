//! One client connection: requests one after the other, until it closes or becomes a tunnel.

mod authorize;
mod body;
mod decide;
mod events;
mod forward;
mod heads;
mod scoped;

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::server::TlsStream;

use super::client::ClientStream;
use super::framing::Framing;
use super::head::{self, HeadError, RequestHead};
use super::outgoing::Outgoing;
use super::record::RequestRecord;
use super::respond::{Refusal, Status};
use super::response_authorization::ResponseAuthorization;
use super::shared::Shared;
use crate::engine::EngineStream;
use crate::generation::Generation;
use crate::limits::Reservation;
use crate::observe::metrics::Limit;
use crate::observe::registry::{Admission, Entry};
use crate::tls::socket::WideSocket;
use docker_api::Hijack;
use policy::{self, ClientRef, Permitted};

/// How long, and for how many bytes, a client is listened to after its last answer.
const LINGER: (Duration, usize) = (Duration::from_secs(5), 64 << 20);

/// What comes after a request.
#[derive(Clone, Copy)]
enum After {
    Next,
    /// Close so that the last answer arrives.
    LingerAndClose(Duration),
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
    shared: &'a Shared,
    entry: &'a Entry,
    client: ClientStream,
    engine: Option<EngineStream>,
    /// The generation that the client was last judged by, and its entry in that one's policy.
    judged: (Arc<Generation>, ClientRef),
    /// The scope of its role, if it has one.
    scope: scoped::ScopeOf,
    /// Full ids of the client's containers that the request at hand has named.
    own: Vec<String>,
    /// The type of the body of the request at hand.
    content_type: Option<String>,
    /// Who has to be asked about the answer of the request at hand.
    authorization: Option<ResponseAuthorization>,
    /// What the body of the request at hand takes of all that the client's pending bodies may hold.
    held: Reservation,
    fresh: bool,
}

/// Serves one connection to its end; `by` is the generation whose trust let it in. Dropping the future closes both sides at
/// once.
pub async fn serve(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    by: Arc<Generation>,
    tls: Box<TlsStream<WideSocket>>,
) {
    let client = by.policy.client_for(&entry.identity);
    let scope = scoped::scope_of(&by, client, &entry.identity);
    let mut session = Session {
        scope,
        own: Vec::new(),
        content_type: None,
        shared: &shared,
        entry: &entry,
        client: ClientStream::new(tls),
        engine: None,
        judged: (by, client),
        authorization: None,
        held: Reservation::new(&shared.pending_bodies.of(&entry.identity.spki)),
        fresh: true,
    };
    let last = loop {
        match session.step().await {
            After::Next => session.fresh = false,
            last => break last,
        }
    };
    session.engine = None;
    if let After::LingerAndClose(time) = last {
        session.client.linger_and_close(time, LINGER.1).await;
    }
}

/// A request that may go on.
struct Ready<'a> {
    permit: Permitted,
    request: RequestHead,
    body: Framing,
    out: Outgoing,
    record: RequestRecord<'a>,
}

impl<'a> Session<'a> {
    async fn step(&mut self) -> After {
        let len = match self.head().await {
            Ok(len) => len,
            Err(after) => return after,
        };
        // In two parts, so that what only the first one needs is not kept for as long as an answer may take.
        let mut admitted = self.admit(len).await;
        let after = match &mut admitted {
            Ok(ready) => match Box::pin(self.scoped(ready)).await {
                Some(after) => after,
                None => self.forward(ready).await,
            },
            Err(after) => *after,
        };
        self.held.release();
        after
    }

    /// Reads the head of `len` bytes and decides on the request; one that goes no further has been answered.
    async fn admit(&mut self, len: usize) -> Result<Ready<'a>, After> {
        let head = &self.client.held()[..len];
        let (request, out) = match self.parse(len) {
            Ok(parsed) => parsed,
            Err(e) => return Err(Box::pin(self.refuse_head(e)).await),
        };
        let text = |range: &std::ops::Range<usize>| {
            String::from_utf8_lossy(&head[range.clone()]).into_owned()
        };
        let (method, target) = (text(&request.method), request.target(head).into_owned());
        let is_head = method == "HEAD";
        let classified = match docker_api::classify(&method, &target) {
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
        let path = target.split('?').next().unwrap_or_default();
        let mut record = self.record((&method, path), &classified, &request);
        let mut out = Outgoing::new(out);
        self.entry.meter.up(len);
        self.client.release(len);
        if let Some(refusal) = self.limited(&mut record) {
            let (stop, body) = (Stop::Refused(refusal), request.framing.clone());
            return Err(self.stop(stop, is_head, &body, &mut record).await);
        }
        if let Some(hook) = self.shared.on_request {
            hook(&record.path);
        }
        let facts = policy::Request {
            classified: &classified,
            content_type: content_type.as_deref(),
            content_encoding: content_encoding.as_deref(),
            headers: request.engine,
            body: request.framing.announced(),
        };
        self.content_type.clone_from(&content_type);
        self.own.clear();
        let mut body = request.framing.clone();
        match self
            .decide(&mut record, &facts, &request, &mut out, &mut body)
            .await
        {
            Ok(permit) => Ok(Ready {
                permit,
                request,
                body,
                out,
                record,
            }),
            Err(stop) => Err(self.stop(stop, is_head, &body, &mut record).await),
        }
    }

    /// Parses the head of `len` bytes, and writes the one that goes to the engine.
    fn parse(&self, len: usize) -> Result<(RequestHead, Vec<u8>), HeadError> {
        let held = self.client.held();
        // The first of the body goes with it.
        let mut out = Vec::with_capacity(held.len().min(len + 512) + 32);
        let lines = self.shared.limits.header_lines;
        let request = head::request_within(&held[..len], lines, &mut out, |method, target| {
            docker_api::classify(method, target).is_ok_and(|c| takes_over(c.hijack))
        })?;
        Ok((request, out))
    }

    fn record(
        &self,
        line: (&str, &str),
        classified: &docker_api::Classified<'_>,
        request: &RequestHead,
    ) -> RequestRecord<'a> {
        let operation = (classified.operation, classified.hijack);
        let name = classified.name();
        let mut record = RequestRecord::begin(self.shared, self.entry, line, operation, name);
        record.upgrade = request.upgrade;
        record.connection = request.connection();
        record
    }

    async fn refuse_head(&mut self, error: HeadError) -> After {
        let refusal = match error {
            HeadError::TooManyLines => {
                self.shared.metrics.limited(Limit::HeaderLines);
                let most = self.shared.limits.header_lines;
                let message = format!("more than {most} header lines (max-header-lines)");
                Refusal::new(Status::HeadTooLarge, message)
            }
            HeadError::Version => Refusal::new(Status::Version, error.to_string()),
            HeadError::Expectation => Refusal::new(Status::ExpectationFailed, error.to_string()),
            HeadError::Malformed(_) | HeadError::Target(_) => {
                Refusal::new(Status::BadRequest, error.to_string())
            }
        };
        let is_head = self.client.held().starts_with(b"HEAD ");
        self.refuse(refusal, is_head).await
    }

    /// The refusal of a client that is above a limit of its own.
    fn limited(&mut self, record: &mut RequestRecord<'_>) -> Option<Refusal> {
        let (limit, message, wait) = if self.entry.place != Admission::Within {
            let most = self.entry.per_client.connections;
            let message = format!(
                "client \"{}\" already has {}, the most one client may have (max-connections-per-client)",
                self.entry.identity,
                text::counted(most, "connection")
            );
            (Limit::ConnectionsPerClient, message, Duration::ZERO)
        } else if let Err(wait) = self.entry.admit() {
            let most = self.entry.per_client.requests_per_second;
            let message = format!(
                "client \"{}\" sends more than {} per second (max-requests-per-second-per-client)",
                self.entry.identity,
                text::counted(most.map_or(0, std::num::NonZero::get), "request")
            );
            (Limit::RequestsPerSecond, message, wait)
        } else {
            return None;
        };
        self.shared.metrics.limited(limit);
        let _ = self.judged_as(record);
        record.limited(&message);
        let mut refusal = Refusal::new(Status::TooMany, message);
        refusal.retry_after = Some(wait.as_secs_f64().ceil().max(1.0) as u64);
        Some(refusal)
    }

    /// Answers a request that cannot go on; the connection ends, since where the next request begins is not known.
    async fn refuse(&mut self, refusal: Refusal, is_head: bool) -> After {
        let mut record = RequestRecord::unread(self.shared, self.entry, self.client.held());
        let _ = self.judged_as(&mut record);
        record.refused_by("http", &refusal.message);
        let bytes = refusal.to_bytes(is_head, Some("close"));
        let sent = self.client.write_all(&bytes).await;
        self.entry.meter.up(self.client.held().len());
        self.entry.meter.down(bytes.len());
        record.finish(Some(refusal.status.line().0), None);
        match sent {
            Ok(()) => After::LingerAndClose(LINGER.0),
            Err(_) => After::Drop,
        }
    }
}

fn gone(record: &mut RequestRecord<'_>) -> After {
    record.finish(None, Some("client_gone"));
    After::Drop
}

/// The endpoints that take the connection over with or without an upgrade.
fn takes_over(hijack: Hijack) -> bool {
    hijack == Hijack::Tcp
}

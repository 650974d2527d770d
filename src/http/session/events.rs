//! The stream of events of a client whose role has a scope: read by the gate, and passed on as far as it is the owner's.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::warn;

use super::super::framing::Framing;
use super::super::respond::{self, Refusal, Status};
use super::super::scope::events::EventSieve;
use super::super::scope::{Halt, OwnerView, ScopedClient};
use super::{After, LINGER, Ready, Session, gone};
use crate::engine::lookup::EngineReply;
use crate::limits::Reservation;

/// How long events may still come after the client ended its side, as for any other answer.
const GONE_GRACE: Duration = Duration::from_secs(1);

/// Bytes a client may send ahead of the end.
const AHEAD: usize = 64 * 1024;

/// Longest answer other than a stream of events.
const LONGEST: usize = 64 * 1024;

/// How long the rest of such an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried whether there is room for what has come.
const RETRY: Duration = Duration::from_millis(100);

/// What comes next in a stream.
enum Next {
    /// More of it.
    More(hyper::body::Bytes),
    /// Its end.
    End,
    /// The engine broke off.
    Cut,
    /// The client has gone.
    Gone,
}

impl<'a> Session<'a> {
    /// Asks for events by `target`, and passes those on that `client` may see, until either side ends.
    pub(super) async fn events(
        &mut self,
        client: &ScopedClient,
        ready: &mut Ready<'a>,
        target: &str,
    ) -> After {
        let sent = Instant::now();
        let asked = self.shared.upstream.stream(&ready.permit, target).await;
        let (mut reply, body) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                let refusal = match Halt::from(error) {
                    Halt::Refused(status, message) => Refusal::new(status, message),
                    Halt::Full(full) => self.full(full),
                    _ => return After::Drop,
                };
                return self.refuse_ready(ready, refusal).await;
            }
        };
        ready.record.answered(sent, Some(Instant::now()));
        if reply.status != 200 {
            let limited = http_body_util::Limited::new(body, LONGEST);
            if let Ok(Ok(body)) = timeout(PATIENCE, limited.collect()).await {
                reply.body = body.to_bytes().to_vec();
            }
            return self.answer(ready, reply).await;
        }
        if let Some(after) = self.unauthorized(ready, &reply).await {
            return after;
        }
        let in_chunks = !ready.record.connection.http10;
        let (keeps, option) = self.persists(&ready.body, &ready.record, in_chunks);
        let head = respond::stream_head(&reply, in_chunks, option);
        if self.client.write_all(&head).await.is_err() {
            return gone(&mut ready.record);
        }
        self.entry.meter.down(head.len());
        match Box::pin(self.pass_events(client, body, in_chunks)).await {
            Next::End => {}
            Next::Gone => {
                ready.record.finish(Some(200), Some("client_gone"));
                return After::Drop;
            }
            Next::Cut | Next::More(_) => {
                ready.record.finish(Some(200), Some("cut_off"));
                return After::Drop;
            }
        }
        ready.record.finish(Some(200), None);
        match keeps && !self.client.ended() {
            true => After::Next,
            false => After::LingerAndClose(LINGER.0),
        }
    }

    /// What comes of an authorization plugin that does not let the answer go back.
    async fn unauthorized(&mut self, ready: &mut Ready<'a>, reply: &EngineReply) -> Option<After> {
        let authorization = self.authorization.take()?;
        let head = respond::stream_head(reply, true, None);
        let mut question = authorization.ask(reply.status, &head, &Framing::length(0), None);
        let denied = poll_fn(|cx| question.poll(cx)).await.err()?;
        let message = denied.to_string();
        ready.record.denied_by_plugin(&message);
        let refusal = Refusal::new(Status::Forbidden, message);
        Some(self.refuse_ready(ready, refusal).await)
    }

    async fn pass_events(
        &mut self,
        client: &ScopedClient,
        mut body: Incoming,
        in_chunks: bool,
    ) -> Next {
        let mut sieve = EventSieve::default();
        let mut room = self.held.beside();
        let mut last = None;
        loop {
            let more = match self.next_event(&mut body, &mut last).await {
                Next::More(more) => more,
                Next::End => break,
                other => return other,
            };
            // What has come may all be passed on, and is held until the client has it.
            if !self
                .makes_room(&mut room, 2 * (sieve.held() + more.len()))
                .await
            {
                return Next::Cut;
            }
            let mut view = OwnerView::new(self.shared, client, Vec::new());
            let Ok(passed) = sieve.pass(&mut view, &more).await else {
                return Next::Cut;
            };
            if passed.is_empty() {
                if sieve.held() == 0 {
                    room.release();
                }
                continue;
            }
            drop(more);
            let mut bytes = Vec::with_capacity(passed.len() + 16);
            if in_chunks {
                bytes.extend_from_slice(format!("{:x}\r\n", passed.len()).as_bytes());
            }
            bytes.extend_from_slice(&passed);
            if in_chunks {
                bytes.extend_from_slice(b"\r\n");
            }
            if self.sent(&bytes, &[], &room).await.is_err() {
                return Next::Gone;
            }
            room.release();
        }
        match !in_chunks || self.client.write_all(b"0\r\n\r\n").await.is_ok() {
            true => Next::End,
            false => Next::Gone,
        }
    }

    /// Waits until there is room for `bytes`, since a stream that is cut has lost what comes meanwhile; false where others hold it for
    /// too long.
    async fn makes_room(&self, room: &mut Reservation, bytes: usize) -> bool {
        let last = Instant::now() + PATIENCE;
        while let Err(full) = room.grow_to(bytes) {
            if Instant::now() >= last {
                let refusal = self.full(full);
                warn!(conn.id = self.entry.id, error = %refusal.message, "Events cut off");
                return false;
            }
            sleep(RETRY).await;
        }
        true
    }

    /// Waits for more of the stream, and for the client's end; `last` is until when more may come after that.
    async fn next_event(&mut self, body: &mut Incoming, last: &mut Option<Instant>) -> Next {
        let more = async {
            loop {
                match body.frame().await {
                    None => return Next::End,
                    Some(Err(_)) => return Next::Cut,
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Next::More(data);
                        }
                    }
                }
            }
        };
        let client = &mut self.client;
        let left = async {
            while !client.ended() && client.held().len() < AHEAD {
                if poll_fn(|cx| client.poll_hold(cx)).await.is_err() {
                    return;
                }
            }
            match client.ended() {
                true => {
                    let last = last.get_or_insert_with(|| Instant::now() + GONE_GRACE);
                    sleep_until((*last).into()).await;
                }
                // It sends ahead more than is kept; what it does then shows when it is written to.
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            next = more => next,
            () = left => Next::Gone,
        }
    }
}

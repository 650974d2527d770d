//! Bodies that are read before anything is sent: of attach and exec start, and those the policy inspects.

use std::future::poll_fn;

use tokio::time::timeout;

use super::super::framing::Framing;
use super::super::head::{Expect, RequestHead};
use super::super::outgoing::Outgoing;
use super::super::respond::{Refusal, Status};
use super::{Session, Stop};
use crate::limits::NoRoom;
use crate::observe::metrics::Limit;
use policy::BodyLength;

/// The largest body of an attach or exec start.
const MAX_TAKEOVER_BODY: usize = 64 * 1024;

/// What [`Session::read_body`] came to.
pub(super) enum Read {
    /// The whole body.
    Whole(Vec<u8>),
    /// The beginning of one that is longer than the limit.
    Beyond(Vec<u8>),
}

impl Session<'_> {
    /// Adds what has come of the body to the head, so that a small request is one write.
    pub(super) fn first_of_body(
        &mut self,
        body: &mut Framing,
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let taken = body
            .take(self.client.held())
            .map_err(|e| Stop::Refused(Refusal::new(Status::BadRequest, e.to_string())))?;
        taken.append_to(out);
        let n = taken.used;
        self.entry.meter.up(n);
        self.client.release(n);
        Ok(())
    }

    /// Reads the body of an attach or exec start behind its head: the engine takes what arrives later for stdin
    /// (docker-transport R5).
    pub(super) async fn takeover_body(
        &mut self,
        request: &RequestHead,
        body: &mut Framing,
        out: &mut Outgoing,
    ) -> Result<(), Stop> {
        let read = self.read_body(request, body, Vec::new(), MAX_TAKEOVER_BODY);
        match read.await? {
            Read::Whole(raw) => {
                out.tail().extend_from_slice(&raw);
                Ok(())
            }
            Read::Beyond(_) => {
                let message = format!(
                    "the body of an attach or exec start is limited to {MAX_TAKEOVER_BODY} bytes"
                );
                Err(Stop::Refused(Refusal::new(
                    Status::ContentTooLarge,
                    message,
                )))
            }
        }
    }

    /// The refusal of what there is no memory for.
    pub(super) fn full(&self, full: NoRoom) -> Refusal {
        self.shared.metrics.limited(Limit::PendingBodies);
        let mut refusal = Refusal::new(Status::Unavailable, full.to_string());
        refusal.retry_after = Some(1);
        refusal
    }

    fn no_room(&self, full: NoRoom) -> Stop {
        Stop::Refused(self.full(full))
    }

    /// Reads a body to its end, framing included, behind what has `begun` it, or until it proves longer than `limit` bytes. A
    /// client that waits for `100 Continue` gets it.
    pub(super) async fn read_body(
        &mut self,
        request: &RequestHead,
        body: &mut Framing,
        begun: Vec<u8>,
        limit: usize,
    ) -> Result<Read, Stop> {
        let mut raw = begun;
        if body.is_done() && raw.len() <= limit {
            return Ok(Read::Whole(raw));
        }
        if let BodyLength::Exact(length) = body.announced() {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let fits = self.held.fits(length.min(limit));
            fits.map_err(|full| self.no_room(full))?;
        }
        if request.expect == Expect::Continue && raw.is_empty() && self.client.held().is_empty() {
            let interim = self
                .client
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await;
            interim.map_err(|_| Stop::Gone)?;
        }
        let deadline = self.shared.deadlines.head;
        // A plugin is told the body in base64, in JSON, and until it answers all three are held.
        let copies = if self.shared.plugin.is_some() { 4 } else { 1 };
        let read = async {
            loop {
                self.first_of_body(body, &mut raw)?;
                let held = self.held.grow_to(copies * raw.capacity());
                held.map_err(|full| self.no_room(full))?;
                if raw.len() > limit {
                    return Ok(Read::Beyond(std::mem::take(&mut raw)));
                }
                if body.is_done() {
                    return Ok(Read::Whole(std::mem::take(&mut raw)));
                }
                match poll_fn(|cx| self.client.poll_hold(cx)).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Err(Stop::Gone),
                }
            }
        };
        let late = Refusal::new(
            Status::Timeout,
            "the body did not come in time; it has to be read before it is sent",
        );
        timeout(deadline, read)
            .await
            .unwrap_or(Err(Stop::Refused(late)))
    }
}

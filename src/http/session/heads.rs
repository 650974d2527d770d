//! Waits for request heads: the first within its deadline, later ones for as long as the client likes, each complete one
//! in time once it has begun.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};

use super::super::head;
use super::super::respond::{Refusal, Status};
use super::{After, LINGER, Session};
use crate::observe::metrics::Limit;

/// What a new connection has for its first request once the gate drains: the client has sent it by then, or is about to, and would
/// not send it again elsewhere. Between requests a client expects to find its connection closed (RFC 9112, section 9.3.1).
const FIRST_REQUEST: Duration = Duration::from_secs(2);

impl Session<'_> {
    /// Waits for a complete head at the front of the held bytes.
    pub(super) async fn head(&mut self) -> Result<usize, After> {
        let limit = self.shared.deadlines.head;
        if !self.client.held().is_empty() {
            return self.rest_in_time(Instant::now() + limit).await;
        }
        let began = Instant::now();
        let first = began + limit;
        let drained = async {
            self.shared.draining.cancelled().await;
            if self.fresh {
                sleep_until((began + FIRST_REQUEST).into()).await;
            }
        };
        let idle = poll_fn(|cx| self.client.poll_hold(cx));
        tokio::select! {
            read = idle => match read {
                Ok(true) => {}
                Ok(false) => return Err(After::LingerAndClose(LINGER.0)),
                Err(_) => return Err(After::Drop),
            },
            () = drained => return Err(After::LingerAndClose(LINGER.0)),
            // Only the first head has to begin in time; later ones may take hours.
            () = sleep_until(first.into()), if self.fresh => return Err(After::LingerAndClose(LINGER.0)),
        }
        match head::head_len(self.client.held(), 0) {
            Some(len) if len <= self.shared.limits.head_bytes => Ok(len),
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
        let most = self.shared.limits.head_bytes;
        let mut scanned = 0;
        loop {
            let held = self.client.held();
            match head::head_len(held, scanned) {
                Some(len) if len <= most => return Ok(len),
                None if held.len() <= most => {}
                _ => {
                    self.shared.metrics.limited(Limit::HeadSize);
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
                Ok(false) => return Err(After::LingerAndClose(LINGER.0)),
                Err(_) => return Err(After::Drop),
            }
        }
    }
}

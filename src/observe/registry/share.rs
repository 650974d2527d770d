//! What one client certificate key has of the gate: its connections and its requests per second.
//!
//! Counted by public key (SPKI) rather than by certificate, so that a renewed certificate does not double the share.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use crate::limits::TokenBucket;
use pki::identity::Identity;

/// Connections above the limit that one client may have waiting for their answer; further ones are closed unanswered.
const WAITING: usize = 16;

/// Bounds on each client.
#[derive(Clone, Copy, Debug)]
pub struct PerClient {
    /// Connections at once.
    pub connections: usize,
    /// Requests per second.
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for PerClient {
    fn default() -> Self {
        Self {
            connections: usize::MAX,
            requests_per_second: None,
        }
    }
}

/// A connection's standing under the limit of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Within the limit.
    Within,
    /// Above it: its first request is answered with a refusal.
    Above,
    /// Far above it: it is closed without a word.
    Drop,
}

/// One client's share.
#[derive(Debug)]
pub(super) struct Share {
    within: AtomicUsize,
    above: AtomicUsize,
    bucket: Option<TokenBucket>,
}

/// A certificate's identity, and the chain it came with, leaf first.
pub(super) type Presented = (Arc<Identity>, Arc<[CertificateDer<'static>]>);

#[derive(Debug)]
struct ClientShare {
    share: Arc<Share>,
    /// What it presented last: connections with the same certificate keep one copy among them.
    presented: Option<Presented>,
}

/// The shares of all clients that are connected; only touched under the registry's lock.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_spki: HashMap<[u8; 32], ClientShare>,
    /// The size at which those that are not needed any more are looked for.
    sweep_at: usize,
}

impl Shares {
    /// Finds a place for one more connection of `spki`.
    pub(super) fn enter(&mut self, spki: [u8; 32], limits: PerClient) -> (Arc<Share>, Admission) {
        let client = self.by_spki.entry(spki).or_insert_with(|| ClientShare {
            share: Arc::new(Share {
                within: AtomicUsize::new(0),
                above: AtomicUsize::new(0),
                bucket: limits.requests_per_second.map(TokenBucket::new),
            }),
            presented: None,
        });
        let share = &client.share;
        let place = if share.within.load(Relaxed) < limits.connections {
            share.within.fetch_add(1, Relaxed);
            Admission::Within
        } else if share.above.load(Relaxed) < WAITING {
            share.above.fetch_add(1, Relaxed);
            Admission::Above
        } else {
            Admission::Drop
        };
        (share.clone(), place)
    }

    /// The same identity and chain, shared with the connections that presented them before.
    pub(super) fn share_copy(
        &mut self,
        identity: Arc<Identity>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Presented {
        let Some(client) = self.by_spki.get_mut(&identity.spki) else {
            return (identity, chain.into());
        };
        match &client.presented {
            Some(known)
                if *known.1 == *chain
                    && (Arc::ptr_eq(&known.0, &identity) || *known.0 == *identity) =>
            {
                known.clone()
            }
            _ => {
                let presented: Presented = (identity, chain.into());
                client.presented = Some(presented.clone());
                presented
            }
        }
    }

    /// Gives a place back. A bucket that still has to refill is kept, so that reconnecting earns no requests.
    pub(super) fn leave(&mut self, spki: &[u8; 32], place: Admission) {
        let Some(client) = self.by_spki.get_mut(spki) else {
            return;
        };
        let share = &client.share;
        match place {
            Admission::Within => share.within.fetch_sub(1, Relaxed),
            Admission::Above => share.above.fetch_sub(1, Relaxed),
            Admission::Drop => 0,
        };
        let gone = |s: &Share| s.within.load(Relaxed) == 0 && s.above.load(Relaxed) == 0;
        if gone(share) && share.bucket.is_none() {
            self.by_spki.remove(spki);
            return;
        }
        if gone(share) {
            client.presented = None;
        }
        if self.by_spki.len() > self.sweep_at.max(MOST_IDLE) {
            let now = Instant::now();
            self.by_spki.retain(|_, client| {
                let share = &client.share;
                !gone(share) || share.bucket.as_ref().is_some_and(|b| !b.is_full(now))
            });
            self.sweep_at = 2 * self.by_spki.len();
        }
    }

    /// Clients with at least one connection.
    pub(super) fn clients(&self) -> usize {
        self.by_spki
            .values()
            .filter(|ClientShare { share, .. }| {
                share.within.load(Relaxed) + share.above.load(Relaxed) > 0
            })
            .count()
    }
}

/// Shares kept before those of clients that are gone, and whose buckets are full again, are looked for.
const MOST_IDLE: usize = 1024;

impl Share {
    /// Counts one request.
    pub(super) fn request(&self) -> Result<(), Duration> {
        match &self.bucket {
            Some(bucket) => bucket.take(Instant::now()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_above_its_limit_is_answered_and_far_above_it_is_not() {
        let limits = PerClient {
            connections: 2,
            ..PerClient::default()
        };
        let mut shares = Shares::default();
        let (ours, theirs) = ([1; 32], [2; 32]);
        let mut place = |spki| shares.enter(spki, limits).1;
        assert_eq!([place(ours), place(ours)], [Admission::Within; 2]);
        for _ in 0..WAITING {
            assert_eq!(place(ours), Admission::Above);
        }
        assert_eq!(place(ours), Admission::Drop);
        assert_eq!(
            place(theirs),
            Admission::Within,
            "another client is unaffected"
        );
        shares.leave(&ours, Admission::Within);
        assert_eq!(shares.enter(ours, limits).1, Admission::Within);
        assert_eq!(shares.clients(), 2);
    }

    #[test]
    fn connections_with_one_certificate_share_it_until_the_last_has_left() {
        let limits = PerClient {
            requests_per_second: NonZeroU32::new(1),
            ..PerClient::default()
        };
        let identity = |common_name: &str| Identity {
            common_names: vec![common_name.to_owned()],
            serial: "01".into(),
            fingerprint: [1; 32],
            spki: [2; 32],
            ..Identity::unnamed()
        };
        let mut shares = Shares::default();
        let mut enter = |name: &str, der: &[u8]| {
            let _ = shares.enter([2; 32], limits);
            let chain = vec![CertificateDer::from(der.to_vec())];
            shares.share_copy(Arc::new(identity(name)), chain)
        };
        let first = enter("a", b"one");
        let second = enter("a", b"one");
        assert!(Arc::ptr_eq(&first.0, &second.0) && Arc::ptr_eq(&first.1, &second.1));
        let renewed = enter("b", b"two");
        assert_eq!(renewed.0.label(), "b", "a renewed certificate is its own");
        assert_eq!(renewed.1[0].as_ref(), b"two");
        for _ in 0..3 {
            shares.leave(&[2; 32], Admission::Within);
        }
        assert_eq!(Arc::strong_count(&renewed.1), 1, "nothing is kept");
    }

    #[test]
    fn clients_that_left_are_forgotten_once_their_bucket_is_full() {
        let limits = PerClient {
            connections: 9,
            requests_per_second: NonZeroU32::new(1_000_000_000),
        };
        let mut shares = Shares::default();
        for n in 0..2 * MOST_IDLE {
            let mut spki = [0; 32];
            spki[..8].copy_from_slice(&n.to_be_bytes());
            let (share, place) = shares.enter(spki, limits);
            assert!(share.request().is_ok());
            shares.leave(&spki, place);
        }
        assert!(
            shares.by_spki.len() <= MOST_IDLE + 1,
            "{}",
            shares.by_spki.len()
        );
    }
}

//! Connections whose client is not known yet: how many there may be, and who goes when places are short.
//!
//! Nobody keeps others out. A peer that has sent nothing gives its place to the next one, the oldest first. A source address
//! has a share: above it, its own peers go before those of others. Where none of that makes room, new connections wait in
//! the kernel's backlog.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One of so many parts of all places is the share of a source address.
const SHARES: usize = 4;

/// A handshake that takes longer gives way to another one from its own source, where that is above its share.
const STALLED: Duration = Duration::from_secs(2);

/// Where connections come from: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u128);

impl Source {
    /// The source of a peer.
    #[must_use]
    pub fn of(peer: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits().into()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64 | 1),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match u32::try_from(self.0) {
            Ok(bits) if self.0 != 1 => std::net::Ipv4Addr::from_bits(bits).fmt(f),
            _ => write!(
                f,
                "{}/64",
                std::net::Ipv6Addr::from_bits(self.0 >> 64 << 64)
            ),
        }
    }
}

/// A handshake in progress.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// Number of the connection.
    pub id: u64,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// Whether the peer has sent anything.
    pub heard: bool,
}

#[derive(Debug)]
struct Peer {
    handshake: Handshake,
    source: Source,
    displaced: Arc<Notify>,
}

/// The handshakes in progress.
#[derive(Debug)]
pub struct HandshakeTable {
    places: usize,
    state: Mutex<TableState>,
    /// Tells those who wait for room that something changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct TableState {
    /// By number, hence oldest first.
    peers: BTreeMap<u64, Peer>,
    sources: HashMap<Source, usize>,
}

impl TableState {
    fn count(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// Who gives its place to a newcomer from `source`.
    fn victim(&self, source: Source, share: usize) -> Option<u64> {
        let oldest = |fits: &dyn Fn(&Peer) -> bool| {
            let found = self.peers.iter().find(|(_, peer)| fits(peer));
            found.map(|(id, _)| *id)
        };
        let over = |peer: &Peer| self.count(peer.source) > share;
        let welcome = self.count(source) < share;
        let stalls = |peer: &Peer| peer.handshake.since.elapsed() > STALLED;
        oldest(&|peer| !peer.handshake.heard && over(peer))
            .or_else(|| oldest(&|peer| !peer.handshake.heard))
            .or_else(|| oldest(&|peer| welcome && over(peer)))
            .or_else(|| oldest(&|peer| peer.source == source && over(peer) && stalls(peer)))
    }

    fn remove(&mut self, id: u64) -> Option<Peer> {
        let peer = self.peers.remove(&id)?;
        if let Some(count) = self.sources.get_mut(&peer.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&peer.source);
            }
        }
        Some(peer)
    }
}

impl HandshakeTable {
    /// A table of `places`.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            places,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn share(&self) -> usize {
        (self.places / SHARES).max(1)
    }

    /// Gives a peer a place, once there is one. `None` if its own source has had its share of them.
    pub async fn admit(self: &Arc<Self>, id: u64, peer: SocketAddr) -> Option<Place> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change in between is missed.
            changed.as_mut().enable();
            match self.enter(id, peer) {
                Entering::Entered(place) => return Some(place),
                Entering::HadItsShare => return None,
                Entering::Wait => changed.await,
            }
        }
    }

    fn enter(self: &Arc<Self>, id: u64, peer: SocketAddr) -> Entering {
        let source = Source::of(peer);
        let displaced = Arc::new(Notify::new());
        let mut state = self.lock();
        if state.peers.len() >= self.places {
            match state.victim(source, self.share()) {
                Some(victim) => {
                    if let Some(peer) = state.remove(victim) {
                        peer.displaced.notify_one();
                    }
                }
                None if state.count(source) < self.share() => return Entering::Wait,
                None => return Entering::HadItsShare,
            }
        }
        let since = Instant::now();
        state.peers.insert(
            id,
            Peer {
                handshake: Handshake {
                    id,
                    peer,
                    since,
                    heard: false,
                },
                source,
                displaced: displaced.clone(),
            },
        );
        *state.sources.entry(source).or_default() += 1;
        drop(state);
        Entering::Entered(Place {
            pending: self.clone(),
            id,
            displaced,
        })
    }

    /// Those in progress, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Handshake> {
        let state = self.lock();
        state.peers.values().map(|peer| peer.handshake).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().peers.len()
    }

    fn lock(&self) -> MutexGuard<'_, TableState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
enum Entering {
    Entered(Place),
    /// All are busy, and none of them has more than its share.
    Wait,
    /// All are busy, and the newcomer's own source has had its share.
    HadItsShare,
}

/// A peer's place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    pending: Arc<HandshakeTable>,
    id: u64,
    displaced: Arc<Notify>,
}

impl Place {
    /// Notes that the peer has sent something.
    pub fn heard(&self) {
        if let Some(peer) = self.pending.lock().peers.get_mut(&self.id) {
            peer.handshake.heard = true;
        }
    }

    /// Waits until the place is given to somebody else.
    pub async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.lock().remove(self.id);
        self.pending.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn from(host: u8) -> SocketAddr {
        ([192, 0, 2, host], 1).into()
    }

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        let mut cx = Context::from_waker(Waker::noop());
        pin!(future).poll(&mut cx)
    }

    /// Gives a peer of that host a place.
    fn enter(pending: &Arc<HandshakeTable>, id: u64, host: u8) -> Place {
        match pending.enter(id, from(host)) {
            Entering::Entered(place) => place,
            other => panic!("{id} of {host}: {other:?}"),
        }
    }

    fn is_displaced(place: &Place) -> bool {
        poll(place.displaced()).is_ready()
    }

    #[test]
    fn the_oldest_silent_peer_goes_first_and_one_that_was_heard_stays() {
        let pending = Arc::new(HandshakeTable::new(3));
        let places: Vec<_> = (1..=3).map(|id| enter(&pending, id, 1)).collect();
        places[0].heard();
        let fourth = enter(&pending, 4, 2);
        let displaced: Vec<_> = places.iter().map(is_displaced).collect();
        assert_eq!(displaced, [false, true, false]);
        assert_eq!(pending.count(), 3);
        drop((places, fourth));
        assert_eq!(pending.count(), 0);
        assert!(pending.lock().sources.is_empty());
    }

    #[test]
    fn a_source_above_its_share_gives_way_to_others_and_not_to_itself() {
        let pending = Arc::new(HandshakeTable::new(8));
        let places: Vec<_> = (1..=8).map(|id| enter(&pending, id, 1)).collect();
        for place in &places {
            place.heard();
        }
        assert!(
            matches!(poll(pending.admit(9, from(1))), Poll::Ready(None)),
            "it has had its share"
        );
        let other = enter(&pending, 10, 2);
        other.heard();
        assert!(is_displaced(&places[0]) && !is_displaced(&places[1]));
        assert!(!is_displaced(&other));
    }

    #[test]
    fn where_everybody_is_busy_and_within_their_share_new_ones_wait() {
        let pending = Arc::new(HandshakeTable::new(4));
        let mut places: Vec<_> = (1..=4)
            .map(|host| enter(&pending, host.into(), host))
            .collect();
        for place in &places {
            place.heard();
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiting = pin!(pending.admit(5, from(5)));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        places.pop();
        assert!(matches!(
            waiting.as_mut().poll(&mut cx),
            Poll::Ready(Some(_))
        ));
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source() {
        let source = |text: &str| Source::of(text.parse().expect("an address"));
        assert_eq!(
            source("[2001:db8:1:2::1]:1"),
            source("[2001:db8:1:2:ffff::9]:2")
        );
        assert_ne!(source("[2001:db8:1:2::1]:1"), source("[2001:db8:1:3::1]:1"));
        assert_eq!(source("[::ffff:192.0.2.1]:1"), source("192.0.2.1:2"));
        assert_ne!(source("192.0.2.1:1"), source("192.0.2.2:1"));
    }
}

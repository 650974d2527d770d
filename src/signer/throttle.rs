//! How often an address may be wrong. A secret that is right is never turned away: nobody can lock another out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that get their full answer.
const BURST: u32 = 20;

/// After so long one more does.
const REFILL: Duration = Duration::from_secs(3);

/// Addresses that are remembered; beyond that all are forgotten, which costs time and nothing else.
const REMEMBERED: usize = 4096;

/// Failures by address; an IPv6 host has a whole /64.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Throttle {
    /// Notes a failure; whether the address has had more of them than it may.
    pub(super) fn failed(&self, peer: IpAddr, now: Instant) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, (count, since)| {
                now.saturating_duration_since(*since) < REFILL * *count
            });
        }
        if failures.len() >= REMEMBERED {
            failures.clear();
        }
        let (count, since) = failures.entry(network(peer)).or_insert((0, now));
        let passed = now.saturating_duration_since(*since).as_millis() / REFILL.as_millis();
        if passed > 0 {
            *count = count.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            *since = now;
        }
        if *count >= BURST {
            return true;
        }
        *count += 1;
        false
    }
}

/// Whose share an address uses: an IPv6 host has all of its /64.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_wrong_too_often_is_limited_until_time_has_passed_and_others_are_not() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!((0..BURST).all(|_| !throttle.failed(one, now)));
        assert!(throttle.failed(one, now));
        assert!(!throttle.failed(two, now));
        assert!(!throttle.failed(one, now + REFILL));
        assert!(throttle.failed(one, now + REFILL));
    }

    #[test]
    fn an_ipv6_host_is_one_however_many_addresses_it_has() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let of = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert!((0..20).all(|host| !throttle.failed(of(host), now)));
        assert!(throttle.failed(of(99), now));
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for host in 0..3 * 4096_u32 {
            throttle.failed(IpAddr::from(host.to_be_bytes()), now);
        }
        let known = throttle.failures.lock().expect("the table").len();
        assert!(known <= REMEMBERED, "{known}");
    }
}

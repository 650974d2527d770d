//! Small bounds: a token bucket, a budget of memory, and a log line that does not repeat itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// At most so many events a second, with bursts of one second's worth.
#[derive(Debug)]
pub struct TokenBucket {
    rate: f64,
    state: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        let rate = f64::from(per_second.get());
        Self {
            rate,
            state: Mutex::new((rate, Instant::now())),
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one again.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, last) = &mut *state;
        *tokens = self.level(*tokens, *last, now);
        *last = now.max(*last);
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - *tokens) / self.rate))
    }

    /// Whether it holds as much as a new one.
    pub fn is_full(&self, now: Instant) -> bool {
        let (tokens, last) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.level(tokens, last, now) >= self.rate
    }

    fn level(&self, tokens: f64, last: Instant, now: Instant) -> f64 {
        let refill = now.saturating_duration_since(last).as_secs_f64() * self.rate;
        (tokens + refill).min(self.rate)
    }
}

/// A number of bytes that many share; that of one client is also taken from the one of all.
#[derive(Debug)]
pub struct MemoryBudget {
    most: usize,
    used: AtomicUsize,
    all: Option<Arc<MemoryBudget>>,
}

impl MemoryBudget {
    /// `most` bytes in all.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            used: AtomicUsize::new(0),
            all: None,
        }
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether more than half of it is taken.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.used() > self.most / 2
    }

    /// What `used` would become with `more`, for who has `own` of it. A client that holds nothing else may go up to half of what all
    /// have: one body may be larger than a share.
    fn with(&self, used: usize, more: usize, own: usize) -> Result<usize, NoRoom> {
        let (most, full) = match &self.all {
            Some(all) if used == own => (self.most.max(all.most / 2), NoRoom::Client),
            Some(_) => (self.most, NoRoom::Client),
            None => (self.most, NoRoom::All),
        };
        let sum = used.checked_add(more);
        sum.filter(|sum| *sum <= most).ok_or(full)
    }

    fn take(&self, more: usize, own: usize) -> Result<(), NoRoom> {
        let take = |used: usize| self.with(used, more, own).ok();
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if let Err(used) = taken {
            return self.with(used, more, own).map(|_| ());
        }
        let all = self.all.as_ref().map_or(Ok(()), |all| all.take(more, own));
        if all.is_err() {
            self.used.fetch_sub(more, Ordering::Relaxed);
        }
        all
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(all) = &self.all {
            all.give_back(bytes);
        }
    }
}

/// Bytes of which each client has a share, so that no client takes what the others need.
#[derive(Debug)]
pub struct SharedMemory {
    all: Arc<MemoryBudget>,
    clients: Mutex<HashMap<[u8; 32], Weak<MemoryBudget>>>,
}

/// The least that a client's share is: room for what is in flight at once with the usual `max_body`.
const LEAST_SHARE: usize = 16 << 20;

impl SharedMemory {
    /// `most` bytes in all.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            all: Arc::new(MemoryBudget::new(most)),
            clients: Mutex::default(),
        }
    }

    /// What the client with this public key may hold: a quarter.
    pub fn of(&self, client: &[u8; 32]) -> Arc<MemoryBudget> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = clients.get(client).and_then(Weak::upgrade) {
            return budget;
        }
        clients.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(MemoryBudget {
            all: Some(self.all.clone()),
            ..MemoryBudget::new((self.all.most / 4).max(LEAST_SHARE))
        });
        clients.insert(*client, Arc::downgrade(&budget));
        budget
    }

    /// What is held for no client's time, but only for the engine's.
    pub fn all(&self) -> &Arc<MemoryBudget> {
        &self.all
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.all.used()
    }
}

/// A share of a [`MemoryBudget`], given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// That of all clients.
    #[error("too many request bodies and answers are held (max-pending-bodies)")]
    All,
    /// That of the client.
    #[error(
        "too many request bodies and answers of this client are held (a quarter of max-pending-bodies)"
    )]
    Client,
}

impl Reservation {
    /// A share of nothing yet.
    #[must_use]
    pub fn new(budget: &Arc<MemoryBudget>) -> Self {
        Self {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// Another share of the same budget, of nothing yet.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::new(&self.budget)
    }

    /// Whether more than half of the budget is taken.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.budget.is_scarce()
    }

    /// Makes it `bytes` if it is less.
    ///
    /// # Errors
    /// When that is more than is left; the share stays as it is.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        self.budget.take(more, self.bytes)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Whether it could be `bytes` now.
    ///
    /// # Errors
    /// When that is more than is left.
    pub fn fits(&self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes.saturating_sub(self.bytes);
        let budgets = std::iter::successors(Some(&self.budget), |budget| budget.all.as_ref());
        for budget in budgets {
            budget.with(budget.used(), more, self.bytes)?;
        }
        Ok(())
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.budget.give_back(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// Lets something be said at most once in a while, and counts what went unsaid.
#[derive(Debug)]
pub struct LogThrottle {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl LogThrottle {
    /// Once in `every`.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            state: Mutex::new((None, 0)),
        }
    }

    /// Counts one occasion; how many there were since the last time it was said, this one included, if it is time to say it.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *state;
        *unsaid += 1;
        if last.is_some_and(|at| now.saturating_duration_since(at) < self.every) {
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(unsaid))
    }
}

/// Lines of one key that are logged in a row.
const IN_A_ROW: u32 = 20;

/// Lines of all keys together in one window; then those of other keys are one key.
const IN_ALL: u32 = 200;

/// Keys that are told apart in one window.
const KEYS: usize = 1024;

/// Lets many kinds of lines be logged, each a few times in a window, and counts what went unsaid. What strangers cause is
/// logged through this: neither one of them nor many can fill a disk.
#[derive(Debug)]
pub struct LogThrottles<K> {
    window: Duration,
    state: Mutex<Throttled<K>>,
}

#[derive(Debug)]
struct Throttled<K> {
    began: Instant,
    said: u32,
    by_key: HashMap<K, Unsaid>,
    /// Of the keys that there was no room for.
    others: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Unsaid {
    said: u32,
    unsaid: u64,
}

impl<K: Eq + Hash + Copy> LogThrottles<K> {
    /// With windows of that length, the first of which begins now.
    #[must_use]
    pub fn new(window: Duration, now: Instant) -> Self {
        Self {
            window,
            state: Mutex::new(Throttled {
                began: now,
                said: 0,
                by_key: HashMap::new(),
                others: 0,
            }),
        }
    }

    /// Whether an occasion is logged, or only counted.
    pub fn admits(&self, key: K) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if !state.by_key.contains_key(&key) && state.by_key.len() >= KEYS {
            state.others += 1;
            return false;
        }
        let one = state.by_key.entry(key).or_default();
        if one.said < IN_A_ROW && state.said < IN_ALL {
            one.said += 1;
            state.said += 1;
            return true;
        }
        one.unsaid += 1;
        false
    }

    /// What went unsaid in the window that has ended, if one has; the last is what belongs to no key that was told apart.
    pub fn unsaid(&self, now: Instant) -> (Vec<(K, u64)>, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.began) < self.window {
            return (Vec::new(), 0);
        }
        state.began = now;
        state.said = 0;
        let mut unsaid: Vec<_> = std::mem::take(&mut state.by_key)
            .into_iter()
            .filter(|(_, one)| one.unsaid > 0)
            .map(|(key, one)| (key, one.unsaid))
            .collect();
        // The loudest are told apart, the rest is a number.
        unsaid.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        let quiet = unsaid.split_off(unsaid.len().min(IN_A_ROW as usize));
        let others = std::mem::take(&mut state.others);
        (
            unsaid,
            others + quiet.iter().map(|(_, count)| count).sum::<u64>(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_second_of_burst_and_then_its_rate() {
        let start = Instant::now();
        let bucket = TokenBucket::new(NonZeroU32::new(10).expect("not zero"));
        let at = |ms| start + Duration::from_millis(ms);
        let taken = (0..100).filter(|_| bucket.take(at(10)).is_ok()).count();
        assert_eq!(taken, 10);
        let wait = bucket.take(at(10)).expect_err("empty");
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(
            bucket
                .take(at(10) + wait + Duration::from_millis(1))
                .is_ok()
        );
        let later = (0..100).filter(|_| bucket.take(at(60_000)).is_ok()).count();
        assert_eq!(later, 10, "a long silence earns one second, not a minute");
    }

    #[test]
    fn a_budget_is_never_overdrawn_and_comes_back_whole() {
        let budget = Arc::new(MemoryBudget::new(100));
        let (mut first, mut second) = (Reservation::new(&budget), Reservation::new(&budget));
        assert_eq!(first.grow_to(60), Ok(()));
        assert_eq!(first.grow_to(40), Ok(()), "it has more already");
        assert_eq!(second.grow_to(41), Err(NoRoom::All));
        assert_eq!(second.grow_to(40), Ok(()));
        assert_eq!((budget.used(), first.grow_to(61)), (100, Err(NoRoom::All)));
        assert_eq!(first.grow_to(usize::MAX), Err(NoRoom::All));
        drop(second);
        assert_eq!(first.grow_to(100), Ok(()));
        first.release();
        assert_eq!(budget.used(), 0);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_client_leaves_the_others_their_shares() {
        let memory = SharedMemory::new(128 << 20);
        let (greedy, other) = (memory.of(&[1; 32]), memory.of(&[2; 32]));
        let mut held: Vec<_> = (0..64).map(|_| Reservation::new(&greedy)).collect();
        let fit = held
            .iter_mut()
            .filter_map(|one| one.grow_to(1 << 20).ok())
            .count();
        assert_eq!((fit, memory.used()), (32, 32 << 20), "a quarter");
        assert_eq!(held[40].fits(1), Err(NoRoom::Client));
        assert_eq!(held[40].grow_to(1), Err(NoRoom::Client));
        // The same client at another connection, and another one.
        let again = memory.of(&[1; 32]);
        assert_eq!(Reservation::new(&again).grow_to(1), Err(NoRoom::Client));
        let mut one = Reservation::new(&other);
        assert_eq!(
            (one.fits(32 << 20), one.grow_to(32 << 20)),
            (Ok(()), Ok(()))
        );
        // What is its client's only one may be larger.
        assert_eq!(one.grow_to(64 << 20), Ok(()));
        assert_eq!(one.grow_to(65 << 20), Err(NoRoom::Client));
        assert_eq!(one.beside().grow_to(1), Err(NoRoom::Client));
        drop((one, held));
        assert_eq!((memory.used(), greedy.used()), (0, 0));
        assert_eq!(Reservation::new(memory.all()).grow_to(128 << 20), Ok(()));
        let little = SharedMemory::new(16 << 20);
        assert_eq!(
            Reservation::new(&little.of(&[1; 32])).grow_to(16 << 20),
            Ok(())
        );
    }

    #[test]
    fn each_key_is_logged_a_few_times_in_a_window_and_then_counted() {
        let start = Instant::now();
        let throttles = LogThrottles::new(Duration::from_secs(10), start);
        assert_eq!(throttles.unsaid(start), (vec![], 0));
        let said = (0..40_000).filter(|_| throttles.admits("garbage")).count();
        assert_eq!(said, IN_A_ROW as usize);
        assert!(throttles.admits("expired"), "another kind is not held back");
        assert_eq!(
            throttles.unsaid(start + Duration::from_secs(9)),
            (vec![], 0)
        );
        let window = start + Duration::from_secs(10);
        assert_eq!(throttles.unsaid(window), (vec![("garbage", 39_980)], 0));
        assert!(throttles.admits("garbage"), "a new window");
    }

    #[test]
    fn many_keys_are_bounded_together() {
        let start = Instant::now();
        let throttles = LogThrottles::new(Duration::from_secs(10), start);
        let said = (0..100_000_u32)
            .filter(|key| throttles.admits(*key))
            .count();
        assert_eq!(said, IN_ALL as usize);
        let (told, others) = throttles.unsaid(start + Duration::from_secs(10));
        let sum = told.iter().map(|(_, count)| count).sum::<u64>() + others;
        assert_eq!((told.len() <= 20, sum), (true, 100_000 - 200));
    }

    #[test]
    fn a_line_is_said_once_in_a_while_with_the_number_of_occasions() {
        let start = Instant::now();
        let seldom = LogThrottle::new(Duration::from_secs(10));
        assert_eq!(seldom.due(start), Some(1));
        assert_eq!(seldom.due(start + Duration::from_secs(1)), None);
        assert_eq!(seldom.due(start + Duration::from_secs(9)), None);
        assert_eq!(seldom.due(start + Duration::from_secs(11)), Some(3));
    }
}

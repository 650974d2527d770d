//! Whose builds and sessions are whose.
//!
//! An id belongs to the client (its public key) that named it first: a build by Solve, a session when the engine has opened it for that
//! client. Sessions that were opened past the gate are nobody's: a client that opens one again is refused by the engine, and a Solve
//! cannot name it. Content of the engine's store may be read
//! by each client whose own history has named it. Each client keeps its last [`MOST`] ids of a kind; an id that is forgotten is refused like
//! any other unknown one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Ids of one kind that are remembered for each client.
const MOST: usize = 4096;

/// Digests that are remembered for each client. A build names about five.
const MOST_CONTENT: usize = 1024;

/// Longest id; BuildKit's have 25 characters.
const LONGEST: usize = 128;

/// How long a call waits for the Solve that begins its build, and a Solve for its session: clients begin all at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client, by the digest of its public key.
pub(super) type Owner = [u8; 32];

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// A build: the `Ref` of a Solve.
    Build,
    /// A session: `X-Docker-Expose-Session-Uuid`.
    Session,
}

#[derive(Debug, Default)]
struct Book {
    owners: HashMap<(Holding, String), Owner>,
    /// What each client has, oldest first.
    order: HashMap<(Holding, Owner), VecDeque<String>>,
    /// Digests that each client's own history has named, oldest first.
    content: HashMap<Owner, VecDeque<String>>,
}

/// The owners of builds and sessions.
#[derive(Debug, Default)]
pub struct Builds {
    book: Mutex<Book>,
    changed: Notify,
}

/// Whether an id means what it says. BuildKit reads `x:ID` as `ID`, so nothing but plain ids has an owner.
fn plain(id: &str) -> bool {
    let character = |b: u8| b.is_ascii_graphic() && b != b':';
    !id.is_empty() && id.len() <= LONGEST && id.bytes().all(character)
}

impl Builds {
    /// Gives an id to a client; whether it is the client's then.
    pub fn claim(&self, holding: Holding, id: &str, owner: &Owner) -> bool {
        if !plain(id) {
            return false;
        }
        let mut book = self.lock();
        if let Some(known) = book.owners.get(&(holding, id.to_owned())) {
            return known == owner;
        }
        book.owners.insert((holding, id.to_owned()), *owner);
        let order = book.order.entry((holding, *owner)).or_default();
        order.push_back(id.to_owned());
        let forgotten = if order.len() > MOST {
            order.pop_front()
        } else {
            None
        };
        if let Some(forgotten) = forgotten {
            book.owners.remove(&(holding, forgotten));
        }
        drop(book);
        self.changed.notify_waiters();
        true
    }

    /// Whether a client could claim an id: a plain one, which is nobody else's.
    pub fn is_free(&self, holding: Holding, id: &str, owner: &Owner) -> bool {
        plain(id) && self.owns(holding, id, owner) != Some(false)
    }

    /// Whether an id is the client's; `None` if it is nobody's.
    pub fn owns(&self, holding: Holding, id: &str, owner: &Owner) -> Option<bool> {
        let book = self.lock();
        let known = book.owners.get(&(holding, id.to_owned()))?;
        Some(known == owner)
    }

    /// Notes that the history of a client's own builds names this content.
    pub(super) fn named(&self, digest: &str, owner: &Owner) {
        if digest.is_empty() || digest.len() > LONGEST {
            return;
        }
        let mut book = self.lock();
        let known = book.content.entry(*owner).or_default();
        if known.iter().any(|known| known == digest) {
            return;
        }
        known.push_back(digest.to_owned());
        if known.len() > MOST_CONTENT {
            known.pop_front();
        }
    }

    /// Whether a client may read this content.
    pub(super) fn may_read(&self, digest: &str, owner: &Owner) -> bool {
        let book = self.lock();
        let known = book.content.get(owner);
        known.is_some_and(|known| known.iter().any(|known| known == digest))
    }

    /// Waits until a build or a session is somebody's; whether it is the client's.
    pub(super) async fn awaited(&self, holding: Holding, id: &str, owner: &Owner) -> bool {
        if !plain(id) {
            return false;
        }
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(own) = self.owns(holding, id, owner) {
                    return own;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Owner = [1; 32];
    const OTHER: Owner = [2; 32];

    #[test]
    fn an_id_belongs_to_the_client_that_named_it_first() {
        let builds = Builds::default();
        assert!(builds.claim(Holding::Session, "abc", &ONE));
        assert!(builds.claim(Holding::Session, "abc", &ONE));
        assert!(!builds.claim(Holding::Session, "abc", &OTHER));
        assert_eq!(builds.owns(Holding::Session, "abc", &OTHER), Some(false));
        assert_eq!(builds.owns(Holding::Build, "abc", &ONE), None);
    }

    #[test]
    fn an_id_with_a_prefix_is_nobodys() {
        let builds = Builds::default();
        for id in ["x:abc", "", "a b", "a\u{e4}", &"a".repeat(LONGEST + 1)] {
            assert!(!builds.claim(Holding::Session, id, &ONE), "{id}");
        }
    }

    #[test]
    fn a_client_forgets_its_own_ids_only() {
        let builds = Builds::default();
        assert!(builds.claim(Holding::Build, "kept", &OTHER));
        for number in 0..=MOST {
            assert!(builds.claim(Holding::Build, &format!("r{number}"), &ONE));
        }
        assert_eq!(builds.owns(Holding::Build, "r0", &ONE), None);
        assert_eq!(builds.owns(Holding::Build, "r1", &ONE), Some(true));
        assert_eq!(builds.owns(Holding::Build, "kept", &OTHER), Some(true));
    }

    #[test]
    fn content_is_read_by_who_was_told_its_digest() {
        let builds = Builds::default();
        builds.named("sha256:aa", &ONE);
        assert!(builds.may_read("sha256:aa", &ONE));
        assert!(!builds.may_read("sha256:aa", &OTHER));
        assert!(!builds.may_read("sha256:bb", &ONE));
        builds.named("sha256:aa", &OTHER);
        assert!(builds.may_read("sha256:aa", &ONE) && builds.may_read("sha256:aa", &OTHER));
        for number in 0..MOST_CONTENT {
            builds.named(&format!("sha256:{number}"), &ONE);
        }
        assert!(!builds.may_read("sha256:aa", &ONE) && builds.may_read("sha256:aa", &OTHER));
    }

    #[tokio::test]
    async fn a_call_waits_for_the_solve_that_begins_its_build() {
        let builds = Builds::default();
        let (mine, others, ()) = tokio::join!(
            builds.awaited(Holding::Build, "ref", &ONE),
            builds.awaited(Holding::Build, "ref", &OTHER),
            async {
                tokio::task::yield_now().await;
                assert!(builds.claim(Holding::Build, "ref", &ONE));
            }
        );
        assert!(mine && !others);
    }
}

//! Locks of each owner: what reads what the owner has and changes it then is done by one request after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The locks of the owners that are at work.
#[derive(Debug, Default)]
pub struct OwnerLocks {
    held: Mutex<HashMap<String, OwnerLock>>,
}

/// The locks of one owner, for as long as somebody holds one of them.
#[derive(Debug, Default)]
struct OwnerLock {
    objects: Weak<tokio::sync::Mutex<()>>,
    volumes: Weak<RwLock<()>>,
}

impl OwnerLocks {
    /// Waits for the lock over what an owner has. It is held for one object at a time.
    pub async fn lock(&self, owner: &str) -> OwnedMutexGuard<()> {
        let lock = self.of(owner, |lock| &mut lock.objects);
        lock.lock_owned().await
    }

    /// Waits until no volumes of an owner are pruned, and keeps them from it: those that are to be mounted are not used yet. It is
    /// waited for before the other lock, so that a prune keeps only those waiting that mount volumes.
    pub async fn mount_volumes(&self, owner: &str) -> OwnedRwLockReadGuard<()> {
        let lock = self.of(owner, |lock| &mut lock.volumes);
        lock.read_owned().await
    }

    /// Waits until no volumes of an owner are about to be mounted, and keeps them from it.
    pub async fn prune_volumes(&self, owner: &str) -> OwnedRwLockWriteGuard<()> {
        let lock = self.of(owner, |lock| &mut lock.volumes);
        lock.write_owned().await
    }

    fn of<L: Default>(
        &self,
        owner: &str,
        which: impl FnOnce(&mut OwnerLock) -> &mut Weak<L>,
    ) -> Arc<L> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.contains_key(owner) {
            held.retain(|_, lock| lock.objects.strong_count() + lock.volumes.strong_count() > 0);
        }
        let weak = which(held.entry(owner.to_owned()).or_default());
        weak.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            *weak = Arc::downgrade(&lock);
            lock
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OwnerLocks;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// What comes of one look at a future: `None` where it waits.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_prune_of_volumes_keeps_only_those_waiting_that_mount_volumes_of_the_same_owner() {
        let owners = OwnerLocks::default();
        let prune = now(owners.prune_volumes("alice")).expect("the first");
        assert!(now(owners.mount_volumes("alice")).is_none());
        assert!(now(owners.lock("alice")).is_some(), "nothing else waits");
        assert!(now(owners.mount_volumes("bob")).is_some());
        drop(prune);
        let mounts = now(owners.mount_volumes("alice")).expect("the prune has ended");
        assert!(now(owners.mount_volumes("alice")).is_some(), "beside it");
        assert!(now(owners.prune_volumes("alice")).is_none());
        drop(mounts);
        let lock = now(owners.lock("alice")).expect("free");
        assert!(now(owners.lock("alice")).is_none() && now(owners.lock("bob")).is_some());
        drop(lock);
        assert!(now(owners.lock("carol")).is_some());
        let held = owners.held.lock().expect("not poisoned").len();
        assert_eq!(held, 1, "those that nobody holds are forgotten");
    }
}

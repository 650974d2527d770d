//! One lock for each owner: what reads what the owner has and changes it then is done by one request after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// The locks of the owners that are at work.
#[derive(Debug, Default)]
pub struct OwnerLocks {
    held: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl OwnerLocks {
    /// Waits for the lock of an owner.
    pub async fn lock(&self, owner: &str) -> OwnedMutexGuard<()> {
        self.of(owner).lock_owned().await
    }

    fn of(&self, owner: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get(owner).and_then(Weak::upgrade) {
            return lock;
        }
        held.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        held.insert(owner.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

//! Containers that were found to be an owner's, for events of those that are gone: the engine can be asked about them no more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Most containers that are remembered. The engine itself keeps the last 256 events.
const MOST: usize = 8192;

/// Who made a container, by its full id.
#[derive(Debug, Default)]
pub struct MadeContainers {
    known: Mutex<MadeBook>,
}

#[derive(Debug, Default)]
struct MadeBook {
    owners: HashMap<Arc<str>, Arc<str>>,
    /// The ids in the order in which they came.
    ids: VecDeque<Arc<str>>,
}

impl MadeContainers {
    /// Remembers that `owner` made a container; the oldest one is forgotten where there are too many.
    pub fn learn(&self, id: &str, owner: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.owners.contains_key(id) {
            return;
        }
        if known.ids.len() >= MOST
            && let Some(oldest) = known.ids.pop_front()
        {
            known.owners.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        known.owners.insert(id.clone(), owner.into());
        known.ids.push_back(id);
    }

    /// Whether `owner` is known to have made a container.
    #[must_use]
    pub fn knows(&self, id: &str, owner: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .owners
            .get(id)
            .is_some_and(|made_by| **made_by == *owner)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, MadeContainers};

    #[test]
    fn the_oldest_are_forgotten_and_an_owner_knows_only_its_own() {
        let made = MadeContainers::default();
        for number in 0..=MOST {
            made.learn(&number.to_string(), "alice");
            made.learn(&number.to_string(), "bob");
        }
        assert!(!made.knows("0", "alice") && made.knows("1", "alice"));
        assert!(made.knows(&MOST.to_string(), "alice") && !made.knows("1", "bob"));
    }
}

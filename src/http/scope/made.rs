//! Containers that were found to be an owner's, for events of those that are gone: the engine can be asked about them no more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Most containers of one owner that are remembered. The engine itself keeps the last 256 events.
const MOST_OF_ONE: usize = 1024;

/// Most of all owners.
const MOST: usize = 8192;

/// Who made a container, by its full id.
#[derive(Debug, Default)]
pub struct MadeContainers {
    known: Mutex<MadeBook>,
}

#[derive(Debug, Default)]
struct MadeBook {
    owners: HashMap<Arc<str>, MadeByOne>,
    /// How many there are of all owners.
    all: usize,
}

/// What one owner has made.
#[derive(Debug, Default)]
struct MadeByOne {
    known: HashSet<Arc<str>>,
    /// The ids in the order in which they came.
    ids: VecDeque<Arc<str>>,
}

impl MadeContainers {
    /// Remembers that `owner` made a container. Where there are too many, the oldest one is forgotten of the owner that has the most,
    /// so that nobody pushes out those of an owner with fewer.
    pub fn learn(&self, id: &str, owner: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.owners.get(owner);
        if own.is_some_and(|own| own.known.contains(id)) {
            return;
        }
        if own.is_some_and(|own| own.ids.len() >= MOST_OF_ONE) {
            known.forget_one_of(owner);
        } else if known.all >= MOST {
            let most = known.owners.iter().max_by_key(|(_, own)| own.ids.len());
            if let Some(most) = most.map(|(owner, _)| owner.clone()) {
                known.forget_one_of(&most);
            }
        }
        let id: Arc<str> = id.into();
        let own = known.owners.entry(owner.into()).or_default();
        own.known.insert(id.clone());
        own.ids.push_back(id);
        known.all += 1;
    }

    /// Whether `owner` is known to have made a container.
    #[must_use]
    pub fn knows(&self, id: &str, owner: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.owners.get(owner);
        own.is_some_and(|own| own.known.contains(id))
    }
}

impl MadeBook {
    fn forget_one_of(&mut self, owner: &str) {
        let Some(own) = self.owners.get_mut(owner) else {
            return;
        };
        if let Some(oldest) = own.ids.pop_front() {
            own.known.remove(&oldest);
            self.all -= 1;
        }
        if own.ids.is_empty() {
            self.owners.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, MOST_OF_ONE, MadeContainers};

    #[test]
    fn the_oldest_are_forgotten_and_an_owner_knows_only_its_own() {
        let made = MadeContainers::default();
        for number in 0..=MOST_OF_ONE {
            made.learn(&number.to_string(), "alice");
            made.learn(&number.to_string(), "alice");
        }
        assert!(!made.knows("0", "alice") && made.knows("1", "alice"));
        assert!(made.knows(&MOST_OF_ONE.to_string(), "alice") && !made.knows("1", "bob"));
    }

    #[test]
    fn an_owner_that_makes_many_pushes_out_no_others() {
        let made = MadeContainers::default();
        made.learn("first", "bob");
        for number in 0..=2 * MOST {
            made.learn(&number.to_string(), "alice");
        }
        assert!(made.knows("first", "bob"));
        // Many owners that make many: those with the most make room.
        for number in 0..MOST {
            made.learn(&number.to_string(), &format!("owner {}", number % 16));
        }
        assert!(made.knows("first", "bob"));
        let known = made.known.lock().expect("not poisoned");
        let counted: usize = known.owners.values().map(|own| own.ids.len()).sum();
        assert_eq!((known.all, counted), (MOST, MOST));
    }
}

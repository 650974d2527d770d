//! What the index denies, and the list that is signed of it.

use super::*;
use crate::{store::Store, timestamp};

/// An index that denies these serial numbers, each by an event of its own.
fn store_with(dir: &Path, serials: impl IntoIterator<Item = String>) -> Store {
    let mut store = Store::open(dir).expect("open it");
    let events = serials.into_iter().map(denial);
    store.index.append_all(events).expect("the index");
    store
}

fn denial(serial: String) -> IndexEvent {
    IndexEvent::Denied {
        at: timestamp(time::OffsetDateTime::UNIX_EPOCH),
        what: DeniedEntry::Serial(serial),
    }
}

fn lift(serial: &str) -> IndexEvent {
    IndexEvent::Undenied {
        at: timestamp(time::OffsetDateTime::UNIX_EPOCH),
        what: DeniedEntry::Serial(serial.into()),
    }
}

#[test]
fn the_last_word_on_an_entry_counts() {
    let dir = tempfile::tempdir().expect("create a directory");
    let mut store = store_with(dir.path(), ["0a".into(), "0b".into()]);
    store.index.append(lift("0a")).expect("the index");
    assert!(!denies(&store.index, "0a", "ff"));
    assert!(denies(&store.index, "0b", "ff"));
    assert!(!denies(&store.index, "0c", "ff"));
    store.index.append(denial("0a".into())).expect("the index");
    assert!(denies(&store.index, "0a", "ff"));
    // A key is no serial number.
    assert!(!denies(&store.index, "0c", "0b"));
}

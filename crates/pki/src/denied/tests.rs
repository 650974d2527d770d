//! What the index denies, and the list that is signed of it.

use super::*;
use crate::{place::StorePlace, store::Store, timestamp};

/// An index that denies these serial numbers, each by an event of its own.
fn store_with(dir: &Path, serials: impl IntoIterator<Item = String>) -> Store {
    let mut store = StorePlace::directory(dir).open().expect("open it");
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
    // A key is not a serial number.
    assert!(!denies(&store.index, "0c", "0b"));
}

#[test]
fn a_full_list_is_signed_and_read_and_travels_and_takes_no_more() {
    let dir = tempfile::tempdir().expect("create a directory");
    let mut store = StorePlace::directory(dir.path()).open().expect("open it");
    let denial = |number: usize| IndexEvent::Denied {
        at: timestamp(time::OffsetDateTime::UNIX_EPOCH),
        what: DeniedEntry::Key(format!("{number:064x}")),
    };
    let all = (1..MAX_ENTRIES).map(denial);
    store.index.append_all(all).expect("the index");
    has_room(&store.index).expect("one more");
    store.index.append(denial(MAX_ENTRIES)).expect("the last");
    let text = has_room(&store.index).expect_err("full").to_string();
    assert!(text.contains("is full"), "{text}");
    let authority = crate::issue::default_authority(crate::key::KeyType::P256).expect("a CA");
    publish(&mut store, &authority).expect("sign it");
    let bytes = write::read(&path(&store.paths)).expect("it can be read");
    let list = TravelledDenyList::read(&bytes).expect("a list");
    assert_eq!(list.denied.spki_sha256.len(), MAX_ENTRIES);
    // It is not signed again, and an answer of 4 MiB has room for it as a JSON string beside a revocation list.
    publish(&mut store, &authority).expect("it is there");
    let string = serde_json::to_string(&String::from_utf8_lossy(&bytes)).expect("JSON");
    assert!(string.len() < 2 << 20, "{}", string.len());
}

#[test]
fn a_list_of_an_index_out_of_a_backup_has_a_higher_number_than_the_one_before() {
    let dir = tempfile::tempdir().expect("create a directory");
    let authority = crate::issue::default_authority(crate::key::KeyType::P256).expect("a CA");
    let mut store = store_with(dir.path(), ["0a".into(), "0b".into(), "0c".into()]);
    let list = |store: &mut Store| {
        publish(store, &authority).expect("sign it");
        let bytes = write::read(&path(&store.paths)).expect("the list");
        let list = TravelledDenyList::read(&bytes).expect("a list");
        (list.number, list.denied.serials.len())
    };
    assert_eq!(list(&mut store), (3, 3));
    std::fs::remove_file(&store.paths.index).expect("lose it");
    drop(store);
    let mut store = store_with(dir.path(), ["0a".into()]);
    assert_eq!(list(&mut store), (4, 1));
    assert_eq!(
        list(&mut store),
        (4, 1),
        "the same list has the same number"
    );
}

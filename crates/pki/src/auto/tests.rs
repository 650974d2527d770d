//! When the server certificate is renewed, and when it is left alone.

use super::*;
use crate::crl;

fn sans(names: &[&str]) -> Vec<San> {
    san::parse_all(names).expect("names")
}

#[test]
fn renewal_comes_at_two_thirds_of_life_and_not_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let host = sans(&["host.example", "192.0.2.1"]);
    let start = issue::now();
    ensure_for(dir.path(), &host, &[], start).expect("made");
    let old = inspect_file(&dir.path().join("server-cert.pem"))
        .expect("certificate")
        .1;
    let day = time::Duration::days(1);
    let before = ensure_for(dir.path(), &host, &[], start + day * 549).expect("kept");
    assert!(before.actions.is_empty(), "{:?}", before.actions);
    let after = ensure_for(dir.path(), &host, &[], start + day * 551).expect("renewed");
    assert!(
        matches!(&after.actions[..], [Action::RenewedServer { reason }] if reason.contains("two thirds")),
        "{:?}",
        after.actions
    );
    let new = inspect_file(&dir.path().join("server-cert.pem"))
        .expect("certificate")
        .1;
    assert_eq!(
        (&new.subject, &new.spki_sha256),
        (&old.subject, &old.spki_sha256)
    );
    assert_ne!(new.serial, old.serial);
    assert_eq!(new.sans, old.sans);
}

#[test]
fn what_others_made_is_used_as_it_is() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let now = issue::now();
    ensure_for(dir.path(), &sans(&["host.example"]), &[], now).expect("made");
    let certificate = dir.path().join("server-cert.pem");
    std::fs::remove_file(dir.path().join("index.jsonl")).expect("now nobody knows who made it");
    let before = std::fs::read(&certificate).expect("certificate");
    let moved = ensure_for(dir.path(), &sans(&["moved.example"]), &[], now).expect("kept");
    assert!(moved.actions.is_empty(), "{:?}", moved.actions);
    let asked = ensure_for(dir.path(), &[], &sans(&["asked.example"]), now).expect("kept");
    assert!(
        asked.actions.iter().all(Action::is_warning) && asked.actions.len() == 1,
        "{:?}",
        asked.actions
    );
    assert_eq!(std::fs::read(&certificate).expect("certificate"), before);
}

#[test]
fn an_address_that_went_goes_and_one_that_a_person_gave_stays() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let now = issue::now();
    let named = || {
        let info = inspect_file(&dir.path().join("server-cert.pem"))
            .expect("certificate")
            .1;
        info.sans
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let asked = sans(&["203.0.113.5"]);
    let ensure = |host: &[&str], asked: &[San]| {
        ensure_for(dir.path(), &sans(host), asked, now)
            .expect("certificates")
            .actions
    };
    ensure(&["host.example", "192.0.2.1"], &asked);
    // Another address came and the first went: both at once, without the one that was asked for.
    let actions = ensure(&["host.example", "192.0.2.2"], &asked);
    assert!(
        matches!(&actions[..], [Action::RenewedServer { .. }]),
        "{actions:?}"
    );
    assert_eq!(
        named(),
        ["IP:203.0.113.5", "DNS:host.example", "IP:192.0.2.2"]
    );
    // One merely goes.
    let actions = ensure(&["host.example"], &asked);
    assert!(
        matches!(&actions[..], [Action::RenewedServer { reason }] if reason.contains("names IP:192.0.2.2, which this host does not have")),
        "{actions:?}"
    );
    assert_eq!(named(), ["IP:203.0.113.5", "DNS:host.example"]);
    // What was asked for once stays, and nothing is signed without a reason.
    assert_eq!(ensure(&["host.example"], &[]), []);
    assert_eq!(ensure(&["host.example"], &asked), []);
    assert_eq!(named(), ["IP:203.0.113.5", "DNS:host.example"]);
}

#[test]
fn what_shares_a_store_is_used_as_it_is_and_renewed_by_the_commands() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let host = sans(&["host.example"]);
    let now = issue::now();
    ensure_for(dir.path(), &host, &[], now).expect("made");
    let joined = JoinedStore {
        store: "postgres:///none".into(),
        password_file: None,
    };
    joined.write(dir.path()).expect("joined");
    let certificate = dir.path().join("server-cert.pem");
    let before = std::fs::read(&certificate).expect("certificate");
    let served = ensure_for(dir.path(), &host, &[], now).expect("kept");
    assert!(served.actions.is_empty(), "{:?}", served.actions);
    let later = now + time::Duration::days(551);
    let due = ensure_for(dir.path(), &host, &[], later).expect("kept");
    assert!(
        matches!(&due.actions[..], [Action::KeptServer { because, .. }] if because.contains("in a store")),
        "{:?}",
        due.actions
    );
    assert_eq!(std::fs::read(&certificate).expect("certificate"), before);
}

/// A directory with a list of a revocation, and its number.
fn revoking(dir: &Path) -> Paths {
    ensure_for(dir, &sans(&["host.example"]), &[], issue::now()).expect("made");
    let mut store = StorePlace::directory(dir).open().expect("open");
    let paths = store.paths.clone();
    let authorities = Authorities::load(&paths, &Passphrase::Absent).expect("the CA");
    crl::publish(&mut store, &authorities.current, crate::CRL_DAYS).expect("a list");
    paths
}

fn number(paths: &Paths) -> String {
    let list = crl::IssuedList::read(&paths.crl).expect("a list");
    list.number_text
}

#[test]
fn a_revocation_list_is_signed_again_at_two_thirds_of_its_life_and_not_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let paths = revoking(dir.path());
    let day = time::Duration::days(1);
    let (start, first) = (issue::now(), number(&paths));
    assert_eq!(list::ensure(&paths, start + day * 39), None);
    assert_eq!(number(&paths), first);
    let care = list::ensure(&paths, start + day * 41).expect("it is due");
    assert!(!care.is_warning(), "{care}");
    assert_ne!(number(&paths), first);
    // What has ended as well: a gate that was off comes back.
    let care = list::ensure(&paths, start + day * 400).expect("it is due");
    assert!(
        care.to_string()
            .starts_with("signed the revocation list again"),
        "{care}"
    );
}

#[test]
fn a_list_is_kept_with_a_word_where_its_key_or_its_index_is_elsewhere() {
    type Away = fn(&Paths);
    let later = issue::now() + time::Duration::days(41);
    let cases: [(Away, &str); 3] = [
        (
            |paths| std::fs::remove_file(&paths.ca_key).expect("remove"),
            "is not here",
        ),
        (
            |paths| {
                let joined = JoinedStore {
                    store: "postgres:///none".into(),
                    password_file: None,
                };
                joined.write(&paths.dir).expect("joined");
            },
            "in a store",
        ),
        (
            |paths| std::fs::write(&paths.index, "damage\n").expect("write"),
            "index.jsonl",
        ),
    ];
    for (away, why) in cases {
        let dir = tempfile::tempdir().expect("temporary directory");
        let paths = revoking(dir.path());
        let before = number(&paths);
        away(&paths);
        let care = list::ensure(&paths, later).expect("it is due");
        assert!(
            care.is_warning() && care.to_string().contains(why),
            "{care}"
        );
        assert_eq!(number(&paths), before, "{why}");
    }
    // Where there is none, there is nothing to say.
    let dir = tempfile::tempdir().expect("temporary directory");
    ensure_for(dir.path(), &sans(&["host.example"]), &[], issue::now()).expect("made");
    assert_eq!(list::ensure(&Paths::of(dir.path()), later), None);
}

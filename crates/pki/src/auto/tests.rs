//! When the server certificate is renewed, and when it is left alone.

use super::*;

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

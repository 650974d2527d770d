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

//! A CA that another host of a store has replaced, or was about to: which of the two is in force, and who follows whom.

use std::path::Path;

use pki::shared::{SharedDocument, SharedStore};
use store_postgres::PostgresStore;
use testkit::postgres::{DatabaseWay, WayFault, postgres};

use crate::shared::bring;
use crate::support::*;

fn init(dir: &Path, url: &str) {
    let init = ["certs", "init", "--san", "localhost", "--store", url];
    done(dir, &init);
}

/// The first certificate of the CA that a store has.
fn stored(url: &str) -> String {
    let store = PostgresStore::new(url.parse().expect("a URL"), None).expect("a store");
    let view = store.view().expect("what it has");
    let text = view.documents[&SharedDocument::Ca].clone();
    let first = pki::pem::read(text.as_bytes()).expect("PEM").swap_remove(0);
    pki::Certificate::read(&first.der)
        .expect("a certificate")
        .sha256
}

fn own(dir: &Path) -> String {
    inspect(&dir.join("certs/ca.pem")).sha256
}

/// A host where a rollover was cut short: `kept` is what its directory had before it.
fn put_back(dir: &Path, names: &[&str], kept: &Path) {
    for name in names {
        let (from, to) = (kept.join(name), dir.join("certs").join(name));
        match from.is_file() {
            true => _ = std::fs::copy(from, to).expect("put it back"),
            false => std::fs::remove_file(to).expect("remove it"),
        }
    }
}

#[test]
fn a_rollover_that_was_cut_short_is_taken_up_where_the_store_has_it() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let host = tempfile::tempdir().expect("a directory");
    let (dir, kept) = (host.path(), tempfile::tempdir().expect("a directory"));
    init(dir, &url);
    let first = own(dir);
    for name in ["ca.pem", "ca-key.pem"] {
        std::fs::copy(dir.join("certs").join(name), kept.path().join(name)).expect("keep it");
    }
    done(dir, &["certs", "rollover", "--wait", "1s"]);
    // As it is when the store has the next CA and nothing of it is in force here: each of its files is still to be moved.
    for (name, next) in [("ca.pem", "next-ca.pem"), ("ca-key.pem", "next-ca-key.pem")] {
        let certs = dir.join("certs");
        std::fs::copy(certs.join(name), certs.join(next)).expect("its next one");
    }
    put_back(dir, &["ca.pem", "ca-key.pem"], kept.path());
    assert_eq!(own(dir), first);
    // Whatever is done next, the next CA is in force, and its key fits.
    done(dir, &["certs", "client", "alice"]);
    assert_eq!(own(dir), stored(&url));
    assert_ne!(own(dir), first);
    assert!(!dir.join("certs/next-ca.pem").exists() && !dir.join("certs/next-ca-key.pem").exists());
    let said = done(dir, &["certs", "rollover"]);
    assert!(said.contains("takes the place of"), "{said}");
    done(dir, &["certs", "rollover", "--finish", "--force"]);
    assert_eq!(own(dir), stored(&url));
}

#[test]
fn a_rollover_that_the_store_never_had_does_not_win_over_that_of_another_host() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let way = DatabaseWay::to(server);
    let cut = server.url_at(&database, way.dir.path());
    let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, other] = hosts.each_ref().map(tempfile::TempDir::path);
    init(one, &cut);
    std::fs::create_dir(other.join("certs")).expect("a folder");
    bring(one, other);
    let url = server.url(&database);
    done(other, &["certs", "list", "--store", &url]);
    // The next CA's files are made before the store hears of it; then it is lost.
    std::fs::copy(one.join("certs/ca.pem"), one.join("before.pem")).expect("keep it");
    server.sql(&database, "UPDATE dockgate.meta SET version = 2");
    refused(one, &["certs", "rollover"]);
    server.sql(&database, "UPDATE dockgate.meta SET version = 1");
    let next = one.join("certs/next-ca.pem");
    if !next.is_file() {
        // It was refused before it made anything: as if it had been cut right after that.
        let made = tempfile::tempdir().expect("a directory");
        done(made.path(), &["certs", "init", "--san", "localhost"]);
        for (name, to) in [("ca.pem", "next-ca.pem"), ("ca-key.pem", "next-ca-key.pem")] {
            let from = made.path().join("certs").join(name);
            std::fs::copy(from, one.join("certs").join(to)).expect("its next one");
        }
    }
    let lost = inspect(&next).sha256;
    // It still signs with the CA in force, and another host begins a rollover of its own.
    done(one, &["certs", "client", "alice"]);
    done(other, &["certs", "rollover", "--wait", "1s"]);
    let chosen = stored(&url);
    assert_ne!(chosen, lost);
    for words in [
        &["certs", "rollover"][..],
        &["certs", "rollover", "--finish", "--force"],
        &["certs", "client", "bob"],
        &["invite", "list"],
    ] {
        let said = refused(one, words);
        assert!(
            said.contains("the store has another CA"),
            "{words:?}: {said}"
        );
    }
    assert_eq!(stored(&url), chosen);
    way.set(WayFault::None);
    bring(other, one);
    done(one, &["certs", "client", "bob"]);
    assert_eq!((own(one), stored(&url)), (chosen.clone(), chosen));
}

#[test]
fn a_stale_end_of_a_rollover_does_not_undo_a_later_one() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, other] = hosts.each_ref().map(tempfile::TempDir::path);
    init(one, &url);
    std::fs::create_dir(other.join("certs")).expect("a folder");
    done(one, &["certs", "rollover", "--wait", "1s"]);
    bring(one, other);
    done(other, &["certs", "list", "--store", &url]);
    let finish = ["certs", "rollover", "--finish", "--force"];
    done(one, &finish);
    // The other host is told what is left to do there.
    let said = refused(other, &["certs", "client", "alice"]);
    assert!(said.contains("rollover --finish"), "{said}");
    done(one, &["certs", "rollover", "--wait", "1s"]);
    let latest = stored(&url);
    let said = refused(other, &finish);
    assert!(said.contains("the store has another CA"), "{said}");
    assert_eq!(stored(&url), latest);
}

#[test]
fn a_copy_of_the_ca_without_a_key_follows_the_store_and_a_foreign_one_is_refused() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, admin] = hosts.each_ref().map(tempfile::TempDir::path);
    init(one, &url);
    let ask = ["--signer", "localhost:1", "--store", &url];
    let pin = |name: &str| {
        let token = invite(admin, &[&[name][..], &ask].concat());
        enroll::Token::parse(&token).expect("a token").ca_sha256
    };
    assert_eq!(
        pin("alice"),
        inspect(&one.join("certs/ca.pem")).details.sha256
    );
    done(one, &["certs", "rollover", "--wait", "1s"]);
    let next = inspect(&one.join("certs/ca.pem"));
    // Tokens name the CA in force, at each host, also after the end of the one that was copied first.
    assert_eq!(pin("bob"), next.details.sha256);
    done(one, &["certs", "rollover", "--finish", "--force"]);
    done(one, &["certs", "rollover", "--wait", "1s"]);
    done(one, &["certs", "rollover", "--finish", "--force"]);
    let last = inspect(&one.join("certs/ca.pem"));
    assert_eq!(pin("carol"), last.details.sha256);
    assert_eq!(own(admin), stored(&url));
    // What never came from this store is not replaced.
    let stranger = tempfile::tempdir().expect("a directory");
    let made = tempfile::tempdir().expect("a directory");
    done(made.path(), &["certs", "init", "--san", "localhost"]);
    std::fs::create_dir(stranger.path().join("certs")).expect("a folder");
    let ca = stranger.path().join("certs/ca.pem");
    std::fs::copy(made.path().join("certs/ca.pem"), &ca).expect("copy");
    let before = std::fs::read(&ca).expect("its CA");
    let said = refused(stranger.path(), &["certs", "list", "--store", &url]);
    assert!(said.contains("the store has another CA"), "{said}");
    assert_eq!(std::fs::read(&ca).expect("its CA"), before);
}

#[test]
fn a_certificate_of_a_ca_without_its_key_joins_no_store_that_has_no_ca() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let hosts = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, stranger, made] = hosts.each_ref().map(tempfile::TempDir::path);
    done(made, &["certs", "init", "--san", "localhost"]);
    std::fs::create_dir(stranger.join("certs")).expect("a folder");
    let ca = stranger.join("certs/ca.pem");
    std::fs::copy(made.join("certs/ca.pem"), &ca).expect("copy");
    let (before, foreign) = (own(stranger), inspect(&ca).sha256);
    let list = ["certs", "list", "--store", &url];
    let said = refused(stranger, &list);
    assert!(said.contains("without its key"), "{said}");
    assert!(said.contains(&foreign), "{said}");
    let joined = pki::place::JoinedStore::path(&stranger.join("certs"));
    assert!(!joined.exists(), "it has joined");
    // The CA that comes into the store later is named beside it, and does not take its place.
    init(one, &url);
    let said = refused(stranger, &list);
    assert!(said.contains("the store has another CA"), "{said}");
    let stored = inspect(&one.join("certs/ca.pem")).sha256;
    assert!(said.contains(&foreign) && said.contains(&stored), "{said}");
    assert!(own(stranger) == before && !joined.exists());
    // Without the certificate it is given that of the store.
    std::fs::remove_file(&ca).expect("remove it");
    done(stranger, &list);
    assert_eq!(inspect(&ca).sha256, stored);
}

#[test]
fn init_beside_a_store_replaces_no_ca() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let host = tempfile::tempdir().expect("a directory");
    let dir = host.path();
    init(dir, &url);
    let (ca, before) = (own(dir), stored(&url));
    let key = std::fs::read(dir.join("certs/ca-key.pem")).expect("its key");
    for words in [
        &["certs", "init", "--san", "localhost", "--force"][..],
        &["certs", "init", "--san", "localhost"],
    ] {
        refused(dir, words);
    }
    let said = refused(dir, &["certs", "init", "--force"]);
    assert!(said.contains("certs rollover"), "{said}");
    // Neither from a directory that has nothing yet.
    let empty = tempfile::tempdir().expect("a directory");
    let init = ["certs", "init", "--san", "localhost", "--store", &url];
    refused(empty.path(), &[&init[..], &["--force"]].concat());
    refused(empty.path(), &init);
    assert_eq!((own(dir), stored(&url)), (ca, before));
    assert_eq!(
        std::fs::read(dir.join("certs/ca-key.pem")).expect("its key"),
        key
    );
}

#[test]
fn an_index_that_joins_a_store_keeps_what_this_version_does_not_know() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let dir = directory_alone();
    let index = dir.path().join("certs/index.jsonl");
    let mut text = std::fs::read_to_string(&index).expect("the index");
    let later = r#"{"event":"lent","at":"2026-01-01T00:00:00Z","to":"alice","for":3}"#;
    text += &format!("{later}\n");
    std::fs::write(&index, &text).expect("write it");
    let url = server.url(&database);
    done(dir.path(), &["certs", "list", "--store", &url]);
    let kept = server.sql(
        &database,
        "SELECT event FROM dockgate.events ORDER BY position",
    );
    assert_eq!(format!("{kept}\n"), text);
    assert!(!index.exists(), "it was moved");
    done(dir.path(), &["certs", "client", "alice"]);
}

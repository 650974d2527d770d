//! The store that signers share, without signers: writes whose answer is lost, writers in an order, TLS and the password.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pki::event::IndexEvent;
use pki::shared::{SharedDocument, SharedStore};
use store_postgres::{DatabaseUrl, PasswordFile, PostgresStore};
use testkit::postgres::{DatabaseWay, WayFault, postgres};

use crate::support::*;

fn store(url: &str) -> PostgresStore {
    let url: DatabaseUrl = url.parse().expect("a URL");
    PostgresStore::new(url, None).expect("a store")
}

fn event(id: &str) -> IndexEvent {
    IndexEvent::Withdrawn {
        at: "2026-01-01T00:00:00Z".into(),
        id: id.into(),
    }
}

fn line(id: &str) -> String {
    serde_json::to_string(&event(id)).expect("JSON")
}

/// The ids of the events that a store has.
fn ids(store: &PostgresStore) -> Vec<String> {
    let view = store.view().expect("what it has");
    let id = |event: &Arc<IndexEvent>| match &**event {
        IndexEvent::Withdrawn { id, .. } => id.clone(),
        other => format!("{other:?}"),
    };
    view.events.iter().map(id).collect()
}

#[test]
fn a_write_whose_answer_is_lost_is_looked_up_and_made_once() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let way = DatabaseWay::to(server);
    let cut = store(&server.url_at(&database, way.dir.path()));
    for (id, fault) in [
        ("a", WayFault::None),
        ("b", WayFault::Before),
        ("c", WayFault::After),
        ("d", WayFault::None),
    ] {
        let mut turn = cut.turn().expect("a turn");
        way.set(fault);
        let document = [(SharedDocument::Crl, id)];
        turn.write(&[line(id)], &document).expect(id);
        assert!(way.has_happened(), "{fault:?}");
        // The turn goes on with what it wrote.
        turn.write(&[line(&format!("{id}2"))], &[]).expect(id);
    }
    let direct = store(&server.url(&database));
    assert_eq!(ids(&direct), ["a", "a2", "b", "b2", "c", "c2", "d", "d2"]);
    assert_eq!(ids(&cut), ids(&direct));
    let crl = direct.view().expect("what it has").documents[&SharedDocument::Crl].clone();
    assert_eq!(&*crl, "d");
}

#[test]
fn a_write_that_is_not_based_on_the_last_one_writes_nothing() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let one = store(&server.url(&database));
    let mut turn = one.turn().expect("a turn");
    turn.write(&[line("a")], &[]).expect("the first");
    // Somebody takes the lock away, as a server that is restarted does, and another process writes.
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    server.sql(&database, others);
    let other = store(&server.url(&database));
    let mut overtaking = other.turn().expect("the lock is free");
    overtaking.write(&[line("b")], &[]).expect("the second");
    drop(overtaking);
    let error = turn.write(&[line("c")], &[]).expect_err("it is late");
    let text = dockgate::error::report(&error);
    assert!(text.contains("another process has written"), "{text}");
    turn.write(&[line("d")], &[]).expect_err("and stays so");
    assert_eq!(ids(&one), ["a", "b"]);
}

#[test]
fn many_writers_take_turns_and_lose_nothing() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let url = url.clone();
            std::thread::spawn(move || {
                // They also all make the tables at once.
                let store = store(&url);
                for n in 0..5 {
                    let mut turn = store.turn().expect("a turn");
                    let count = turn.view().events.len();
                    turn.write(&[line(&format!("{writer}-{n}-{count}"))], &[])
                        .expect("written");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer");
    }
    let found = ids(&store(&url));
    assert_eq!(found.len(), 30);
    for (at, id) in found.iter().enumerate() {
        assert!(id.ends_with(&format!("-{at}")), "{found:?}");
    }
}

#[test]
fn what_nobody_needs_any_more_is_taken_out_for_every_host() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let url = server.url(&database);
    let (one, other) = (store(&url), store(&url));
    let job = |n: usize| {
        serde_json::json!({
            "event": "issued", "at": "2026-01-01T00:00:00Z", "kind": "client", "name": "job", "serial": format!("{n:04x}"),
            "subject": "CN=job", "not_after": "2026-01-01T01:00:00Z", "sha256": "", "spki_sha256": "", "issuer_key_id": null,
            "enrolled": {"invitation": format!("oidc:{n}"), "generation": 1, "life_secs": 3600, "der": ""},
        })
    };
    let jobs: Vec<String> = (0..1200).map(|n| job(n).to_string()).collect();
    let mut turn = one.turn().expect("a turn");
    turn.write(&[line("first")], &[]).expect("written");
    turn.write(&jobs, &[]).expect("written");
    turn.write(&[line("last")], &[]).expect("written");
    drop(turn);
    assert_eq!(other.view().expect("what it has").events.len(), 1202);
    let dir = tempfile::tempdir().expect("a directory");
    done(
        dir.path(),
        &["certs", "init", "--san", "localhost", "--store", &url],
    );
    // The CA and the server's certificate came besides.
    for store in [one, other] {
        let mut turn = store.turn().expect("a turn");
        let is_job = |event: &&Arc<IndexEvent>| format!("{event:?}").contains("job");
        assert_eq!(turn.view().events.iter().filter(is_job).count(), 0);
        turn.write(&[line("more")], &[]).expect("it goes on");
    }
    let count = "SELECT count(*) FROM dockgate.events WHERE event LIKE '%job%'";
    assert_eq!(server.sql(&database, count), "0");
    let found = ids(&store(&url));
    let kept: Vec<_> = found
        .iter()
        .filter(|id| ["first", "last", "more"].contains(&id.as_str()))
        .collect();
    assert_eq!(kept, ["first", "last", "more", "more"]);
}

#[test]
fn a_store_whose_last_event_was_taken_out_is_not_read_again_and_again() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let (one, other) = (store(&url), store(&url));
    let mut turn = one.turn().expect("a turn");
    let lines = ["a", "b", "c"].map(line);
    turn.write(&lines, &[]).expect("written");
    drop(turn);
    assert_eq!(ids(&other), ["a", "b", "c"]);
    let mut turn = one.turn().expect("a turn");
    turn.forget(&[2].into()).expect("taken out");
    drop(turn);
    for store in [&one, &other] {
        let first = store.view().expect("what it has");
        let again = store.view().expect("what it has");
        assert!(Arc::ptr_eq(&first, &again), "nothing was read for it");
        assert_eq!(first.events.len(), 2);
    }
    // It goes on from there, also with documents alone.
    let mut turn = other.turn().expect("a turn");
    let document = [(SharedDocument::Crl, "list")];
    turn.write(&[], &document).expect("written");
    turn.write(&[line("d")], &[]).expect("written");
    drop(turn);
    assert_eq!(ids(&one), ["a", "b", "d"]);
    assert_eq!(ids(&other), ids(&one));
    let view = one.view().expect("what it has");
    assert_eq!(&*view.documents[&SharedDocument::Crl], "list");
}

#[test]
fn a_store_of_a_later_form_is_refused_and_left_alone() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    let url = server.url(&database);
    let known = store(&url);
    let mut turn = known.turn().expect("a turn");
    turn.write(&[line("a")], &[]).expect("written");
    server.sql(&database, "UPDATE dockgate.meta SET version = 2");
    // Both one that runs and one that starts.
    turn.write(&[line("b")], &[]).expect_err("a later form");
    drop(turn);
    for store in [known, store(&url)] {
        let error = store.view().expect_err("a later form");
        assert!(
            error.to_string().contains("has form 2, expected form 1"),
            "{error}"
        );
        assert!(store.turn().is_err());
    }
    assert_eq!(
        server.sql(&database, "SELECT count(*) FROM dockgate.events"),
        "1"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let said = refused(
        dir.path(),
        &["certs", "init", "--san", "localhost", "--store", &url],
    );
    assert!(
        said.contains("hint: a later dockgate has made it"),
        "{said}"
    );
}

#[test]
fn tls_to_the_database_is_verified_and_its_password_comes_from_a_file() {
    let Some(server) = postgres() else { return };
    let database = server.create();
    server.sql(&database, "CREATE ROLE gate LOGIN PASSWORD 'correct horse'");
    server.sql(
        &database,
        &format!("GRANT CREATE ON DATABASE {database} TO gate"),
    );
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    };
    let (right, wrong) = (file("right", "correct horse\n"), file("wrong", "battery\n"));
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    testkit::Pki::create(&foreign);
    let ask = |host: &str, ca: &Path, password: &PathBuf| {
        let (port, ca) = (server.port, ca.display());
        let url = format!("postgres://gate@{host}:{port}/{database}?sslrootcert={ca}");
        let url: DatabaseUrl = url.parse().expect("a URL");
        let store = PostgresStore::new(url, Some(PasswordFile(password.clone())))?;
        store.view()
    };
    ask("127.0.0.1", &server.ca, &right).expect("let in");
    let text = |error: pki::CertsError| dockgate::error::report(&error);
    let error = text(ask("127.0.0.1", &server.ca, &wrong).expect_err("another password"));
    assert!(
        error.contains("password") && !error.contains("battery"),
        "{error}"
    );
    let error = text(ask("127.0.0.1", &foreign.join("ca.pem"), &right).expect_err("another CA"));
    assert!(error.contains("certificate"), "{error}");
    // The certificate is for localhost and 127.0.0.1, so another host could have it.
    let (port, ca) = (server.port, server.ca.display());
    let other =
        format!("postgres://gate@db.example:{port}/{database}?hostaddr=127.0.0.1&sslrootcert={ca}");
    let other = PostgresStore::new(
        other.parse().expect("a URL"),
        Some(PasswordFile(right.clone())),
    );
    let error = text(other.expect("a store").view().expect_err("another name"));
    assert!(error.contains("certificate"), "{error}");
    let plain = format!(
        "postgres://gate@127.0.0.1:{}/{database}?sslmode=disable",
        server.port
    );
    let plain = PostgresStore::new(plain.parse().expect("a URL"), Some(PasswordFile(right)));
    plain
        .expect("a store")
        .view()
        .expect_err("the server wants TLS");
}

//! Each command that reads an index, a list or a CA, beside a store: it finds what another host wrote, and not the copies of its
//! own directory.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use testkit::postgres::postgres;

use crate::shared::bring;
use crate::support::*;

/// A host as it was before others wrote: each command begins there.
fn copy(of: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(of.join("certs"))
        .arg(dir.path())
        .status();
    assert!(copied.expect("start cp").success());
    dir
}

/// An engine that answers pings, so that the doctor walks on.
fn engine(dir: &Path) -> String {
    let socket = dir.join("engine.sock");
    let engine = UnixListener::bind(&socket).expect("listen");
    std::thread::spawn(move || {
        for mut connection in engine.incoming().flatten() {
            let answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 2\r\n\r\nOK";
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer);
        }
    });
    format!("unix://{}", socket.display())
}

/// What `check` and the doctor say of a gate with the files of a directory.
fn examined(dir: &Path, command: &str, upstream: &str) -> String {
    let gate = [
        command,
        "-H",
        "tcp://127.0.0.1:0",
        "--control-socket",
        "off",
        "--upstream",
        upstream,
        "--tlscacert",
        "certs/ca.pem",
        "--tlscert",
        "certs/server-cert.pem",
        "--tlskey",
        "certs/server-key.pem",
    ];
    testkit::programs::said(&run(dir, &gate))
}

/// Two hosts with one store; the second has a client and a server's certificate of its own.
fn hosts(url: &str) -> [tempfile::TempDir; 2] {
    let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [first, second] = hosts.each_ref().map(tempfile::TempDir::path);
    let init = ["certs", "init", "--san", "localhost", "--store", url];
    done(first, &init);
    std::fs::create_dir(second.join("certs")).expect("a folder");
    bring(first, second);
    done(second, &["certs", "client", "alice", "--store", url]);
    done(
        second,
        &["certs", "server", "--san", "localhost", "--force"],
    );
    hosts
}

#[test]
fn every_command_that_reads_finds_what_another_host_wrote() {
    let Some(server) = postgres() else { return };
    let [first, second] = hosts(&server.url(&server.create()));
    let before = second.path();
    // Another host writes, and the copies of this one are what they were.
    let first = first.path();
    done(first, &["certs", "client", "bob"]);
    invite(first, &["carol", "--signer", "localhost:1"]);
    done(first, &["certs", "deny", "0badc0de0badc0de"]);
    done(first, &["certs", "revoke", "alice"]);
    for (words, wanted) in [
        (&["certs", "list"][..], &["bob", "revoked"][..]),
        (&["certs", "list", "--json"], &["\"bob\"", "\"revoked\""]),
        (&["invite", "list"], &["carol"]),
        (&["certs", "deny"], &["0badc0de0badc0de"]),
        (
            &["certs", "show", "certs/clients/alice/cert.pem"],
            &["it is revoked"],
        ),
    ] {
        let host = copy(before);
        let said = done(host.path(), words);
        assert!(
            wanted.iter().all(|it| said.contains(it)),
            "{words:?}: {said}"
        );
    }
    let host = copy(before);
    let said = refused(host.path(), &["certs", "bundle", "alice"]);
    assert!(said.contains("is revoked"), "{said}");
    // An index that is left in the directory is not read either.
    let host = copy(before);
    std::fs::write(host.path().join("certs/index.jsonl"), "").expect("write it");
    assert!(done(host.path(), &["invite", "list"]).contains("carol"));
}

#[test]
fn a_rollover_is_told_and_check_and_doctor_see_that_a_gate_lacks_the_next_ca() {
    let Some(server) = postgres() else { return };
    let [first, second] = hosts(&server.url(&server.create()));
    let before = second.path();
    let sockets = tempfile::tempdir().expect("a directory");
    let upstream = engine(sockets.path());
    for command in ["check", "doctor"] {
        let said = examined(copy(before).path(), command, &upstream);
        assert!(said.contains("and has the CA of this gate"), "{said}");
        assert!(
            said.contains("PostgreSQL ") && said.contains("form 1"),
            "{said}"
        );
    }
    let first = first.path();
    done(first, &["certs", "client", "bob"]);
    done(first, &["certs", "rollover", "--wait", "1s"]);
    for command in ["check", "doctor"] {
        let said = examined(copy(before).path(), command, &upstream);
        assert!(
            said.contains("a CA that this gate does not trust"),
            "{said}"
        );
    }
    let host = copy(before);
    let said = refused(host.path(), &["certs", "rollover"]);
    assert!(said.contains("the store has another CA"), "{said}");
    bring(first, host.path());
    let said = done(host.path(), &["certs", "rollover"]);
    assert!(
        said.contains("takes the place of") && said.contains("bob"),
        "{said}"
    );
    let said = examined(host.path(), "check", &upstream);
    assert!(said.contains("and has the CA of this gate"), "{said}");
}

#[test]
fn check_says_that_a_store_is_lost_or_empty_and_that_others_can_read_its_password() {
    let Some(server) = postgres() else { return };
    let [_first, second] = hosts(&server.url(&server.create()));
    let dir = second.path();
    let upstream = engine(dir);
    let file = dir.join("certs/store.json");
    let joined = std::fs::read(&file).expect("what it has joined");
    // A database in which nothing was ever made stays as it is.
    let empty = server.create();
    for (url, wanted) in [
        (server.url(&empty), "has no tables of dockgate"),
        (
            format!("postgres:///x?host={}", dir.join("none").display()),
            "cannot look at the store",
        ),
    ] {
        let other = serde_json::json!({ "store": url }).to_string();
        std::fs::write(&file, other).expect("write it");
        let output = examined(dir, "check", &upstream);
        assert!(output.contains(wanted), "{output}");
        assert!(output.contains("hint: "), "{output}");
    }
    let made = "SELECT to_regnamespace('dockgate') IS NULL";
    assert_eq!(server.sql(&empty, made), "t");
    std::fs::write(&file, joined).expect("write it");
    let password = dir.join("password");
    std::fs::write(&password, "correct horse\n").expect("write it");
    let args = ["--store-password-file", "password"];
    for (mode, is_told) in [(0o644, true), (0o640, false), (0o400, false)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&password, mode).expect("chmod");
        done(dir, &[&["certs", "list"][..], &args].concat());
        for command in ["check", "doctor"] {
            let said = examined(dir, command, &upstream);
            let told = said.contains("every user of this host can read");
            assert_eq!(told, is_told, "{command}: {said}");
            assert!(!said.contains("correct horse"), "{said}");
        }
        let signer = SignerProcess::start(dir, &[]);
        signer.log.said(0, "The signer listens");
        let warned = signer.log.matching(0, |line| {
            let text = line["message"].as_str().unwrap_or_default();
            text.contains("can read the file of the store's password")
        });
        assert_eq!(!warned.is_empty(), is_told);
    }
}

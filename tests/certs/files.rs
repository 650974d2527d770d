//! Files: modes, nothing replaced unasked, two processes at once, and files that are not what they should be.

use std::{collections::HashSet, fs, process::Command};

use super::support::{certs, done, initialised, inspect_file, mode, refused, text};

#[test]
fn keys_are_private_and_certificates_public_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let script = format!(
            "umask {umask}; \"$0\" certs init --san docker.example && \"$0\" certs client ci && \"$0\" certs crl"
        );
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_dockgate")])
            .current_dir(dir.path())
            .output()
            .expect("sh");
        assert!(output.status.success(), "{}", text(&output));
        let certs = dir.path().join("certs");
        for key in ["ca-key.pem", "server-key.pem", "clients/ci/key.pem"] {
            assert_eq!(mode(&certs.join(key)), 0o600, "umask {umask}: {key}");
        }
        for public in [
            "ca.pem",
            "server-cert.pem",
            "crl.pem",
            "clients/ci/cert.pem",
            "clients/ci/ca.pem",
        ] {
            assert_eq!(mode(&certs.join(public)), 0o644, "umask {umask}: {public}");
        }
        for holder in ["", "clients/ci"] {
            assert_eq!(
                mode(&certs.join(holder)),
                0o700,
                "umask {umask}: {holder:?}"
            );
        }
        let left: Vec<_> = fs::read_dir(&certs)
            .expect("directory")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn nothing_is_replaced_without_force() {
    let dir = initialised();
    done(dir.path(), &["client", "ci"]);
    let path = |name: &str| dir.path().join("certs").join(name);
    let files = [
        "ca.pem",
        "ca-key.pem",
        "server-cert.pem",
        "server-key.pem",
        "clients/ci/cert.pem",
        "clients/ci/key.pem",
    ];
    let read = || files.map(|name| fs::read(path(name)).expect("file"));
    let before = read();
    for args in [
        &["init"][..],
        &["server"],
        &["client", "ci"],
        &["client", "ci", "--stdout"],
        &["client", "x", "--out", "certs/clients/ci"],
    ] {
        let said = refused(dir.path(), args);
        assert!(
            said.contains("already exists") && said.contains("hint: "),
            "{args:?}: {said}"
        );
        assert_eq!(read(), before, "{args:?}");
    }
    done(dir.path(), &["client", "ci", "--force"]);
    assert_ne!(read()[5], before[5], "--force makes a new key");
    assert_eq!(read()[..4], before[..4]);
}

#[test]
fn processes_at_once_leave_an_index_that_knows_every_certificate() {
    let dir = initialised();
    let each = 12;
    std::thread::scope(|scope| {
        for writer in ["a", "b", "c"] {
            let path = dir.path();
            scope.spawn(move || {
                for number in 0..each {
                    done(path, &["client", &format!("{writer}{number}")]);
                }
            });
        }
        // Lists are signed meanwhile: numbers must not repeat.
        let path = dir.path();
        scope.spawn(move || (0..5).for_each(|_| drop(done(path, &["crl"]))));
    });
    let index = fs::read_to_string(dir.path().join("certs/index.jsonl")).expect("index");
    let records: Vec<serde_json::Value> = index
        .lines()
        .map(|line| serde_json::from_str(line).expect("a whole line"))
        .collect();
    let clients: Vec<_> = records
        .iter()
        .filter(|record| record["kind"] == "client")
        .collect();
    assert_eq!(clients.len(), 3 * each);
    let serials: HashSet<_> = clients
        .iter()
        .map(|record| record["serial"].as_str().expect("serial").to_owned())
        .collect();
    assert_eq!(serials.len(), clients.len());
    for record in clients {
        let name = record["name"].as_str().expect("name");
        assert_eq!(
            inspect_file(&dir.path().join("certs/clients").join(name).join("cert.pem")).serial,
            record["serial"]
        );
    }
    let numbers: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "crl")
        .map(|record| record["number"].clone())
        .collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_line_cut_short_by_a_crash_is_dropped_and_other_damage_is_named() {
    let dir = initialised();
    let index = dir.path().join("certs/index.jsonl");
    let whole = fs::read_to_string(&index).expect("index");
    fs::write(&index, format!("{whole}{{\"event\":\"issu")).expect("write");
    done(dir.path(), &["client", "ci"]);
    let after = fs::read_to_string(&index).expect("index");
    assert!(
        after.starts_with(&whole) && after.lines().count() == whole.lines().count() + 1,
        "{after}"
    );
    fs::write(&index, format!("rubbish\n{whole}")).expect("write");
    let said = refused(dir.path(), &["client", "other"]);
    assert!(
        said.contains("index.jsonl") && said.contains("damaged line 1"),
        "{said}"
    );
}

#[test]
fn files_that_are_not_what_they_should_be_are_named_with_what_they_are() {
    let dir = initialised();
    let path = dir.path();
    fs::write(path.join("text"), "hello\n").expect("write");
    fs::write(path.join("cut"), "-----BEGIN CERTIFICATE-----\nMIIB\n").expect("write");
    fs::write(
        path.join("garbled"),
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    )
    .expect("write");
    fs::write(
        path.join("hollow"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .expect("write");
    let big = fs::File::create(path.join("big")).expect("create");
    big.set_len(64 * 1024 * 1024).expect("sparse file");
    let table = [
        ("text", "holds no PEM block, expected a CERTIFICATE"),
        ("cut", "\"CERTIFICATE\" has no end: the file is cut short"),
        ("garbled", "the base64 of \"CERTIFICATE\" is damaged"),
        ("hollow", "not an X.509 certificate"),
        ("big", "is larger than 4194304 bytes"),
        (
            "certs/ca-key.pem",
            "holds a PRIVATE KEY block, expected a CERTIFICATE",
        ),
        ("certs", "cannot read \"certs\""),
        ("absent", "cannot read \"absent\": No such file"),
    ];
    for (file, expected) in table {
        let said = refused(path, &["show", file]);
        assert!(
            said.contains(expected) && said.contains(file),
            "{file}: {said}"
        );
    }
    let output = certs(
        path,
        &[
            "client",
            "x",
            "--ca-cert",
            "certs/ca.pem",
            "--ca-key",
            "certs/ca.pem",
        ],
    );
    assert!(
        text(&output).contains("expected a PRIVATE KEY in PEM"),
        "{}",
        text(&output)
    );
}

#[test]
fn text_around_blocks_and_dos_line_ends_do_not_matter() {
    let dir = initialised();
    let pem = fs::read_to_string(dir.path().join("certs/server-cert.pem")).expect("pem");
    let wrapped = format!(
        "Subject: someone\r\n{}trailing words\r\n",
        pem.replace('\n', "\r\n")
    );
    fs::write(dir.path().join("wrapped.pem"), wrapped).expect("write");
    assert!(done(dir.path(), &["show", "wrapped.pem"]).contains("good to serve with"));
}

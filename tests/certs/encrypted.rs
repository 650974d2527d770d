//! A CA key under a passphrase.

use std::fs;

use super::support::{arg, done, external, openssl_accepts, ran, refused, text};

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn an_encrypted_ca_key_signs_with_its_passphrase_and_only_with_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path();
    fs::write(path.join("right"), "correct horse\n").expect("write");
    fs::write(path.join("wrong"), "battery staple\n").expect("write");
    done(
        path,
        &[
            "init",
            "--san",
            "docker.example",
            "--passphrase-file",
            "right",
        ],
    );
    let key = path.join("certs/ca-key.pem");
    let pem = fs::read_to_string(&key).expect("key");
    assert!(
        pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{pem}"
    );

    done(path, &["client", "ci", "--passphrase-file", "right"]);
    openssl_accepts(
        &path.join("certs/ca.pem"),
        &path.join("certs/clients/ci/cert.pem"),
        "sslclient",
        &[],
    );
    let said = refused(path, &["client", "b", "--passphrase-file", "wrong"]);
    assert!(
        said.contains("the passphrase does not open the private key")
            && said.contains("ca-key.pem"),
        "{said}"
    );
    assert!(
        !said.contains("battery"),
        "a passphrase is never printed: {said}"
    );
    let said = refused(path, &["client", "b"]);
    assert!(
        said.contains("is not a terminal") && said.contains("hint: give --passphrase-file FILE"),
        "{said}"
    );

    // OpenSSL reads it too, and tells a right passphrase from a wrong one.
    if let Some(output) = external(
        "openssl",
        &[
            "pkey",
            "-in",
            arg(&key),
            "-passin",
            "pass:correct horse",
            "-noout",
        ],
    ) {
        assert!(output.status.success(), "{}", text(&output));
        let output = external(
            "openssl",
            &[
                "pkey",
                "-in",
                arg(&key),
                "-passin",
                "pass:battery staple",
                "-noout",
            ],
        )
        .expect("ran");
        assert!(!output.status.success());
    }
}

#[test]
fn without_a_terminal_a_new_key_needs_the_file_of_a_passphrase() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path();
    let said = refused(path, &["init", "--san", "docker.example", "--encrypt"]);
    assert!(
        said.contains("a passphrase for the new private key") && !said.contains("is encrypted"),
        "{said}"
    );
    assert!(said.contains("hint: give --passphrase-file FILE"), "{said}");
    assert!(!path.join("certs/ca-key.pem").exists(), "{said}");
    fs::write(path.join("word"), "correct horse\n").expect("write");
    let given = ["--encrypt", "--passphrase-file", "word"];
    done(
        path,
        &[&["init", "--san", "docker.example"], &given[..]].concat(),
    );
}

#[test]
fn the_gate_keeps_serving_when_a_renewal_would_need_a_passphrase() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("pass"), "correct horse").expect("write");
    done(
        dir.path(),
        &[
            "init",
            "--san",
            "docker.example",
            "--passphrase-file",
            "pass",
        ],
    );
    let made =
        pki::auto::ensure(&dir.path().join("certs"), &["new.example".into()]).expect("serves");
    let [action] = &made.actions[..] else {
        panic!("{:?}", made.actions)
    };
    assert!(
        action.is_warning() && action.to_string().contains("needs a passphrase"),
        "{action}"
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn keys_encrypted_by_openssl_open_and_its_old_way_is_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("pass"), "secret\n").expect("write");
    let (key, old, ca) = (path("key.pem"), path("old.pem"), path("theirs.pem"));
    // What Docker's guide and kekru's script do: genrsa -aes256.
    if !ran(
        "openssl",
        &[
            "genrsa",
            "-aes256",
            "-passout",
            "pass:secret",
            "-out",
            arg(&key),
            "2048",
        ],
    ) {
        return;
    }
    ran(
        "openssl",
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            arg(&key),
            "-passin",
            "pass:secret",
            "-days",
            "100",
            "-subj",
            "/CN=Guide",
            "-out",
            arg(&ca),
        ],
    );
    let with = |key: &str| {
        vec![
            "client",
            "ci",
            "--ca-cert",
            "theirs.pem",
            "--ca-key",
            key,
            "--passphrase-file",
            "pass",
        ]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>()
    };
    let run = with("key.pem");
    done(
        dir.path(),
        &run.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    ran(
        "openssl",
        &[
            "rsa",
            "-traditional",
            "-aes256",
            "-in",
            arg(&key),
            "-passin",
            "pass:secret",
            "-passout",
            "pass:secret",
            "-out",
            arg(&old),
        ],
    );
    let mut run = with("old.pem");
    run[1] = "other".into();
    let said = refused(
        dir.path(),
        &run.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert!(
        said.contains("OpenSSL's old way")
            && said.contains("hint: convert it once: openssl pkcs8 -topk8"),
        "{said}"
    );
}

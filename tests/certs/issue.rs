//! Right by construction: what every certificate carries, and what is refused before anything is signed.

use std::path::Path;

use pki::{Certificate, Purpose};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::support::{
    arg, certs, done, external, initialised, inspect_file, openssl_accepts, refused, text,
};

#[test]
fn every_key_type_passes_strict_verification_for_its_purpose_and_fails_for_the_other() {
    for kind in ["p256", "p384", "ed25519", "rsa2048", "rsa4096"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        done(
            dir.path(),
            &[
                "init",
                "--san",
                "docker.example,192.0.2.7",
                "--key-type",
                kind,
            ],
        );
        done(dir.path(), &["client", "ci", "--key-type", kind]);
        let certs = dir.path().join("certs");
        let (ca, server, client) = (
            certs.join("ca.pem"),
            certs.join("server-cert.pem"),
            certs.join("clients/ci/cert.pem"),
        );
        openssl_accepts(
            &ca,
            &server,
            "sslserver",
            &["-verify_hostname", "docker.example", "-verify_depth", "1"],
        );
        openssl_accepts(&ca, &server, "sslserver", &["-verify_ip", "192.0.2.7"]);
        openssl_accepts(&ca, &client, "sslclient", &[]);
        for (wrong, leaf) in [("sslclient", &server), ("sslserver", &client)] {
            if let Some(output) = external(
                "openssl",
                &["verify", "-purpose", wrong, "-CAfile", arg(&ca), arg(leaf)],
            ) {
                assert!(
                    !output.status.success(),
                    "{kind}: {leaf:?} passed as {wrong}"
                );
            }
        }
        // Keys are PKCS#8 that OpenSSL reads, and they fit their certificates.
        let key = certs.join("server-key.pem");
        let pem = std::fs::read_to_string(&key).expect("key");
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{kind}");
        let public = external("openssl", &["pkey", "-in", arg(&key), "-pubout"]);
        let certified = external(
            "openssl",
            &["x509", "-in", arg(&server), "-noout", "-pubkey"],
        );
        if let (Some(public), Some(certified)) = (public, certified) {
            assert!(public.status.success(), "{kind}: {}", text(&public));
            assert_eq!(public.stdout, certified.stdout, "{kind}");
        }
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn extensions_are_what_rfc_5280_asks_for() {
    let dir = initialised();
    done(
        dir.path(),
        &[
            "client",
            "ci",
            "--ou",
            "builders",
            "--o",
            "Example",
            "--uri",
            "spiffe://example.org/ci",
        ],
    );
    let certs = dir.path().join("certs");
    let ca = inspect_file(&certs.join("ca.pem"));
    let server = inspect_file(&certs.join("server-cert.pem"));
    let client = inspect_file(&certs.join("clients/ci/cert.pem"));

    assert!(ca.is_ca && ca.path_len == Some(0) && ca.self_issued);
    assert_eq!(
        ca.key_usage.as_deref(),
        Some(&["keyCertSign", "cRLSign"][..])
    );
    for leaf in [&server, &client] {
        assert!(!leaf.is_ca);
        assert_eq!(leaf.authority_key_id, ca.subject_key_id);
        assert!(leaf.subject_key_id.is_some() && leaf.subject_key_id != ca.subject_key_id);
        assert_eq!(leaf.serial.len(), 40, "twenty octets: {}", leaf.serial);
        assert!(
            leaf.not_before <= time::OffsetDateTime::now_utc() - time::Duration::minutes(4),
            "back-dated"
        );
        assert!(leaf.not_after <= ca.not_after);
    }
    assert_ne!(server.serial, client.serial);
    assert_eq!(
        server.extended_key_usage.as_deref(),
        Some(&["serverAuth".to_owned()][..])
    );
    assert_eq!(
        client.extended_key_usage.as_deref(),
        Some(&["clientAuth".to_owned()][..])
    );
    assert_eq!(client.common_name.as_deref(), Some("ci"));
    assert_eq!(
        (client.organizations, client.organizational_units),
        (vec!["Example".into()], vec!["builders".into()])
    );
    assert_eq!(
        client
            .sans
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["URI:spiffe://example.org/ci"]
    );
    let days = |info: &pki::Certificate| (info.not_after - info.not_before).whole_days();
    assert_eq!((days(&ca), days(&server)), (3650, 825));
    assert_eq!((client.not_after - client.not_before).whole_days(), 90);
    if let Some(output) = external(
        "openssl",
        &["x509", "-in", arg(&certs.join("ca.pem")), "-noout", "-text"],
    ) {
        let shown = text(&output);
        assert!(
            shown.contains("X509v3 Basic Constraints: critical")
                && shown.contains("X509v3 Key Usage: critical"),
            "{shown}"
        );
    }
}

#[test]
fn no_certificate_outlives_its_ca() {
    let dir = tempfile::tempdir().expect("temporary directory");
    done(
        dir.path(),
        &["init", "--san", "docker.example", "--ca-days", "30"],
    );
    let certs = dir.path().join("certs");
    let ca = inspect_file(&certs.join("ca.pem"));
    assert_eq!(
        inspect_file(&certs.join("server-cert.pem")).not_after,
        ca.not_after,
        "a default is cut to the CA's end"
    );
    let said = refused(dir.path(), &["client", "ci", "--days", "31"]);
    assert!(
        said.contains("--days 31 is past the end of the CA"),
        "{said}"
    );
    // 30, or 29 once the second in which the CA was made is over; what the hint says has to work.
    let advice = said
        .split("hint: write --days ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("advice");
    assert!(["29", "30"].contains(&advice), "{said}");
    done(dir.path(), &["client", "ci", "--days", "29"]);
}

#[test]
fn what_cannot_work_is_refused_and_leaves_nothing_behind() {
    let dir = initialised();
    let path = dir.path();
    let before = listing(path);
    let table: [(&[&str], &str, &str); 12] = [
        (
            &["server", "--force", "--san", "https://docker.example:2376"],
            "is a URL",
            "write docker.example",
        ),
        (
            &["server", "--force", "--san", "docker.example."],
            "ends with a dot",
            "write docker.example",
        ),
        (
            &["server", "--force", "--san", ""],
            "is empty",
            "write a host name",
        ),
        (
            &["server", "--force", "--san", "*"],
            "wildcard",
            "write *.hosts.example",
        ),
        (&["client", ""], "is empty", "write a short name"),
        (&["client", "a/b"], "path separator", "write a short name"),
        (&["client", ".."], "starts with a dot", "write a short name"),
        (&["client", "server"], "is taken", "write a short name"),
        (
            &["client", "ci", "--ou", " "],
            "--ou",
            "write for example --ou builders",
        ),
        (
            &["client", "ci", "--uri", "no uri"],
            "not an absolute URI",
            "spiffe://",
        ),
        (&["client", "ci", "--days", "0"], "--days 0", "from 1 to"),
        (&["revoke", "c1"], "neither a client", "write 0xc1"),
    ];
    for (args, why, instead) in table {
        let said = refused(path, args);
        let (error, hint) = said
            .split_once("hint: ")
            .unwrap_or_else(|| panic!("{args:?} without a hint: {said}"));
        assert!(error.contains(why), "{args:?}: {said}");
        assert!(hint.contains(instead), "{args:?}: {said}");
        assert_eq!(listing(path), before, "{args:?} left something behind");
    }
}

#[test]
fn keys_that_leave_at_once_are_kept_nowhere() {
    let dir = initialised();
    let output = certs(dir.path(), &["client", "piped", "--stdout"]);
    let printed = String::from_utf8(output.stdout).expect("PEM");
    assert_eq!(
        printed.matches("-----BEGIN").count(),
        3,
        "key, certificate, CA"
    );
    assert!(printed.starts_with("-----BEGIN PRIVATE KEY-----"));
    let leaf = CertificateDer::pem_slice_iter(printed.as_bytes())
        .next()
        .expect("one")
        .expect("a certificate");
    assert!(
        Certificate::read(&leaf)
            .expect("readable")
            .permits(Purpose::Client)
    );
    done(dir.path(), &["client", "packed", "--bundle", "packed.tar"]);
    assert_eq!(super::support::mode(&dir.path().join("packed.tar")), 0o600);
    for name in ["piped", "packed"] {
        let home = dir.path().join("certs/clients").join(name);
        assert!(home.join("cert.pem").is_file() && !home.join("key.pem").exists());
        let said = refused(dir.path(), &["bundle", name]);
        assert!(said.contains("key was handed out"), "{said}");
    }
}

#[test]
fn a_bundle_holds_what_docker_needs_and_the_line_that_uses_it() {
    let dir = initialised();
    done(dir.path(), &["client", "ci"]);
    let said = done(dir.path(), &["bundle", "ci"]);
    let line = "docker context create ci --docker host=tcp://docker.example:2376,ca=ca.pem,cert=cert.pem,key=key.pem";
    assert!(said.contains(line), "{said}");
    done(
        dir.path(),
        &["bundle", "ci", "--out", "folder", "--host", "10.0.0.9:2376"],
    );
    let readme = std::fs::read_to_string(dir.path().join("folder/README.txt")).expect("README");
    assert!(readme.contains("host=tcp://10.0.0.9:2376,"), "{readme}");
    // The line itself, by the docker CLI where there is one.
    if external("docker", &["--version"]).is_some() {
        let config = dir.path().join("docker-config");
        let script = format!("cd folder && {line} && docker context inspect ci");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir.path())
            .env("DOCKER_CONFIG", &config)
            .output()
            .expect("sh");
        assert!(
            output.status.success() && text(&output).contains("tcp://docker.example:2376"),
            "{}",
            text(&output)
        );
    }
    if super::support::ran(
        "tar",
        &[
            "-xf",
            arg(&dir.path().join("ci.tar")),
            "-C",
            arg(dir.path()),
        ],
    ) {
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let packed = std::fs::read(dir.path().join(file)).expect("unpacked");
            assert_eq!(
                packed,
                std::fs::read(dir.path().join("certs/clients/ci").join(file)).expect("original"),
                "{file}"
            );
            assert_eq!(
                packed,
                std::fs::read(dir.path().join("folder").join(file)).expect("folder"),
                "{file}"
            );
        }
        assert_eq!(super::support::mode(&dir.path().join("key.pem")), 0o600);
    }
}

/// Every file below a directory, with its contents.
fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(listing(&path));
        } else {
            files.push((
                path.display().to_string(),
                std::fs::read(&path).expect("file"),
            ));
        }
    }
    files.sort();
    files
}

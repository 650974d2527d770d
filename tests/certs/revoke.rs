//! Revocation as rustls sees it: the one is refused, the neighbour is not.

use std::{path::Path, sync::Arc};

use rustls::{CertificateError, Error, RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject};

use super::support::{
    arg, done, external, initialised, inspect_file, openssl_accepts, refused, text,
};

/// What a gate with this CA and this revocation list says to a client's certificate.
fn gate_says(certs: &Path, certificate: &Path) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certs.join("ca.pem")).expect("CA"))
        .expect("usable CA");
    let crl = CertificateRevocationListDer::from_pem_file(certs.join("crl.pem")).expect("CRL");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls([crl])
        .enforce_revocation_expiration()
        .build()
        .expect("rustls accepts the list");
    let leaf = CertificateDer::from_pem_file(certificate).expect("certificate");
    verifier
        .verify_client_cert(&leaf, &[], UnixTime::now())
        .map(drop)
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn rustls_and_openssl_refuse_the_revoked_and_let_the_neighbour_in() {
    for kind in ["p256", "rsa2048", "ed25519"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        done(
            dir.path(),
            &["init", "--san", "docker.example", "--key-type", kind],
        );
        let certs = dir.path().join("certs");
        for name in ["gone", "stays"] {
            done(dir.path(), &["client", name, "--key-type", kind]);
        }
        let cert = |name: &str| certs.join("clients").join(name).join("cert.pem");
        done(dir.path(), &["crl"]);
        assert_eq!(
            gate_says(&certs, &cert("gone")),
            Ok(()),
            "an empty list revokes nobody"
        );
        let said = done(
            dir.path(),
            &["revoke", "gone", "--reason", "key-compromise"],
        );
        assert!(
            said.contains("number 2, 1 revoked") && said.contains("a gate of this directory"),
            "{said}"
        );
        assert_eq!(
            gate_says(&certs, &cert("gone")),
            Err(Error::InvalidCertificate(CertificateError::Revoked))
        );
        assert_eq!(gate_says(&certs, &cert("stays")), Ok(()));
        let (ca, crl) = (certs.join("ca.pem"), certs.join("crl.pem"));
        openssl_accepts(
            &ca,
            &cert("stays"),
            "sslclient",
            &["-crl_check", "-CRLfile", arg(&crl)],
        );
        let gone = cert("gone");
        let args = [
            "verify",
            "-x509_strict",
            "-crl_check",
            "-CRLfile",
            arg(&crl),
            "-CAfile",
            arg(&ca),
            arg(&gone),
        ];
        if let Some(output) = external("openssl", &args) {
            assert!(
                text(&output).contains("certificate revoked"),
                "{kind}: {}",
                text(&output)
            );
            let shown = text(
                &external("openssl", &["crl", "-in", arg(&crl), "-noout", "-text"]).expect("ran"),
            );
            for part in [
                "Version 2",
                "X509v3 CRL Number",
                "X509v3 Authority Key Identifier",
                "Key Compromise",
            ] {
                assert!(shown.contains(part), "{kind}: {part} in {shown}");
            }
        }
        assert!(
            done(dir.path(), &["show", arg(&gone)])
                .contains("dockgate would refuse it: it is revoked")
        );
    }
}

#[test]
fn a_name_stands_for_every_certificate_it_still_has() {
    let dir = initialised();
    done(dir.path(), &["client", "ci"]);
    let certs = dir.path().join("certs");
    std::fs::copy(
        certs.join("clients/ci/cert.pem"),
        dir.path().join("before.pem"),
    )
    .expect("copy");
    done(dir.path(), &["renew", "ci"]);
    let said = done(dir.path(), &["revoke", "ci"]);
    assert_eq!(said.matches("revoked ci, serial").count(), 2, "{said}");
    for file in [
        dir.path().join("before.pem"),
        certs.join("clients/ci/cert.pem"),
    ] {
        assert_eq!(
            gate_says(&certs, &file),
            Err(Error::InvalidCertificate(CertificateError::Revoked))
        );
    }
}

#[test]
fn serial_numbers_and_files_work_too_and_once_is_enough() {
    let dir = initialised();
    let certs = dir.path().join("certs");
    for name in ["a", "b"] {
        done(dir.path(), &["client", name]);
    }
    let cert = |name: &str| certs.join("clients").join(name).join("cert.pem");
    let serial = inspect_file(&cert("a")).serial.to_ascii_uppercase();
    let colons = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect::<Vec<_>>()
        .join(":");
    done(dir.path(), &["revoke", &colons]);
    done(dir.path(), &["revoke", arg(&cert("b"))]);
    let said = done(dir.path(), &["revoke", &serial]);
    assert!(
        said.contains("already") && said.contains("2 revoked"),
        "{said}"
    );
    for name in ["a", "b"] {
        assert_eq!(
            gate_says(&certs, &cert(name)),
            Err(Error::InvalidCertificate(CertificateError::Revoked)),
            "{name}"
        );
    }
    let other = initialised();
    let said = refused(
        dir.path(),
        &["revoke", arg(&other.path().join("certs/server-cert.pem"))],
    );
    assert!(said.contains("only the CA that issued"), "{said}");
    let said = refused(dir.path(), &["revoke", "certs/ca.pem"]);
    assert!(
        said.contains("is the CA itself") && said.contains("--tlscacert"),
        "{said}"
    );
}

#[test]
fn losing_the_index_or_the_list_brings_nobody_back() {
    for lost in ["index.jsonl", "crl.pem"] {
        let dir = initialised();
        let certs = dir.path().join("certs");
        done(dir.path(), &["client", "gone"]);
        done(dir.path(), &["revoke", "gone"]);
        std::fs::remove_file(certs.join(lost)).expect("remove");
        let said = done(dir.path(), &["crl"]);
        assert!(
            said.contains("number 2, 1 revoked"),
            "without {lost}: {said}"
        );
        assert_eq!(
            gate_says(&certs, &certs.join("clients/gone/cert.pem")),
            Err(Error::InvalidCertificate(CertificateError::Revoked))
        );
    }
}

#[test]
fn a_name_means_clients_and_the_server_is_taken_back_only_when_it_is_named_as_such() {
    let dir = initialised();
    let certs = dir.path().join("certs");
    done(dir.path(), &["client", "ada"]);
    let (server, client) = (
        inspect_file(&certs.join("server-cert.pem")).serial,
        inspect_file(&certs.join("clients/ada/cert.pem")).serial,
    );
    let file = certs.join("server-cert.pem");
    for target in ["server", &server, arg(&file)] {
        let said = refused(dir.path(), &["revoke", target]);
        assert!(said.contains("certs revoke --server"), "{target}: {said}");
    }
    let ca = inspect_file(&certs.join("ca.pem")).serial;
    refused(dir.path(), &["revoke", &ca]);
    let said = refused(dir.path(), &["revoke", "--server", &client]);
    assert!(
        said.contains("is a client's")
            && said.contains(&format!("`dockgate certs revoke {client}`")),
        "{said}"
    );
    refused(dir.path(), &["revoke", "--server", "ada"]);
    // Nothing was revoked by any of these.
    assert!(!certs.join("crl.pem").exists());
    let said = done(dir.path(), &["revoke", "--server"]);
    assert!(
        said.contains(&server)
            && said.contains("1 revoked")
            && said.contains("certs server --force"),
        "{said}"
    );
    done(
        dir.path(),
        &["server", "--force", "--san", "docker.example"],
    );
    let second = inspect_file(&certs.join("server-cert.pem")).serial;
    let said = done(dir.path(), &["revoke", "--server", &second]);
    assert!(
        said.contains(&second) && said.contains("2 revoked"),
        "{said}"
    );
    // A file in the working directory does not come before a name.
    std::fs::copy(&file, dir.path().join("ada")).expect("copy");
    assert!(done(dir.path(), &["revoke", "ada"]).contains(&client));
}

#[test]
fn the_list_has_every_certificate_that_would_be_let_in() {
    let dir = initialised();
    let certs = dir.path().join("certs");
    done(dir.path(), &["client", "ada"]);
    let cert = certs.join("clients/ada/cert.pem");
    let first = inspect_file(&cert).serial;
    done(dir.path(), &["renew", "ada"]);
    let second = inspect_file(&cert).serial;
    done(dir.path(), &["client", "bob", "--stdout"]);
    done(dir.path(), &["client", "eve", "--out", "elsewhere"]);
    let eve = inspect_file(&dir.path().join("elsewhere/cert.pem")).serial;
    let said = done(dir.path(), &["list"]);
    let row = |serial: &str| {
        said.lines()
            .find(|line| line.ends_with(serial))
            .unwrap_or_else(|| panic!("{serial}: {said}"))
    };
    assert!(
        row(&first).contains("replaced") && row(&second).contains("ok") && row(&eve).contains("ok"),
        "{said}"
    );
    assert!(said.contains("bob"), "{said}");
    done(dir.path(), &["revoke", "ada"]);
    let said = done(dir.path(), &["list"]);
    assert_eq!(said.matches("client  revoked").count(), 2, "{said}");
    // The list was lost: the gate lets them in again, and this is said.
    std::fs::remove_file(certs.join("crl.pem")).expect("remove");
    let said = done(dir.path(), &["list"]);
    assert!(
        said.contains("so the gate lets it in")
            && said.contains(&first)
            && said.contains("next: dockgate certs crl"),
        "{said}"
    );
    done(dir.path(), &["crl"]);
    assert!(!done(dir.path(), &["list"]).contains("lets it in"));
}

#[test]
fn what_another_tool_revoked_is_not_renewed() {
    let dir = initialised();
    let certs = dir.path().join("certs");
    done(dir.path(), &["client", "ada"]);
    done(dir.path(), &["client", "bob"]);
    done(dir.path(), &["revoke", "ada"]);
    // As a CA directory looks that openssl kept: the list alone knows.
    std::fs::remove_file(certs.join("index.jsonl")).expect("remove");
    let said = refused(dir.path(), &["renew", "ada"]);
    assert!(
        said.contains("is revoked") && said.contains("certs client ada --force"),
        "{said}"
    );
    done(dir.path(), &["renew", "--all"]);
    let serial = inspect_file(&certs.join("clients/ada/cert.pem")).serial;
    assert!(
        done(dir.path(), &["list"])
            .lines()
            .any(|line| line.contains("revoked") && line.ends_with(&serial))
    );
}

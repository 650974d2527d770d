//! `list` and `show`, on files and on a live server.

use std::{io::Write, net::TcpListener, sync::Arc};

use rustls::{RootCertStore, ServerConfig, ServerConnection, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::support::{arg, done, initialised, inspect_file, refused};

#[test]
fn a_servers_certificate_is_shown_though_it_demands_one_from_us() {
    let dir = initialised();
    let certs = dir.path().join("certs");
    done(
        dir.path(),
        &["server", "--san", "docker.example", "--force"],
    );
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certs.join("ca.pem")).expect("CA"))
        .expect("CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .expect("verifier");
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(
                CertificateDer::pem_file_iter(certs.join("server-cert.pem"))
                    .expect("chain")
                    .collect::<Result<_, _>>()
                    .expect("chain"),
                PrivateKeyDer::from_pem_file(certs.join("server-key.pem")).expect("key"),
            )
            .expect("config");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut connection = ServerConnection::new(Arc::new(config)).expect("connection");
            // Ends with an error: the client hangs up once it has seen the certificate.
            let _ = connection.complete_io(&mut stream);
        });
        let said = done(dir.path(), &["show", &format!("tcp://127.0.0.1:{port}")]);
        server.join().expect("server");
        let info = inspect_file(&certs.join("server-cert.pem"));
        for part in [
            &info.serial,
            &info.sha256,
            &info.issuer,
            "DNS:docker.example",
            "good to serve with: clients that trust this CA accept it for 127.0.0.1",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

#[test]
fn a_server_without_tls_is_an_error_that_says_so() {
    let dir = initialised();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .expect("write");
    });
    let said = refused(dir.path(), &["show", &format!("tcp://127.0.0.1:{port}")]);
    server.join().expect("server");
    assert!(
        said.contains("cannot fetch the certificate of tcp://127.0.0.1")
            && said.contains("hint: `dockgate doctor"),
        "{said}"
    );
    let said = refused(dir.path(), &["show", "tcp://"]);
    assert!(said.contains("is not an address"), "{said}");
}

#[test]
fn verdicts_say_what_is_wrong_in_plain_words() {
    let (ours, theirs) = (initialised(), initialised());
    done(theirs.path(), &["client", "stranger"]);
    let stranger = theirs.path().join("certs/clients/stranger/cert.pem");
    let said = done(ours.path(), &["show", arg(&stranger)]);
    assert!(
        said.contains(
            "dockgate would refuse it: it was not issued by this CA but by CN=dockgate CA"
        ),
        "{said}"
    );
    let said = done(theirs.path(), &["show", arg(&stranger)]);
    assert!(
        said.contains("dockgate would let it in as stranger"),
        "{said}"
    );
    let said = done(ours.path(), &["show", "certs/ca.pem"]);
    assert!(said.contains("a CA this gate trusts"), "{said}");
    let empty = tempfile::tempdir().expect("temporary directory");
    let said = done(empty.path(), &["show", arg(&stranger)]);
    assert!(said.contains("there is no CA to judge by"), "{said}");
}

#[test]
fn json_carries_what_the_table_shows() {
    let dir = initialised();
    for name in ["a", "b"] {
        done(dir.path(), &["client", name]);
    }
    done(dir.path(), &["revoke", "a"]);
    let listing: serde_json::Value =
        serde_json::from_str(&done(dir.path(), &["list", "--json"])).expect("JSON");
    let rows = listing["certificates"].as_array().expect("rows");
    let status: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["name"].as_str().expect("name"),
                row["status"].as_str().expect("status"),
            )
        })
        .collect();
    assert_eq!(
        status,
        [
            ("ca", "ok"),
            ("server", "ok"),
            ("a", "revoked"),
            ("b", "ok")
        ]
    );
    let cert = inspect_file(&dir.path().join("certs/clients/a/cert.pem"));
    assert_eq!(listing["crl"]["revoked"][0], cert.serial);
    let shown: serde_json::Value = serde_json::from_str(&done(
        dir.path(),
        &["show", "certs/clients/b/cert.pem", "--json"],
    ))
    .expect("JSON");
    assert_eq!(shown[0]["common_name"], "b");
    assert_eq!(shown[0]["verdict"]["accepted"], true);
    assert_eq!(
        shown[0]["days_left"],
        89.max(shown[0]["days_left"].as_i64().expect("days"))
    );
}

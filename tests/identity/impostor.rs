//! No secret leaves before the CA is verified: impostors record what they get.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned};
use testkit::programs::said;

use crate::support::*;

/// A server with this chain and key that records all plain text that it is sent.
fn impostor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> (SocketAddr, Receiver<Vec<u8>>) {
    let config = open_to_all(chain, key);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("an address");
    let (tell, told) = channel();
    thread::spawn(move || {
        let (socket, _) = listener.accept().expect("accept");
        let server = ServerConnection::new(config).expect("a server");
        let mut stream = StreamOwned::new(server, socket);
        let mut recorded = Vec::new();
        // However it ends, what came is what counts.
        let _ = stream.read_to_end(&mut recorded);
        let _ = tell.send(recorded);
    });
    (addr, told)
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .expect("PEM")
        .map(|der| der.expect("PEM"))
        .collect()
}

fn key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).expect("a key")
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn an_impostor_gets_no_secret_whatever_it_presents() {
    let (dir, other) = (directory(), directory());
    let certs = dir.path().join("certs");
    done(dir.path(), &["certs", "client", "mallory"]);
    // (`certs server` would add this host's loopback names.)
    let elsewhere = pki::key::PrivateKey::generate(pki::key::KeyType::P256).expect("a key");
    let csr = pki::request::SigningRequest::make(&elsewhere).expect("a request");
    let csr = pki::pem::encode("CERTIFICATE REQUEST", &csr);
    std::fs::write(dir.path().join("elsewhere.csr"), csr.as_bytes()).expect("write it");
    done(
        dir.path(),
        &[
            "certs",
            "sign",
            "elsewhere.csr",
            "--server",
            "--san",
            "elsewhere.example",
            "--force",
        ],
    );
    let elsewhere = elsewhere.to_pkcs8().expect("PKCS#8").to_vec();
    let elsewhere = rustls::pki_types::PrivatePkcs8KeyDer::from(elsewhere);
    done(
        other.path(),
        &["certs", "server", "--san", "localhost", "--force"],
    );
    let ca = chain(&certs.join("ca.pem"));
    let foreign = other.path().join("certs");
    let with_ca = |mut leaf: Vec<CertificateDer<'static>>| {
        leaf.extend(ca.clone());
        leaf
    };
    let cases = [
        // The right name by another CA, with and without the pinned certificate shown beside it.
        (
            "another CA",
            chain(&foreign.join("server-cert.pem")),
            key(&foreign.join("server-key.pem")),
        ),
        (
            "another CA beside the pinned one",
            with_ca(chain(&foreign.join("server-cert.pem"))),
            key(&foreign.join("server-key.pem")),
        ),
        (
            "the pinned CA last",
            [
                chain(&foreign.join("server-cert.pem")),
                chain(&foreign.join("ca.pem")),
                ca.clone(),
            ]
            .concat(),
            key(&foreign.join("server-key.pem")),
        ),
        // By the right CA, but for another host, and a client's.
        (
            "another host",
            with_ca(chain(&dir.path().join("elsewhere.crt.pem"))),
            elsewhere.into(),
        ),
        (
            "a client's certificate",
            with_ca(chain(&certs.join("clients/mallory/cert.pem"))),
            key(&certs.join("clients/mallory/key.pem")),
        ),
    ];
    for (what, chain, key) in cases {
        let (addr, recorded) = impostor(chain, key);
        let signer = format!("localhost:{}", addr.port());
        let token = invite(dir.path(), &["alice", "--signer", &signer]);
        let home = tempfile::tempdir().expect("a home");
        let output = join(home.path(), &token, &["--renew", "none"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(
            said(&output).contains("nothing secret was sent"),
            "{what}: {}",
            said(&output)
        );
        let recorded = recorded.recv_timeout(testkit::DEADLINE).expect("a record");
        assert!(recorded.is_empty(), "{what}: {}", testkit::text(&recorded));
    }
}

#[test]
fn key_and_secret_never_cross_the_wire_nor_come_to_a_log() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let signer = SignerProcess::start(dir.path(), &[]);
    // In between: everything that crosses the wire in both directions.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let upstream = signer.addr;
    let (tell, told) = channel();
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("accept");
        let server = TcpStream::connect(upstream).expect("connect");
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            thread::spawn(move || {
                let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    all.extend_from_slice(&buffer[..n]);
                    if to.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Write);
                all
            })
        };
        let up = pump(
            client.try_clone().expect("clone"),
            server.try_clone().expect("clone"),
        );
        let down = pump(server, client);
        let mut all = up.join().expect("up");
        all.extend(down.join().expect("down"));
        let _ = tell.send(all);
    });
    let token = invite(
        dir.path(),
        &["alice", "--signer", &format!("localhost:{port}")],
    );
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let wire = told.recv_timeout(testkit::DEADLINE).expect("the traffic");
    let own = joined(home.path(), "localhost").join("docker/key.pem");
    let pair = pki::key::PrivateKey::load(&own, &pki::Passphrase::Absent).expect("the key");
    let pkcs8 = pair.to_pkcs8().expect("PKCS#8");
    let secret = token.rsplit('.').next().expect("a secret");
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(wire.len() > 1000 && !holds(&wire, secret.as_bytes()) && !holds(&wire, &pkcs8[36..68]));
    // The line is written beside the answer, and may come after it.
    signer.log.said(0, "Issued a certificate");
    let lines = signer.log.matching(0, |_| true);
    let lines = serde_json::to_string(&lines).expect("JSON");
    assert!(
        lines.contains("Issued a certificate") && !lines.contains(secret),
        "{lines}"
    );
    let basic = data_encoding::BASE64.encode(secret.as_bytes());
    assert!(!lines.contains(&basic[..20]), "{lines}");
}

#[test]
fn a_token_that_is_damaged_is_refused_without_being_quoted() {
    let home = tempfile::tempdir().expect("a home");
    for token in [
        "dg1.c2VjcmV0c2VjcmV0",
        "dg1.a.b.c.c2VjcmV0c2VjcmV0",
        "c2VjcmV0c2VjcmV0",
        "",
    ] {
        let output = join(home.path(), token, &[]);
        assert_eq!(output.status.code(), Some(1), "{token}: {}", said(&output));
        assert!(!said(&output).contains("c2VjcmV0"), "{}", said(&output));
    }
    assert!(!home.path().join(".docker").exists());
}

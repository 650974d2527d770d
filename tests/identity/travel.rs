//! What travels from the signer to a gate that is enrolled, and how fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned};
use tempfile::TempDir;
use testkit::programs::said;

use crate::fleet::{FleetGate, connect, gate, session};
use crate::support::*;

/// A signer's directory, and a home with what joined: a gate's state and clients.
struct Fleet {
    dir: TempDir,
    home: TempDir,
    signer: SignerProcess,
}

impl Fleet {
    fn new(clients: &[&str]) -> Self {
        let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
        let signer = SignerProcess::named(dir.path(), "127.0.0.1", &[]);
        let fleet = Self { dir, home, signer };
        let token = invite(
            fleet.dir.path(),
            &["gate2", "--server", "--san", "localhost"],
        );
        let state = fleet.state().display().to_string();
        let output = join(fleet.home.path(), &token, &["--server", "--dir", &state]);
        assert!(output.status.success(), "{}", said(&output));
        for name in clients {
            let token = invite(fleet.dir.path(), &[name]);
            let options = ["--renew", "none", "--context", name];
            let output = join(fleet.home.path(), &token, &options);
            assert!(output.status.success(), "{}", said(&output));
        }
        fleet
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The enrolled gate, which has heard from its signer.
    fn gate(&self, interval: &str) -> FleetGate {
        let state = self.state().display().to_string();
        let started = gate(
            &["--enrolled", &state, "--trust-interval", interval],
            |_| {},
        );
        started
            .process
            .log
            .wait(0, 1, |line| line["message"] == "In the cage");
        started
    }

    fn certificate(&self, client: &str) -> pki::Certificate {
        inspect(&joined(self.home.path(), client).join("docker/cert.pem"))
    }
}

#[test]
fn a_revocation_ends_sessions_behind_an_enrolled_gate_within_a_second() {
    let names = ["alice", "bob", "carol", "dave"];
    let fleet = Fleet::new(&names);
    // Far longer than this test may take: what comes in time was pushed.
    let second = fleet.gate("1h");
    let mut neighbour = connect(&second, fleet.home.path(), "dave").expect("let in");
    session(&mut neighbour);
    let mut fastest = Duration::MAX;
    for name in &names[..3] {
        let mut client = connect(&second, fleet.home.path(), name).expect("let in");
        session(&mut client);
        done(fleet.dir.path(), &["certs", "revoke", name]);
        let revoked = Instant::now();
        client.ended();
        fastest = fastest.min(revoked.elapsed());
        connect(&second, fleet.home.path(), name)
            .map(drop)
            .expect_err("revoked");
    }
    // (A machine that is loaded may be slow once, and not three times.)
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    neighbour.echo("the neighbour goes on");
}

#[test]
fn the_signers_deny_list_reaches_every_gate_and_no_certificate_on_it_renews() {
    let fleet = Fleet::new(&["alice", "bob", "carol"]);
    let second = fleet.gate("1h");
    let ca = fleet.dir.path();
    let mut alice = connect(&second, fleet.home.path(), "alice").expect("let in");
    let mut bob = connect(&second, fleet.home.path(), "bob").expect("let in");
    session(&mut alice);
    let (serial, key) = (
        fleet.certificate("alice").serial,
        fleet.certificate("bob").spki_sha256,
    );
    assert!(done(ca, &["certs", "deny"]).contains("nothing is denied"));
    done(ca, &["certs", "deny", &serial]);
    alice.ended();
    bob.ping();
    // A key, whatever certificate it is in.
    session(&mut bob);
    done(ca, &["certs", "deny", &key]);
    bob.ended();
    let shown = done(ca, &["certs", "deny"]);
    assert!(shown.contains(&serial) && shown.contains(&key), "{shown}");
    for name in ["alice", "bob"] {
        connect(&second, fleet.home.path(), name)
            .map(drop)
            .expect_err("denied");
        let own = joined(fleet.home.path(), name).display().to_string();
        let said = refused(fleet.home.path(), &["renew", "--force", &own]);
        assert!(said.contains("on the deny list"), "{said}");
    }
    let own = joined(fleet.home.path(), "carol").display().to_string();
    done(fleet.home.path(), &["renew", "--force", &own]);
    connect(&second, fleet.home.path(), "carol").expect("let in");
    // Lifted, it is let in again; what was never there cannot be lifted.
    let mark = second.process.log.mark();
    done(ca, &["certs", "deny", "--lift", &serial]);
    second.process.log.said(mark, "Reloaded");
    connect(&second, fleet.home.path(), "alice").expect("let in again");
    refused(ca, &["certs", "deny", "--lift", "0a0b0c"]);
    refused(ca, &["certs", "deny", "alice"]);
    // The list is in force from the start on, without the signer.
    drop((second, fleet.signer));
    let state = fleet.home.path().join("state").display().to_string();
    let again = gate(&["--enrolled", &state], |_| {});
    connect(&again, fleet.home.path(), "alice").expect("let in");
    connect(&again, fleet.home.path(), "bob")
        .map(drop)
        .expect_err("denied");
    // One that is damaged stops the gate instead of letting anybody in.
    std::fs::write(fleet.home.path().join("state/trust/denied.json"), "{}").expect("damage it");
    let checked = said(&run(
        fleet.home.path(),
        &["check", "--offline", "--enrolled", &state],
    ));
    assert!(checked.contains("deny list"), "{checked}");
}

/// A signer that answers every question about trust at once, and says when it was asked.
fn hasty(addr: SocketAddr, certs: PathBuf) -> std::sync::mpsc::Receiver<Instant> {
    let read = |name: &str| std::fs::read_to_string(certs.join(name)).expect("a file");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(read("signer-cert.pem").as_bytes())
        .chain(CertificateDer::pem_slice_iter(read("ca.pem").as_bytes()))
        .map(|der| der.expect("a certificate"))
        .collect();
    let key = PrivateKeyDer::from_pem_file(certs.join("signer-key.pem")).expect("a key");
    let config = open_to_all(chain, key);
    let listener = TcpListener::bind(addr).expect("the signer's port");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let server = ServerConnection::new(config.clone()).expect("a server");
            let mut stream = StreamOwned::new(server, socket);
            if answer(&mut stream, &certs).is_ok() && tell.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    told
}

fn answer(stream: &mut (impl Read + Write), certs: &Path) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let read = |name: &str| std::fs::read_to_string(certs.join(name));
    let body = serde_json::json!({ "ca": read("ca.pem")?, "crl": read("crl.pem")? }).to_string();
    let tag = data_encoding::HEXLOWER.encode(&pki::identity::sha256(body.as_bytes()));
    let known = String::from_utf8_lossy(&head).contains(&tag);
    let (status, body) = match known {
        true => ("304 Not Modified", String::new()),
        false => ("200 OK", body),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: \"{tag}\"\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    stream.flush()
}

#[test]
fn a_signer_that_does_not_hold_the_question_is_asked_again_each_interval() {
    let fleet = Fleet::new(&["alice", "bob"]);
    let (addr, certs) = (fleet.signer.addr, fleet.dir.path().join("certs"));
    let Fleet { dir, home, signer } = fleet;
    drop(signer);
    let asked = hasty(addr, certs);
    let state = home.path().join("state").display().to_string();
    let second = gate(&["--enrolled", &state, "--trust-interval", "1s"], |_| {});
    let mut alice = connect(&second, home.path(), "alice").expect("let in");
    session(&mut alice);
    let next = || asked.recv_timeout(testkit::DEADLINE).expect("asked again");
    let (first, ..) = (next(), next(), next());
    let last = next();
    let least = Duration::from_millis(1900);
    assert!(last - first >= least, "{:?}", last - first);
    done(dir.path(), &["certs", "revoke", "alice"]);
    alice.ended();
    connect(&second, home.path(), "bob").expect("let in");
}

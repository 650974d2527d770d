//! A new CA for a whole fleet: a signer, a gate beside it, a gate that is enrolled, and clients, who work at each step.

use std::path::{Path, PathBuf};

use pki::issue::{Authority, Days, Leaf, Sans, SubjectName};
use pki::key::{KeyType, PrivateKey};
use pki::{Passphrase, Purpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use testkit::pki::client_config;
use testkit::process::GateProcess;
use testkit::programs::said;
use testkit::{Credential, TlsClient};

use crate::fleet::{FleetGate, credential, gate};
use crate::support::*;

/// One CA's fleet. The first gate reads the files of the CA's directory, the second has its state from the signer.
struct RollingFleet {
    dir: TempDir,
    home: TempDir,
    _signer: SignerProcess,
    first: FleetGate,
    second: FleetGate,
}

impl RollingFleet {
    fn new() -> Self {
        let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
        let signer = SignerProcess::named(dir.path(), "127.0.0.1", &[]);
        let certs = dir.path().join("certs");
        let path = |name: &str| certs.join(name).display().to_string();
        let files = [
            ("--tlscacert", path("ca.pem")),
            ("--tlscert", path("server-cert.pem")),
            ("--tlskey", path("server-key.pem")),
            ("--tlscrl", path("crl.pem")),
            ("--reload-interval", "100ms".to_owned()),
        ];
        let files: Vec<&str> = files.iter().flat_map(|(o, v)| [*o, v.as_str()]).collect();
        let first = gate(&files, |_| {});
        let state = home.path().join("state").display().to_string();
        let token = invite(dir.path(), &["gate2", "--server", "--san", "localhost"]);
        let output = join(home.path(), &token, &["--server", "--dir", &state]);
        assert!(output.status.success(), "{}", said(&output));
        let often = ["--trust-interval", "1h", "--reload-interval", "100ms"];
        let second = gate(&[&["--enrolled", &state][..], &often].concat(), |_| {});
        let fleet = Self {
            dir,
            home,
            _signer: signer,
            first,
            second,
        };
        fleet.joins("alice", &fleet.token("alice"));
        fleet.joins("bob", &fleet.token("bob"));
        fleet
    }

    fn token(&self, name: &str) -> String {
        invite(self.dir.path(), &[name])
    }

    fn joins(&self, name: &str, token: &str) {
        let options = ["--renew", "none", "--context", name];
        let output = join(self.home.path(), token, &options);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }

    /// That these clients are let in by both gates, whose certificates they check by their own CA file.
    #[track_caller]
    fn works(&self, names: &[&str]) {
        for name in names {
            for gate in [&self.first, &self.second] {
                let (who, _) = credential(self.home.path(), name);
                let cas = joined(self.home.path(), name).join("docker/ca.pem");
                let cas = pki::pem::certificates(&cas).expect("its CAs");
                if let Err(fault) = tries(gate, &who, &cas) {
                    panic!("{name}: {fault}");
                }
            }
        }
    }

    /// Runs a command that changes trust, and waits until both gates have it.
    fn told(&self, args: &[&str]) -> String {
        let gates = [&self.first.process, &self.second.process];
        let marks = gates.map(|gate| gate.log.mark());
        let said = done(self.dir.path(), args);
        for (gate, mark) in gates.into_iter().zip(marks) {
            reloaded(gate, mark, "client CA");
        }
        said
    }

    fn renew(&self, name: &str) {
        let own = joined(self.home.path(), name).display().to_string();
        done(self.home.path(), &["renew", "--force", &own]);
    }

    fn renew_gates(&self) {
        let marks = [&self.first, &self.second].map(|gate| gate.process.log.mark());
        let state = self.home.path().join("state").display().to_string();
        done(self.home.path(), &["renew", "--force", &state]);
        done(self.dir.path(), &["certs", "renew", "server"]);
        reloaded(&self.first.process, marks[0], "server certificate");
        reloaded(&self.second.process, marks[1], "server certificate");
    }

    fn issuer(&self, path: &str) -> String {
        inspect(&self.home.path().join(path)).issuer
    }

    fn ca_of(&self, name: &str) -> usize {
        let path = joined(self.home.path(), name).join("docker/ca.pem");
        pki::pem::certificates(&path).expect("its CAs").len()
    }

    fn certs(&self) -> PathBuf {
        self.dir.path().join("certs")
    }
}

/// Waits until a gate has said that this changed.
fn reloaded(gate: &GateProcess, mark: usize, what: &str) {
    gate.log.wait(mark, 1, |line| {
        line["message"] == "Reloaded"
            && line["changed"].as_str().is_some_and(|it| it.contains(what))
    });
}

/// A client's certificate by that CA, which nobody knows of, with these certificates beside it.
fn minted(ca: &Path, key: &Path) -> Credential {
    let authority = Authority::load(ca, key, &Passphrase::Absent).expect("the CA");
    let key = PrivateKey::generate(KeyType::P256).expect("a key");
    let leaf = Leaf {
        role: Purpose::Client,
        subject: SubjectName::New {
            common_name: "mallory",
            organization: None,
            organizational_unit: None,
        },
        sans: Sans::New(&[]),
        days: Days::UpTo(1),
        rsa: false,
    };
    let der = authority.sign(&leaf, &key).expect("a certificate");
    let chain = std::iter::once(der).chain(authority.trusted().cloned());
    let pkcs8 = key.to_pkcs8().expect("PKCS#8").to_vec();
    Credential {
        name: "mallory".into(),
        chain: chain.collect(),
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8)),
    }
}

fn tries(
    gate: &FleetGate,
    who: &Credential,
    ca: &[CertificateDer<'static>],
) -> std::io::Result<()> {
    let config = client_config(ca, Some(who), rustls::DEFAULT_VERSIONS);
    TlsClient::connect(gate.process.addr, config).and_then(|mut client| client.try_ping())
}

#[test]
fn a_new_ca_takes_over_and_every_client_works_at_each_step() {
    let fleet = RollingFleet::new();
    let (dir, home) = (fleet.dir.path(), fleet.home.path());
    fleet.works(&["alice", "bob"]);
    let (old, _) = credential(home, "alice");
    let before = fleet.token("carol");
    let old_ca = fleet.issuer("state/gate/cert.pem");
    let said = fleet.told(&["certs", "rollover", "--wait", "1s"]);
    assert!(said.contains("gate2") && said.contains("bob"), "{said}");
    fleet.works(&["alice", "bob"]);
    // Tokens name the next CA from now on, and those made before are good as well.
    fleet.joins("carol", &before);
    fleet.joins("dave", &fleet.token("dave"));
    fleet.works(&["alice", "bob", "carol", "dave"]);
    let said = refused(dir, &["certs", "rollover", "--finish"]);
    assert!(said.contains("would be left out"), "{said}");
    for name in ["alice", "bob", "gate2", "server"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    let index = index(fleet.dir.path());
    let from = index.rollover().expect("the rollover").from();
    testkit::eventually(|| match pki::issue::now() >= from {
        true => Ok(()),
        false => Err("too early".to_owned()),
    });
    fleet.renew("alice");
    assert_ne!(
        fleet.issuer(".docker/dockgate/alice/docker/cert.pem"),
        old_ca
    );
    assert_eq!(fleet.ca_of("alice"), 2);
    fleet.works(&["alice", "bob"]);
    // As long as one client trusts the old one alone, gates keep certificates of it.
    fleet.renew_gates();
    assert_eq!(fleet.issuer("state/gate/cert.pem"), old_ca);
    fleet.works(&["alice", "bob", "carol", "dave"]);
    for name in ["bob", "carol", "dave"] {
        fleet.renew(name);
    }
    fleet.renew_gates();
    assert_ne!(fleet.issuer("state/gate/cert.pem"), old_ca);
    fleet.works(&["alice", "bob", "carol", "dave"]);
    finishes(&fleet, &old);
}

/// The second half: the old CA is dropped.
fn finishes(fleet: &RollingFleet, old: &Credential) {
    let (dir, home, certs) = (fleet.dir.path(), fleet.home.path(), fleet.certs());
    let (_, ca) = credential(home, "alice");
    // Somebody has kept the old CA's key, and what the next one certified of it.
    let kept = ["previous-ca.pem", "previous-ca-key.pem"].map(|name| {
        let to = home.join(name);
        std::fs::copy(certs.join(name), &to).expect("a copy");
        to
    });
    let cas = pki::pem::certificates(&certs.join("ca.pem")).expect("the CAs");
    assert_eq!((cas.len(), &cas[0]), (2, &ca));
    let forged = minted(&kept[0], &kept[1]);
    for gate in [&fleet.first, &fleet.second] {
        tries(gate, old, &cas).expect("let in as long as both are trusted");
        tries(gate, &forged, &cas).expect("let in as long as both are trusted");
    }
    let said = done(dir, &["certs", "rollover"]);
    assert!(
        said.contains("every certificate that was issued here is of the next CA"),
        "{said}"
    );
    let said = fleet.told(&["certs", "rollover", "--finish"]);
    assert!(said.contains("alone is trusted now"), "{said}");
    assert!(!certs.join("previous-ca-key.pem").exists());
    fleet.works(&["alice", "bob", "carol", "dave"]);
    for gate in [&fleet.first, &fleet.second] {
        tries(gate, old, &cas).expect_err("the old CA is trusted no more");
        tries(gate, &forged, &cas).expect_err("nor with what the next CA certified of it");
    }
    fleet.renew("alice");
    assert_eq!(fleet.ca_of("alice"), 1);
    fleet.renew_gates();
    fleet.joins("erin", &fleet.token("erin"));
    fleet.works(&["alice", "bob", "erin"]);
    done(dir, &["certs", "revoke", "erin"]);
    let said = refused(dir, &["certs", "rollover", "--finish"]);
    assert!(said.contains("no rollover is under way"), "{said}");
}

#[test]
fn a_rollover_that_is_killed_leaves_a_directory_that_signs_and_is_begun_again() {
    for step in 0..12 {
        let dir = directory();
        done(dir.path(), &["certs", "crl"]);
        let mut rolling = command(dir.path())
            .args(["certs", "rollover", "--wait", "1s"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start dockgate");
        std::thread::sleep(std::time::Duration::from_millis(3 * step));
        // It may have ended by then.
        let _ = rolling.kill();
        rolling.wait().expect("its end");
        done(dir.path(), &["certs", "client", "alice"]);
        done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
        let paths = pki::store::Paths::of(&dir.path().join("certs"));
        let both = pki::rollover::Authorities::load(&paths, &Passphrase::Absent);
        let both = both.expect("the CAs");
        let previous = both.previous().expect("the previous CA").info();
        let made = inspect(&paths.client("alice").join("cert.pem"));
        assert!(both.issuer_of(&made).is_some(), "step {step}");
        assert_eq!(both.current.trusted().count(), 2, "step {step}");
        done(dir.path(), &["certs", "revoke", "alice"]);
        let lists = pki::crl::IssuedList::read_all(&paths.crl).expect("the lists");
        assert_eq!(lists.len(), 2, "step {step}");
        assert_ne!(previous.sha256, both.current.info().sha256);
        done(dir.path(), &["certs", "rollover", "--finish", "--force"]);
        done(dir.path(), &["certs", "client", "bob"]);
    }
}

/// Cut short after the next CA is trusted, and before its key is in force.
#[test]
fn a_rollover_that_is_begun_again_trusts_each_ca_once() {
    let dir = directory();
    let file = |name: &str| dir.path().join("certs").join(name);
    done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
    let both = pki::pem::certificates(&file("ca.pem")).expect("the CAs");
    let next = pki::pem::encode_certificates([&both[0]]);
    std::fs::write(file("next-ca.pem"), next).expect("the next CA");
    std::fs::rename(file("ca-key.pem"), file("next-ca-key.pem")).expect("its key");
    std::fs::copy(file("previous-ca-key.pem"), file("ca-key.pem")).expect("the key in force");
    done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
    let again = pki::pem::certificates(&file("ca.pem")).expect("the CAs");
    assert_eq!(again, both);
}

#[test]
fn what_a_rollover_that_was_cut_short_leaves_behind_is_not_the_next_ca_and_does_not_stay() {
    let dir = directory();
    let file = |name: &str| dir.path().join("certs").join(name);
    let paths = pki::store::Paths::of(&dir.path().join("certs"));
    let leaves = || {
        let index = pki::index::Index::read(&paths.index).expect("the index");
        let info = inspect(&file("server-cert.pem"));
        pki::rollover::should_leave(&paths, &index, &info, pki::issue::now())
    };
    // Cut short before the key of the next CA is in force: nothing leaves a CA that does not go.
    std::fs::copy(file("ca.pem"), file("previous-ca.pem")).expect("copy it");
    std::fs::copy(file("ca-key.pem"), file("previous-ca-key.pem")).expect("copy it");
    assert!(!leaves());
    done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
    assert!(leaves());
    // Cut short before the next CA's own files are removed.
    let first = inspect(&file("ca.pem"));
    std::fs::copy(file("ca.pem"), file("next-ca.pem")).expect("copy it");
    std::fs::copy(file("ca-key.pem"), file("next-ca-key.pem")).expect("copy it");
    done(dir.path(), &["certs", "rollover", "--finish", "--force"]);
    for name in ["next-ca.pem", "next-ca-key.pem"] {
        assert!(!file(name).exists(), "{name}");
    }
    // Not even where they are left all the same.
    std::fs::copy(file("ca.pem"), file("next-ca.pem")).expect("copy it");
    std::fs::copy(file("ca-key.pem"), file("next-ca-key.pem")).expect("copy it");
    done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
    assert_ne!(inspect(&file("ca.pem")).sha256, first.sha256);
    let both = pki::rollover::Authorities::load(&paths, &Passphrase::Absent).expect("the CAs");
    assert_eq!(both.current.trusted().count(), 2);
    assert_eq!(
        both.previous().expect("the previous CA").info().sha256,
        first.sha256
    );
}

#[test]
fn the_next_key_is_encrypted_like_the_one_before_and_a_ca_of_somebody_else_is_not_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("word"), "a passphrase\n").expect("write it");
    let word = ["--passphrase-file", "word"];
    done(
        dir.path(),
        &[&["certs", "init", "--san", "localhost"][..], &word].concat(),
    );
    done(dir.path(), &[&["certs", "rollover"][..], &word].concat());
    for name in ["ca-key.pem", "previous-ca-key.pem"] {
        let path = dir.path().join("certs").join(name);
        let text = std::fs::read_to_string(&path).expect("a key");
        assert!(text.contains("ENCRYPTED"), "{name}");
        assert_eq!(mode(&path), 0o600);
    }
    // Clients get certificates of the previous CA until gates know the next one.
    done(
        dir.path(),
        &[&["certs", "client", "alice"][..], &word].concat(),
    );
    let of = |name: &str| inspect(&dir.path().join("certs").join(name));
    assert_eq!(
        of("clients/alice/cert.pem").issuer,
        of("previous-ca.pem").subject
    );
    done(
        dir.path(),
        &[&["certs", "rollover", "--finish", "--force"][..], &word].concat(),
    );
    refused(dir.path(), &["certs", "rollover"]);
    let other = tempfile::tempdir().expect("a directory");
    let said = refused(other.path(), &["certs", "rollover"]);
    assert!(said.contains("there is no CA"), "{said}");
}

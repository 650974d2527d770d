//! Several signers of one CA that share a store in PostgreSQL. What is not about sharing, the rest of this suite tests on both.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use enroll::{Token, basic};
use pki::place::JoinedStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use testkit::client::HttpAnswer;
use testkit::pki::client_config;
use testkit::postgres::{DatabaseWay, Postgres, WayFault, postgres};
use testkit::{Credential, TlsClient};

use crate::protocol::{ENROL, RENEW, body, credential, key};
use crate::support::*;

/// Two hosts with a signer each, and what clients know of them.
pub(crate) struct Pair {
    hosts: [tempfile::TempDir; 2],
    pub(crate) signers: [SignerProcess; 2],
}

/// Brings the files of a CA to another host.
pub(crate) fn bring(from: &Path, to: &Path) {
    for name in [
        "ca.pem",
        "ca-key.pem",
        "previous-ca.pem",
        "previous-ca-key.pem",
    ] {
        let (from, to) = (from.join("certs").join(name), to.join("certs").join(name));
        if from.is_file() {
            std::fs::copy(from, to).expect("copy");
        }
    }
}

impl Pair {
    pub(crate) fn new(url: &str) -> Self {
        let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let [first, second] = &hosts;
        done(
            first.path(),
            &["certs", "init", "--san", "localhost", "--store", url],
        );
        std::fs::create_dir(second.path().join("certs")).expect("a folder");
        bring(first.path(), second.path());
        let signers = hosts
            .each_ref()
            .map(|host| SignerProcess::start(host.path(), &["--store", url]));
        Self { hosts, signers }
    }

    pub(crate) fn dir(&self, host: usize) -> &Path {
        self.hosts[host].path()
    }

    fn client(&self, host: usize, who: Option<&Credential>) -> TlsClient {
        let file = self.dir(0).join("certs/ca.pem");
        let cas = CertificateDer::pem_file_iter(file).expect("the CAs");
        let cas: Vec<_> = cas.map(|ca| ca.expect("a CA")).collect();
        let config = client_config(&cas, who, rustls::DEFAULT_VERSIONS);
        TlsClient::connect(self.signers[host].addr, config).expect("connect")
    }

    pub(crate) fn invite(&self, host: usize, args: &[&str]) -> Token {
        Token::parse(&invite(self.dir(host), args)).expect("a token")
    }

    fn post(&self, mut client: TlsClient, path: &str, fields: &str, body: &str) -> HttpAnswer {
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.answer()
    }

    fn enrol_with(&self, host: usize, token: &Token, body: &str) -> HttpAnswer {
        let secret = basic::write(&token.id, &token.secret);
        let fields = format!("Authorization: {}\r\n", *secret);
        self.post(self.client(host, None), ENROL, &fields, body)
    }

    pub(crate) fn enrol(&self, host: usize, token: &Token) -> HttpAnswer {
        self.enrol_with(host, token, &body(&key()))
    }

    fn renew(&self, host: usize, who: &Credential, body: &str) -> HttpAnswer {
        self.post(self.client(host, Some(who)), RENEW, "", body)
    }

    pub(crate) fn get(&self, host: usize, path: &str) -> HttpAnswer {
        let mut client = self.client(host, None);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.answer()
    }
}

fn pair(server: &Postgres) -> Pair {
    Pair::new(&server.url(&server.create()))
}

#[test]
fn two_signers_redeem_an_invitation_at_once_and_one_wins() {
    let Some(server) = postgres() else { return };
    let pair = Arc::new(pair(server));
    for (round, uses) in [(0, 1), (1, 1), (2, 1), (3, 5)] {
        let name = format!("ci{round}");
        let token = pair.invite(round % 2, &[&name, "--uses", &uses.to_string()]);
        let workers: Vec<_> = (0..8)
            .map(|n| {
                let (pair, token) = (pair.clone(), token.clone());
                std::thread::spawn(move || pair.enrol(n % 2, &token).status)
            })
            .collect();
        let statuses: Vec<_> = workers
            .into_iter()
            .map(|it| it.join().expect("a worker"))
            .collect();
        let count = |status| statuses.iter().filter(|it| **it == status).count();
        assert_eq!((count(200), count(401)), (uses, 8 - uses), "{statuses:?}");
        for host in 0..2 {
            let index = index(pair.dir(host));
            assert_eq!(index.issued().filter(|it| it.name == name).count(), uses);
        }
    }
}

#[test]
fn what_one_host_does_the_signers_of_all_know_and_tell_alike() {
    let Some(server) = postgres() else { return };
    let pair = pair(server);
    let home = tempfile::tempdir().expect("a home");
    let token = pair.invite(0, &["alice"]);
    assert_eq!(pair.enrol(1, &token).status, 200);
    assert!(done(pair.dir(0), &["certs", "list"]).contains("alice"));
    // A gate of the second signer, and a revocation at the first host.
    let token = invite(pair.dir(1), &["bob"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{output:?}");
    let list = |host| pair.get(host, "/crl").body;
    let before = list(0);
    done(pair.dir(0), &["certs", "revoke", "bob"]);
    let revoked = Instant::now();
    testkit::eventually(|| match (0..2).all(|host| list(host) != before) {
        true => Ok(()),
        false => Err("the list is the old one".to_owned()),
    });
    assert!(
        revoked.elapsed() < Duration::from_secs(5),
        "{:?}",
        revoked.elapsed()
    );
    testkit::eventually(|| match list(0) == list(1) {
        true => Ok(()),
        false => Err("the lists differ".to_owned()),
    });
    let said = refused(
        home.path(),
        &[
            "renew",
            "--force",
            joined(home.path(), "localhost").to_str().expect("a path"),
        ],
    );
    assert!(said.contains("revoked"), "{said}");
    done(pair.dir(1), &["certs", "deny", "0badc0de0badc0de"]);
    assert!(done(pair.dir(0), &["certs", "deny"]).contains("0badc0de0badc0de"));
    testkit::eventually(|| {
        let lists = [0, 1].map(|host| std::fs::read(pair.dir(host).join("certs/denied.json")).ok());
        match lists[0].is_some() && lists[0] == lists[1] {
            true => Ok(()),
            false => Err("the deny lists differ".to_owned()),
        }
    });
    let token = pair.invite(0, &["carol"]);
    done(pair.dir(1), &["invite", "revoke", "carol"]);
    for host in 0..2 {
        assert_eq!(pair.enrol(host, &token).status, 401);
    }
}

#[test]
fn without_the_database_requests_are_put_off_and_nothing_is_used_up() {
    let Some(server) = postgres() else { return };
    let way = DatabaseWay::to(server);
    let pair = Pair::new(&server.url_at(&server.create(), way.dir.path()));
    let token = pair.invite(0, &["alice"]);
    way.set(WayFault::Closed);
    for host in 0..2 {
        let answer = pair.enrol(host, &token);
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("5"))
        );
        // What needs no store is answered.
        assert_eq!(pair.get(host, "/.well-known/est/cacerts").status, 200);
        assert_eq!(pair.get(host, "/crl").status, 200);
    }
    let said = refused(pair.dir(0), &["invite", "bob"]);
    assert!(
        said.contains("cannot use the store") && said.contains("hint: "),
        "{said}"
    );
    way.set(WayFault::None);
    let answer = testkit::eventually(|| match pair.enrol(0, &token) {
        answer if answer.status == 503 => Err("not yet".to_owned()),
        answer => Ok(answer),
    });
    assert_eq!(answer.status, 200);
    assert_eq!(pair.enrol(1, &token).status, 401);
    // The answer to the write is lost, and the certificate is there once.
    for fault in [WayFault::After, WayFault::Before] {
        let name = format!("{fault:?}").to_lowercase();
        let token = pair.invite(1, &[&name]);
        way.set(fault);
        assert_eq!(pair.enrol(0, &token).status, 200, "{fault:?}");
        assert_eq!(pair.enrol(1, &token).status, 401, "{fault:?}");
        let index = index(pair.dir(1));
        assert_eq!(index.issued().filter(|it| it.name == name).count(), 1);
    }
    pair.signers[0]
        .log
        .said(0, "The store is lost: nothing is signed until it answers");
    pair.signers[0].log.said(0, "The store answers again");
}

#[test]
fn a_directory_brings_its_index_into_an_empty_store_and_stays_with_it() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let host = tempfile::tempdir().expect("a directory");
    let dir = host.path();
    for args in [
        &["init", "--san", "localhost"][..],
        &["crl"],
        &["client", "alice"],
    ] {
        done(dir, &[&["certs"], args].concat());
    }
    let before = index(dir).issued().count();
    let signer = SignerProcess::start(dir, &["--store", &url]);
    assert!(
        !dir.join("certs/index.jsonl").exists() && dir.join("certs/index.jsonl.moved").exists()
    );
    assert_eq!(
        index(dir).issued().count(),
        before + 1,
        "and the signer's own"
    );
    let home = tempfile::tempdir().expect("a home");
    let output = join(home.path(), &invite(dir, &["bob"]), &["--renew", "none"]);
    assert!(output.status.success(), "{output:?}");
    drop(signer);
    let listed = done(dir, &["certs", "list"]);
    assert!(
        listed.contains("alice") && listed.contains("bob"),
        "{listed}"
    );
    // It is not used without the store, nor with another one.
    let joined = JoinedStore::read(&dir.join("certs"))
        .expect("readable")
        .expect("it says so");
    assert_eq!(joined.store, url);
    let elsewhere = server.url(&server.create());
    let said = refused(dir, &["certs", "list", "--store", &elsewhere]);
    assert!(said.contains("has joined the store"), "{said}");
    let output = run(
        dir,
        &[
            "serve",
            "--auto-certs",
            "certs",
            "--enroll",
            "tcp://127.0.0.1:0",
        ],
    );
    assert!(!output.status.success(), "{output:?}");
    assert!(!dir.join("certs/index.jsonl").exists());
}

#[test]
fn a_store_takes_no_second_index_and_no_other_ca_but_anybody_who_may_write_to_it_can_invite() {
    let Some(server) = postgres() else { return };
    let url = server.url(&server.create());
    let hosts = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [dir, other] = hosts.each_ref().map(tempfile::TempDir::path);
    done(
        dir,
        &["certs", "init", "--san", "localhost", "--store", &url],
    );
    done(other, &["certs", "init", "--san", "localhost"]);
    let said = refused(other, &["certs", "list", "--store", &url]);
    assert!(said.contains("the store has another one"), "{said}");
    std::fs::remove_file(other.join("certs/index.jsonl")).expect("remove");
    let said = refused(
        other,
        &[
            "invite",
            "carol",
            "--signer",
            "localhost:1",
            "--store",
            &url,
        ],
    );
    assert!(said.contains("the store has another CA"), "{said}");
    assert!(
        !JoinedStore::path(&other.join("certs")).exists(),
        "it has not joined"
    );
    // One without a CA gets the certificate, and can invite.
    let admin = tempfile::tempdir().expect("a directory");
    let token = invite(
        admin.path(),
        &["dave", "--signer", "localhost:1", "--store", &url],
    );
    let token = Token::parse(&token).expect("a token");
    let ca = inspect(&dir.join("certs/ca.pem"));
    assert_eq!(token.ca_sha256, ca.details.sha256);
    assert!(done(dir, &["invite", "list"]).contains("dave"));
}

#[test]
fn a_signer_whose_ca_is_not_the_stores_any_more_waits_for_its_files() {
    let Some(server) = postgres() else { return };
    let pair = pair(server);
    done(pair.dir(0), &["certs", "rollover", "--wait", "1s"]);
    let token = pair.invite(0, &["alice", "--uses", "4"]);
    assert_eq!(pair.enrol(1, &token).status, 503);
    assert_eq!(pair.enrol(0, &token).status, 200);
    bring(pair.dir(0), pair.dir(1));
    let status = testkit::eventually(|| match pair.enrol(1, &token).status {
        503 => Err("not yet".to_owned()),
        status => Ok(status),
    });
    assert_eq!(status, 200);
    for host in [0, 1] {
        done(
            pair.dir(host),
            &["certs", "rollover", "--finish", "--force"],
        );
    }
    for host in [0, 1] {
        assert!(!pair.dir(host).join("certs/previous-ca-key.pem").exists());
    }
}

#[test]
fn a_password_in_the_url_and_a_store_in_the_clear_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (url, why) in [
        (
            "postgres://gate:hunter2@db.example/x",
            "--store-password-file",
        ),
        (
            "postgres://gate@db.example/x?sslmode=disable",
            "in the clear",
        ),
        (
            "postgres://gate@db.example/x?sslmode=prefer",
            "another server",
        ),
        ("/var/lib/store", "postgres://HOST/DATABASE"),
    ] {
        for command in [&["signer"][..], &["invite", "alice"], &["certs", "list"]] {
            let said = refused(dir.path(), &[command, &["--store", url]].concat());
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
    let nowhere = dir.path().join("none");
    let url = format!("postgres:///x?host={}", nowhere.display());
    let list = ["certs", "list", "--store", &url];
    let said = refused(dir.path(), &list);
    assert!(
        said.contains("cannot use the store") && said.contains("--store-password-file"),
        "{said}"
    );
    let file = ["--store-password-file", "nowhere"];
    let said = refused(dir.path(), &[&list[..], &file].concat());
    assert!(
        said.contains("the file of the store's password") && !said.contains("certs init"),
        "{said}"
    );
    let output = run(
        dir.path(),
        &["serve", "--auto-certs", "certs", "--store", "postgres:///x"],
    );
    assert!(!output.status.success(), "a gate has no store");
}

#[test]
fn a_certificate_of_one_signer_is_renewed_by_the_other_and_a_copy_is_found_out() {
    let Some(server) = postgres() else { return };
    let pair = pair(server);
    let token = pair.invite(0, &["alice"]);
    let first = key();
    let answer = pair.enrol_with(0, &token, &body(&first));
    let alice = credential("alice", &first, &answer);
    let second = body(&key());
    let renewed = pair.renew(1, &alice, &second);
    assert_eq!(renewed.status, 200);
    // The answer may have been lost: the other signer gives the same one.
    assert_eq!(pair.renew(0, &alice, &second).body, renewed.body);
    let copied = pair.renew(0, &alice, &body(&key()));
    assert_eq!(copied.status, 403);
    assert!(
        copied.text().contains("somebody has a copy"),
        "{}",
        copied.text()
    );
    for host in [0, 1] {
        testkit::eventually(|| {
            let list = pki::RevocationList::read(&pair.get(host, "/crl").body).expect("a list");
            match list.entries.len() {
                2 => Ok(()),
                count => Err(format!("{count} entries")),
            }
        });
    }
}

//! Renewals of which one side is killed at any moment: there is the old certificate or the new one, with its key, and the next
//! renewal goes on from there without an alarm.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dockgate::enrolment::home::Home;
use pki::index::Index;
use pki::key::PrivateKey;
use pki::store::Paths;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use testkit::pki::client_config;
use testkit::programs::said;
use testkit::{Credential, TlsClient};

use crate::protocol::{RENEW, body, credential, enrolled_with, key};
use crate::support::*;

/// What tells one state of a directory from another: each file with its number, length and time.
fn state(dir: &Path) -> BTreeSet<(PathBuf, u64, u64, i64)> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // It may be gone again.
            let Ok(data) = entry.path().symlink_metadata() else {
                continue;
            };
            if data.is_dir() {
                left.push(entry.path());
            }
            found.insert((entry.path(), data.ino(), data.len(), data.mtime_nsec()));
        }
    }
    found
}

/// Renews, and kills that after so many changes of the directory; whether it was killed before its end.
fn killed_after(changes: usize, home: &Path, own: &Path) -> bool {
    let mut renewing = command(home)
        .args(["renew", "--force"])
        .arg(own)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start dockgate");
    let (mut seen, mut count) = (state(own), 0);
    loop {
        if let Some(end) = renewing.try_wait().expect("its state") {
            assert!(end.success(), "it was not killed, and failed");
            return false;
        }
        let now = state(own);
        count += usize::from(now != seen);
        seen = now;
        if count >= changes {
            renewing.kill().expect("kill it");
            return !renewing.wait().expect("its end").success();
        }
    }
}

#[test]
fn a_renewal_that_is_killed_at_any_change_leaves_the_old_set_or_the_new_one() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let own = joined(home.path(), "localhost");
    let paths = Paths::of(&dir.path().join("certs"));
    let serial = || inspect(&own.join("docker/cert.pem")).serial;
    let (mut killed, mut kept, mut renewed) = (0, 0, 0);
    for changes in 1..40 {
        let before = serial();
        if !killed_after(changes, home.path(), &own) {
            // All of its changes are fewer.
            break;
        }
        killed += 1;
        let (chain, held, cas) = Home::open(&own)
            .and_then(|it| Ok(it.current()?))
            .expect("a set");
        let own_key = pki::Certificate::read(&chain[0]).expect("a certificate");
        assert_eq!(own_key.details.spki, held.spki(), "after {changes} changes");
        assert_eq!(mode(&own.join("docker/key.pem")), 0o600);
        assert!(!cas.is_empty());
        let index = Index::read(&paths.index).expect("the index");
        match serial() == before {
            true => kept += 1,
            false => {
                renewed += 1;
                let next = index.successor(&before).expect("what followed");
                assert_eq!(next.serial, serial());
            }
        }
        // It goes on from there, and nobody takes it for a copy.
        let now = serial();
        done(
            home.path(),
            &["renew", "--force", own.to_str().expect("text")],
        );
        assert_ne!(serial(), now);
        let index = Index::read(&paths.index).expect("the index");
        assert_eq!(index.revoked().count(), 0, "after {changes} changes");
    }
    assert!(
        killed >= 5 && kept >= 1 && renewed >= 1,
        "{killed}, {kept}, {renewed}"
    );
}

/// One that renews: its certificate, and the key that it asks for the next one with.
struct RenewingLine {
    held: Credential,
    next: PrivateKey,
    answered: Vec<String>,
}

impl RenewingLine {
    /// Asks once; a signer that is killed meanwhile gives nothing, and the same is asked for again.
    fn ask(&mut self, addr: SocketAddr, ca: &CertificateDer<'static>) -> Option<()> {
        let config = client_config(
            std::slice::from_ref(ca),
            Some(&self.held),
            rustls::DEFAULT_VERSIONS,
        );
        let mut client = TlsClient::connect(addr, config).ok()?;
        let body = body(&self.next);
        let head = format!(
            "POST {RENEW} HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.try_send(format!("{head}{body}")).ok()?;
        let answer = client.try_answer().ok()?;
        self.held = credential("line", &self.next, &answer);
        self.answered.push(pki::fingerprint(&self.held.chain[0]));
        self.next = key();
        Some(())
    }
}

#[test]
fn a_signer_that_is_killed_while_it_renews_knows_each_answered_certificate_and_takes_nobody_for_a_copy()
 {
    let dir = directory_alone();
    let ca = CertificateDer::from_pem_file(dir.path().join("certs/ca.pem")).expect("the CA");
    let mut lines: Vec<RenewingLine> = Vec::new();
    for round in 0..6_u64 {
        let mut signer = SignerProcess::start(dir.path(), &[]);
        if lines.is_empty() {
            let token = invite(dir.path(), &["ci", "--uses", "3"]);
            let token = enroll::Token::parse(&token).expect("a token");
            lines.extend((0..3).map(|_| {
                let (first, file) = (key(), dir.path().join("certs/ca.pem"));
                let answer = enrolled_with(signer.addr, &file, &token, &first).expect("an answer");
                RenewingLine {
                    held: credential("line", &first, &answer),
                    next: key(),
                    answered: Vec::new(),
                }
            }));
        }
        let ended = Arc::new(AtomicBool::new(false));
        let mark = signer.log.mark();
        let workers: Vec<_> = lines
            .drain(..)
            .map(|mut line| {
                let (ended, addr, ca) = (ended.clone(), signer.addr, ca.clone());
                thread::spawn(move || {
                    while !ended.load(Ordering::SeqCst) {
                        line.ask(addr, &ca);
                    }
                    line
                })
            })
            .collect();
        signer.log.said(mark, "Renewed a certificate");
        thread::sleep(Duration::from_micros(700 * round));
        signer.child.kill().expect("kill it");
        signer.child.wait().expect("its end");
        ended.store(true, Ordering::SeqCst);
        lines.extend(workers.into_iter().map(|it| it.join().expect("a worker")));
        let index = Index::read(&Paths::of(&dir.path().join("certs")).index).expect("the index");
        let known: BTreeSet<_> = index.issued().map(|it| it.sha256.as_str()).collect();
        for line in &lines {
            let all = line.answered.iter().all(|it| known.contains(it.as_str()));
            assert!(all, "round {round}");
        }
        assert_eq!(index.revoked().count(), 0, "round {round}");
        // No certificate has two successors.
        let renewals = index
            .issued()
            .filter_map(|it| it.enrolled.as_ref()?.predecessor.clone());
        let renewals: Vec<_> = renewals.collect();
        let once: BTreeSet<_> = renewals.iter().collect();
        assert_eq!(once.len(), renewals.len(), "round {round}");
    }
    // Each of them goes on with the certificate that it has.
    let signer = SignerProcess::start(dir.path(), &[]);
    for line in &mut lines {
        assert!(!line.answered.is_empty());
        line.ask(signer.addr, &ca).expect("its next certificate");
    }
}

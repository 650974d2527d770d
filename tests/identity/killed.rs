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
use std::time::{Duration, Instant};

use dockgate::enrolment::home::Home;
use pki::index::Index;
use pki::key::PrivateKey;
use pki::store::Paths;
use rustix::process::{Pid, Signal, kill_process};
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

/// How long a renewal runs between two looks at its directory.
const SLICE: Duration = Duration::from_micros(30);

/// Renews, and kills that after so many changes of the directory; whether it was killed before its end. From its first change on
/// it is stopped for each look.
fn killed_after(changes: usize, home: &Path, own: &Path) -> bool {
    let mut renewing = command(home)
        .args(["renew", "--force"])
        .arg(own)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start dockgate");
    let pid = Pid::from_child(&renewing);
    let (mut seen, mut count) = (state(own), 0);
    loop {
        // It is there until it is waited for.
        if count > 0 {
            kill_process(pid, Signal::STOP).expect("stop it");
        }
        let now = state(own);
        count += usize::from(now != seen);
        seen = now;
        if count >= changes {
            renewing.kill().expect("kill it");
            return !renewing.wait().expect("its end").success();
        }
        kill_process(pid, Signal::CONT).expect("let it go on");
        let began = Instant::now();
        while began.elapsed() < SLICE {
            std::hint::spin_loop();
        }
        if let Some(end) = renewing.try_wait().expect("its state") {
            assert!(end.success(), "it was not killed, and failed");
            return false;
        }
    }
}

/// How often a renewal was killed, and what there was then.
#[derive(Debug, Default)]
struct KilledRenewals {
    kept: usize,
    renewed: usize,
}

/// Kills a renewal after its first change, another one after its second, and so on to its end.
fn kill_at_each(home: &Path, own: &Path, paths: &Paths, killed: &mut KilledRenewals) {
    let serial = || inspect(&own.join("docker/cert.pem")).serial;
    for changes in 1..80 {
        let before = serial();
        if !killed_after(changes, home, own) {
            return;
        }
        let set = Home::open(own).and_then(|it| Ok(it.current()?));
        let (chain, held, cas) = set.expect("a set");
        let leaf = pki::Certificate::read(&chain[0]).expect("a certificate");
        assert_eq!(leaf.details.spki, held.spki(), "after {changes} changes");
        assert_eq!(mode(&own.join("docker/key.pem")), 0o600);
        assert!(!cas.is_empty());
        let index = Index::read(&paths.index).expect("the index");
        match serial() == before {
            true => killed.kept += 1,
            false => {
                killed.renewed += 1;
                let next = index.successor(&before).expect("what followed");
                assert_eq!(next.serial, serial());
            }
        }
        // It goes on from there, and nobody takes it for a copy.
        let now = serial();
        done(home, &["renew", "--force", own.to_str().expect("text")]);
        assert_ne!(serial(), now);
        let index = Index::read(&paths.index).expect("the index");
        assert_eq!(index.revoked().count(), 0, "after {changes} changes");
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
    let mut killed = KilledRenewals::default();
    // On a loaded machine some changes come between two looks.
    for _ in 0..8 {
        kill_at_each(home.path(), &own, &paths, &mut killed);
        if killed.kept >= 5 && killed.renewed >= 1 {
            return;
        }
    }
    panic!("not killed on both sides: {killed:?}");
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

/// That the index has every certificate that was answered, each of them once renewed at most, and none on hold.
fn knows(certs: &Path, lines: &[RenewingLine], round: u64) {
    let index = Index::read(&Paths::of(certs).index).expect("the index");
    let known: BTreeSet<_> = index.issued().map(|it| it.sha256.as_str()).collect();
    let mut answered = lines.iter().flat_map(|line| &line.answered);
    assert!(
        answered.all(|it| known.contains(it.as_str())),
        "round {round}"
    );
    assert_eq!(index.revoked().count(), 0, "round {round}");
    let of = |it: &pki::event::Issued| it.enrolled.as_ref()?.predecessor.clone();
    let renewals: Vec<_> = index.issued().filter_map(of).collect();
    let once: BTreeSet<_> = renewals.iter().collect();
    assert_eq!(once.len(), renewals.len(), "round {round}");
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
        // Of these each line may have lost one answer.
        let count = 4 + usize::try_from(round).expect("small");
        signer.log.wait(mark, count, |line| {
            line["message"] == "Renewed a certificate"
        });
        thread::sleep(Duration::from_micros(700 * round));
        signer.child.kill().expect("kill it");
        signer.child.wait().expect("its end");
        ended.store(true, Ordering::SeqCst);
        lines.extend(workers.into_iter().map(|it| it.join().expect("a worker")));
        knows(&dir.path().join("certs"), &lines, round);
    }
    // Each of them goes on with the certificate that it has.
    let signer = SignerProcess::start(dir.path(), &[]);
    let mut answered = 0;
    for line in &mut lines {
        answered += line.answered.len();
        line.ask(signer.addr, &ca).expect("its next certificate");
    }
    assert!(answered >= 6, "{answered}");
}

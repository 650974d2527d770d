//! What is lost when the signer is killed at any moment, or its disk is full: nothing that was answered, and no use of an invitation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pki::index::Index;
use pki::store::Paths;
use testkit::programs::{external, said};

use crate::protocol::enrolled;
use crate::support::*;

#[test]
fn a_signer_that_is_killed_while_it_issues_has_every_answered_certificate_in_its_index() {
    const USES: usize = 10_000;
    let dir = directory_alone();
    let uses = USES.to_string();
    let mut answered = BTreeSet::new();
    let mut token = None;
    for round in 0..6 {
        let mut signer = SignerProcess::start(dir.path(), &[]);
        let token = token.get_or_insert_with(|| {
            let text = invite(dir.path(), &["ci", "--uses", &uses]);
            enroll::Token::parse(&text).expect("a token")
        });
        let ended = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (token, ended, addr) = (token.clone(), ended.clone(), signer.addr);
                let ca = dir.path().join("certs/ca.pem");
                std::thread::spawn(move || {
                    let mut own = Vec::new();
                    while !ended.load(Ordering::SeqCst) {
                        own.extend(enrolled(addr, &ca, &token));
                    }
                    own
                })
            })
            .collect();
        // Each round in another state of the work; the first have time to begin.
        signer.log.wait(0, 1 + round, |line| {
            line["message"] == "Issued a certificate"
        });
        std::thread::sleep(Duration::from_micros(
            700 * u64::try_from(round).expect("small"),
        ));
        signer.child.kill().expect("kill it");
        signer.child.wait().expect("its end");
        ended.store(true, Ordering::SeqCst);
        for worker in workers {
            answered.extend(worker.join().expect("a worker"));
        }
        let index = Index::read(&Paths::of(&dir.path().join("certs")).index).expect("the index");
        let known: BTreeSet<_> = index.issued().map(|it| it.sha256.clone()).collect();
        assert!(answered.is_subset(&known), "round {round}");
        assert_eq!(
            index.uses(&token.id).count(),
            index.issued().filter(|it| it.name == "ci").count()
        );
    }
    assert!(answered.len() >= 6, "{}", answered.len());
    // It goes on where it was killed.
    let signer = SignerProcess::start(dir.path(), &[]);
    let token = token.expect("a token");
    assert!(enrolled(signer.addr, &dir.path().join("certs/ca.pem"), &token).is_some());
}

/// A directory on a small disk of its own, which only a process there and this test see.
fn small_disk(home: &Path) -> Option<(std::process::Child, PathBuf)> {
    external("unshare", &["--version"])?;
    fs::create_dir(home.join("disk")).expect("a directory");
    let script = "mount -t tmpfs -o size=256k tmpfs disk && cp -a certs disk/ && echo there && exec sleep 600";
    let mut child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .current_dir(home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start unshare");
    let mut first = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut first).expect("a line");
    if first.trim() != "there" {
        child.wait().expect("its end");
        testkit::programs::missing("a user namespace with a file system of its own");
        return None;
    }
    let inside = format!("/proc/{}/root{}", child.id(), home.join("disk").display());
    Some((child, inside.into()))
}

#[test]
fn a_full_disk_refuses_and_uses_nothing_up() {
    let dir = directory_alone();
    let Some((mut keeper, disk)) = small_disk(dir.path()) else {
        return;
    };
    let signer = SignerProcess::start(&disk, &[]);
    let home = tempfile::tempdir().expect("a home");
    let token = invite(&disk, &["alice"]);
    let index = disk.join("certs/index.jsonl");
    // Empty lines up to the end of a page of memory, so that the next line needs another one; then until not a byte more fits.
    let length = usize::try_from(fs::metadata(&index).expect("the index").len()).expect("small");
    let mut padded = fs::OpenOptions::new()
        .append(true)
        .open(&index)
        .expect("open it");
    let padding = vec![b'\n'; length.next_multiple_of(4096) - length];
    std::io::Write::write_all(&mut padded, &padding).expect("write it");
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler).expect("a file");
    while std::io::Write::write(&mut file, &[0; 512]).is_ok_and(|count| count > 0) {}
    let before = fs::read(&index).expect("the index");
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(said(&output).contains("(500)"), "{}", said(&output));
    signer.log.said(0, "A certificate cannot be issued");
    let after = fs::read(&index).expect("the index");
    assert!(after.starts_with(&before));
    assert!(
        !after[before.len()..].contains(&b'\n'),
        "no whole line was added"
    );
    drop(file);
    fs::remove_file(&filler).expect("make room");
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let lines = Index::read(&index).expect("the index");
    assert_eq!(lines.issued().filter(|it| it.name == "alice").count(), 1);
    drop(signer);
    keeper.kill().expect("stop it");
    keeper.wait().expect("its end");
}

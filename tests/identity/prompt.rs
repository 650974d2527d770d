//! A command that asks for a passphrase: nobody waits for the person who is to type it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::*;

/// Starts a command on a terminal of its own, and waits until it asks.
fn asking(dir: &Path, words: &str) -> Option<Child> {
    let line = format!("exec {} {words}", testkit::programs::binary().display());
    let written = dir.join("terminal");
    let _ = std::fs::remove_file(&written);
    let mut command = Command::new("script");
    command
        .args(["-q", "-e", "-f", "-c", &line])
        .arg(&written)
        .env_clear()
        .env("HOME", dir)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let Ok(child) = command.spawn() else {
        testkit::programs::missing("script");
        return None;
    };
    testkit::eventually(|| {
        let text = std::fs::read_to_string(&written).unwrap_or_default();
        match text.contains("passphrase of") {
            true => Ok(()),
            false => Err(text),
        }
    });
    Some(child)
}

#[test]
fn others_use_the_directory_while_a_person_is_asked_for_the_passphrase() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    std::fs::write(dir.join("word"), "a passphrase\n").expect("write it");
    let with = |words: &[&str]| done(dir, &[words, &["--passphrase-file", "word"]].concat());
    with(&["certs", "init", "--san", "localhost"]);
    with(&["certs", "client", "alice"]);
    for (n, words) in [
        "certs client bob",
        "certs server --san localhost --force",
        "certs renew alice",
        "certs revoke alice",
        "certs crl",
        "certs rollover --wait 1s",
        "certs rollover --finish --force",
    ]
    .iter()
    .enumerate()
    {
        let Some(mut child) = asking(dir, words) else {
            return;
        };
        // Another command has the lock as long as it likes, which is taken within a moment.
        let began = Instant::now();
        done(dir, &["certs", "deny", &format!("0badc0de0badc0d{n}")]);
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "{words} holds it"
        );
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"a passphrase\n").expect("type it");
        let end = child.wait().expect("its end");
        let text = std::fs::read_to_string(dir.join("terminal")).unwrap_or_default();
        assert!(end.success(), "{words}: {text}");
    }
    let denied = done(dir, &["certs", "deny"]);
    assert_eq!(
        denied.lines().filter(|it| it.contains("0badc0de")).count(),
        7
    );
    // Without a terminal it is said that nobody can be asked.
    let said = refused(dir, &["certs", "crl"]);
    assert!(said.contains("standard input is not a terminal"), "{said}");
}

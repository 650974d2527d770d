//! The `policy` commands' standard output, with the program itself.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use super::PolicyFolder;
use crate::audit::record;

const BINARY: &str = env!("CARGO_BIN_EXE_dockgate");

fn desk() -> PolicyFolder {
    let desk = PolicyFolder::new();
    let case = r#"{"cn":"ci","method":"GET","target":"/info","expect":"allow"}"#;
    desk.file("cases.jsonl", case);
    let mut listing = record();
    listing.operation = "container.list".into();
    desk.file("audit.jsonl", &(listing.line() + "\n"));
    desk
}

const COMMANDS: [&str; 6] = [
    "check policy.toml",
    "check policy.toml --json",
    "explain policy.toml --cn ci GET /info",
    "test policy.toml cases.jsonl",
    "learn audit.jsonl",
    "diff policy.toml policy.toml --against audit.jsonl",
];

fn command(desk: &PolicyFolder, words: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("policy").args(words.split(' '));
    command.current_dir(desk.path("")).stdin(Stdio::null());
    command
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let desk = desk();
    for words in COMMANDS {
        let full = OpenOptions::new().write(true).open("/dev/full");
        let said = command(&desk, words)
            .stdout(full.expect("/dev/full"))
            .output()
            .expect("an end");
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{words}: {text}");
        assert!(
            text.contains("standard output cannot be written: No space left"),
            "{words}: {text}"
        );
    }
}

#[test]
fn who_has_read_enough_is_no_error() {
    let desk = desk();
    for words in COMMANDS {
        let mut child = command(&desk, words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a start");
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().expect("an end");
        assert_eq!(status.code(), Some(0), "{words}");
        assert_eq!(String::from_utf8_lossy(&stderr), "", "{words}");
    }
}

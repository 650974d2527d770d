//! Words that make a reader stop: what people read is plain English.

use std::fs;
use std::path::{Path, PathBuf};

use super::sizes::CODE;
use super::{files, root, text};

/// What is not written, and what is written instead.
const WORDS: [(&str, &str); 8] = [
    ("whoever", "the person or the program by name"),
    ("anew", "again"),
    ("lapse", "end, expire"),
    ("lapses", "ends, expires"),
    ("lapsed", "ended, expired"),
    ("for ever", "without end, until it is stopped"),
    ("want of", "without, because there is no"),
    ("stands", "is, comes"),
];

/// Where such words mean something else: `*` stands for any text.
const USUAL: [&str; 1] = ["stands for"];

/// Pages at the top of the repository.
const PAGES: [&str; 7] = [
    "Dockerfile",
    "justfile",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docker-compose.yaml",
];

/// Folders whose files are shipped or copied, whatever their ending.
const SHIPPED: [&str; 3] = ["deploy", "config", "certs-example"];

/// Every file below a folder that is text.
fn texts(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        let is_text = fs::read(path).is_ok_and(|bytes| str::from_utf8(&bytes).is_ok());
        return if is_text {
            vec![path.to_owned()]
        } else {
            Vec::new()
        };
    };
    let paths = entries.map(|entry| entry.expect("list a folder").path());
    paths.flat_map(|path| texts(&path)).collect()
}

/// Where `word` is in a line, as a word of its own.
fn has(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let usual = USUAL.iter().any(|usual| line[at..].starts_with(usual));
        !usual && !letter(before.chars().next_back()) && !letter(after.chars().next())
    })
}

#[test]
fn words_are_found_alone_and_in_their_usual_sense_only() {
    assert!(has("the first reason stands.", "stands"));
    assert!(!has("`*` stands for any text", "stands"));
    assert!(!has("it understands more", "stands") && !has("a renewal", "anew"));
}

#[test]
fn what_people_read_has_no_word_that_has_a_plainer_one() {
    let house = root().join("tests/house");
    let code = CODE
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"));
    let pages = files(&root().join("docs"), "md")
        .into_iter()
        .chain(PAGES.map(|page| root().join(page)))
        .chain(
            SHIPPED
                .iter()
                .flat_map(|folder| texts(&root().join(folder))),
        );
    let mut found = Vec::new();
    let mut lines = 0;
    for file in code.chain(pages).filter(|file| !file.starts_with(&house)) {
        for (number, line) in text(&file).lines().enumerate() {
            lines += 1;
            let line = line.to_lowercase();
            for (word, instead) in WORDS.iter().filter(|(word, _)| has(&line, word)) {
                found.push(format!(
                    "{}:{}: \"{word}\", write: {instead}",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    assert!(lines > 50_000, "{lines} lines were read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

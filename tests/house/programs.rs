//! `cargo test` needs cargo and a system's basic commands, and nothing else: a test that starts another program asks first whether
//! it is there, and says that it was not run where it is not.

use super::{files, root, text};

/// What every system with a shell has.
const BASIC: [&str; 5] = ["sh", "cp", "mkfifo", "/bin/true", "/proc/self/exe"];

/// What is asked for by name: the suite on a real engine, whose programs `.ci/engine` installs, and PostgreSQL.
const ASKED_FOR: [&str; 2] = ["tests/e2e", "crates/testkit/src/postgres.rs"];

/// The programs that a file starts by name.
fn started(text: &str) -> Vec<&str> {
    let starts = text.split("Command::new(\"").skip(1);
    let names = starts.filter_map(|rest| rest.split('"').next());
    names.filter(|name| !BASIC.contains(name)).collect()
}

/// Whether a file asks for a program, or says that it is missing.
fn asks(text: &str, program: &str) -> bool {
    let ways = [
        format!("external(\"{program}\""),
        format!("(\"{program}\", \"--version\")"),
        format!("missing(\"{program}"),
        format!("NOT RUN: {program} "),
    ];
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = words.replace("external( ", "external(");
    ways.iter().any(|way| words.contains(way))
}

#[test]
fn a_test_asks_for_each_program_that_it_starts() {
    let tests = root().join("tests");
    let house = tests.join("house");
    let asked_for = ASKED_FOR.map(|place| root().join(place));
    let crates = files(&root().join("crates"), "rs");
    let tested = crates.into_iter().filter(|file| {
        let within = file.components();
        within
            .into_iter()
            .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
            || file.starts_with(root().join("crates/testkit"))
    });
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files(&tests, "rs").into_iter().chain(tested) {
        if file.starts_with(&house) || asked_for.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        let text = text(&file);
        for program in started(&text) {
            seen += 1;
            if !asks(&text, program) {
                wrong.push(format!("{}: {program}", file.display()));
            }
        }
    }
    assert!(seen > 8, "{seen} programs are started");
    assert!(
        wrong.is_empty(),
        "ask with testkit::programs::external, or say so with missing:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_program_that_is_started_unasked_is_found() {
    let unasked = "let output = Command::new(\"jq\").output(); Command::new(\"sh\")";
    assert_eq!(started(unasked), ["jq"]);
    assert!(!asks(unasked, "jq"));
    assert!(asks("external(\n    \"jq\", &[])", "jq"));
    assert!(asks("Err(_) => missing(\"jq\")", "jq"));
}

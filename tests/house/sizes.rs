//! Bounds on files and functions. What is above them is named here, with its reason, and may only become less.

use super::{files, root, text};

/// Folders with Rust code.
pub(super) const CODE: [&str; 5] = ["src", "crates", "tests", "bench", "fuzz"];

/// A file has fewer lines.
const LINES: usize = 500;

/// Files with more: tables and matrices, of which each row is read alone.
const LONG_FILES: [(&str, &str); 13] = [
    ("crates/enroll/src/rules/tests.rs", "tests"),
    ("crates/testkit/src/client.rs", "tests"),
    ("src/http/build/call.rs", "code"),
    ("tests/certs/damaged.rs", "tests"),
    ("tests/identity/ci.rs", "tests"),
    ("tests/observe/decisions/audit.rs", "tests"),
    ("tests/policy/amounts.rs", "tests"),
    ("tests/policy/builds.rs", "tests"),
    ("tests/policy/contexts.rs", "tests"),
    ("tests/policy/fetch.rs", "tests"),
    ("tests/policy/protected.rs", "tests"),
    ("tests/policy/scope.rs", "tests"),
    ("tests/wire/builds.rs", "tests"),
];

/// Functions that clippy.toml finds too long: each has its reason beside it, and their number may only shrink.
const LONG_FUNCTIONS: usize = 114;

/// Why a function may be longer: `table` is a match or a list with an arm or a row for each case, `scenario` a test that goes
/// through one story step by step, `sequence` code in order whose parts mean nothing alone.
const REASONS: [&str; 3] = ["table", "scenario", "sequence"];

#[test]
fn a_file_has_less_than_500_lines_or_is_named() {
    let mut long: Vec<String> = CODE
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .filter(|file| text(file).lines().count() >= LINES)
        .map(|file| {
            let path = file.strip_prefix(root()).expect("a file of the repository");
            path.display().to_string()
        })
        .collect();
    long.sort();
    let named: Vec<&str> = LONG_FILES.iter().map(|(file, _)| *file).collect();
    assert_eq!(long, named, "split what is new; remove what is short now");
}

#[test]
fn a_function_that_may_be_long_has_a_reason_and_their_number_only_shrinks() {
    let lint = concat!("clippy::", "too_many_lines");
    let mut count = 0;
    for file in CODE
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
    {
        let code = text(&file);
        for (at, _) in code.match_indices(lint) {
            let attribute = code[at..].split(']').next().unwrap_or_default();
            let reason = attribute.split('"').nth(1);
            assert!(
                reason.is_some_and(|reason| REASONS.contains(&reason)),
                "{}: {attribute}",
                file.display()
            );
            count += 1;
        }
    }
    assert_eq!(
        count, LONG_FUNCTIONS,
        "more: split the function; fewer: lower the number"
    );
}

//! The house rules that no compiler holds: who imports whom, what the pure crates are free of, and names with one meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod circles;
mod commands;
mod map;
mod programs;
mod sizes;
mod words;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder of the repository with this ending, or the file itself.
fn files(path: &Path, ending: &str) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| files(&entry.expect("list a folder").path(), ending))
        .filter(|file| file.extension().is_some_and(|kind| kind == ending))
        .collect()
}

/// The Rust files below a folder of the repository, or the file itself; tests within the sources are left out.
fn sources(path: &Path) -> Vec<PathBuf> {
    files(path, "rs")
        .into_iter()
        .filter(|file| {
            !file
                .components()
                .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
        })
        .collect()
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The text of a file without comment lines and without the tests at its end.
fn code(file: &Path) -> String {
    let text = text(file);
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    code.unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The modules that a file imports by `crate::`, alone or in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let (mut depth, mut item) = (0, String::new());
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            found.insert(word(&item));
                            item.clear();
                            continue;
                        }
                        _ => {}
                    }
                    item.push(c);
                }
                found.insert(word(&item));
            }
            None => _ = found.insert(word(rest)),
        }
    }
    found.remove("");
    found
}

#[test]
fn a_module_imports_only_from_modules_listed_below_it() {
    let order: Vec<String> = text(&root().join("src/lib.rs"))
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert!(order.len() > 10, "src/lib.rs lists the modules: {order:?}");
    let mut wrong = Vec::new();
    for (place, module) in order.iter().enumerate() {
        let mut files = sources(&root().join("src").join(module));
        files.push(root().join("src").join(format!("{module}.rs")));
        for file in files {
            for import in imports(&code(&file)) {
                match order.iter().position(|name| *name == import) {
                    Some(other) if other < place => {
                        wrong.push(format!("{}: {import}", file.display()));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports from above:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_pure_crates_have_no_runtime_and_no_command_line() {
    for (krate, without) in [
        ("text", &["tokio", "clap", "rustls"][..]),
        ("docker-api", &["tokio", "clap", "rustls"]),
        ("policy", &["tokio", "clap", "rustls"]),
        ("pki", &["tokio", "clap"]),
        ("enroll", &["tokio", "clap", "rustls"]),
    ] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--edges", "normal"])
            .args(["--prefix", "none", "--package", krate])
            .current_dir(root())
            .output()
            .expect("start cargo");
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.starts_with(&format!("{krate} ")), "{output:?}");
        let names: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        for name in without {
            assert!(!names.contains(name), "{krate} depends on {name}:\n{tree}");
        }
    }
}

#[test]
fn the_signer_knows_no_engine() {
    let places = [
        "src/signer",
        "src/signer.rs",
        "src/command/signer.rs",
        "crates/enroll",
    ];
    let files = places.iter().flat_map(|it| sources(&root().join(it)));
    for file in files {
        let code = code(&file);
        let known: Vec<_> = ["engine", "net", "http", "generation", "plugin"]
            .into_iter()
            .filter(|it| imports(&code).contains(*it))
            .collect();
        assert!(known.is_empty(), "{}: {known:?}", file.display());
        assert!(!code.contains("UnixStream"), "{}", file.display());
    }
}

/// The name that a line of code defines a type by, private ones and those of tests as well. An associated type has the name
/// that its trait gave it, and is not a type of its own.
fn defined_type(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let public = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => code,
    };
    let (kind, rest) = public.split_once(' ')?;
    let item = match kind {
        "struct" | "enum" | "union" | "trait" => true,
        "type" => code.len() == line.len(),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &rest[..end.unwrap_or(rest.len())];
    (item && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

#[test]
fn a_defined_type_is_found_wherever_it_is() {
    assert_eq!(defined_type("pub(crate) struct One<'a> {"), Some("One"));
    assert_eq!(defined_type("    enum Two {"), Some("Two"));
    assert_eq!(defined_type("pub trait Three: Send {"), Some("Three"));
    assert_eq!(defined_type("type Four = u8;"), Some("Four"));
    assert_eq!(defined_type("    type Error = io::Error;"), None);
    assert_eq!(defined_type("// struct Five;"), None);
    assert_eq!(defined_type("public(struct Six)"), None);
}

#[test]
fn a_type_name_has_one_meaning_in_the_whole_workspace() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folders = sizes::CODE.iter().map(|folder| root().join(folder));
    for file in folders.flat_map(|folder| files(&folder, "rs")) {
        let place = file.strip_prefix(root()).unwrap_or(&file);
        for name in text(&file).lines().filter_map(defined_type) {
            let places = defined.entry(name.to_owned()).or_default();
            places.push(place.display().to_string());
        }
    }
    assert!(defined.len() > 800, "{} types were found", defined.len());
    let twice: Vec<String> = defined
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(
        twice.is_empty(),
        "more than one meaning:\n{}",
        twice.join("\n")
    );
}

#[test]
fn the_binary_only_parses_runs_and_exits() {
    let main = text(&root().join("src/main.rs"));
    let lines = main.lines().count();
    assert!(lines < 60, "src/main.rs has {lines} lines");
}

#[test]
fn the_version_says_the_commit_the_target_and_the_tls_library() {
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("--version")
        .output()
        .expect("start dockgate");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    assert!(text.starts_with("dockgate "), "{text}");
    assert!(line("target").contains("linux"), "{text}");
    assert!(line("TLS").starts_with("rustls 0."), "{text}");
    assert!(line("TLS").contains(", aws-lc-rs "), "{text}");
    let head = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(root())
        .output();
    let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match head {
        Ok(head) if head.status.success() && root().join(".git").exists() => {
            let commit = line("commit");
            assert!(commit.len() >= 12 && hexadecimal(&commit), "{text}");
        }
        // Sources without a repository, as in a package.
        _ => assert!(!line("commit").is_empty(), "{text}"),
    }
}

#[test]
fn one_crate_decides_what_a_terminal_is_not_shown_and_how_it_is_written_instead() {
    let marks = [
        "is_unsafe(",
        "escape_unicode(",
        "escape_debug(",
        "escape_default(",
    ];
    let text_crate = root().join("crates/text");
    let mut users: Vec<String> = sources(&root().join("src"))
        .into_iter()
        .chain(sources(&root().join("crates")))
        .filter(|file| !file.starts_with(&text_crate))
        .filter(|file| marks.iter().any(|mark| code(file).contains(mark)))
        .map(|file| file.display().to_string())
        .collect();
    // A name is refused there, and not shown.
    users.retain(|file| !file.ends_with("crates/pki/src/name.rs"));
    assert!(users.is_empty(), "ask text::escape:\n{}", users.join("\n"));
}

/// Every command between backticks in the texts of `src` and the crates, without what is filled in.
fn printed_commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let crates = fs::read_dir(root().join("crates")).expect("read crates");
    let crates = crates.map(|entry| entry.expect("an entry").path().join("src"));
    for folder in crates.chain([root().join("src")]) {
        for file in sources(&folder) {
            // Comments speak of families of commands; what is printed is a string.
            for line in text(&file)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for quoted in line.split('`').skip(1).step_by(2) {
                    if let Some(command) = quoted.strip_prefix("dockgate ") {
                        found.insert(command.to_owned());
                    }
                }
            }
        }
    }
    found
}

#[test]
fn a_command_that_a_message_prints_is_one_that_the_program_takes() {
    let commands = printed_commands();
    assert!(commands.len() > 40, "{commands:#?}");
    let option = dockgate::cli::command();
    for printed in &commands {
        let plain = printed.replace("{option}", "").replace("{0}", "");
        let mut command = &option;
        for word in plain.split_whitespace() {
            // A family of commands, or one whose name is filled in.
            if command.has_subcommands() && (word.starts_with(['{', '…']) || word == "COMMAND") {
                break;
            }
            // What is filled in right behind a word adds options to it.
            let word = word.split_once('{').map_or(word, |(first, _)| first);
            if let Some(long) = word.strip_prefix("--") {
                let long = long.split(['=', '{']).next().unwrap_or_default();
                let known = command
                    .get_arguments()
                    .any(|arg| arg.get_long() == Some(long));
                assert!(known || long == "help", "`dockgate {printed}`: --{long}");
            } else if let Some(sub) = command.find_subcommand(word) {
                command = sub;
            } else {
                // A name, a file, or a part that is filled in; a word of a command that exists.
                let value = word.is_empty()
                    || word.contains(['{', '…', '.', '/', ':'])
                    || word.chars().all(|c| !c.is_ascii_lowercase());
                assert!(
                    value && command.get_name() != "dockgate" || word == "server",
                    "`dockgate {printed}`: {word}"
                );
            }
        }
    }
}

#[test]
fn an_identity_without_names_is_written_in_one_place() {
    let folders = ["src", "crates", "tests", "fuzz", "bench"];
    let all = folders.iter().flat_map(|it| files(&root().join(it), "rs"));
    // A new field of an identity would have to be added wherever all of them are listed.
    let listed = ["issuer_spki:", "organizational_units:", "fingerprint:"];
    let lists_all = |file: &PathBuf| {
        let text = text(file);
        let is_literal = |part: &str| {
            let part = part.split("}").next().unwrap_or_default();
            listed.iter().all(|field| part.contains(field))
        };
        text.split("Identity {\n").skip(1).any(is_literal) && !text.contains("pub struct Identity")
    };
    let found: Vec<_> = all.filter(lists_all).collect();
    assert!(
        found.is_empty(),
        "write `..Identity::unnamed()` in {found:?}"
    );
}

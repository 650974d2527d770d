//! A command that a page prints is one that the program takes, with its options.

use clap::error::ErrorKind;
use dockgate::cli;

use super::{files, root, text};

/// Pages outside of `docs`.
const PAGES: [&str; 3] = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];

/// The commands of a page: in lines of code, and between backticks in sentences and tables.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let mut whole = line.trim().to_owned();
            while let Some(first) = whole.strip_suffix('\\') {
                whole = format!("{first} {}", lines.next().unwrap_or_default().trim());
            }
            let parts = whole.split(" && ").flat_map(|part| part.split(" | "));
            found.extend(parts.filter_map(|part| {
                let part = part.trim().trim_start_matches("sudo ");
                part.strip_prefix("dockgate ").map(str::to_owned)
            }));
        } else {
            let quoted = line.split('`').skip(1).step_by(2);
            found.extend(
                quoted
                    .filter_map(|it| it.strip_prefix("dockgate "))
                    .map(str::to_owned),
            );
        }
    }
    found
}

/// The words of a command, without a comment after it and where its input and output go. What is quoted is one word.
fn words(command: &str) -> Vec<String> {
    let ends = ["  ", " # ", " >", " <", " 2>"];
    let end = ends.iter().filter_map(|end| command.find(end)).min();
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in command[..end.unwrap_or(command.len())].chars() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            (' ' | ';', None) => words.push(String::new()),
            _ => words.last_mut().expect("a word").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is wrong with a command, if anything.
fn fault(command: &str) -> Option<String> {
    let words = words(command);
    // A command that is named in general, or by something in its place, and a line of usage.
    let is_general =
        |word: &String| word.contains('…') || word == "COMMAND" || word.starts_with('[');
    if words.iter().any(is_general) {
        return None;
    }
    let error = cli::parse(["dockgate".to_owned()].into_iter().chain(words)).err()?;
    // A command may be named without its arguments.
    let named = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ErrorKind::MissingRequiredArgument,
    ];
    (!named.contains(&error.kind())).then(|| error.to_string())
}

#[test]
fn a_command_that_a_page_prints_is_one_that_the_program_takes() {
    let pages = files(&root().join("docs"), "md");
    let pages = pages.into_iter().chain(PAGES.map(|page| root().join(page)));
    let (mut seen, mut wrong) = (0, Vec::new());
    // The page of the command line is made of what the program says of itself.
    for page in pages.filter(|page| !page.ends_with("docs/reference/cli.md")) {
        for command in commands(&text(&page)) {
            seen += 1;
            if let Some(fault) = fault(&command) {
                wrong.push(format!("{}: dockgate {command}: {fault}", page.display()));
            }
        }
    }
    assert!(seen > 150, "{seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_code_and_in_sentences_and_a_wrong_option_is_a_fault() {
    let page = "Run `dockgate ps --own`.\n\n    sudo dockgate certs list --dir ca  # all\n    x && dockgate check | cat\n";
    assert_eq!(
        commands(page),
        ["ps --own", "certs list --dir ca  # all", "check"]
    );
    assert!(fault("ps --own").is_some() && fault("certs make").is_some());
    assert!(fault("certs list --dir ca  # all").is_none() && fault("certs").is_none());
    assert_eq!(words("a --b 'c d' \"e\" < f"), ["a", "--b", "c d", "e"]);
}

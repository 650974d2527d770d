//! Completions and manual pages.

use std::fs;
use std::process::{Command, Stdio};

use dockgate::cli;
use dockgate::config::key::KEYS;
use testkit::programs::{dockgate, external, finished, said};

fn run(arguments: &[&str]) -> std::process::Output {
    finished(
        dockgate()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
}

#[test]
fn each_shell_gets_completions_and_another_word_is_refused() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            said(&output)
        );
        let text = String::from_utf8(output.stdout).expect("text");
        for key in KEYS {
            assert!(text.contains(key.flag), "{shell}: {}", key.flag);
        }
    }
    let other = run(&["completions", "sh"]);
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    assert!(said(&other).contains("possible values"), "{}", said(&other));
}

#[test]
fn bash_completes_commands_and_options() {
    if external("bash", &["--version"]).is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let script = dir.path().join("dockgate");
    fs::write(&script, run(&["completions", "bash"]).stdout).expect("write");
    let complete = |words: &[&str]| {
        let last = words.len() - 1;
        let text = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={last}; _dockgate dockgate '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words[last],
            words[last - 1]
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &text])
            .output()
            .expect("bash");
        assert!(output.stderr.is_empty(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(complete(&["dockgate", "cert"]), "certs");
    assert_eq!(complete(&["dockgate", "certs", "cli"]), "client");
    assert_eq!(
        complete(&["dockgate", "serve", "--unsafe"]),
        "--unsafe-no-cage"
    );
    assert_eq!(complete(&["dockgate", "nonsense"]), "");
}

#[test]
fn each_command_has_a_page_and_each_option_is_on_it() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let output = run(&["man", dir.path().to_str().expect("a path")]);
    assert!(output.status.success(), "{}", said(&output));
    let mut command = cli::command();
    command.build();
    let mut pages = 0;
    every(&command, "dockgate", &mut |command, name| {
        let path = dir.path().join(format!("{name}.1"));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(
            page.contains(&format!(
                ".TH {} 1",
                name.to_uppercase().replace('-', "\\-")
            )) || page.contains(&format!(".TH {} 1", name.to_uppercase())),
            "{page}"
        );
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        for option in shown.filter_map(|arg| arg.get_long()) {
            let option = option.replace('-', "\\-");
            assert!(
                page.contains(&format!("\\-\\-{option}")),
                "{name}: {option}"
            );
        }
        pages += 1;
    });
    assert_eq!(fs::read_dir(dir.path()).expect("pages").count(), pages);
    assert!(pages > 25, "{pages}");

    // The formatter has nothing to complain of.
    for page in fs::read_dir(dir.path()).expect("pages") {
        let page = page.expect("a page").path();
        let page = page.to_str().expect("a path");
        let Some(output) = external("groff", &["-Kutf8", "-man", "-Tutf8", "-ww", "-z", page])
        else {
            return;
        };
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{page}: {}",
            said(&output)
        );
    }

    let nowhere = run(&["man", "/nonexistent/directory"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        said(&nowhere).contains("cannot write /nonexistent/directory/dockgate.1"),
        "{}",
        said(&nowhere)
    );
}

fn every(command: &clap::Command, name: &str, look: &mut impl FnMut(&clap::Command, &str)) {
    look(command, name);
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        every(sub, &format!("{name}-{}", sub.get_name()), look);
    }
}

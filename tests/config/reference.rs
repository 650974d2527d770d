//! docs/reference/{configuration,cli}.md say what the tables say. After a change of a table:
//! `DOCKGATE_TEST_WRITE=1 cargo test --test config reference` writes the generated parts again.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use dockgate::cli;
use dockgate::config::key::{Group, KEYS, Key, SettingChange, SettingKind};

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

/// Compares the generated part of a page, or writes it where that is asked for.
fn generated(page: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a begin mark");
    let (present, after) = rest.split_once(END).expect("the page has an end mark");
    if std::env::var_os("DOCKGATE_TEST_WRITE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert!(
            present == wanted,
            "{page} is out of date: run `DOCKGATE_TEST_WRITE=1 cargo test --test config reference`"
        );
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(key: &Key) -> String {
    let default = match key.default {
        "" => "–".to_owned(),
        default => format!("`{default}`"),
    };
    let short = key
        .short
        .map_or_else(String::new, |short| format!("`-{short}`, "));
    let change = match key.change {
        SettingChange::Live => "reload",
        SettingChange::Restart => "start",
    };
    format!(
        "| `{}` | {short}`--{}` | `{}` | {} | {} | {change} | {} |\n",
        key.name,
        key.flag,
        key.env(),
        cell(&key.kind.expected()),
        cell(&default),
        cell(key.help)
    )
}

#[test]
fn reference_of_the_configuration_is_the_table_of_settings() {
    let mut page = String::new();
    for group in [
        Group::Addresses,
        Group::Tls,
        Group::Policy,
        Group::Deadlines,
        Group::Limits,
        Group::Process,
        Group::Log,
    ] {
        let _ = write!(
            page,
            "\n## {}\n\n| key | flag | variable | in the file | default | changes at | is |\n|---|---|---|---|---|---|---|\n",
            group.title()
        );
        for key in KEYS.iter().filter(|key| key.group == group) {
            page.push_str(&row(key));
        }
    }
    page.push('\n');
    assert_eq!(
        page.matches("\n| `").count(),
        KEYS.len(),
        "every setting has a row"
    );
    generated("docs/reference/configuration.md", &page);
}

/// The help of a command and of those below it. The settings are on their own page.
fn commands(command: &clap::Command, path: &str, out: &mut String) {
    let mut shown = command
        .clone()
        .bin_name(path.to_owned())
        .disable_help_subcommand(true)
        .term_width(100);
    // An option of another command may have the name of a setting.
    let takes = |flag| command.get_arguments().any(|arg| arg.get_id() == flag);
    let takes_settings = KEYS.iter().all(|key| takes(key.flag));
    if takes_settings {
        for key in KEYS {
            shown = shown.mut_arg(key.flag, |arg| arg.hide(true));
        }
    }
    let help = shown.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = write!(
        out,
        "\n## {path}\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    );
    if takes_settings {
        out.push_str(
            "\nIt also takes every setting as an option: see [configuration](configuration.md).\n",
        );
    }
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        commands(sub, &format!("{path} {}", sub.get_name()), out);
    }
}

#[test]
fn reference_of_the_command_line_is_its_help() {
    let mut command = cli::command();
    command.build();
    let mut page = String::new();
    commands(&command, "dockgate", &mut page);
    page.push('\n');
    assert!(page.contains("\n## dockgate certs sign\n") && page.contains("\n## dockgate check\n"));
    let (_, join) = page.split_once("\n## dockgate join\n").expect("join");
    assert!(join[..3000].contains("--host <tcp://HOST:PORT>"));
    generated("docs/reference/cli.md", &page);
}

#[test]
fn every_setting_says_what_it_is() {
    for key in KEYS {
        assert!(
            !key.help.is_empty() && !key.help.ends_with('.'),
            "{}",
            key.name
        );
        assert!(
            key.placeholder != "VALUE",
            "{} has no placeholder",
            key.name
        );
        assert_eq!(
            key.flag != key.name,
            key.name.ends_with('s') && matches!(key.kind, SettingKind::List { .. }),
            "{}: a flag that is repeated is in the singular",
            key.name
        );
    }
}

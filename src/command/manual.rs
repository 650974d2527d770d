//! `dockgate completions` and `dockgate man`: what packages install beside the program, made from the command line's description.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::command::output::{Exit, Failure, Output};

/// Prints the completions for one shell.
pub(super) fn completions(args: &CompletionsArgs, output: &mut Output<'_>) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "dockgate", &mut text);
    output.generated(&text);
    Exit::OK
}

/// Writes `dockgate.1`, `dockgate-serve.1` and so on.
///
/// # Errors
/// When a page cannot be written.
pub(super) fn pages(args: &ManArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let mut command = cli::command();
    command.build();
    let mut count = 0;
    write(&command, "dockgate", &args.dir, &mut count)?;
    output.line(format!("{count} pages written to {}", args.dir.display()));
    Ok(Exit::OK)
}

fn write(command: &Command, name: &str, dir: &Path, count: &mut usize) -> Result<(), Failure> {
    let path = dir.join(format!("{name}.1"));
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::FAILED,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    // clap's own `help` has no page: `--help` is everywhere.
    let shown = command
        .clone()
        .disable_help_subcommand(true)
        .name(name.to_owned());
    let mut page = Vec::new();
    Man::new(shown)
        .title(name.to_ascii_uppercase())
        .source(format!("dockgate {}", env!("CARGO_PKG_VERSION")))
        .manual("dockgate manual")
        .render(&mut page)
        .map_err(failed)?;
    fs::write(&path, page).map_err(failed)?;
    *count += 1;
    let subcommands = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help");
    for sub in subcommands {
        write(sub, &format!("{name}-{}", sub.get_name()), dir, count)?;
    }
    Ok(())
}

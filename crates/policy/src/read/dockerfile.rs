//! What a Dockerfile makes the classic builder fetch: `FROM`, `COPY --from` and `ADD` with an address.
//!
//! Read as the builder's own parser reads it: escape directive, continued lines with comments between them, flags, JSON
//! lists, arguments in `FROM`. What that parser might read in another way is refused. Steps that run inside the build
//! are containers of their own, and not looked into.

mod growth;
mod instructions;
mod words;

use std::collections::{HashMap, HashSet};

use docker_api::work;
use text::escape;

use crate::findings::Findings;
use crate::labels::{OWN_LABELS, SCOPE_RULE, is_own_label, may_be_own_label};
use crate::read::{image, outbound};

use growth::Growth;
use instructions::{Instruction, instructions};
use words::{BuildVariables, expand, literal};

/// Bytes of the arguments' values that are kept.
const MOST_HELD: usize = 1 << 20;

/// The build arguments of a request; `None` is an argument without a value, which sets nothing.
pub(crate) type Arguments = HashMap<String, Option<String>>;

/// Adds what a Dockerfile fetches to the findings.
pub(crate) fn read(text: &str, arguments: &Arguments, out: &mut Findings<'_>) {
    work::add(text.len() / 64);
    read_with('\\', text, arguments, out);
    // Versions of the parser differ in which comments they take for the directive, so both readings have to pass.
    if instructions::may_set_escape(text) {
        read_with('`', text, arguments, out);
    }
}

/// Adds what instructions outside of a Dockerfile fetch: `ONBUILD` triggers, `changes` of a commit.
pub(crate) fn read_instructions(text: &str, field: &str, out: &mut Findings<'_>) {
    let (arguments, coloured) = (Arguments::new(), HashSet::new());
    let reader = BuilderReading::new('\\', &arguments, &coloured);
    let mut growth = Growth::new(&arguments);
    for line in instructions(text, '\\') {
        if !growth.admit(&line, '\\') {
            return out.never("build", field, growth::TOO_MUCH);
        }
        reader.trigger(&line, field, 0, out);
    }
}

fn read_with(escape: char, text: &str, arguments: &Arguments, out: &mut Findings<'_>) {
    let lines = instructions(text, escape);
    let coloured = words::coloured(&lines, arguments);
    let mut reader = BuilderReading::new(escape, arguments, &coloured);
    let mut growth = Growth::new(arguments);
    for line in &lines {
        if out.is_settled() {
            return;
        }
        if !growth.admit(line, escape) {
            return out.never("build", line.field(), growth::TOO_MUCH);
        }
        reader.instruction(line, out);
    }
}

struct BuilderReading<'a> {
    escape: char,
    arguments: &'a Arguments,
    /// Variables that may hold a colon, without which nothing is an address.
    coloured: &'a HashSet<String>,
    /// Arguments before the first stage, which `FROM` may use.
    global: BuildVariables,
    /// Bytes of what they were given: each may be one line that repeats a long one.
    held: usize,
    /// Names of the stages that are complete.
    stages: HashSet<String>,
    /// The stage at hand, once there is one: its name.
    stage: Option<String>,
}

impl<'a> BuilderReading<'a> {
    fn new(escape: char, arguments: &'a Arguments, coloured: &'a HashSet<String>) -> Self {
        BuilderReading {
            escape,
            arguments,
            coloured,
            global: BuildVariables::new(),
            held: 0,
            stages: HashSet::new(),
            stage: None,
        }
    }

    fn instruction(&mut self, line: &Instruction, out: &mut Findings<'_>) {
        match line.command.as_str() {
            "arg" if self.stage.is_none() => self.argument(line),
            "from" => self.from(line, out),
            _ => self.command(line, &line.field(), &self.stages, out),
        }
    }

    /// An argument that `FROM` may use: the client's value, or the default.
    fn argument(&mut self, line: &Instruction) {
        for (name, default) in words::pairs(&line.rest, self.escape) {
            let given = self.arguments.get(&name).cloned().flatten();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => expand(&default, self.escape, &self.global),
                // Declared without a value, it has none.
                (None, None) => {
                    self.global.remove(&name);
                    continue;
                }
            };
            self.held += value.as_ref().map_or(0, String::len);
            // What is not kept is not known, and nothing that uses it is read.
            let value = value.filter(|_| self.held <= MOST_HELD);
            self.global.insert(name, value);
        }
    }

    fn from(&mut self, line: &Instruction, out: &mut Findings<'_>) {
        if let Some(complete) = self.stage.take() {
            self.stages.insert(complete);
        }
        let words = line.rest.split(instructions::BLANKS);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        self.stage = Some(words.get(2).unwrap_or(&"").to_lowercase());
        let Some(written) = words.first() else {
            return;
        };
        match expand(written, self.escape, &self.global) {
            Some(name) if name == "scratch" || self.stages.contains(&name.to_lowercase()) => {}
            Some(name) => image::source(&name, &line.field(), out),
            None => out.never(
                "images",
                line.field(),
                format!(
                    "{}, which is not read; write the image's name out",
                    escape::without_credentials(written)
                ),
            ),
        }
    }

    fn command(
        &self,
        line: &Instruction,
        field: &str,
        stages: &HashSet<String>,
        out: &mut Findings<'_>,
    ) {
        if matches!(line.command.as_str(), "add" | "copy" | "run" | "onbuild")
            && line.may_hold_document()
        {
            return out.never("build", field, "a here-document, which needs BuildKit");
        }
        match line.command.as_str() {
            "add" => self.add(line, field, out),
            "copy" => {
                for from in line.flags.iter().filter_map(|flag| from_flag(flag)) {
                    copy_from(from, field, stages, out);
                }
            }
            "onbuild" => self.trigger(&line.inner(self.escape), field, 1, out),
            "label" => self.label(line, field, out),
            _ => {}
        }
    }

    /// Labels of the gate's own are not for an image to have. A key that begins with a variable could come to be one.
    fn label(&self, line: &Instruction, field: &str, out: &mut Findings<'_>) {
        for (key, _) in words::pairs(&line.rest, self.escape) {
            let (known, variable) = literal(&key, self.escape);
            if is_own_label(&known) || variable && may_be_own_label(&known) {
                return out.never(SCOPE_RULE, field, format!("{key} ({OWN_LABELS})"));
            }
        }
    }

    /// An instruction that runs in a later build, whose stages have other names.
    fn trigger(&self, line: &Instruction, field: &str, depth: usize, out: &mut Findings<'_>) {
        if depth > 3 {
            return out.never("build", field, "ONBUILD in ONBUILD");
        }
        if line.command == "onbuild" {
            return self.trigger(&line.inner(self.escape), field, depth + 1, out);
        }
        self.command(line, field, &HashSet::new(), out);
    }

    fn add(&self, line: &Instruction, field: &str, out: &mut Findings<'_>) {
        let Some(words) = line.arguments() else {
            return out.never("build", field, "a list that is not JSON");
        };
        for word in words {
            let (known, variable) = literal(&word, self.escape);
            match known.split_once("://") {
                // The host is complete where something follows it.
                Some((_, rest)) if !variable || rest.contains(['/', '?', '#']) => {
                    outbound::address(&known, field, out);
                }
                Some(_) => return self.unread(field, out),
                None if variable && self.may_be_address(&word, &known) => {
                    return self.unread(field, out);
                }
                None => {}
            }
        }
    }

    /// Whether a word that begins with `known` and goes on with a variable may come to be an address.
    fn may_be_address(&self, word: &str, known: &str) -> bool {
        let known = known.to_ascii_lowercase();
        let begins = ["http://", "https://"]
            .iter()
            .any(|scheme| scheme.starts_with(&known));
        begins
            && (words::has_colon(word)
                || words::names(word).any(|name| self.coloured.contains(name)))
    }

    fn unread(&self, field: &str, out: &mut Findings<'_>) {
        out.never(
            "fetch",
            field,
            "an address with a variable in its host; write the host out",
        );
    }
}

/// A number is a stage's, and a name that of an earlier stage before it is an image's.
fn copy_from(from: &str, field: &str, stages: &HashSet<String>, out: &mut Findings<'_>) {
    let stage = from.parse::<i64>().is_ok() || stages.contains(&from.to_lowercase());
    if !from.is_empty() && !stage {
        image::source(from, field, out);
    }
}

/// The value of a `--from` flag.
fn from_flag(flag: &str) -> Option<&str> {
    let (name, value) = flag.split_once('=')?;
    name.eq_ignore_ascii_case("--from").then_some(value)
}

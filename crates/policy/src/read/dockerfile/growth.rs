//! How much text the variables of a Dockerfile make: a line may use the one before it twice, and the classic builder expands each
//! in the engine.

use std::collections::HashMap;

use super::Arguments;
use super::instructions::Instruction;
use super::words::{names, pairs};

/// Most bytes of all that is expanded.
const MOST: usize = 16 << 20;

/// What a variable of the base image counts, which the request does not say.
const UNKNOWN: usize = 64 << 10;

/// What is said in a denial.
pub(super) const TOO_MUCH: &str =
    "variables that make more than 16 MiB of text; use fewer of the base image's";

/// The most that variables hold, and that was made so far.
pub(super) struct Growth {
    lengths: HashMap<String, usize>,
    made: usize,
}

impl Growth {
    pub(super) fn new(arguments: &Arguments) -> Self {
        let length = |(name, value): (&String, &Option<String>)| {
            (name.clone(), value.as_ref().map_or(0, String::len))
        };
        Growth {
            lengths: arguments.iter().map(length).collect(),
            made: 0,
        }
    }

    /// Expands an instruction; whether all of them still make no more than they may.
    pub(super) fn admit(&mut self, line: &Instruction, escape: char) -> bool {
        match line.command.as_str() {
            "onbuild" => return self.admit(&line.inner(escape), escape),
            "env" => self.environment(line, escape),
            "arg" => {
                for (name, default) in pairs(&line.rest, escape) {
                    let length = default.map_or(0, |default| self.expanded(&default));
                    self.set(name, length);
                }
            }
            // The shell of the step expands these, and nobody a comment.
            "run" | "cmd" | "entrypoint" | "healthcheck" | "shell" | "maintainer" => {}
            _ => {
                let rest = self.expanded(&line.rest);
                let flags: usize = line.flags.iter().map(|flag| self.expanded(flag)).sum();
                self.made = self.made.saturating_add(rest).saturating_add(flags);
            }
        }
        self.made <= MOST
    }

    fn environment(&mut self, line: &Instruction, escape: char) {
        let pairs = pairs(&line.rest, escape);
        // `ENV NAME the rest`, the old form.
        if let Some((name, None)) = pairs.first() {
            let length = self.expanded(&line.rest);
            return self.set(name.clone(), length);
        }
        // All of one line use what was there before it.
        let lengths: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| {
                let length = value.map_or(0, |value| self.expanded(&value));
                (name, length)
            })
            .collect();
        for (name, length) in lengths {
            self.set(name, length);
        }
    }

    /// A later stage may begin with what an earlier one had, so the longest counts.
    fn set(&mut self, name: String, length: usize) {
        self.made = self.made.saturating_add(length);
        let held = self.lengths.entry(name).or_default();
        *held = (*held).max(length);
    }

    /// The most that a text becomes.
    fn expanded(&self, text: &str) -> usize {
        let used = text.split('$').skip(1).zip(names(text));
        let variables = used.map(|(part, name)| {
            let held = self.lengths.get(name).copied().unwrap_or(UNKNOWN);
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_prefix(name))
            {
                // `${name/pattern/text}` may put the text in place of each character.
                Some(rest) if rest.starts_with('/') => {
                    held.saturating_add(1).saturating_mul(part.len())
                }
                _ if name.is_empty() => 0,
                _ => held,
            }
        });
        variables.fold(text.len(), usize::saturating_add)
    }
}

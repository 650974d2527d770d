//! A Dockerfile's lines, joined to instructions and cut into command, flags and the rest.

use docker_api::json;

/// Blanks between a command and what follows it.
pub(super) const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// One instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Instruction {
    /// The line it begins at, from 1.
    pub(super) line: usize,
    /// The command in lower case.
    pub(super) command: String,
    /// Words that begin with `--`, without quotes.
    pub(super) flags: Vec<String>,
    /// What follows them.
    pub(super) rest: String,
}

impl Instruction {
    fn parse(text: &str, line: usize, escape: char) -> Self {
        let text = text.trim();
        let (command, args) = text.split_once(BLANKS).unwrap_or((text, ""));
        let (flags, rest) = flags(args.trim_start_matches(BLANKS), escape);
        Instruction {
            line,
            command: command.to_lowercase(),
            flags,
            rest: rest.trim().to_owned(),
        }
    }

    /// The instruction within `ONBUILD`.
    pub(super) fn inner(&self, escape: char) -> Self {
        Self::parse(&self.rest, self.line, escape)
    }

    /// Where it is, for messages.
    pub(super) fn field(&self) -> String {
        format!("Dockerfile:{} {}", self.line, self.command.to_uppercase())
    }

    /// Whether the parser might take the lines that follow for a here-document.
    pub(super) fn may_hold_document(&self) -> bool {
        self.rest.split(|c| c != '<').any(|run| run.len() == 2)
    }

    /// The words behind the flags, from a JSON list or between blanks; `None` if it may be either.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        if self.rest.starts_with('[') {
            let end = self.rest.rfind(']').map_or(self.rest.len(), |at| at + 1);
            let list = json::parse(&self.rest.as_bytes()[..end], self.rest.len());
            if let Ok(json::Value::Array(items)) = &list {
                let words = items.iter().map(|item| item.text().map(str::to_owned));
                return words.collect();
            }
            // A list of JSON has quotes; without them this is a pattern such as `[a-z]*`.
            if self.rest.contains('"') {
                return None;
            }
        }
        Some(self.rest.split(BLANKS).map(str::to_owned).collect())
    }
}

/// Whether the first comments may set another escape character.
pub(super) fn may_set_escape(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim_start)
        .take_while(|line| line.starts_with('#'))
        .any(|line| line.to_ascii_lowercase().contains("escape"))
}

/// The instructions of a Dockerfile where `escape` at the end of a line continues it.
pub(super) fn instructions(text: &str, escape: char) -> Vec<Instruction> {
    let mut lines = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split('\n')
        .enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_end_matches(['\r', '\n']).trim_start();
        if line.starts_with('#') {
            continue;
        }
        let (first, mut goes_on) = continued(line, escape);
        let mut whole = first.to_owned();
        while goes_on {
            let Some((_, line)) = lines.next() else { break };
            let line = line.trim_end_matches(['\r', '\n']);
            // Comments and empty lines do not end what goes on.
            if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let (part, more) = continued(line, escape);
            whole.push_str(part);
            goes_on = more;
        }
        if !whole.trim().is_empty() {
            found.push(Instruction::parse(&whole, number + 1, escape));
        }
    }
    found
}

/// The line without its last escape, if that continues it: one that no other precedes.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let bare = line.trim_end_matches([' ', '\t']);
    match bare.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

/// The words at the front that begin with `--`, and what is left.
fn flags(args: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = args;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, after) = flag(rest, escape);
        rest = after;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

/// One word, without its quotes and escapes, and what is left.
fn flag(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    (word, "")
}

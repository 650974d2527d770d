//! Words with quotes, escapes and variables in them.

use std::collections::{HashMap, HashSet};

use super::Arguments;
use super::instructions::Instruction;

/// Longest value of a variable that is followed.
const LONGEST: usize = 4096;

/// Variables by name; `None` for one whose value is not known.
pub(super) type BuildVariables = HashMap<String, Option<String>>;

/// A word as the builder expands it; `None` where that is not read.
pub(super) fn expand(word: &str, escape: char, variables: &BuildVariables) -> Option<String> {
    let mut out = String::new();
    let mut chars = word.chars().peekable();
    let mut double = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => double = !double,
            '\'' if !double => loop {
                match chars.next()? {
                    '\'' => break,
                    c => out.push(c),
                }
            },
            // No image has a name with what needs an escape.
            c if c == escape => return None,
            '$' => {
                let braced = chars.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
                if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                    return None;
                }
                let value = match variables.get(&name) {
                    Some(None) => return None,
                    Some(Some(value)) => Some(value.as_str()),
                    None => None,
                };
                match chars.peek() {
                    _ if !braced => out.push_str(value.unwrap_or_default()),
                    Some('}') => {
                        chars.next();
                        out.push_str(value.unwrap_or_default());
                    }
                    Some(':' | '-') => {
                        let colon = chars.next_if_eq(&':').is_some();
                        chars.next_if_eq(&'-')?;
                        let default: String =
                            std::iter::from_fn(|| chars.next_if(|c| *c != '}')).collect();
                        chars.next()?;
                        if default.contains(['$', '\'', '"', escape]) {
                            return None;
                        }
                        match value {
                            Some(value) if !(colon && value.is_empty()) => out.push_str(value),
                            _ => out.push_str(&default),
                        }
                    }
                    _ => return None,
                }
            }
            c => out.push(c),
        }
        if out.len() > LONGEST {
            return None;
        }
    }
    (!double && !out.is_empty()).then_some(out)
}

/// The beginning of a word without quotes and escapes, up to its first variable, and whether it has one.
pub(super) fn literal(word: &str, escape: char) -> (String, bool) {
    let known = word.split('$').next().unwrap_or_default();
    let known = known
        .chars()
        .filter(|c| !matches!(c, '\'' | '"') && *c != escape)
        .collect();
    (known, word.contains('$'))
}

/// Names and values as `ARG` has them, between blanks; a name alone has none.
pub(super) fn pairs(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let mut pairs = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars().chain(std::iter::once(' '));
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                let word = std::mem::take(&mut word);
                pairs.push(match word.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (word, None),
                });
            }
            continue;
        }
        word.push(c);
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next()),
            _ => {}
        }
    }
    pairs
}

/// The names of the variables in a word.
pub(super) fn names(word: &str) -> impl Iterator<Item = &str> {
    word.split('$').skip(1).map(|part| {
        let part = part.strip_prefix('{').unwrap_or(part);
        let end = part.find(|c: char| !c.is_alphanumeric() && c != '_');
        &part[..end.unwrap_or(part.len())]
    })
}

/// Whether a word has a colon of its own: one that is not the syntax of a default, `${name:-text}`.
pub(super) fn has_colon(word: &str) -> bool {
    word.match_indices(':').any(|(at, _)| {
        let name = word[..at].trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
        !(name.ends_with("${") && word[at + 1..].starts_with('-'))
    })
}

/// The variables that may hold a colon: those of a line that has one, or that uses a variable that may.
pub(super) fn coloured(lines: &[Instruction], arguments: &Arguments) -> HashSet<String> {
    let lines: Vec<&str> = lines
        .iter()
        .filter(|line| matches!(line.command.as_str(), "arg" | "env"))
        .map(|line| line.rest.as_str())
        .collect();
    let mut uses: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        for name in names(line) {
            uses.entry(name).or_default().push(index);
        }
    }
    let given = arguments
        .iter()
        .filter(|(_, value)| value.as_ref().is_some_and(|value| value.contains(':')));
    let mut found: HashSet<&str> = given.map(|(name, _)| name.as_str()).collect();
    let mut next: Vec<&str> = found.iter().copied().collect();
    let mut done = vec![false; lines.len()];
    let mut open: Vec<usize> = (0..lines.len())
        .filter(|index| lines[*index].contains(':'))
        .collect();
    loop {
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut done[index], true) {
                continue;
            }
            let words = lines[index].split(|c: char| !c.is_alphanumeric() && c != '_');
            for word in words.filter(|word| !word.is_empty()) {
                if found.insert(word) {
                    next.push(word);
                }
            }
        }
        match next.pop() {
            Some(name) => open.extend(uses.get(name).into_iter().flatten()),
            None => break,
        }
    }
    found.into_iter().map(str::to_owned).collect()
}

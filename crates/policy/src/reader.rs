//! Reading the policy file value by value, each with its place and its expected form, and collecting what is wrong.

use toml::de::{DeTable, DeValue};

use text::escape;
use toml::Spanned;

use crate::Mode;
use crate::error::PolicyFault;

/// A value with its place.
pub(crate) type Node<'d> = Spanned<DeValue<'d>>;

/// Reads the file and collects its faults.
pub(crate) struct PolicyReader<'t> {
    pub(crate) text: &'t str,
    pub(crate) faults: Vec<PolicyFault>,
}

impl PolicyReader<'_> {
    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
    }

    pub(crate) fn fault(&mut self, at: usize, message: String, hint: Option<String>) {
        // The file may be another than was meant, and hold a key.
        let message = escape::redact(message);
        self.faults.push(PolicyFault {
            line: self.line(at),
            message,
            hint,
        });
    }

    pub(crate) fn known(&mut self, table: &DeTable<'_>, keys: &[&str], place: &str) {
        for (key, _) in table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let near = nearest(key.get_ref(), keys.iter().copied())
                    .or_else(|| Some(format!("expected one of {}", keys.join(", "))));
                self.fault(
                    key.span().start,
                    format!("unknown key \"{}\" in {place}", key.get_ref()),
                    near,
                );
            }
        }
    }

    pub(crate) fn table<'n, 'd>(
        &mut self,
        node: &'n Node<'d>,
        key: &str,
    ) -> Option<&'n DeTable<'d>> {
        match node.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong(node, key, "a table"),
        }
    }

    pub(crate) fn list<'n, 'd>(
        &mut self,
        node: &'n Node<'d>,
        key: &str,
    ) -> Option<&'n toml::de::DeArray<'d>> {
        match node.get_ref() {
            DeValue::Array(list) => Some(list),
            _ => self.wrong(node, key, "[[client]] entries"),
        }
    }

    pub(crate) fn text<'n>(&mut self, node: &'n Node<'_>, key: &str) -> Option<&'n str> {
        match node.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong(node, key, "a string"),
        }
    }

    /// A string, or a list of strings, each with its offset.
    pub(crate) fn texts(&mut self, node: &Node<'_>, key: &str) -> Vec<(usize, String)> {
        match node.get_ref() {
            DeValue::String(text) => vec![(node.span().start, text.to_string())],
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| Some((item.span().start, self.text(item, key)?.to_owned())))
                .collect(),
            _ => self
                .wrong(node, key, "a string or a list of strings")
                .unwrap_or_default(),
        }
    }

    /// The same where one of them must fit: an empty list would fit nothing.
    pub(crate) fn choices(&mut self, node: &Node<'_>, key: &str) -> Vec<(usize, String)> {
        if matches!(node.get_ref(), DeValue::Array(items) if items.is_empty()) {
            self.fault(
                node.span().start,
                format!("{key}: an empty list matches nothing, expected at least one value"),
                Some(format!("leave {key} out if it does not matter")),
            );
        }
        self.texts(node, key)
    }

    /// The same of a key that may be missing.
    pub(crate) fn listed(&mut self, table: &DeTable<'_>, key: &str) -> Vec<(usize, String)> {
        table
            .get(key)
            .map(|node| self.texts(node, key))
            .unwrap_or_default()
    }

    pub(crate) fn boolean(&mut self, node: &Node<'_>, key: &str) -> Option<bool> {
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong(node, key, "true or false"),
        }
    }

    pub(crate) fn integer(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
        match node.get_ref() {
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix()).ok(),
            _ => self.wrong(node, key, "a whole number"),
        }
    }

    pub(crate) fn mode(&mut self, node: &Node<'_>) -> Option<Mode> {
        match self.text(node, "mode")? {
            "enforce" => Some(Mode::Enforce),
            "report" => Some(Mode::Report),
            _ => self.wrong(node, "mode", "\"enforce\" or \"report\""),
        }
    }

    /// Bytes as a number, or text with KiB or MiB.
    pub(crate) fn size(&mut self, node: &Node<'_>) -> Option<usize> {
        let bytes = match node.get_ref() {
            DeValue::String(text) => {
                let (digits, unit) = text.split_at(
                    text.find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(text.len()),
                );
                let unit = match unit.trim() {
                    "" => Some(1),
                    "KiB" => Some(1 << 10),
                    "MiB" => Some(1 << 20),
                    _ => None,
                };
                digits
                    .parse::<usize>()
                    .ok()
                    .zip(unit)
                    .and_then(|(number, unit)| number.checked_mul(unit))
            }
            DeValue::Integer(_) => self
                .integer(node, "max_body")
                .and_then(|bytes| usize::try_from(bytes).ok()),
            _ => None,
        };
        match bytes {
            Some(bytes) if (1024..=64 << 20).contains(&bytes) => Some(bytes),
            _ => self.wrong(node, "max_body", "between \"1KiB\" and \"64MiB\""),
        }
    }

    pub(crate) fn wrong<T>(&mut self, node: &Node<'_>, key: &str, expected: &str) -> Option<T> {
        self.fault(
            node.span().start,
            format!("{key}: expected {expected}"),
            None,
        );
        None
    }
}

/// What is wrong with a value, and what may have been meant.
pub(crate) struct ValueProblem {
    pub(crate) expected: String,
    pub(crate) hint: Option<String>,
}

impl From<String> for ValueProblem {
    fn from(expected: String) -> ValueProblem {
        ValueProblem {
            expected,
            hint: None,
        }
    }
}

impl From<&str> for ValueProblem {
    fn from(expected: &str) -> ValueProblem {
        ValueProblem::from(expected.to_owned())
    }
}

/// The value of one key, as a limit reads it.
pub(crate) struct Values<'v, 't> {
    reader: &'v mut PolicyReader<'t>,
    node: &'v Node<'v>,
    key: &'static str,
}

impl<'v, 't> Values<'v, 't> {
    pub(crate) fn new(
        reader: &'v mut PolicyReader<'t>,
        node: &'v Node<'v>,
        key: &'static str,
    ) -> Self {
        Values { reader, node, key }
    }

    /// The value, if it is one string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.node.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }

    /// A number or a string, read as text by `read`; what cannot be read is a fault.
    pub(crate) fn scalar<T>(
        &mut self,
        expected: &str,
        read: impl Fn(&str) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        let at = self.node.span().start;
        let Some(value) = scalar_text(self.node.get_ref()) else {
            let message = format!("{}: {expected}", self.key);
            self.reader.fault(at, message, None);
            return None;
        };
        match read(&value) {
            Ok(item) => Some(item),
            Err(problem) => {
                let found = escape::quoted(&value);
                let message = format!("{}: {}, found {found}", self.key, problem.expected);
                self.reader.fault(at, message, problem.hint);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        self.reader.boolean(self.node, self.key)
    }

    /// A string or a list of strings, each read by `read`; what cannot be read is a fault at its place.
    pub(crate) fn each<T>(&mut self, read: impl Fn(&str) -> Result<T, ValueProblem>) -> Vec<T> {
        let key = self.key;
        let mut list = Vec::new();
        for (at, value) in self.reader.texts(self.node, key) {
            match read(&value) {
                Ok(item) => list.push(item),
                Err(problem) => {
                    let found = escape::quoted(&value);
                    let message = format!("{key}: {}, found {found}", problem.expected);
                    self.reader.fault(at, message, problem.hint);
                }
            }
        }
        list
    }
}

/// The known word that was probably meant, as a hint.
pub fn nearest<'k>(word: &str, among: impl Iterator<Item = &'k str>) -> Option<String> {
    text::nearest_of(word, among, 0.75).map(|known| format!("did you mean \"{known}\"?"))
}

/// What the value in the file says, as text.
fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

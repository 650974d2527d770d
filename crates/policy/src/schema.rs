//! The shapes of the bodies that are judged: which fields exist, and of which type.
//!
//! A field that is not listed is not understood, and a limited role may not send it (unless it is `null`, which sets
//! nothing). Names are the engine's, in the engine's spelling; Go would fold case, this does not.

mod fields;

use std::fmt;

use super::demand::{Demand, Want};
use docker_api::json::Value;

pub(super) use fields::{
    COMMIT, CREATE, EXEC_CREATE, EXEC_START, HOST_CONFIG, NETWORK_CONNECT, NETWORK_CREATE, SERVICE,
    UPDATE, VOLUME_CREATE,
};

/// The type a field must have; `null` is always accepted, since Go leaves the field as it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// A string or an array of strings (commands).
    Command,
    /// An object with free keys and any values.
    Free,
    /// An array of anything.
    List,
    /// An object of the given fields.
    Object(&'static [Field]),
    /// An array of such objects.
    Objects(&'static [Field]),
    /// An object with free keys, its values such objects.
    Map(&'static [Field]),
}

/// A field's name and type.
pub(super) type Field = (&'static str, Type);

/// Where in a body something stands; formatted only when a message needs it.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy)]
enum Part<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// The body itself.
    pub(super) const ROOT: Path<'static> = Path {
        parent: None,
        part: Part::Root,
    };

    /// A member of this place.
    pub(super) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path {
            parent: Some(self),
            part: Part::Key(key),
        }
    }

    /// An item of this place.
    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path {
            parent: Some(self),
            part: Part::Index(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if matches!(self.part, Part::Key(_)) && !matches!(parent.part, Part::Root) {
                f.write_str(".")?;
            }
        }
        match self.part {
            Part::Root => Ok(()),
            Part::Key(key) => f.write_str(key),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether unknown fields with empty values pass: an inspected container of a newer engine has them, a body may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Any value but `null` is a demand.
    Refused,
    /// Only a value that says something is a demand.
    EmptyPasses,
}

/// Holds an object against its fields and adds a demand for everything that strays.
pub(super) fn conform(
    value: &Value<'_>,
    fields: &[Field],
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let Value::Object(members) = value else {
        if *value != Value::Null {
            wrong(value, "an object", path, demands);
        }
        return;
    };
    let mut strangers = false;
    for (key, value) in members {
        let here = path.key(key);
        match fields.iter().find(|(name, _)| name == key) {
            Some((_, kind)) => check(value, *kind, unknown, &here, demands),
            None => {
                strangers = true;
                stranger(key, value, fields, unknown, &here, demands);
            }
        }
    }
    if strangers {
        let mut folded: Vec<String> = members.iter().map(|(key, _)| fold(key)).collect();
        folded.sort_unstable();
        if let Some(pair) = folded.windows(2).find(|pair| pair[0] == pair[1]) {
            demands.push(Demand::never(
                "field-names",
                path.key(&pair[0]).to_string(),
                "twice, in different spellings",
            ));
        }
    }
}

fn stranger(
    key: &str,
    value: &Value<'_>,
    fields: &[Field],
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let folded = fold(key);
    if let Some((name, _)) = fields.iter().find(|(name, _)| fold(name) == folded) {
        demands.push(Demand::never(
            "field-names",
            path.to_string(),
            format!("must be spelt {name}"),
        ));
    } else if !key.is_ascii() {
        demands.push(Demand::never(
            "field-names",
            path.to_string(),
            "must be ASCII",
        ));
    } else if *value != Value::Null && !(unknown == Unknown::EmptyPasses && value.is_empty()) {
        demands.push(Demand::new(
            path.to_string(),
            path.to_string(),
            Want::UnknownField,
        ));
    }
}

fn check(
    value: &Value<'_>,
    kind: Type,
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let expected = match (kind, value) {
        (_, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::Text | Type::Command, Value::Text(_))
        | (Type::Free, Value::Object(_))
        | (Type::List, Value::Array(_)) => return,
        (Type::Texts | Type::Command, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                if item.text().is_none() {
                    wrong(item, "a string", &path.index(index), demands);
                }
            }
            return;
        }
        (Type::Object(fields), Value::Object(_)) => {
            return conform(value, fields, unknown, path, demands);
        }
        (Type::Objects(fields), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                conform(item, fields, unknown, &path.index(index), demands);
            }
            return;
        }
        (Type::Map(fields), Value::Object(members)) => {
            for (key, item) in members {
                conform(item, fields, unknown, &path.key(key), demands);
            }
            return;
        }
        (Type::Bool, _) => "true or false",
        (Type::Number, _) => "a number",
        (Type::Text, _) => "a string",
        (Type::Texts, _) => "an array of strings",
        (Type::Command, _) => "a string or an array of strings",
        (Type::Free | Type::Object(_) | Type::Map(_), _) => "an object",
        (Type::List | Type::Objects(_), _) => "an array",
    };
    wrong(value, expected, path, demands);
}

fn wrong(value: &Value<'_>, expected: &str, path: &Path<'_>, demands: &mut Vec<Demand>) {
    demands.push(Demand::never(
        "field-types",
        path.to_string(),
        format!("{}, expected {expected}", value.kind()),
    ));
}

/// The folding of Go's `encoding/json`: the only characters beyond ASCII that fold into it are the long s and the Kelvin
/// sign (Unicode simple folding).
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

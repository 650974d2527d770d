//! The shapes of the bodies that are judged: which fields exist, and of which type.
//!
//! A field that is not listed is not understood, and a limited role may not send it (unless it is `null`, which sets
//! nothing). Names are the engine's, in the engine's spelling; Go would fold case, this does not.

mod fields;

use std::collections::HashSet;
use std::fmt;

use crate::findings::Findings;
use crate::limits::LimitKey;
use crate::power::Power;
use docker_api::json::Value;
use docker_api::work;

pub(crate) use fields::{
    AUTH, CHECKPOINT, COMMIT, CREATE, EXEC_CREATE, EXEC_START, HOST_CONFIG, NETWORK_CONNECT,
    NETWORK_CREATE, NETWORK_DISCONNECT, SERVICE, SWARM_INIT, SWARM_JOIN, SWARM_SPEC, UPDATE,
    VOLUME_CREATE,
};

/// The type a field must have; `null` is always accepted, since Go leaves the field as it was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
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
    Object(&'static [SchemaField]),
    /// An array of such objects.
    Objects(&'static [SchemaField]),
    /// An object with free keys, its values such objects.
    Map(&'static [SchemaField]),
}

/// A field's name and type.
pub(crate) type SchemaField = (&'static str, Type);

/// Where in a body something is; formatted only when a message needs it.
#[derive(Clone, Copy)]
pub(crate) struct FieldPath<'p> {
    parent: Option<&'p FieldPath<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy)]
enum Part<'p> {
    Root,
    LimitKey(&'p str),
    Index(usize),
}

impl<'p> FieldPath<'p> {
    /// The body itself.
    pub(crate) const ROOT: FieldPath<'static> = FieldPath {
        parent: None,
        part: Part::Root,
    };

    /// A member of this place.
    pub(crate) fn key(&'p self, key: &'p str) -> FieldPath<'p> {
        FieldPath {
            parent: Some(self),
            part: Part::LimitKey(key),
        }
    }

    /// An item of this place.
    pub(crate) fn index(&'p self, index: usize) -> FieldPath<'p> {
        FieldPath {
            parent: Some(self),
            part: Part::Index(index),
        }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if matches!(self.part, Part::LimitKey(_)) && !matches!(parent.part, Part::Root) {
                f.write_str(".")?;
            }
        }
        match self.part {
            Part::Root => Ok(()),
            Part::LimitKey(key) => f.write_str(key),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether unknown fields with empty values pass: an inspected container of a newer engine has them, a body may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Any value but `null` is a power.
    Refused,
    /// Only a value that says something is a power.
    EmptyPasses,
}

/// Longest key of a map whose values are objects: a network's name, for one. It is part of the place of all that is below it.
pub(crate) const LONGEST_KEY: usize = 255;

/// Holds an object against its fields and adds a power for everything that strays.
pub(crate) fn conform(
    value: &Value<'_>,
    fields: &[SchemaField],
    unknown: Unknown,
    path: &FieldPath<'_>,
    out: &mut Findings<'_>,
) {
    let Value::Object(members) = value else {
        if *value != Value::Null {
            wrong(value, "an object", path, out);
        }
        return;
    };
    let mut unlisted = HashSet::new();
    for (key, value) in members {
        if out.is_settled() {
            return;
        }
        work::add(fields.len());
        let here = path.key(key);
        match fields.iter().find(|(name, _)| name == key) {
            Some((_, kind)) => check(value, *kind, unknown, &here, out),
            None => {
                // The keys that are listed are spelt as the engine spells them, so a second spelling of one is found below.
                if !unlisted.insert(fold(key)) {
                    out.add(|| {
                        Power::never(
                            "field-names",
                            here.to_string(),
                            "twice, in different spellings",
                        )
                    });
                }
                unlisted_key(key, value, fields, unknown, &here, out);
            }
        }
    }
}

fn unlisted_key(
    key: &str,
    value: &Value<'_>,
    fields: &[SchemaField],
    unknown: Unknown,
    path: &FieldPath<'_>,
    out: &mut Findings<'_>,
) {
    work::add(fields.len());
    if let Some((name, _)) = fields.iter().find(|(name, _)| folds_to(key, name)) {
        out.add(|| {
            Power::never(
                "field-names",
                path.to_string(),
                format!("must be spelt {name}"),
            )
        });
    } else if !key.is_ascii() {
        out.add(|| Power::never("field-names", path.to_string(), "must be ASCII"));
    } else if *value != Value::Null && !(unknown == Unknown::EmptyPasses && value.is_empty()) {
        out.add(|| Power::new(path.to_string(), path.to_string(), LimitKey::UnknownFields));
    }
}

fn check(
    value: &Value<'_>,
    kind: Type,
    unknown: Unknown,
    path: &FieldPath<'_>,
    out: &mut Findings<'_>,
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
                if out.is_settled() {
                    return;
                }
                if item.text().is_none() {
                    wrong(item, "a string", &path.index(index), out);
                }
            }
            return;
        }
        (Type::Object(fields), Value::Object(_)) => {
            return conform(value, fields, unknown, path, out);
        }
        (Type::Objects(fields), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                if out.is_settled() {
                    return;
                }
                conform(item, fields, unknown, &path.index(index), out);
            }
            return;
        }
        (Type::Map(fields), Value::Object(members)) => {
            for (key, item) in members {
                if out.is_settled() {
                    return;
                }
                if key.len() > LONGEST_KEY {
                    out.add(|| {
                        let place = format!("{path}.{}…", cut(key, LONGEST_KEY));
                        Power::never("field-names", place, "longer than 255 bytes")
                    });
                } else {
                    conform(item, fields, unknown, &path.key(key), out);
                }
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
    wrong(value, expected, path, out);
}

fn wrong(value: &Value<'_>, expected: &str, path: &FieldPath<'_>, out: &mut Findings<'_>) {
    out.add(|| {
        let place = match path.part {
            Part::Root => "body".to_owned(),
            _ => path.to_string(),
        };
        Power::never(
            "field-types",
            place,
            format!("{}, expected {expected}", value.kind()),
        )
    });
}

/// The beginning of a text, at most `most` bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The folding of Go's `encoding/json`: the only characters beyond ASCII that fold into it are the long s and the Kelvin
/// sign (Unicode simple folding).
fn fold(key: &str) -> String {
    key.chars().map(folded).collect()
}

fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// Whether the engine would take `key` for the field `name`.
fn folds_to(key: &str, name: &str) -> bool {
    key.chars().map(folded).eq(name.chars().map(folded))
}

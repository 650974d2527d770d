//! JSON with one reading (RFC 8259, and RFC 7493 where that leaves choices).
//!
//! Go's `encoding/json` merges duplicate keys, reuses array elements, folds keys by Unicode and mends broken text. A body
//! that uses any of it means one thing to the engine and another to every other parser, so it is refused here. What is
//! accepted means the same to both.
//!
//! serde_json does the tokenizing. The visitor on top refuses repeated keys and bounds the depth and the number of values,
//! so that a short text cannot become a large tree.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::work;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 64;

/// Values that are accepted in a text that may be `longest` bytes long.
///
/// A body of the engine's API has a value for twenty bytes or more; without a bound, `[0,0,…]` has one for two, and each
/// takes ten times as many in memory.
#[must_use]
pub const fn most_values(longest: usize) -> usize {
    const FEWEST: usize = 4096;
    let most = longest / 32;
    if most < FEWEST { FEWEST } else { most }
}

/// A JSON value; keys are unique in every object and in the order sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An array.
    Array(Box<[Value<'a>]>),
    /// An object.
    Object(Box<[(Cow<'a, str>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// The member called `key`, if this is an object that has it and it is not `null`.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value)
                .filter(|value| **value != Value::Null),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of an array; nothing for any other value.
    pub fn items(&self) -> &[Value<'a>] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; nothing for any other value.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match self {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The text of a member, if it is a string and not empty.
    pub fn text_at(&self, key: &str) -> Option<&str> {
        let text = self.get(key).and_then(Value::text);
        text.filter(|text| !text.is_empty())
    }

    /// The items of a member that is an array, with their indices.
    pub fn items_at(&self, key: &str) -> impl Iterator<Item = (usize, &Value<'a>)> {
        let items = self.get(key).map(Value::items).unwrap_or_default();
        items.iter().enumerate()
    }

    /// The strings of a member that is an array, with their indices.
    pub fn texts_at(&self, key: &str) -> impl Iterator<Item = (usize, &str)> {
        self.items_at(key)
            .filter_map(|(index, item)| Some((index, item.text()?)))
    }

    /// The members of a member that is an object.
    pub fn members_at(&self, key: &str) -> &[(Cow<'a, str>, Value<'a>)] {
        self.get(key).map(Value::members).unwrap_or_default()
    }

    /// Whether a member is `true`.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some(&Value::Bool(true))
    }

    /// Whether the value is Go's zero value: `null`, `false`, `0`, `""`, `[]` or `{}`.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::Text(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

impl Value<'_> {
    /// The same value as a tree that can be changed and written.
    #[must_use]
    pub fn to_tree(&self) -> serde_json::Value {
        use serde_json::Value as Tree;
        match self {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Number(number) => Tree::Number(number.clone()),
            Value::Text(text) => Tree::String(text.to_string()),
            Value::Array(items) => Tree::Array(items.iter().map(Value::to_tree).collect()),
            Value::Object(members) => {
                let member =
                    |(key, value): &(Cow<'_, str>, Value<'_>)| (key.to_string(), value.to_tree());
                Tree::Object(members.iter().map(member).collect())
            }
        }
    }
}

/// A text as JSON writes it, in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Why a text is not JSON with one reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not UTF-8; Go would replace them.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than [`most_values`].
    #[error("the body has more than {0} values")]
    TooMany(usize),
    /// A key is in one object twice; Go would merge the values.
    #[error("the body has the key \"{0}\" twice in one object")]
    Duplicate(String),
    /// Not JSON, or an escape such as `\ud800` that names no character and that Go would replace.
    #[error("the body is not JSON: {0}")]
    Syntax(String),
}

/// Parses one value and nothing else, where a text may be `longest` bytes long.
///
/// # Errors
/// [`JsonError`] if the bytes have no reading, or more than one.
pub fn parse(bytes: &[u8], longest: usize) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    let most = most_values(longest);
    let state = ParseState {
        left: Cell::new(most),
        fault: RefCell::new(None),
    };
    let mut from = serde_json::Deserializer::from_str(text);
    let read = ValueReader {
        state: &state,
        depth: 0,
    }
    .deserialize(&mut from)
    .and_then(|value| from.end().map(|()| value));
    work::add(most - state.left.get());
    read.map_err(|error| match state.fault.into_inner() {
        Some(JsonFault::TooDeep) => JsonError::TooDeep,
        Some(JsonFault::TooMany) => JsonError::TooMany(most),
        Some(JsonFault::Duplicate(key)) => JsonError::Duplicate(key),
        None => JsonError::Syntax(error.to_string()),
    })
}

/// What the visitor refuses; serde's own errors are texts.
enum JsonFault {
    TooDeep,
    TooMany,
    Duplicate(String),
}

struct ParseState {
    /// Values that may still come.
    left: Cell<usize>,
    fault: RefCell<Option<JsonFault>>,
}

#[derive(Clone, Copy)]
struct ValueReader<'s> {
    state: &'s ParseState,
    depth: usize,
}

impl<'s> ValueReader<'s> {
    fn refuse<E: Error>(self, fault: JsonFault) -> E {
        *self.state.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    /// The reader of what is inside an array or object.
    fn inner<E: Error>(self) -> Result<ValueReader<'s>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.refuse(JsonFault::TooDeep));
        }
        Ok(ValueReader {
            depth: self.depth + 1,
            ..self
        })
    }

    /// Counts a value.
    fn count<E: Error>(self) -> Result<(), E> {
        match self.state.left.get().checked_sub(1) {
            Some(left) => {
                self.state.left.set(left);
                Ok(())
            }
            None => Err(self.refuse(JsonFault::TooMany)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value<'de>, D::Error> {
        self.count()?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value<'de>, E> {
        // `-0`, which Go reads as 0 where it expects an integer.
        if value == 0.0 {
            return Ok(Value::Number(0.into()));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value<'de>, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items.into_boxed_slice()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value<'de>, A::Error> {
        let inner = self.inner()?;
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(KeyText(key)) = from.next_key_seed(KeyReader)? {
            members.push((key, from.next_value_seed(inner)?));
        }
        if let Some(key) = repeated(&members) {
            return Err(self.refuse(JsonFault::Duplicate(key.to_owned())));
        }
        Ok(Value::Object(members.into_boxed_slice()))
    }
}

/// A key that comes twice.
fn repeated<'m>(members: &'m [(Cow<'_, str>, Value<'_>)]) -> Option<&'m str> {
    let mut seen = HashSet::with_capacity(members.len());
    work::add(members.len());
    members
        .iter()
        .map(|(key, _)| key.as_ref())
        .find(|key| !seen.insert(*key))
}

struct KeyReader;

struct KeyText<'de>(Cow<'de, str>);

impl<'de> DeserializeSeed<'de> for KeyReader {
    type Value = KeyText<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<KeyText<'de>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyReader {
    type Value = KeyText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<KeyText<'de>, E> {
        Ok(KeyText(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<KeyText<'de>, E> {
        Ok(KeyText(Cow::Owned(text.to_owned())))
    }
}

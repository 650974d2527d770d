//! Fields that the gate appends behind the client's bytes.
//!
//! Protobuf merges another occurrence of a message into the first one and lets the last entry of a map win, so what is
//! appended holds without anything of the client's being encoded again.

/// Field of the source policy in a `SolveRequest`.
const SOURCE_POLICY: u32 = 12;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// The source may be used.
    Allow,
    /// It may not.
    Deny,
}

/// How a rule's identifier is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `*` is any text.
    Wildcard,
    /// A regular expression, which must be anchored.
    Regex,
}

/// A condition on a source's attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRule {
    /// The attribute.
    pub key: String,
    /// What it is compared with.
    pub value: String,
    /// Whether `value` is a regular expression.
    pub regex: bool,
}

/// One rule of a source policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRule {
    /// What it does.
    pub action: RuleAction,
    /// How `identifier` is compared.
    pub comparison: Comparison,
    /// Which sources it is about.
    pub identifier: String,
    /// What else must hold.
    pub attributes: Vec<AttributeRule>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field.
pub fn field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

/// A field that is a bool.
#[must_use]
pub fn flag(field: u32, on: bool) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, field, u64::from(on));
    out
}

/// The bytes of one more occurrence of the source policy of a `SolveRequest`, with these rules.
#[must_use]
pub fn source_policy(rules: &[SourceRule]) -> Vec<u8> {
    let mut policy = Vec::new();
    number(&mut policy, 1, 1);
    for rule in rules {
        let mut selector = Vec::new();
        field(&mut selector, 1, rule.identifier.as_bytes());
        if rule.comparison == Comparison::Regex {
            number(&mut selector, 2, 2);
        }
        for attribute in &rule.attributes {
            let mut constraint = Vec::new();
            field(&mut constraint, 1, attribute.key.as_bytes());
            field(&mut constraint, 2, attribute.value.as_bytes());
            number(&mut constraint, 3, if attribute.regex { 2 } else { 0 });
            field(&mut selector, 3, &constraint);
        }
        let mut bytes = Vec::new();
        number(&mut bytes, 1, u64::from(rule.action == RuleAction::Deny));
        field(&mut bytes, 2, &selector);
        field(&mut policy, 2, &bytes);
    }
    let mut out = Vec::new();
    field(&mut out, SOURCE_POLICY, &policy);
    out
}

/// The bytes of one more entry of the map in field `number`.
#[must_use]
pub fn map_entry(number: u32, key: &str, value: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, 1, key.as_bytes());
    field(&mut entry, 2, value.as_bytes());
    let mut out = Vec::new();
    field(&mut out, number, &entry);
    out
}

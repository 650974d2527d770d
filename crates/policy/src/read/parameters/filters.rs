//! The `filters` of lists, prunes and events: what the engine compiles or looks up for each of its objects.
//!
//! `name` and `id` of containers, networks and volumes are regular expressions, compiled again for each object, and so is
//! every field of a build cache's prune. Ports are spans, of which each port becomes a text.

use docker_api::json::{self, Value};
use text::{is_plain, pattern_steps};

use crate::findings::Findings;

/// Longest parameter, in either of its forms.
const LONGEST: usize = 64 << 10;

/// Filters that are compared as they stand, as many as there is room for: Compose sends paths and digests as labels.
const COMPARED: &[&str] = &[
    "label",
    "label!",
    "node.label",
    "container",
    "image",
    "network",
    "node",
    "service",
    "volume",
];

/// Filters whose values are spans of ports.
const SPANS: &[&str] = &["publish", "expose"];

/// Most values of all other filters together.
const MOST_VALUES: usize = 256;

/// Most spans of ports.
const MOST_SPANS: usize = 16;

/// Most steps of one regular expression, and of all together.
const MOST_STEPS: usize = 1024;
const MOST_STEPS_IN_ALL: usize = 4096;

/// Where a denial is.
const FIELD: &str = "?filters";

/// The rule in denials.
const RULE: &str = "parameters";

/// Judges the parameter.
pub(super) fn judge(text: &str, out: &mut Findings<'_>) {
    if let Some(fault) = fault(text) {
        out.never(RULE, FIELD, fault);
    }
}

/// Judges the one reference to images that old clients send in a parameter of its own.
pub(super) fn reference(text: &str, out: &mut Findings<'_>) {
    if pattern_steps(text).is_none_or(|steps| steps > MOST_STEPS) {
        out.never(RULE, "?filter", "a pattern that is too large");
    }
}

fn fault(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return Some(format!("more than {LONGEST} bytes"));
    }
    let Some(pairs) = pairs(text) else {
        return Some(
            "expected a JSON object of lists of texts, or of objects of true and false".into(),
        );
    };
    let (mut values, mut spans, mut steps) = (0, 0, 0);
    for (key, value) in &pairs {
        let (key, value) = (key.as_str(), value.as_str());
        if COMPARED.contains(&key) {
            continue;
        }
        if SPANS.contains(&key) {
            spans += 1;
            if !is_span(value) {
                return Some(format!(
                    "{key}: expected ports such as 80, 80/tcp or 8000-8099/udp"
                ));
            }
            continue;
        }
        values += 1;
        match pattern_steps(value) {
            Some(_) if is_plain(value) => {}
            Some(more) if more <= MOST_STEPS => steps += more,
            _ => {
                return Some(format!(
                    "{key}: expected a regular expression of ASCII of at most {MOST_STEPS} characters, repetitions counted, without \\p and repeated groups"
                ));
            }
        }
    }
    if spans > MOST_SPANS {
        return Some(format!("more than {MOST_SPANS} spans of ports"));
    }
    if values > MOST_VALUES {
        return Some(format!(
            "more than {MOST_VALUES} values, beside those of labels"
        ));
    }
    (steps > MOST_STEPS_IN_ALL).then(|| {
        format!("regular expressions of more than {MOST_STEPS_IN_ALL} characters together, repetitions counted")
    })
}

/// Every value with its key, from either form; `None` if it has no reading, or more than one.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let parsed = json::parse(text.as_bytes(), text.len()).ok()?;
    let members = match &parsed {
        Value::Null => return Some(Vec::new()),
        Value::Object(members) => members,
        _ => return None,
    };
    let mut pairs = Vec::new();
    for (key, values) in members {
        let mut push = |value: &str| pairs.push((key.to_string(), value.to_owned()));
        match values {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    push(item.text()?);
                }
            }
            Value::Object(members) => {
                for (value, holds) in members {
                    push(value);
                    if !matches!(holds, Value::Bool(_)) {
                        return None;
                    }
                }
            }
            _ => return None,
        }
    }
    Some(pairs)
}

/// A port or a span of ports, with a protocol or without. The engine takes any text for one, and writes it behind each port.
fn is_span(value: &str) -> bool {
    let (ports, protocol) = value.split_once('/').unwrap_or((value, ""));
    ports.len() <= 11
        && ports.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && matches!(
            protocol.to_ascii_lowercase().as_str(),
            "" | "tcp" | "udp" | "sctp"
        )
}

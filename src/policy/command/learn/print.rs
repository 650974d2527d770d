//! The learnt policy as a file, with what must be known before it is used as comments.

use std::collections::BTreeMap;

use crate::docker::Operation;
use crate::policy::risk::reach;
use crate::policy::{Policy, PolicyError};

use super::{Key, Seen, Uses, by_default};

/// The file. What is printed must be a policy; the reader is the judge.
pub(super) fn policy(clients: &BTreeMap<Key, Seen>) -> Result<String, PolicyError> {
    let body = body(clients);
    let learnt = Policy::parse("the learnt policy", &body)?;
    let mut out = String::new();
    for client in &learnt.clients {
        let roads = learnt.roles.get(client.role).map(reach);
        let roads = roads.map(|reach| reach.root).unwrap_or_default();
        if !roads.is_empty() {
            let name = quoted(&client.name);
            let line = format!(
                "client {name} leads to root on the host: {}",
                roads.join("; ")
            );
            comment(&mut out, &line);
        }
    }
    Ok(out + &body)
}

fn body(clients: &BTreeMap<Key, Seen>) -> String {
    let mut out = String::from("version = 1\n");
    for (number, ((_, key, value), seen)) in clients.iter().enumerate() {
        out.push('\n');
        if seen.whole.passed == 0 && seen.whole.strange > 0 {
            comment(
                &mut out,
                "unknown to the policy: none of its entries matched",
            );
        }
        out.push_str(&format!(
            "[[client]]\nmatch = {{ {key} = {} }}\nrole = \"learnt-{}\"\n",
            quoted(value),
            number + 1
        ));
    }
    for (number, seen) in clients.values().enumerate() {
        role(&mut out, &format!("learnt-{}", number + 1), seen);
    }
    out
}

fn role(out: &mut String, name: &str, seen: &Seen) {
    out.push_str(&format!("\n[role.{name}]\n"));
    for odd in &seen.unknown {
        comment(
            out,
            &format!("only the role admin could send: {}", quoted(odd)),
        );
    }
    for refused in &seen.refused {
        comment(
            out,
            &format!("no limited role could send: {}", quoted(refused)),
        );
    }
    let tunnel = |op: &Operation| matches!(op, Operation::BuildSession | Operation::BuildGrpc);
    let allowed = seen.operations.iter().filter(|(op, _)| !tunnel(op));
    let allowed = allowed.map(|(op, uses)| (quoted(&op.to_string()), remark(uses)));
    out.push_str(&format!("allow = {}\n", many(allowed.collect())));
    let mut limits: BTreeMap<&str, String> = BTreeMap::new();
    for (key, values) in &seen.facts {
        if by_default(key, values.keys()) {
            continue;
        }
        let text = match values.iter().next() {
            Some((value, uses)) if flag(key) => with(&one(key, value), &remark(uses)),
            _ => {
                let values = values.iter();
                many(
                    values
                        .map(|(value, uses)| (quoted(value), remark(uses)))
                        .collect(),
                )
            }
        };
        limits.insert(key, text);
    }
    if let Some((_, uses)) = seen.operations.iter().find(|(op, _)| tunnel(op)) {
        limits.insert("buildkit", with("true", &remark(uses)));
    }
    let tagging = [
        "image.build",
        "image.tag",
        "image.commit",
        "image.import",
        "image.push",
    ];
    if seen.operations.keys().any(|op| tagging.contains(&op.id())) {
        limits.entry("tags").or_insert_with(|| "[]".to_owned());
    }
    if !limits.is_empty() {
        out.push_str(&format!("\n[role.{name}.limits]\n"));
        for (key, text) in limits {
            out.push_str(&format!("{key} = {text}\n"));
        }
    }
}

/// What must be known of a right before it is granted.
fn remark(uses: &Uses) -> String {
    let mut parts = Vec::new();
    if uses.passed == 0 && uses.strange > 0 {
        parts.push("unknown to the policy".to_owned());
    }
    if uses.passed == 0 && uses.denied > 0 {
        parts.push(format!("denied {}", times(uses.denied)));
    }
    if uses.blind > 0 {
        let seen = times(uses.blind);
        parts.push(format!(
            "its limits are unknown: {seen} recorded without them"
        ));
    }
    if let Some(id) = uses.ids.first() {
        let id = quoted(id);
        parts.push(format!(
            "everything, because {id} may be an id, and nothing less lets ids pass"
        ));
    }
    parts.join("; ")
}

fn times(count: usize) -> String {
    format!("{count} time{}", if count == 1 { "" } else { "s" })
}

fn flag(key: &str) -> bool {
    matches!(key, "privileged" | "join_containers" | "buildkit")
}

/// One value of a key of the limits, alone.
pub(super) fn one(key: &str, value: &str) -> String {
    match flag(key) {
        true => "true".to_owned(),
        false => format!("[{}]", quoted(value)),
    }
}

/// A list, one value a line if anything is to be said of one.
fn many(values: Vec<(String, String)>) -> String {
    if values.iter().all(|(_, remark)| remark.is_empty()) && values.len() < 4 {
        let values: Vec<String> = values.into_iter().map(|(value, _)| value).collect();
        return format!("[{}]", values.join(", "));
    }
    let lines = values.iter();
    let lines: String = lines
        .map(|(value, remark)| format!("    {}\n", with(&format!("{value},"), remark)))
        .collect();
    format!("[\n{lines}]")
}

fn with(value: &str, remark: &str) -> String {
    let mut line = value.to_owned();
    if !remark.is_empty() {
        line.push(' ');
        comment(&mut line, remark);
    }
    line.trim_end().to_owned()
}

/// A comment to the end of the line; what a peer sent cannot end it.
fn comment(out: &mut String, text: &str) {
    out.push_str("# ");
    out.extend(
        text.chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c }),
    );
    out.push('\n');
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! `policy learn`: the least policy that would have allowed what an audit saw.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Event, Record};
use crate::cli::policy::LearnArgs;
use crate::docker::Operation;
use crate::policy::{Demand, ImageName, Limits, Policy, PolicyError};

use super::{Outcome, records};

/// What one certificate did.
#[derive(Default)]
struct Seen {
    operations: BTreeSet<Operation>,
    facts: BTreeMap<String, BTreeSet<String>>,
    unknown: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Reads the audit and prints a policy.
pub(super) fn run(args: &LearnArgs) -> Result<Outcome, PolicyError> {
    let mut clients: BTreeMap<(String, String), Seen> = BTreeMap::new();
    for record in records(&args.audit)?
        .iter()
        .filter(|record| record.event != Event::SessionEnd)
    {
        let wanted = |name: &String| record.client == *name || record.certificate.cn.contains(name);
        if args.client.as_ref().is_some_and(|name| !wanted(name)) {
            continue;
        }
        note(clients.entry(key(record)).or_default(), record);
    }
    if clients.is_empty() {
        let whose = args
            .client
            .as_ref()
            .map_or(String::new(), |name| format!(" of client \"{name}\""));
        return Err(PolicyError::Input(format!(
            "\"{}\" has no request{whose}",
            args.audit.display()
        )));
    }
    let text = print(&clients);
    // What is printed must be a policy; the reader is the judge.
    Policy::parse("the learnt policy", &text)?;
    Ok(Outcome {
        text: text.trim_end().to_owned(),
        note: String::new(),
        code: 0,
    })
}

/// The `match` key and value that tell this certificate from others.
fn key(record: &Record) -> (String, String) {
    let certificate = &record.certificate;
    let lists = [
        ("uri", &certificate.uri),
        ("cn", &certificate.cn),
        ("dns", &certificate.dns),
        ("email", &certificate.email),
    ];
    for (key, list) in lists {
        if let [only] = list.as_slice()
            && !only.contains('*')
        {
            return (key.to_owned(), only.clone());
        }
    }
    ("spki".to_owned(), certificate.spki.clone())
}

fn note(seen: &mut Seen, record: &Record) {
    match Operation::from_id(&record.operation) {
        Some(operation) => {
            seen.operations.insert(operation);
        }
        None => {
            seen.unknown
                .insert(format!("{} {}", record.method, record.path));
        }
    }
    let defaults = Limits::default();
    for (key, value) in &record.facts {
        let Some(demand) = Demand::from_fact(key, value) else {
            continue;
        };
        // The default of these two is everything; the least is what was used.
        let open = matches!(key.as_str(), "images" | "volumes");
        if open || !defaults.admit(&demand) {
            seen.facts
                .entry(key.clone())
                .or_default()
                .insert(generalised(key, value));
        }
    }
    // What nothing in a limited role allows cannot be learnt; it can be told.
    if let (Some(rule), Some(detail)) = (&record.rule, &record.detail)
        && record.facts.is_empty()
        && !ELSEWHERE.contains(&rule.as_str())
    {
        seen.refused.insert(format!("{rule}: {detail}"));
    }
}

/// Rules whose refusals say nothing about what a role would need: who asked, or what stands beside the policy.
const ELSEWHERE: [&str; 5] = ["operation", "client", "limit", "audit", "authz-plugin"];

/// An image by its name, whatever the tag; everything else as it was.
fn generalised(key: &str, value: &str) -> String {
    match (key, ImageName::parse(value)) {
        ("images" | "tags", Some(ImageName::Named(reference))) => reference.name,
        ("images", _) => "**".to_owned(),
        _ => value.to_owned(),
    }
}

fn print(clients: &BTreeMap<(String, String), Seen>) -> String {
    let mut out = String::from("version = 1\n");
    for (number, ((key, value), _)) in clients.iter().enumerate() {
        out.push_str(&format!(
            "\n[[client]]\nmatch = {{ {key} = {} }}\nrole = \"learnt-{}\"\n",
            quoted(value),
            number + 1
        ));
    }
    for (number, seen) in clients.values().enumerate() {
        let name = format!("learnt-{}", number + 1);
        out.push_str(&format!("\n[role.{name}]\n"));
        for odd in &seen.unknown {
            out.push_str(&format!(
                "# only the role admin could send: {}\n",
                quoted(odd)
            ));
        }
        for refused in &seen.refused {
            out.push_str(&format!(
                "# no limited role could send: {}\n",
                quoted(refused)
            ));
        }
        out.push_str("allow = [\n");
        let tunnel = |op: &Operation| matches!(op, Operation::BuildSession | Operation::BuildGrpc);
        for operation in seen.operations.iter().filter(|op| !tunnel(op)) {
            out.push_str(&format!("    \"{operation}\",\n"));
        }
        out.push_str("]\n");
        let mut limits: BTreeMap<&str, String> = BTreeMap::new();
        for (key, values) in &seen.facts {
            let text = match key.as_str() {
                "privileged" | "join_containers" | "buildkit" => "true".to_owned(),
                _ => format!(
                    "[{}]",
                    values
                        .iter()
                        .map(|value| quoted(value))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            limits.insert(key, text);
        }
        if seen.operations.iter().any(tunnel) {
            limits.insert("buildkit", "true".to_owned());
        }
        let tagging = [
            "image.build",
            "image.tag",
            "image.commit",
            "image.import",
            "image.push",
        ];
        if seen.operations.iter().any(|op| tagging.contains(&op.id())) {
            limits.entry("tags").or_insert_with(|| "[]".to_owned());
        }
        if !limits.is_empty() {
            out.push_str(&format!("\n[role.{name}.limits]\n"));
            for (key, text) in limits {
                out.push_str(&format!("{key} = {text}\n"));
            }
        }
    }
    out
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

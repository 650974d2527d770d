//! The learnt policy as a file, with what must be known before it is used as comments.

use std::collections::BTreeMap;

use docker_api::Operation;
use policy::build::build_key;
use policy::risk::reach;
use policy::{LimitGrant, LimitKey, Limits, Policy, PolicyError, Power, TAGGING};

use super::{BUILD_KEYS, BUILDS, Match, Seen, Uses, by_default};
use text::escape;

/// The file. What is printed must be a policy; the reader is the judge.
pub(super) fn policy(
    clients: &BTreeMap<Match, Seen>,
    with_denied: bool,
) -> Result<String, PolicyError> {
    let body = body(clients, with_denied);
    let learnt = Policy::parse("the learnt policy", &body)?;
    let mut out = String::new();
    for client in &learnt.clients {
        let roads = learnt.roles.get(client.role).map(reach);
        let roads = roads.map(|reach| reach.root).unwrap_or_default();
        if !roads.is_empty() {
            let name = escape::toml(&client.name);
            let line = format!(
                "client {name} leads to root on the host: {}",
                roads.join("; ")
            );
            comment(&mut out, &line);
        }
    }
    Ok(out + &body)
}

fn body(clients: &BTreeMap<Match, Seen>, with_denied: bool) -> String {
    let mut out = String::from("version = 1\n");
    for (number, ((_, key, value), seen)) in clients.iter().enumerate() {
        out.push('\n');
        if seen.whole.passed == 0 && seen.whole.unmatched > 0 {
            comment(
                &mut out,
                "unknown to the policy: none of its entries matched",
            );
        }
        out.push_str(&format!(
            "[[client]]\nmatch = {{ {key} = {} }}\nrole = \"learnt-{}\"\n",
            escape::toml(value),
            number + 1
        ));
    }
    for (number, seen) in clients.values().enumerate() {
        let name = format!("learnt-{}", number + 1);
        role(&mut out, &name, seen, with_denied);
    }
    out
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn role(out: &mut String, name: &str, seen: &Seen, with_denied: bool) {
    out.push_str(&format!("\n[role.{name}]\n"));
    for refused in &seen.refused {
        comment(out, refused);
    }
    let (granted, refused): (Vec<_>, Vec<_>) = seen
        .rights
        .iter()
        .partition(|(_, uses)| with_denied || uses.forwarded > 0);
    if !refused.is_empty() {
        comment(
            out,
            "only ever refused, and not granted without --with-denied:",
        );
    }
    for ((key, value), uses) in refused {
        let line = format!("    {key} {} ({})", escape::toml(value), times(uses.denied));
        comment(out, &line);
    }
    let values = |key: &str| -> Vec<(&str, &Uses)> {
        let rights = granted.iter().filter(|((of, _), _)| *of == key);
        rights.map(|((_, value), uses)| (&**value, *uses)).collect()
    };
    let allowed = values("allow");
    let tagging = |op: &Operation| allowed.iter().any(|(id, _)| *id == op.id());
    let mut keys: Vec<&str> = granted.iter().map(|((key, _), _)| *key).collect();
    // Where builds were judged, their table grants the tunnels too.
    let builds = keys.contains(&BUILDS);
    keys.retain(|key| *key != "allow" && !(builds && *key == "buildkit"));
    keys.retain(|key| *key != BUILDS && !BUILD_KEYS.contains(key));
    if TAGGING.iter().any(tagging) {
        keys.push("tags");
    }
    keys.sort_unstable();
    keys.dedup();
    list(out, "allow", &allowed);
    let defaults = Limits::default();
    let mut head = format!("\n[role.{name}.limits]\n");
    for key in keys {
        let mut values = values(key);
        most(key, &mut values);
        let mut seen = values.iter();
        if key == "tags" || !seen.all(|(value, _)| by_default(&defaults, key, value)) {
            out.push_str(&std::mem::take(&mut head));
            list(out, key, &values);
        }
    }
    if builds {
        out.push_str(&format!("\n[role.{name}.build]\n"));
        for key in BUILD_KEYS {
            let values = values(key);
            let key = build_key(key).unwrap_or(key);
            // A list that is left out would be the one of the limits, or more.
            let always = matches!(key, "sources" | "outputs" | "tags" | "cache");
            if always || !values.is_empty() {
                let remarks = values.iter().map(|(value, uses)| (value, remark(uses)));
                for (value, remark) in remarks.filter(|(_, remark)| !remark.is_empty()) {
                    comment(out, &format!("{}: {remark}", escape::toml(value)));
                }
                let values: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
                out.push_str(&format!("{key} = {}\n", build_value(key, &values)));
            }
        }
    }
}

/// Values of a key of `[role.NAME.build]` as the file has them.
pub(super) fn build_value(key: &str, values: &[&str]) -> String {
    match key {
        "raw_llb" | "debug" | "usage" | "prune" => "true".to_owned(),
        "history" => "\"all\"".to_owned(),
        _ => {
            let values: Vec<String> = values.iter().map(|value| escape::toml(value)).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// A key and its values, one a line if anything is to be said of one.
fn list(out: &mut String, key: &str, values: &[(&str, &Uses)]) {
    out.push_str(key);
    match values {
        [] => out.push_str(" = []\n"),
        [(value, uses)] if is_single(key) || remark(uses).is_empty() => {
            out.push_str(" = ");
            out.push_str(&one(key, value));
            end(out, &remark(uses));
        }
        _ => {
            out.push_str(" = [\n");
            for (value, uses) in values {
                out.push_str("    ");
                out.push_str(&escape::toml(value));
                out.push(',');
                end(out, &remark(uses));
            }
            out.push_str("]\n");
        }
    }
}

/// The end of a line, with what is to be said of it.
fn end(out: &mut String, remark: &str) {
    if remark.is_empty() {
        out.push('\n');
    } else {
        out.push(' ');
        comment(out, remark);
    }
}

/// What must be known of a right before it is granted.
fn remark(uses: &Uses) -> String {
    let mut parts = Vec::new();
    if uses.passed == 0 && uses.unmatched > 0 {
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
    if let Some(id) = &uses.id {
        let id = escape::toml(id);
        parts.push(format!(
            "everything, because {id} may be an id, and nothing less lets ids pass"
        ));
    }
    parts.join("; ")
}

fn times(count: usize) -> String {
    text::counted(count, "time")
}

/// Whether a key has one value and no list.
fn is_single(key: &str) -> bool {
    LimitKey::from_name(key).is_some_and(|key| key.is_flag() || key.is_bound())
}

/// Of the values of a bound the one that admits all others.
fn most(key: &str, values: &mut Vec<(&str, &Uses)>) {
    let Some(bounded) = LimitKey::from_name(key).filter(|key| key.is_bound()) else {
        return;
    };
    let admits = |bound: &str, value: &str| {
        let text = bound.to_owned();
        let limits = LimitGrant { key: bounded, text }.limits();
        let power = Power::from_fact(key, value);
        limits
            .zip(power)
            .is_some_and(|(limits, power)| power.is_within(&limits))
    };
    let all = values.clone();
    values.retain(|(bound, _)| all.iter().all(|(value, _)| admits(bound, value)));
    values.truncate(1);
}

/// One value of a key, alone.
fn one(key: &str, value: &str) -> String {
    match LimitKey::from_name(key) {
        Some(key) => LimitGrant {
            key,
            text: value.to_owned(),
        }
        .value(),
        None => format!("[{}]", escape::toml(value)),
    }
}

/// A comment to the end of the line; what a peer sent cannot end it.
fn comment(out: &mut String, text: &str) {
    out.push_str("# ");
    out.push_str(&escape::line(text));
    out.push('\n');
}

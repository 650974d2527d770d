//! `policy check`: what each client may do, and whether it leads to root on the host.

use serde_json::json;

use crate::cli::policy::PolicyCheckArgs;
use docker_api::{Operation, Risk};
use policy::risk::{Reach, RootAnswer, of_unmatched, reach, unmatched_are_refused};
use policy::scope::share_a_path;
use policy::{Client, Mode, Policy, PolicyError, PolicyFault, Role};

use super::{PolicyOutcome, certificates};
use text::columns;

/// What a faulty file exits with, as without `--json` (`EX_CONFIG` of sysexits.h).
const FAULTY: u8 = 78;

/// Reads, lints and prints.
pub(super) fn run(args: &PolicyCheckArgs) -> Result<PolicyOutcome, PolicyError> {
    let policy = match Policy::read(&args.file) {
        Err(PolicyError::Invalid { file, faults }) if args.json => {
            let text = faulty(&file, &faults);
            return Ok(PolicyOutcome::of([text], FAULTY));
        }
        read => read?,
    };
    let issuers = match &args.ca {
        Some(path) => certificates("CA file ", path)?.len(),
        None => 1,
    };
    if let Some(name) = &args.role
        && !policy.roles.iter().any(|role| role.name == *name)
    {
        let text = format!("--role: \"{}\" has no role \"{name}\"", args.file.display());
        return Err(PolicyError::Input(text));
    }
    let reaches: Vec<Option<Reach>> = policy
        .clients
        .iter()
        .map(|client| policy.roles.get(client.role).map(reach))
        .collect();
    let warnings = warnings(&policy, issuers);
    let note = match args.fail_on_root {
        true => rooted(&policy, &reaches),
        false => String::new(),
    };
    let mut lines = if args.json {
        vec![json(&policy, &reaches, &warnings)]
    } else {
        table(&policy, &reaches, &warnings, note.is_empty())
    };
    if !args.json && (args.verbose || args.role.is_some()) {
        for role in shown(&policy, args) {
            lines.push(String::new());
            lines.extend(operations(role));
        }
    }
    Ok(PolicyOutcome::of(lines, u8::from(!note.is_empty())).note(note))
}

/// The roles whose operations are asked for: the one that is named, or all that a client has.
fn shown<'p>(policy: &'p Policy, args: &PolicyCheckArgs) -> Vec<&'p Role> {
    let used = |index: usize| policy.clients.iter().any(|client| client.role == index);
    let roles = policy.roles.iter().enumerate();
    roles
        .filter(|(index, role)| match &args.role {
            Some(name) => role.name == *name,
            None => used(*index),
        })
        .map(|(_, role)| role)
        .collect()
}

/// A role's operations, a line for each resource.
fn operations(role: &Role) -> Vec<String> {
    if role.unlimited() {
        return vec![format!("role {}: every operation", role.name)];
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for operation in role.allowed.iter() {
        match rows.last_mut() {
            Some(row) if row[1] == operation.resource() => {
                row[2].push(' ');
                row[2].push_str(operation.verb());
            }
            _ => rows.push(vec![
                String::new(),
                operation.resource().to_owned(),
                operation.verb().to_owned(),
            ]),
        }
    }
    let mut lines = vec![format!(
        "role {}: {}",
        role.name,
        text::counted(role.allowed.iter().count(), "operation")
    )];
    lines.extend(columns(&rows, &[]));
    lines
}

/// Who could become root on the host without being meant to, as an `admin` is, and of whom it cannot be told; empty for nobody.
fn rooted(policy: &Policy, reaches: &[Option<Reach>]) -> String {
    let (mut rooted, mut doubtful) = (Vec::new(), Vec::new());
    for (client, reach) in policy.clients.iter().zip(reaches) {
        let limited = |role: &Role| !role.unlimited();
        if !policy.roles.get(client.role).is_some_and(limited) {
            continue;
        }
        let name = format!("client \"{}\"", client.name);
        match reach.as_ref().map(Reach::answer) {
            Some(RootAnswer::Yes) => rooted.push(name),
            Some(RootAnswer::CannotTell) => doubtful.push(name),
            Some(RootAnswer::No) | None => {}
        }
    }
    if of_unmatched(policy).is_some() {
        rooted.push(STRANGERS.to_owned());
    }
    let mut said = Vec::new();
    if !rooted.is_empty() {
        said.push(format!(
            "{} could become root on the host",
            rooted.join(", ")
        ));
    }
    if !doubtful.is_empty() {
        said.push(format!(
            "whether {} could become root on the host cannot be told",
            doubtful.join(", ")
        ));
    }
    match said.is_empty() {
        true => String::new(),
        false => format!("--fail-on-root: {}", said.join("; ")),
    }
}

/// Who has no entry.
const STRANGERS: &str = "certificates without an entry";

/// What is suspicious in the entries, as (line, text).
#[expect(clippy::too_many_lines, reason = "sequence")]
fn warnings(policy: &Policy, issuers: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, client) in policy.clients.iter().enumerate() {
        if let Some(earlier) = policy.clients[..index]
            .iter()
            .find(|earlier| earlier.matcher.covers(&client.matcher))
        {
            found.push((
                client.line,
                format!(
                    "client \"{}\" never matches: \"{}\" comes first",
                    client.name, earlier.name
                ),
            ));
        }
        let role = |client: &Client| policy.roles.get(client.role);
        let wider = policy.clients[..index].iter().find(|earlier| {
            // A list of keys means those certificates, whatever else they match.
            earlier.matcher.spki.is_empty()
                && earlier.matcher.may_meet(&client.matcher)
                && !earlier.matcher.covers(&client.matcher)
                && !client.matcher.covers(&earlier.matcher)
                && role(earlier)
                    .zip(role(client))
                    .is_some_and(|(more, less)| gives_less(less, more))
        });
        if let Some(earlier) = wider {
            found.push((
                client.line,
                format!(
                    "client \"{}\" gives less than \"{}\", which comes first and may match the same certificate",
                    client.name, earlier.name
                ),
            ));
        }
        let matcher = &client.matcher;
        if matcher.names().len() > 1 && matcher.names().contains(&client.name) {
            found.push((
                client.line,
                format!("client \"{0}\" is several, and denials and records call each of them \"{0}\"; give the entry a `name` of its own", client.name),
            ));
        }
        if !matcher.spki.is_empty() {
            found.push((
                client.line,
                format!("client \"{}\" goes by spki, which a certificate that renews itself keeps for one life only; match its names and issuer_spki", client.name),
            ));
        }
        if issuers > 1
            && !matcher.common_names.is_empty()
            && matcher.issuer_spki.is_empty()
            && matcher.spki.is_empty()
        {
            found.push((
                client.line,
                format!("client \"{}\" goes by cn alone, and {issuers} CAs could issue it; add issuer_spki", client.name),
            ));
        }
    }
    for (index, role) in policy
        .roles
        .iter()
        .enumerate()
        .filter(|(_, role)| role.line > 0)
    {
        if !policy.clients.iter().any(|client| client.role == index) {
            found.push((
                role.line,
                format!("role {} is used by no client", role.name),
            ));
        }
        let sharing = policy.roles[..index]
            .iter()
            .find(|other| share_a_path(other, role));
        if let Some(other) = sharing {
            found.push((
                role.line,
                format!(
                    "role {} and role {} have a scope each, and may bind the same host path",
                    role.name, other.name
                ),
            ));
        }
        if role.mode == Mode::Report {
            found.push((
                role.line,
                format!(
                    "role {} only reports: its denials are not enforced",
                    role.name
                ),
            ));
        }
        if role.allowed.is_empty() {
            found.push((role.line, format!("role {} may do nothing", role.name)));
        }
    }
    if of_unmatched(policy).is_some() {
        let text = format!("the file only reports: {STRANGERS} are let through too");
        found.push((0, text));
    }
    for role in policy
        .clients
        .iter()
        .filter_map(|client| policy.roles.get(client.role))
    {
        for warning in reach(role).warnings {
            let warning = (role.line, format!("role {}: {warning}", role.name));
            if !found.contains(&warning) {
                found.push(warning);
            }
        }
    }
    found.sort_by_key(|(line, _)| *line);
    found
}

/// Whether a role allows less than another.
fn gives_less(less: &Role, more: &Role) -> bool {
    if less.unlimited() || more.unlimited() {
        return more.unlimited() && !less.unlimited();
    }
    let (own, other) = (less.allowed, more.allowed);
    own.minus(other).is_empty()
        && (!other.minus(own).is_empty() || reach(less).answer() < reach(more).answer())
}

/// How many reading and other operations a role has.
fn counts(role: &Role) -> (usize, usize) {
    let reads = role
        .allowed
        .iter()
        .filter(|op| op.risk() <= Risk::SensitiveRead)
        .count();
    (reads, role.allowed.iter().count() - reads)
}

fn table(
    policy: &Policy,
    reaches: &[Option<Reach>],
    warnings: &[(usize, String)],
    ok: bool,
) -> Vec<String> {
    let mut rows = vec![
        ["client", "role", "reads", "writes", "host root"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (index, (client, reach)) in policy.clients.iter().zip(reaches).enumerate() {
        let Some((role, reach)) = policy.roles.get(client.role).zip(reach.as_ref()) else {
            continue;
        };
        let (reads, writes) = match role.unlimited() {
            true => ("-".to_owned(), "-".to_owned()),
            false => {
                let (reads, writes) = counts(role);
                (reads.to_string(), writes.to_string())
            }
        };
        let word = reach.answer().word();
        let root = match reach.reasons() {
            [] => word.to_owned(),
            reasons => format!("{word}  ({})", reasons.join("; ")),
        };
        let name = format!(
            "{} {} ({})",
            index + 1,
            client.name,
            client.matcher.keys().join(", ")
        );
        rows.push(vec![name, role.name.clone(), reads, writes, root]);
    }
    if let Some(road) = of_unmatched(policy) {
        let root = format!("yes  ({road})");
        rows.push(
            [STRANGERS, "none", "0", "0", &root]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    let mut lines = columns(&rows, &[]);
    for (line, warning) in warnings {
        match line {
            0 => lines.push(format!("warning: {warning}")),
            line => lines.push(format!("warning line {line}: {warning}")),
        }
    }
    lines.extend(unmatched_are_refused(policy).map(|sentence| format!("note: {sentence}")));
    if let Some(role) = policy.scoped_role() {
        lines.push(format!(
            "note: role {} has a scope, so `serve` needs owner-key, a file that it makes at its first start",
            role.name
        ));
    }
    let roles = policy.roles.iter().filter(|role| role.line > 0).count();
    lines.push(format!(
        "{}{}, {}",
        if ok { "ok: " } else { "" },
        text::counted(policy.clients.len(), "client"),
        text::counted(roles, "role")
    ));
    lines
}

fn faulty(file: &str, faults: &[PolicyFault]) -> String {
    let errors: Vec<_> = faults
        .iter()
        .map(|fault| json!({ "line": fault.line, "text": fault.message, "hint": fault.hint }))
        .collect();
    json!({ "file": file, "errors": errors }).to_string()
}

fn json(policy: &Policy, reaches: &[Option<Reach>], warnings: &[(usize, String)]) -> String {
    let clients: Vec<_> = policy
        .clients
        .iter()
        .zip(reaches)
        .filter_map(|(client, reach)| {
            let role = policy.roles.get(client.role)?;
            let reach = reach.as_ref()?;
            Some(json!({
                "name": client.name,
                "line": client.line,
                "match": client.matcher.keys(),
                "role": role.name,
                "mode": if role.mode == Mode::Report { "report" } else { "enforce" },
                "unrestricted": role.unlimited(),
                "operations": role.allowed.iter().map(Operation::id).collect::<Vec<_>>(),
                "host_root": reach.answer().word(),
                "root": reach.root,
                "cannot_tell": reach.unknown,
            }))
        })
        .collect();
    let warnings: Vec<_> = warnings
        .iter()
        .map(|(line, text)| json!({ "line": line, "text": text }))
        .collect();
    let strangers = json!({ "root": of_unmatched(policy).into_iter().collect::<Vec<_>>() });
    let needs: Vec<_> = policy
        .scoped_role()
        .map(|_| "owner-key")
        .into_iter()
        .collect();
    json!({ "clients": clients, "strangers": strangers, "warnings": warnings, "needs": needs })
        .to_string()
}

//! `policy diff`: whose requests would change verdict.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::policy::DiffArgs;
use crate::observe::audit::Record;
use docker_api::Operation;
use policy::{Policy, PolicyError, Power, Powers, Verdict};

use super::{PolicyOutcome, for_each_request, recorded};

/// Judges every request of the audit by both policies.
pub(super) fn run(args: &DiffArgs) -> Result<PolicyOutcome, PolicyError> {
    let (old, new) = (Policy::read(&args.old)?, Policy::read(&args.new)?);
    let mut changes: BTreeMap<(String, String, String, String), usize> = BTreeMap::new();
    let mut requests = 0;
    for_each_request(&args.against, |record| {
        requests += 1;
        let (before, after) = (verdict(&old, record), verdict(&new, record));
        if before.allowed() == after.allowed() {
            return;
        }
        let who = record
            .certificate
            .cn
            .first()
            .or(record.certificate.uri.first())
            .unwrap_or(&record.certificate.spki);
        let key = (
            who.clone(),
            record.operation.clone(),
            before.to_string(),
            after.to_string(),
        );
        *changes.entry(key).or_default() += 1;
    })?;
    if requests == 0 {
        return Err(PolicyError::Input(format!(
            "\"{}\" has no request",
            args.against.display()
        )));
    }
    let code = u8::from(!changes.is_empty());
    let mut lines = Vec::new();
    for ((who, operation, before, after), count) in &changes {
        lines.push(match args.json {
            true => json!({ "client": who, "operation": operation, "old": before, "new": after, "requests": count }).to_string(),
            false => format!("{who}  {operation}  {count}x  {before} -> {after}"),
        });
    }
    if !args.json {
        let changed: usize = changes.values().sum();
        lines.push(format!("{changed} of {requests} requests change verdict"));
    }
    Ok(PolicyOutcome::of(lines, code))
}

fn verdict(policy: &Policy, record: &Record) -> Verdict {
    let client = policy.client_for(&recorded(record));
    let operation = Operation::from_id(&record.operation).unwrap_or(Operation::Unknown);
    let asked = Powers {
        kept: record
            .facts
            .iter()
            .filter_map(|(key, value)| Power::from_fact(key, value))
            .collect(),
        omitted: record.facts_omitted,
    };
    policy.replay(client, operation, &asked)
}

//! `policy diff`: whose requests would change verdict.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::policy::DiffArgs;
use policy::{Policy, PolicyError};

use super::{PolicyOutcome, for_each_request, replayed};

/// Judges every request of the audit by both policies.
pub(super) fn run(args: &DiffArgs) -> Result<PolicyOutcome, PolicyError> {
    let (old, new) = (Policy::read(&args.old)?, Policy::read(&args.new)?);
    let mut changes: BTreeMap<(String, String, String, String), usize> = BTreeMap::new();
    let mut requests = 0;
    for_each_request(&args.against, |record| {
        requests += 1;
        let (before, after) = (replayed(&old, record).2, replayed(&new, record).2);
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
        lines.push(format!(
            "{changed} of {} change verdict",
            text::counted(requests, "request")
        ));
    }
    Ok(PolicyOutcome::of(lines, code))
}

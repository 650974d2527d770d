//! `policy explain --audit FILE --request ID`: a request that was recorded, judged again by a policy.

use std::path::Path;

use serde_json::json;

use crate::cli::policy::ExplainArgs;
use crate::command::policy::{PolicyOutcome, for_each_request, recorded, replayed};
use crate::observe::audit::{Decision, Record};
use policy::{Policy, PolicyError, Verdict};
use text::columns;

use super::{entry, limits_rows};

/// Finds the request, judges it, and prints.
pub(super) fn run(
    args: &ExplainArgs,
    audit: &Path,
    request: &str,
) -> Result<PolicyOutcome, PolicyError> {
    let policy = Policy::read(&args.file)?;
    let (record, count) = find(audit, request)?;
    let verdict = match replayed(&policy, &record).2 {
        Verdict::Allow if of_that_moment(&record).is_some() => Verdict::Unknown,
        verdict => verdict,
    };
    let code = match verdict.allowed() {
        Some(true) => 0,
        Some(false) => 3,
        None => 2,
    };
    let outcome = match args.json {
        true => PolicyOutcome::of([document(&policy, &record, &verdict)], code),
        false => PolicyOutcome::of(lines(args, &policy, &record, &verdict), code),
    };
    Ok(match count {
        1 => outcome,
        count => outcome.note(format!(
            "{count} requests of \"{}\" have the id {request}, and this is the last: a gate counts from one when it starts",
            audit.display()
        )),
    })
}

/// The rule of a refusal that came from what the gate knew at that moment, which no policy and no record holds.
fn of_that_moment(record: &Record) -> Option<&str> {
    const RULES: [&str; 6] = [
        "audit",
        "authz-plugin",
        "budget",
        "history",
        "limit",
        "owner",
    ];
    let rule = record.rule.as_deref()?;
    let is_refused = matches!(record.decision, Decision::Deny | Decision::WouldDeny);
    (is_refused && RULES.contains(&rule)).then_some(rule)
}

/// The last request with an id, and how many have it.
fn find(audit: &Path, request: &str) -> Result<(Record, usize), PolicyError> {
    let mut found: Option<Record> = None;
    let mut count = 0;
    for_each_request(audit, |record| {
        if record.request == request {
            count += 1;
            if found.as_ref().is_none_or(|last| last.time <= record.time) {
                found = Some(record.clone());
            }
        }
    })?;
    let missing = || {
        PolicyError::Input(format!(
            "\"{}\" has no request {request}\nhint: the id is in the answer's X-Request-Id, in the log as req.id, and in the audit as request",
            audit.display()
        ))
    };
    Ok((found.ok_or_else(missing)?, count))
}

fn lines(args: &ExplainArgs, policy: &Policy, record: &Record, verdict: &Verdict) -> Vec<String> {
    let identity = recorded(record);
    let (client, asked, _) = replayed(policy, record);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |head: &str, cell: String| rows.push(vec![head.to_owned(), cell]);
    row(
        "request",
        format!("{} {} {}", record.time, record.method, record.path),
    );
    let was = match record.decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::WouldDeny => "would deny, forwarded",
    };
    let why = match (&record.rule, &record.detail) {
        (Some(rule), Some(detail)) => format!(": {rule}: {detail}"),
        _ => String::new(),
    };
    row("recorded", format!("{was}, status {}{why}", record.status));
    row("identity", identity.names());
    row("client", entry(policy, client, &args.file));
    row("operation", record.operation.clone());
    let mut lines = limits_rows(policy, client, &asked);
    rows.append(&mut lines);
    if asked.omitted > 0 {
        let more = format!("and {} more that the record does not name", asked.omitted);
        rows.push(vec![String::new(), more]);
    }
    rows.push(vec![
        "decision".to_owned(),
        format!("{verdict}, by this policy"),
    ]);
    let mut lines = columns(&rows, &[]);
    if *verdict == Verdict::Unknown {
        lines.push(match of_that_moment(record) {
            Some(rule) => format!(
                "hint: the policy allows it; the rule {rule} depends on what the gate knew at that moment"
            ),
            None => "hint: the record does not say all that a limit needs; give the request itself to `policy explain`".to_owned(),
        });
    }
    lines
}

fn document(policy: &Policy, record: &Record, verdict: &Verdict) -> String {
    let client = policy.client_for(&recorded(record));
    let word = match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny(_) => "deny",
        Verdict::Unknown => "unknown",
    };
    let detail = match verdict {
        Verdict::Deny(why) => Some(why),
        _ => None,
    };
    json!({
        "verdict": word,
        "detail": detail,
        "client": policy.client_name(client),
        "role": policy.role_name(client),
        "operation": record.operation,
        "recorded": record,
    })
    .to_string()
}

//! `policy test`: a user's own cases, in their CI.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use crate::cli::policy::{TestArgs, WhoArgs};
use policy::{Policy, PolicyError, nearest, rules};

use super::explain::{Verdict, Walk, walk};
use super::{Outcome, identity, text};

/// One line of the cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    cn: Option<String>,
    #[serde(default)]
    o: Option<String>,
    #[serde(default)]
    ou: Option<String>,
    #[serde(default)]
    dns: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default, alias = "spiffe")]
    uri: Option<String>,
    #[serde(default)]
    spki: Option<String>,
    #[serde(default)]
    issuer_spki: Option<String>,
    method: String,
    target: String,
    #[serde(default)]
    content_type: Option<String>,
    /// The body as JSON.
    #[serde(default)]
    body: Option<serde_json::Value>,
    /// The body as text, for what JSON values cannot say (duplicate keys, broken text).
    #[serde(default)]
    body_text: Option<String>,
    /// What the engine answers to look-ups; `null` for 404.
    #[serde(default)]
    answers: HashMap<String, Option<serde_json::Value>>,
    /// `allow`, `deny`, `would_deny`, `malformed` or `unknown`.
    expect: String,
    /// The rule that must have refused it.
    #[serde(default)]
    rule: Option<String>,
}

/// Runs every case.
pub(super) fn run(args: &TestArgs) -> Result<Outcome, PolicyError> {
    let policy = Policy::read(&args.file)?;
    let mut lines = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for (index, line) in text(&args.cases)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let place = format!("{}:{}", args.cases.display(), index + 1);
        let case: Case = serde_json::from_str(line)
            .map_err(|error| PolicyError::Input(format!("{place}: expected a case: {error}")))?;
        if !["allow", "deny", "would_deny", "malformed", "unknown"].contains(&case.expect.as_str())
        {
            let text = format!(
                "{place}: expect: expected allow, deny, would_deny, malformed or unknown, found \"{}\"",
                case.expect
            );
            return Err(PolicyError::Input(text));
        }
        if case.body.is_some() && case.body_text.is_some() {
            let text = format!("{place}: expected body or body_text, found both");
            return Err(PolicyError::Input(text));
        }
        if let Some(rule) = case
            .rule
            .as_deref()
            .filter(|rule| !rules().any(|known| known == *rule))
        {
            let hint = nearest(rule, rules());
            let hint = hint.map_or(String::new(), |hint| format!("\nhint: {hint}"));
            let text = format!("{place}: rule: \"{rule}\" does not exist{hint}");
            return Err(PolicyError::Input(text));
        }
        let (verdict, rule, detail) = judge(&policy, &case)?;
        let ok =
            verdict == case.expect && case.rule.as_ref().is_none_or(|expected| *expected == rule);
        if ok {
            passed += 1;
            continue;
        }
        failed += 1;
        let name = case
            .name
            .unwrap_or_else(|| format!("{} {}", case.method, case.target));
        if args.json {
            let line = json!({ "case": name, "place": place, "expected": case.expect, "found": verdict, "rule": rule, "detail": detail });
            lines.push(line.to_string());
        } else {
            let expected = case.rule.map_or(case.expect.clone(), |rule| {
                format!("{} by {rule}", case.expect)
            });
            let found = if rule.is_empty() {
                verdict
            } else {
                format!("{verdict} by {rule}: {detail}")
            };
            lines.push(format!(
                "{place}: {name}: expected {expected}, found {found}"
            ));
        }
    }
    if passed + failed == 0 {
        return Err(PolicyError::Input(format!(
            "\"{}\" has no case",
            args.cases.display()
        )));
    }
    lines.push(match args.json {
        true => json!({ "passed": passed, "failed": failed }).to_string(),
        false => format!("{passed} passed, {failed} failed"),
    });
    Ok(Outcome {
        text: lines.join("\n"),
        note: String::new(),
        code: u8::from(failed > 0),
    })
}

fn judge(policy: &Policy, case: &Case) -> Result<(String, String, String), PolicyError> {
    let many = |name: &Option<String>| name.iter().cloned().collect();
    let who = WhoArgs {
        cert: None,
        cn: many(&case.cn),
        o: many(&case.o),
        ou: many(&case.ou),
        dns: many(&case.dns),
        email: many(&case.email),
        uri: many(&case.uri),
        spki: case.spki.clone(),
        issuer_spki: case.issuer_spki.clone(),
    };
    let client = policy.client_for(&identity(&who, None)?);
    let body = match (&case.body_text, &case.body) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(value)) => value.to_string().into_bytes(),
        (None, None) => Vec::new(),
    };
    let answers = case
        .answers
        .iter()
        .map(|(target, answer)| {
            (
                target.clone(),
                answer.as_ref().map(|value| value.to_string().into_bytes()),
            )
        })
        .collect();
    let verdict = walk(
        policy,
        client,
        &Walk {
            method: &case.method,
            target: &case.target,
            content_type: Some(case.content_type.as_deref().unwrap_or("application/json")),
            body: &body,
            answers: &answers,
            container: None,
        },
    );
    let none = String::new();
    Ok(match verdict {
        Verdict::Allow(permitted) => match permitted.would_deny() {
            Some(denied) => (
                "would_deny".into(),
                denied.rule.into(),
                denied.detail.clone(),
            ),
            None => ("allow".into(), none.clone(), none),
        },
        Verdict::Deny(denied) => ("deny".into(), denied.rule.into(), denied.detail.clone()),
        Verdict::Malformed(why) => ("malformed".into(), none, why),
        Verdict::Unknown(lookup) => ("unknown".into(), none, lookup),
    })
}

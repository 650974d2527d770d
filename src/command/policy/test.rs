//! `policy test`: a user's own cases, in their CI.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use crate::cli::policy::{TestArgs, WhoArgs};
use policy::{DenialStatus, Policy, PolicyError, nearest, rules};

use super::explain::{ExplainVerdict, Walk, walk};
use super::owned::{self, HiddenObjects, Owned};
use super::{PolicyOutcome, for_each_line, identity};

/// The names of one kind in a certificate: one, or a list.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(super) enum Names {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Names {
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Names::None => Vec::new(),
            Names::One(name) => vec![name.clone()],
            Names::Several(names) => names.clone(),
        }
    }
}

/// One line of the cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyCase {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    cn: Names,
    #[serde(default)]
    o: Names,
    #[serde(default)]
    ou: Names,
    #[serde(default)]
    dns: Names,
    #[serde(default)]
    email: Names,
    #[serde(default, alias = "spiffe")]
    uri: Names,
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
    /// Who made what the request names.
    #[serde(default)]
    owned: Owned,
    /// `allow`, `deny`, `would_deny`, `missing`, `malformed` or `unknown`.
    expect: String,
    /// The rule that must have refused it.
    #[serde(default)]
    rule: Option<String>,
}

/// How a case may end. What is `missing` is answered as if it did not exist.
const VERDICTS: [&str; 6] = [
    "allow",
    "deny",
    "would_deny",
    "missing",
    "malformed",
    "unknown",
];

/// Runs every case.
pub(super) fn run(args: &TestArgs) -> Result<PolicyOutcome, PolicyError> {
    let policy = Policy::read(&args.file)?;
    let mut lines = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    for_each_line(&args.cases, |number, line| {
        let place = format!("{}:{number}", args.cases.display());
        let case = read(&place, line)?;
        let found = judge(&policy, &case)?;
        let rule = case.rule.as_ref();
        if found.verdict == case.expect && rule.is_none_or(|expected| *expected == found.rule) {
            passed += 1;
        } else {
            failed += 1;
            lines.push(failure(&place, &case, &found, args.json));
        }
        Ok(())
    })?;
    if passed + failed == 0 {
        let text = format!("\"{}\" has no case", args.cases.display());
        return Err(PolicyError::Input(text));
    }
    lines.push(match args.json {
        true => json!({ "passed": passed, "failed": failed }).to_string(),
        false => format!("{passed} passed, {failed} failed"),
    });
    Ok(PolicyOutcome::of(lines, u8::from(failed > 0)))
}

/// One case, with everything in it that must be known.
fn read(place: &str, line: &str) -> Result<PolicyCase, PolicyError> {
    let case: PolicyCase = serde_json::from_str(line)
        .map_err(|error| PolicyError::Input(format!("{place}: expected a case: {error}")))?;
    if !VERDICTS.contains(&case.expect.as_str()) {
        let text = format!(
            "{place}: expect: expected allow, deny, would_deny, missing, malformed or unknown, found \"{}\"",
            case.expect
        );
        return Err(PolicyError::Input(text));
    }
    if case.body.is_some() && case.body_text.is_some() {
        let text = format!("{place}: expected body or body_text, found both");
        return Err(PolicyError::Input(text));
    }
    match &case.rule {
        Some(rule) if !rules().any(|known| known == rule) => {
            let hint = nearest(rule, rules());
            let hint = hint.map_or(String::new(), |hint| format!("\nhint: {hint}"));
            let text = format!("{place}: rule: \"{rule}\" does not exist{hint}");
            Err(PolicyError::Input(text))
        }
        _ => Ok(case),
    }
}

/// What a case came to.
struct FoundCase {
    verdict: &'static str,
    rule: String,
    detail: String,
}

fn failure(place: &str, case: &PolicyCase, found: &FoundCase, as_json: bool) -> String {
    let FoundCase {
        verdict,
        rule,
        detail,
    } = found;
    let name = match &case.name {
        Some(name) => name.clone(),
        None => format!("{} {}", case.method, case.target),
    };
    if as_json {
        return json!({ "case": name, "place": place, "expected": case.expect, "found": verdict, "rule": rule, "detail": detail }).to_string();
    }
    let expected = match &case.rule {
        Some(rule) => format!("{} by {rule}", case.expect),
        None => case.expect.clone(),
    };
    let found = match rule.is_empty() {
        true => (*verdict).to_owned(),
        false => format!("{verdict} by {rule}: {detail}"),
    };
    format!("{place}: {name}: expected {expected}, found {found}")
}

fn judge(policy: &Policy, case: &PolicyCase) -> Result<FoundCase, PolicyError> {
    let who = WhoArgs {
        cert: None,
        cn: case.cn.list(),
        o: case.o.list(),
        ou: case.ou.list(),
        dns: case.dns.list(),
        email: case.email.list(),
        uri: case.uri.list(),
        spki: case.spki.clone(),
        issuer_spki: case.issuer_spki.clone(),
    };
    let identity = identity(&who, None)?;
    let client = policy.client_for(&identity);
    let hidden = owned::hidden(policy, client, &identity, &case.owned)?;
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
            hidden: &hidden,
        },
    )?;
    let request = (case.method.as_str(), case.target.as_str());
    let objection = owned::objection(policy, client, request, &case.owned, &hidden);
    Ok(outcome(verdict, objection, &hidden))
}

/// What the walk of a case came to, with what a scope makes of it.
fn outcome(
    verdict: ExplainVerdict,
    objection: Option<(&'static str, String)>,
    hidden: &HiddenObjects,
) -> FoundCase {
    let found = |verdict, rule: &str, detail: &str| FoundCase {
        verdict,
        rule: rule.to_owned(),
        detail: detail.to_owned(),
    };
    match verdict {
        ExplainVerdict::Allow(_) if objection.is_some() => {
            let (rule, why) = objection.unwrap_or_default();
            match rule {
                "" => found("missing", "", &why),
                rule => found("deny", rule, &why),
            }
        }
        ExplainVerdict::Allow(_) if hidden.is_met() => {
            found("missing", "", "the request names what is not the client's")
        }
        ExplainVerdict::Deny(denied)
            if hidden.is_met() && denied.status == DenialStatus::NotFound =>
        {
            found("missing", "", &denied.detail)
        }
        ExplainVerdict::Allow(permitted) => match permitted.would_deny() {
            Some(denied) => found("would_deny", denied.rule, &denied.detail),
            None => found("allow", "", ""),
        },
        ExplainVerdict::Deny(denied) => found("deny", denied.rule, &denied.detail),
        ExplainVerdict::Call(call) => match (&call.denied, call.enforced) {
            (Some(denied), true) => found("deny", denied.rule, &denied.detail),
            (Some(denied), false) => found("would_deny", denied.rule, &denied.detail),
            (None, _) => found("allow", "", ""),
        },
        ExplainVerdict::Malformed(why) => found("malformed", "", &why),
        ExplainVerdict::Unknown(lookup) => found("unknown", "", &lookup),
    }
}

//! The answer of `policy explain --json`.

use serde_json::json;

use policy::{ClientRef, Denied, Policy};

use super::ExplainVerdict;

/// The verdict as one JSON object on one line.
pub(super) fn of(policy: &Policy, client: ClientRef, verdict: &ExplainVerdict) -> String {
    let base = |verdict: &str| {
        let mut base = serde_json::Map::new();
        base.insert("verdict".into(), verdict.into());
        base.insert("client".into(), policy.client_name(client).into());
        base.insert("role".into(), policy.role_name(client).into());
        base
    };
    let denied = |verdict: &str, denied: &Denied| {
        let mut out = base(verdict);
        out.insert("operation".into(), denied.operation.id().into());
        out.insert("rule".into(), denied.rule.into());
        out.insert("detail".into(), denied.detail.clone().into());
        out.insert("allowed".into(), denied.allowed.clone().into());
        out.insert("grant".into(), denied.grant.clone().into());
        out.insert("status".into(), denied.status.code().into());
        out.insert("message".into(), format!("dockgate: {denied}").into());
        out
    };
    let out = match verdict {
        ExplainVerdict::Allow(permitted) => match permitted.would_deny() {
            Some(would) => denied("would_deny", would),
            None => {
                let mut out = base("allow");
                out.insert("operation".into(), permitted.operation().id().into());
                out.insert("target".into(), json!(permitted.target()));
                out
            }
        },
        ExplainVerdict::Deny(refusal) => denied("deny", refusal),
        ExplainVerdict::Call(call) => {
            let mut out = match (&call.denied, call.enforced) {
                (Some(refusal), true) => denied("deny", refusal),
                (Some(refusal), false) => denied("would_deny", refusal),
                (None, _) => base("allow"),
            };
            out.insert("operation".into(), call.call.id().into());
            let facts = call
                .facts
                .kept
                .iter()
                .map(|(key, value)| json!([key, value]));
            out.insert("facts".into(), facts.collect());
            out
        }
        ExplainVerdict::Malformed(why) => {
            let mut out = base("malformed");
            out.insert("detail".into(), why.clone().into());
            out
        }
        ExplainVerdict::Unknown(lookup) => {
            let mut out = base("unknown");
            out.insert("lookup".into(), lookup.clone().into());
            out
        }
    };
    serde_json::Value::Object(out).to_string()
}

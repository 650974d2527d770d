//! What restrains the clients of a gate, as `check` and `doctor` tell it: the policy file, or the environment's toggles.

use std::path::Path;

use policy::{Policy, toggles};

use super::failure::told;
use crate::finding::Finding;

/// Of the policy file, else of the environment's toggles; nothing where there is neither.
#[must_use]
pub fn findings(path: Option<&Path>) -> Vec<Finding> {
    let Some(path) = path else {
        return match toggles::from_env(environment()) {
            Ok(None) => Vec::new(),
            Ok(Some(policy)) => {
                let rows = policy.roles.iter().map(toggles::table);
                let rows: Vec<String> = rows
                    .flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>())
                    .collect();
                let text = "the environment's toggles are the policy, and open";
                vec![Finding::ok(text).details(rows)]
            }
            Err(error) => faults(&error),
        };
    };
    let mut findings = match Policy::read(path) {
        Ok(policy) => vec![Finding::ok(format!(
            "policy {path:?}: {} clients, {} roles; `dockgate policy check` says what each may do",
            policy.clients.len(),
            policy.roles.len()
        ))],
        Err(error) => faults(&error),
    };
    if let Some(ignored) = ignored_toggles() {
        findings.push(Finding::warning(format!(
            "the environment's toggles ({ignored}) are ignored: the policy file is in force"
        )));
    }
    findings
}

/// The toggles that are set beside a policy file.
pub(super) fn ignored_toggles() -> Option<String> {
    let set = toggles::set(environment()).join(" ");
    (!set.is_empty()).then_some(set)
}

fn faults(error: &policy::PolicyError) -> Vec<Finding> {
    let finding = |(text, hint): (String, Option<String>)| Finding {
        hint,
        ..Finding::error(text)
    };
    told(error).into_iter().map(finding).collect()
}

/// The environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

//! What crosses the wall all the same, for `policy check`.

use super::{DEFAULT_NETWORK, OwnedBy, RoleScope};
use crate::{Limits, Role};
use docker_api::Operation;

/// What the owners of a role have in common, a sentence each.
pub(crate) fn crossings(role: &Role) -> Vec<String> {
    let (Some(scope), Some(limits)) = (&role.scope, &role.limits) else {
        return Vec::new();
    };
    let mut common =
        vec!["scope: all containers share the kernel, and all owners see every image".to_owned()];
    common.extend(networks(scope));
    if !scope.volumes.is_empty() {
        common.push(format!(
            "scope: every owner reads and writes the volumes {}",
            listed(&scope.volumes)
        ));
    }
    common.extend(binds(scope, limits));
    common.extend(redacts(role, scope));
    if role.allowed.contains(Operation::ImageBuild) {
        common.push(
            "scope: steps of classic builds run outside of every scope and budget".to_owned(),
        );
    }
    common
}

/// What is masked can be had, or be written by mistake.
fn redacts(role: &Role, scope: &RoleScope) -> Vec<String> {
    let mut said = Vec::new();
    if scope.redact.is_empty() {
        return said;
    }
    if role.allowed.contains(Operation::ExecCreate) {
        said.push("redact: exec in a container shows the values all the same".to_owned());
    }
    if role.allowed.contains(Operation::ContainerCreate) {
        said.push(
            "redact: a tool that makes a container again from an inspected one writes the mask into it".to_owned(),
        );
    }
    said
}

fn networks(scope: &RoleScope) -> Option<String> {
    let shared: Vec<String> = scope
        .networks
        .iter()
        .filter(|name| *name != "none")
        .cloned()
        .collect();
    match shared.is_empty() {
        true => Some(format!(
            "scope: \"{DEFAULT_NETWORK}\" is not shared, so a container must name a network of its owner's"
        )),
        false => Some(format!(
            "scope: containers of all owners reach each other on the networks {}",
            listed(&shared)
        )),
    }
}

/// One certificate of many: what the role binds, each of them does.
fn binds(scope: &RoleScope, limits: &Limits) -> Option<String> {
    let shared = scope.by == OwnedBy::Certificate && !limits.binds.is_empty();
    shared.then(|| {
        let binds: Vec<String> = limits.binds.iter().map(ToString::to_string).collect();
        format!(
            "scope: every owner of the role may bind the same host paths {}",
            listed(&binds)
        )
    })
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

/// Whether two roles with a scope bind a host path in common: what one owner writes there, the other reads.
#[must_use]
pub fn share_a_path(one: &Role, other: &Role) -> bool {
    let binds = |role: &Role| {
        let limits = role.limits.as_ref().filter(|_| role.scope.is_some());
        limits
            .map(|limits| limits.binds.clone())
            .unwrap_or_default()
    };
    let lies_in = |path: &str, base: &str| {
        let rest = path.strip_prefix(base);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let others = binds(other);
    binds(one).iter().any(|a| {
        let meets =
            |b: &crate::PathPattern| lies_in(a.base(), b.base()) || lies_in(b.base(), a.base());
        others.iter().any(meets)
    })
}

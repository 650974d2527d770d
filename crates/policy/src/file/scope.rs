//! `scope` and `[role.NAME.shared]`, and what a scope does not go together with.

use docker_api::Operation;
use toml::de::DeTable;

use super::{Node, PolicyReader};
use crate::operations::expand;
use crate::scope::budget::{Amounts, OwnerBudget, RESOURCES};
use crate::scope::{OwnedBy, RoleScope, ScopeAction};
use crate::{Client, Limits, Mode, Policy, Role, risk};

const NO_WALL: &str = "nobody is kept apart by a role that reaches the others by another way; remove it, or remove `scope`";

impl PolicyReader<'_> {
    /// The scope of a role, if it has one.
    pub(super) fn scope(&mut self, table: &DeTable<'_>) -> Option<RoleScope> {
        let Some(node) = table.get("scope") else {
            for key in ["shared", "redact", "budget", "default"] {
                if let Some(node) = table.get(key) {
                    let message = format!("{key}: expected `scope` beside it");
                    self.fault(node.span().start, message, None);
                }
            }
            return None;
        };
        let by = match self.text(node, "scope")? {
            "own" => OwnedBy::Certificate,
            "entry" => OwnedBy::Entry,
            _ => self.wrong(node, "scope", "\"own\" or \"entry\"")?,
        };
        let mut scope = RoleScope {
            by,
            networks: Vec::new(),
            volumes: Vec::new(),
            redact: self.redact(table),
            budget: OwnerBudget::default(),
            default: Amounts::default(),
        };
        if let Some(node) = table.get("budget") {
            scope.budget = self.budget(node);
        }
        if let Some(node) = table.get("default") {
            scope.default = self.grant(node);
            self.affordable(node, &scope);
        }
        if let Some(node) = table.get("shared") {
            self.shared(node, &mut scope);
        }
        Some(scope)
    }

    /// Names of variables; one that fits none would mask nothing.
    fn redact(&mut self, table: &DeTable<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for (at, name) in self.listed(table, "redact") {
            if name.is_empty() || name.contains(['=', '\0']) {
                let expected = "expected the name of a variable; `*` stands for any text";
                self.fault(at, format!("redact: {expected}"), None);
            }
            names.push(name);
        }
        names
    }

    /// A default above the budget would refuse every container that asks for nothing.
    fn affordable(&mut self, node: &Node<'_>, scope: &RoleScope) {
        for resource in RESOURCES {
            let (default, most) = (
                scope.default.get(resource),
                scope.budget.granted.get(resource),
            );
            if let (Some(default), Some(most)) = (default, most)
                && default > most
            {
                let message = format!(
                    "default.{}: {} is above the budget, {}",
                    resource.name(),
                    resource.shown(default),
                    resource.shown(most)
                );
                self.fault(node.span().start, message, None);
            }
        }
    }

    fn shared(&mut self, node: &Node<'_>, scope: &mut RoleScope) {
        let Some(table) = self.table(node, "shared") else {
            return;
        };
        self.known(table, &["networks", "volumes"], "shared");
        for (at, name) in self.listed(table, "networks") {
            if name == "host" {
                let message = "shared.networks: \"host\" is the engine's own network".to_owned();
                self.fault(at, message, None);
            } else if name.is_empty() || name.contains(['*', '?']) {
                let message = "shared.networks: expected the name of a network".to_owned();
                self.fault(at, message, None);
            }
            scope.networks.push(name);
        }
        for (at, name) in self.listed(table, "volumes") {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-*".contains(&b);
            if name.is_empty() || !name.bytes().all(plain) {
                let expected = "expected a volume's name; `*` stands for any text";
                self.fault(at, format!("shared.volumes: {expected}"), None);
            }
            scope.volumes.push(name);
        }
    }

    /// Entries whose name is an owner's must not share it.
    pub(super) fn own_name(&mut self, policy: &Policy, client: &Client, node: &Node<'_>) {
        let is_owner = |client: &Client| {
            let scope = policy
                .roles
                .get(client.role)
                .and_then(|role| role.scope.as_ref());
            scope.is_some_and(|scope| scope.by == OwnedBy::Entry)
        };
        let same = |other: &&Client| other.name == client.name && is_owner(other);
        if is_owner(client) && policy.clients.iter().any(|other| same(&other)) {
            let message = format!(
                "two entries are called {:?}, and would be one owner",
                client.name
            );
            let hint = "give each a `name` of its own";
            self.fault(node.span().start, message, Some(hint.into()));
        }
    }

    /// What a scope changes of the role that has it, with the faults of what it does not go together with.
    pub(super) fn scoped(&mut self, table: &DeTable<'_>, at: usize, role: &mut Role) {
        if role.scope.is_none() {
            return;
        }
        let refused = role
            .allowed
            .iter()
            .filter(|op| ScopeAction::of(*op) == ScopeAction::Refused);
        let refused: crate::OperationSet = refused.collect();
        role.allowed = role.allowed.minus(refused).union(self.prunes(table, role));
        let place = |key: &str| table.get(key).map_or(at, |node| node.span().start);
        let mut faults = Vec::new();
        if role.mode == Mode::Report {
            let message = "scope: expected mode = \"enforce\" in a role with a scope";
            faults.push((place("scope"), message.to_owned()));
        }
        // A directory of the role's own may be written all the same: `policy check` says what comes of it.
        let roads = risk::reach(role).root.into_iter();
        for road in roads.filter(|road| !road.contains(risk::BY_LINK)) {
            faults.push((place("limits"), format!("scope: {road}: leads to the host")));
        }
        for wide in role.limits.iter().flat_map(too_wide) {
            faults.push((place("limits"), format!("scope: limits.{wide}")));
        }
        if let Some(build) = &role.build {
            let shared = [
                ("history = \"all\"", build.all_history),
                ("usage = true", build.usage),
                ("prune = true", build.prune),
                ("cache_mounts = \"shared\"", build.shared_cache_mounts),
            ];
            for (key, _) in shared.iter().filter(|(_, is_set)| *is_set) {
                let message = format!("scope: build.{key}: shows or changes what others build");
                faults.push((place("build"), message));
            }
        }
        for (from, pattern) in self.listed(table, "allow") {
            let refused = |set: crate::OperationSet| {
                !set.is_empty()
                    && set
                        .iter()
                        .all(|op| ScopeAction::of(op) == ScopeAction::Refused)
            };
            if expand(&pattern).is_ok_and(refused) {
                let message = format!("scope: allow: \"{pattern}\" is refused in a scope");
                faults.push((from, message));
            }
        }
        for (at, message) in faults {
            self.fault(at, message, Some(NO_WALL.to_owned()));
        }
        if let Some(limits) = &mut role.limits {
            // The owner's own containers alone can be named.
            limits.join_containers = true;
        }
    }
}

/// A prune of a scope removes what the owner could remove one by one, so who may do that may prune.
const PRUNES: [(Operation, &[Operation]); 3] = [
    (
        Operation::ContainerDelete,
        &[
            Operation::ContainerPrune,
            Operation::ImagePrune,
            Operation::BuildPrune,
        ],
    ),
    (Operation::NetworkDelete, &[Operation::NetworkPrune]),
    (Operation::VolumeDelete, &[Operation::VolumePrune]),
];

impl PolicyReader<'_> {
    /// The prunes that come with what a role may remove, without those that it denies. A wrong pattern is a fault already.
    fn prunes(&mut self, table: &DeTable<'_>, role: &Role) -> crate::OperationSet {
        let removes = PRUNES.iter().filter(|(op, _)| role.allowed.contains(*op));
        let prunes: crate::OperationSet =
            removes.flat_map(|(_, prunes)| *prunes).copied().collect();
        let denied = self.listed(table, "deny").into_iter();
        denied
            .filter_map(|(_, pattern)| expand(&pattern).ok())
            .fold(prunes, crate::OperationSet::minus)
    }
}

/// Limits that others could be reached by.
fn too_wide(limits: &Limits) -> Vec<String> {
    let mut wide = Vec::new();
    if !limits.host_namespaces.is_empty() {
        wide.push("host_namespaces: the host's processes and networks are everybody's".to_owned());
    }
    if limits.join_containers {
        wide.push("join_containers: a scope joins the owner's own containers by itself".to_owned());
    }
    if limits.buildkit {
        wide.push("buildkit: an opaque tunnel; write [build] instead".to_owned());
    }
    let depth = |pattern: &crate::PathPattern| pattern.base().split('/').skip(1).count();
    for pattern in limits.binds.iter().filter(|pattern| depth(pattern) < 2) {
        wide.push(format!(
            "binds: \"{pattern}\": expected a directory of the role's own, at least two names deep"
        ));
    }
    wide
}

//! `[role.NAME]` and its limits.

use toml::de::{DeTable, DeValue};

use crate::build::Build;
use crate::limits::{LimitKey, Limits};
use crate::operations::{OperationSet, expand};
use crate::{Mode, Role, roles, toggles};
use docker_api::Operation;

use super::nearest;
use super::{Node, PolicyReader, Values};

/// The keys of a role.
const KEYS: &[&str] = &[
    "base",
    "allow",
    "deny",
    "mode",
    "target_check",
    "toggles",
    "limits",
    "build",
    "scope",
    "shared",
    "redact",
    "budget",
    "default",
];

impl PolicyReader<'_> {
    pub(super) fn role(&mut self, name: &str, node: &Node<'_>, mode: Mode) -> Option<Role> {
        let table = self.table(node, "role")?;
        let at = node.span().start;
        self.known(table, KEYS, "[role]");
        let (base, mut allowed) = self.base(table)?;
        let mut opaque = Vec::new();
        if let Some(node) = table.get("toggles") {
            allowed = allowed.union(self.toggles(node, &mut opaque));
        }
        allowed = allowed.union(self.patterns(table, "allow"));
        let denied = self.patterns(table, "deny");
        allowed = allowed.minus(denied);
        let mode = table
            .get("mode")
            .and_then(|node| self.mode(node))
            .unwrap_or(mode);
        let target_check = table
            .get("target_check")
            .and_then(|node| self.boolean(node, "target_check"))
            .unwrap_or(true);
        let before = self.faults.len();
        let limits = table
            .get("limits")
            .and_then(|node| self.limits(node))
            .unwrap_or_default();
        let build = table
            .get("build")
            .and_then(|node| self.build(node, &limits));
        // A limit whose name or value is wrong may be the one that is missed: what follows from that is not told too.
        let is_read = self.faults.len() == before;
        for (at, pattern) in self.listed(table, "allow") {
            if matches!(pattern.as_str(), "build.session" | "build.grpc") {
                opaque.push((at, format!("allow: \"{pattern}\"")));
            }
        }
        let opaque = if is_read { opaque } else { Vec::new() };
        self.tunnels(table, (&limits, build.is_some()), opaque);
        allowed = with_builds(allowed, denied, &limits, build.as_ref());
        let mut role = Role::new(name, base, allowed, Some(limits));
        role.mode = mode;
        role.target_check = target_check;
        role.line = self.line(at);
        role.build = build;
        role.denied = denied;
        role.scope = self.scope(table);
        role.toggled = table.contains_key("toggles");
        self.scoped(table, at, &mut role);
        if let Some(problem) = role.problem().filter(|_| is_read) {
            let hint = format!(
                "write [role.{name}.limits] with tags = [\"registry.example.com/team/**\"], or deny those operations"
            );
            self.fault(at, problem, Some(hint));
        }
        Some(role)
    }

    /// The built-in role that it begins with, and that one's operations.
    fn base<'t>(&mut self, table: &'t DeTable<'_>) -> Option<(&'t str, OperationSet)> {
        const NONE: (&str, OperationSet) = ("none", OperationSet::EMPTY);
        let Some(node) = table.get("base") else {
            return Some(NONE);
        };
        let text = self.text(node, "base")?;
        if let Some(set) = roles::operations(text) {
            return Some((text, set));
        }
        let near = nearest(text, roles::NAMES.iter().copied());
        let message = format!("base: \"{text}\" is not a built-in role");
        self.fault(node.span().start, message, near);
        Some(NONE)
    }

    /// The operations that the toggles grant; those that open a tunnel nobody looks into are added to `opaque`.
    fn toggles(&mut self, node: &Node<'_>, opaque: &mut Vec<(usize, String)>) -> OperationSet {
        let mut switches = Vec::new();
        for (key, value) in self.table(node, "toggles").into_iter().flatten() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if !toggles::NAMES.contains(&name) {
                let near = nearest(name, toggles::NAMES.iter().copied());
                self.fault(at, format!("toggles: \"{name}\" is unknown"), near);
            }
            let on = match value.get_ref() {
                DeValue::Boolean(on) => *on,
                DeValue::Integer(number) if matches!(number.as_str(), "0" | "1") => {
                    number.as_str() == "1"
                }
                _ => self
                    .wrong(value, name, "0, 1, true or false")
                    .unwrap_or(false),
            };
            switches.push((name, on));
            if on && toggles::opaque(name) {
                opaque.push((at, format!("toggles: \"{name}\"")));
            }
        }
        toggles::combined(switches)
    }

    /// The operations that the patterns below `key` name.
    fn patterns(&mut self, table: &DeTable<'_>, key: &'static str) -> OperationSet {
        let mut all = OperationSet::default();
        for (at, pattern) in self.listed(table, key) {
            match expand(&pattern) {
                Ok(set) => all = all.union(set),
                Err(problem) => self.fault(at, format!("{key}: {problem}"), None),
            }
        }
        all
    }

    /// A tunnel that nobody looks into is granted by its limit alone, and not beside `[build]`.
    fn tunnels(
        &mut self,
        table: &DeTable<'_>,
        (limits, build): (&Limits, bool),
        opaque: Vec<(usize, String)>,
    ) {
        if let (Some(node), true) = (table.get("build"), limits.buildkit) {
            let hint = "remove `buildkit = true`: [build] grants BuildKit, and judges it";
            let message = "build: limits.buildkit grants the same unseen".to_owned();
            self.fault(node.span().start, message, Some(hint.into()));
        }
        if limits.buildkit || build {
            return;
        }
        for (at, what) in opaque {
            let hint = "nothing inside the tunnel can be judged; write `buildkit = true` in the role's limits to grant it";
            self.fault(at, format!("{what} is an opaque tunnel"), Some(hint.into()));
        }
    }

    fn limits(&mut self, node: &Node<'_>) -> Option<Limits> {
        let table = self.table(node, "limits")?;
        let names: Vec<_> = LimitKey::ALL.iter().map(|key| key.name()).collect();
        self.known(table, &names, "limits");
        let mut limits = Limits::default();
        for key in LimitKey::ALL {
            if let Some(node) = table.get(key.name()) {
                limits
                    .of_mut(*key)
                    .read(&mut Values::new(self, node, key.name()));
            }
        }
        Some(limits)
    }
}

/// The operations of a role, with those that its way to build brings and without those that it closes.
fn with_builds(
    mut allowed: OperationSet,
    denied: OperationSet,
    limits: &Limits,
    build: Option<&Build>,
) -> OperationSet {
    let tunnels: OperationSet = [Operation::BuildSession, Operation::BuildGrpc]
        .into_iter()
        .collect();
    if limits.buildkit || build.is_some() {
        allowed = allowed.union(tunnels);
    } else {
        // Wildcards do not open what cannot be looked into; the opaque grant has a key of its own.
        allowed = allowed.minus(tunnels);
    }
    // buildx asks the registry for the digest of what it has pushed.
    if build.is_some_and(|build| !build.push.is_empty()) {
        let digest: OperationSet = [Operation::DistributionInspect].into_iter().collect();
        allowed = allowed.union(digest.minus(denied));
    }
    if build.is_some_and(|build| !build.classic) {
        allowed = allowed.minus([Operation::ImageBuild].into_iter().collect());
    }
    allowed
}

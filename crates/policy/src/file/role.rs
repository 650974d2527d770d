//! `[role.NAME]` and its limits.

use toml::de::DeValue;

use crate::limits::{LimitKey, Limits};
use crate::operations::{OperationSet, expand};
use crate::{Mode, Role, roles, toggles};
use docker_api::Operation;

use super::node::nearest;
use super::{Node, PolicyReader, Values};

impl PolicyReader<'_> {
    pub(super) fn role(&mut self, name: &str, node: &Node<'_>, mode: Mode) -> Option<Role> {
        let table = self.table(node, "role")?;
        let at = node.span().start;
        self.known(
            table,
            &[
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
            ],
            "[role]",
        );
        let mut base = "none".to_owned();
        let mut allowed = OperationSet::EMPTY;
        if let Some(node) = table.get("base") {
            let text = self.text(node, "base")?;
            match roles::operations(text) {
                Some(set) => {
                    base = text.to_owned();
                    allowed = set;
                }
                None => {
                    let near = nearest(text, roles::NAMES.iter().copied());
                    self.fault(
                        node.span().start,
                        format!("base: \"{text}\" is no built-in role"),
                        near,
                    );
                }
            }
        }
        let mut opaque = Vec::new();
        if let Some(node) = table.get("toggles") {
            let mut switches = Vec::new();
            for (key, value) in self.table(node, "toggles").into_iter().flatten() {
                let name = key.get_ref().as_ref();
                if !toggles::NAMES.contains(&name) {
                    let near = nearest(name, toggles::NAMES.iter().copied());
                    self.fault(
                        key.span().start,
                        format!("toggles: \"{name}\" is unknown"),
                        near,
                    );
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
                    opaque.push((key.span().start, format!("toggles: \"{name}\"")));
                }
            }
            allowed = allowed.union(toggles::combined(switches));
        }
        for (at, pattern) in self.listed(table, "allow") {
            match expand(&pattern) {
                Ok(set) => allowed = allowed.union(set),
                Err(problem) => self.fault(at, format!("allow: {problem}"), None),
            }
        }
        let mut denied = OperationSet::default();
        for (at, pattern) in self.listed(table, "deny") {
            match expand(&pattern) {
                Ok(set) => denied = denied.union(set),
                Err(problem) => self.fault(at, format!("deny: {problem}"), None),
            }
        }
        allowed = allowed.minus(denied);
        let mode = table
            .get("mode")
            .and_then(|node| self.mode(node))
            .unwrap_or(mode);
        let target_check = table
            .get("target_check")
            .and_then(|node| self.boolean(node, "target_check"))
            .unwrap_or(true);
        let limits = table
            .get("limits")
            .and_then(|node| self.limits(node))
            .unwrap_or_default();
        let build = table
            .get("build")
            .and_then(|node| self.build(node, &limits));
        if let (Some(node), true) = (table.get("build"), limits.buildkit) {
            let hint = "remove `buildkit = true`: [build] grants BuildKit, and judges it";
            let message = "build: limits.buildkit grants the same unseen".to_owned();
            self.fault(node.span().start, message, Some(hint.into()));
        }
        for (at, pattern) in self.listed(table, "allow") {
            if matches!(pattern.as_str(), "build.session" | "build.grpc") {
                opaque.push((at, format!("allow: \"{pattern}\"")));
            }
        }
        for (at, what) in opaque
            .into_iter()
            .filter(|_| !limits.buildkit && build.is_none())
        {
            let hint = "nothing inside the tunnel can be judged; write `buildkit = true` in the role's limits to grant it";
            self.fault(at, format!("{what} is an opaque tunnel"), Some(hint.into()));
        }
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
        if build.as_ref().is_some_and(|build| !build.push.is_empty()) {
            let digest: OperationSet = [Operation::DistributionInspect].into_iter().collect();
            allowed = allowed.union(digest.minus(denied));
        }
        if build.as_ref().is_some_and(|build| !build.classic) {
            allowed = allowed.minus([Operation::ImageBuild].into_iter().collect());
        }
        let mut role = Role::new(
            name,
            &base,
            allowed,
            Some(limits),
            mode,
            target_check,
            self.line(at),
        );
        role.build = build;
        role.scope = self.scope(table);
        role.toggled = table.contains_key("toggles");
        self.scoped(table, at, &mut role);
        if let Some(problem) = role.problem() {
            let hint = format!(
                "write [role.{name}.limits] with tags = [\"registry.example.com/team/**\"], or deny those operations"
            );
            self.fault(at, problem, Some(hint));
        }
        Some(role)
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

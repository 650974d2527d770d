//! `[role.NAME]` and its limits.

use toml::de::DeValue;

use crate::demand::Namespace;
use crate::hostpath::PathPattern;
use crate::limits::{CAPABILITIES, Limits};
use crate::operations::{OperationSet, expand};
use crate::subnet::Subnet;
use crate::{Mode, Role, roles, toggles};
use docker_api::Operation;
use docker_api::image::ImagePattern;

use super::node::nearest;
use super::{Node, Reader};

impl Reader<'_> {
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
        for (at, pattern) in self.listed(table, "deny") {
            match expand(&pattern) {
                Ok(set) => allowed = allowed.minus(set),
                Err(problem) => self.fault(at, format!("deny: {problem}"), None),
            }
        }
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
        for (at, pattern) in self.listed(table, "allow") {
            if matches!(pattern.as_str(), "build.session" | "build.grpc") {
                opaque.push((at, format!("allow: \"{pattern}\"")));
            }
        }
        for (at, what) in opaque.into_iter().filter(|_| !limits.buildkit) {
            let hint = "nothing inside the tunnel can be judged; write `buildkit = true` in the role's limits to grant it";
            self.fault(at, format!("{what} is an opaque tunnel"), Some(hint.into()));
        }
        let tunnels: OperationSet = [Operation::BuildSession, Operation::BuildGrpc]
            .into_iter()
            .collect();
        if limits.buildkit {
            allowed = allowed.union(tunnels);
        } else {
            // Wildcards do not open what cannot be looked into; the opaque grant has a key of its own.
            allowed = allowed.minus(tunnels);
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
        role.toggled = table.contains_key("toggles");
        if let Some(problem) = role.problem() {
            let hint = format!(
                "write [role.{name}.limits] with tags = [\"registry.example.com/team/**\"], or deny those operations"
            );
            self.fault(at, problem, Some(hint));
        }
        Some(role)
    }

    pub(super) fn limits(&mut self, node: &Node<'_>) -> Option<Limits> {
        const KEYS: &[&str] = &[
            "privileged",
            "host_namespaces",
            "join_containers",
            "binds",
            "volumes",
            "capabilities",
            "devices",
            "device_requests",
            "images",
            "tags",
            "security_opts",
            "runtimes",
            "sysctls",
            "annotations",
            "groups",
            "log_drivers",
            "network_drivers",
            "subnets",
            "buildkit",
            "unknown_fields",
        ];
        let table = self.table(node, "limits")?;
        self.known(table, KEYS, "limits");
        let mut limits = Limits::default();
        for (key, flag) in [
            ("privileged", &mut limits.privileged),
            ("join_containers", &mut limits.join_containers),
            ("buildkit", &mut limits.buildkit),
        ] {
            if let Some(value) = table.get(key).and_then(|node| self.boolean(node, key)) {
                *flag = value;
            }
        }
        for (key, list) in [
            ("volumes", &mut limits.volumes),
            ("devices", &mut limits.devices),
            ("device_requests", &mut limits.device_requests),
            ("security_opts", &mut limits.security_opts),
            ("runtimes", &mut limits.runtimes),
            ("sysctls", &mut limits.sysctls),
            ("annotations", &mut limits.annotations),
            ("groups", &mut limits.groups),
            ("log_drivers", &mut limits.log_drivers),
            ("network_drivers", &mut limits.network_drivers),
        ] {
            if let Some(node) = table.get(key) {
                *list = self
                    .texts(node, key)
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect();
            }
        }
        for (at, value) in table
            .get("unknown_fields")
            .map(|node| self.unknown_fields(node))
            .unwrap_or_default()
        {
            if value.is_empty() {
                self.fault(
                    at,
                    "unknown_fields: expected a field's path such as \"HostConfig.NewThing\""
                        .into(),
                    None,
                );
            }
            limits.unknown_fields.push(value);
        }
        for (at, value) in self.listed(table, "capabilities") {
            let upper = value.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if !CAPABILITIES.contains(&name) {
                let near = nearest(name, CAPABILITIES.iter().copied());
                self.fault(
                    at,
                    format!("capabilities: \"{value}\" is no capability"),
                    near,
                );
            }
            limits.capabilities.push(name.to_owned());
        }
        for (at, value) in self.listed(table, "host_namespaces") {
            match Namespace::from_name(&value) {
                Some(namespace) => limits.host_namespaces.push(namespace),
                None => {
                    let near = nearest(
                        &value,
                        Namespace::ALL.iter().map(|namespace| namespace.name()),
                    );
                    self.fault(
                        at,
                        format!("host_namespaces: \"{value}\" is no namespace"),
                        near,
                    );
                }
            }
        }
        for (at, value) in self.listed(table, "binds") {
            match PathPattern::parse(&value) {
                Ok(pattern) => limits.binds.push(pattern),
                Err(problem) => {
                    self.fault(at, format!("binds: {problem}, found \"{value}\""), None);
                }
            }
        }
        for (at, value) in self.listed(table, "subnets") {
            match Subnet::parse(&value) {
                Some(subnet) => limits.subnets.push(subnet),
                None => self.fault(
                    at,
                    format!("subnets: expected one such as \"10.20.0.0/16\", found \"{value}\""),
                    None,
                ),
            }
        }
        if let Some(node) = table.get("images") {
            limits.images = self.images(node, "images");
        }
        if let Some(node) = table.get("tags") {
            limits.tags = Some(self.images(node, "tags"));
        }
        Some(limits)
    }

    pub(super) fn unknown_fields(&mut self, node: &Node<'_>) -> Vec<(usize, String)> {
        match node.get_ref() {
            DeValue::String(text) if text == "deny" => Vec::new(),
            DeValue::Array(_) => self.texts(node, "unknown_fields"),
            _ => {
                self.fault(
                    node.span().start,
                    "unknown_fields: expected \"deny\" or a list of paths".into(),
                    None,
                );
                Vec::new()
            }
        }
    }

    pub(super) fn images(&mut self, node: &Node<'_>, key: &str) -> Vec<ImagePattern> {
        let mut patterns = Vec::new();
        for (at, value) in self.texts(node, key) {
            match ImagePattern::parse(&value) {
                Ok(pattern) => patterns.push(pattern),
                Err(problem) => {
                    self.fault(at, format!("{key}: {problem}, found \"{value}\""), None);
                }
            }
        }
        patterns
    }
}

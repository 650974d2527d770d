//! The policy file (TOML): read strictly, so that a misspelt key cannot silently widen or narrow a role.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::docker::Operation;

use super::client::Matcher;
use super::demand::Namespace;
use super::error::{Fault, PolicyError};
use super::hostpath::PathPattern;
use super::image::ImagePattern;
use super::limits::Limits;
use super::operations::{OperationSet, expand};
use super::{Client, DEFAULT_MAX_BODY, Mode, Policy, Role, roles, toggles};

type Node<'d> = Spanned<DeValue<'d>>;

/// Reads a policy; `file` is its name in messages.
///
/// # Errors
/// [`PolicyError::Invalid`] with every fault found.
pub(super) fn parse(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let mut reader = Reader {
        text,
        faults: Vec::new(),
    };
    let policy = match DeTable::parse(text) {
        Ok(table) => reader.policy(table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, error.message().to_owned(), None);
            None
        }
    };
    match policy {
        Some(policy) if reader.faults.is_empty() => Ok(policy),
        _ => {
            reader.faults.sort_by_key(|fault| fault.line);
            Err(PolicyError::Invalid {
                file: file.to_owned(),
                faults: reader.faults,
            })
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
    }

    fn fault(&mut self, at: usize, message: String, hint: Option<String>) {
        self.faults.push(Fault {
            line: self.line(at),
            message,
            hint,
        });
    }

    fn policy(&mut self, table: &DeTable<'_>) -> Option<Policy> {
        self.known(
            table,
            &["version", "mode", "max_body", "client", "role"],
            "the file",
        );
        match table.get("version") {
            Some(node) if self.integer(node, "version") == Some(1) => {}
            Some(node) => self.fault(node.span().start, "version: expected 1".into(), None),
            None => self.fault(0, "version is missing, expected `version = 1`".into(), None),
        }
        let mode = table
            .get("mode")
            .and_then(|node| self.mode(node))
            .unwrap_or_default();
        let max_body = table
            .get("max_body")
            .and_then(|node| self.size(node))
            .unwrap_or(DEFAULT_MAX_BODY);
        let mut policy = Policy {
            clients: Vec::new(),
            roles: Vec::new(),
            max_body,
            open: false,
        };
        let mut names = BTreeMap::new();
        for name in roles::NAMES {
            names.insert((*name).to_owned(), policy.roles.len());
            policy.roles.push(Role::built_in(name, mode));
        }
        if let Some(node) = table.get("role") {
            for (name, node) in self.table(node, "role").into_iter().flatten() {
                let name = name.get_ref().as_ref();
                if roles::NAMES.contains(&name) {
                    let hint = format!("choose another name and write `base = \"{name}\"`");
                    self.fault(
                        node.span().start,
                        format!("role \"{name}\" is built in"),
                        Some(hint),
                    );
                } else if let Some(role) = self.role(name, node, mode) {
                    names.insert(name.to_owned(), policy.roles.len());
                    policy.roles.push(role);
                }
            }
        }
        match table.get("client") {
            Some(node) => {
                let entries = self.list(node, "client");
                for entry in entries.into_iter().flatten() {
                    if let Some(client) =
                        self.client(entry, &names, policy.clients.len(), &policy.roles)
                    {
                        policy.clients.push(client);
                    }
                }
            }
            None => self.fault(
                0,
                "no [[client]] entry: nobody could do anything".into(),
                None,
            ),
        }
        Some(policy)
    }

    fn client(
        &mut self,
        node: &Node<'_>,
        roles: &BTreeMap<String, usize>,
        index: usize,
        all: &[Role],
    ) -> Option<Client> {
        let table = self.table(node, "client")?;
        let at = node.span().start;
        self.known(table, &["name", "match", "role"], "[[client]]");
        let matcher = match table.get("match") {
            Some(node) => self.matcher(node),
            None => {
                let hint = "for every certificate, write `match = { any = true }`";
                self.fault(at, "client: `match` is missing".into(), Some(hint.into()));
                None
            }
        };
        let Some(node) = table.get("role") else {
            self.fault(at, "client: `role` is missing".into(), None);
            return None;
        };
        let role = self.text(node, "role")?;
        let Some(&number) = roles.get(role) else {
            let near = nearest(role, roles.keys().map(String::as_str));
            self.fault(
                node.span().start,
                format!("role \"{role}\" does not exist"),
                near,
            );
            return None;
        };
        if let Some(problem) = all.get(number).and_then(Role::problem) {
            let hint = format!(
                "write [role.NAME] with `base = \"{role}\"` and [role.NAME.limits] with tags"
            );
            self.fault(node.span().start, problem, Some(hint));
        }
        let matcher = matcher?;
        let named = table
            .get("name")
            .and_then(|node| self.text(node, "name"))
            .map(str::to_owned);
        let name = named.unwrap_or_else(|| default_name(&matcher, index));
        Some(Client {
            name,
            matcher,
            role: number,
            line: self.line(at),
        })
    }

    fn matcher(&mut self, node: &Node<'_>) -> Option<Matcher> {
        const KEYS: &[&str] = &[
            "any",
            "cn",
            "o",
            "ou",
            "dns",
            "email",
            "uri",
            "spiffe",
            "spki",
            "issuer_spki",
        ];
        let table = self.table(node, "match")?;
        self.known(table, KEYS, "match");
        let before = self.faults.len();
        let mut matcher = Matcher::default();
        if let Some(node) = table.get("any") {
            matcher.any = self.boolean(node, "any")?;
            if !matcher.any || table.len() > 1 {
                self.fault(
                    node.span().start,
                    "any: expected `any = true` and no other key".into(),
                    None,
                );
            }
        }
        for (key, list) in [
            ("cn", &mut matcher.common_names),
            ("o", &mut matcher.organizations),
            ("ou", &mut matcher.organizational_units),
            ("dns", &mut matcher.dns),
            ("email", &mut matcher.emails),
            ("uri", &mut matcher.uris),
            ("spiffe", &mut matcher.spiffe),
        ] {
            let Some(node) = table.get(key) else { continue };
            for (at, value) in self.texts(node, key) {
                if let Some(problem) = pattern_problem(key, &value) {
                    self.fault(at, format!("{key}: {problem}, found \"{value}\""), None);
                }
                list.push(value);
            }
        }
        for (key, list) in [
            ("spki", &mut matcher.spki),
            ("issuer_spki", &mut matcher.issuer_spki),
        ] {
            let Some(node) = table.get(key) else { continue };
            for (at, value) in self.texts(node, key) {
                match pin(&value) {
                    Some(pin) => list.push(pin),
                    None => {
                        let hint = "`dockgate certs show` prints it".to_owned();
                        let expected = format!(
                            "{key}: expected \"sha256:\" and 32 bytes in base64 or hex, found \"{value}\""
                        );
                        self.fault(at, expected, Some(hint));
                    }
                }
            }
        }
        if matcher.is_empty() && self.faults.len() == before {
            let hint = "for every certificate, write `match = { any = true }`";
            self.fault(
                node.span().start,
                "match: expected at least one key".into(),
                Some(hint.into()),
            );
        }
        (self.faults.len() == before).then_some(matcher)
    }

    fn role(&mut self, name: &str, node: &Node<'_>, mode: Mode) -> Option<Role> {
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
        if let Some(node) = table.get("toggles") {
            let mut on = Vec::new();
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
                let switched = match value.get_ref() {
                    DeValue::Boolean(on) => *on,
                    _ => match self.integer(value, name) {
                        Some(number @ 0..=1) => number == 1,
                        _ => self
                            .wrong(value, name, "0, 1, true or false")
                            .unwrap_or(false),
                    },
                };
                if switched {
                    on.push(name);
                }
            }
            allowed = allowed.union(toggles::combined(on));
        }
        for (at, pattern) in table
            .get("allow")
            .map(|node| self.texts(node, "allow"))
            .unwrap_or_default()
        {
            match expand(&pattern) {
                Ok(set) => allowed = allowed.union(set),
                Err(problem) => self.fault(at, format!("allow: {problem}"), None),
            }
        }
        for (at, pattern) in table
            .get("deny")
            .map(|node| self.texts(node, "deny"))
            .unwrap_or_default()
        {
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
        for (at, pattern) in table
            .get("allow")
            .map(|node| self.texts(node, "allow"))
            .unwrap_or_default()
        {
            if matches!(pattern.as_str(), "build.session" | "build.grpc") && !limits.buildkit {
                let hint = "nothing inside the tunnel can be judged; write `buildkit = true` in the role's limits to grant it";
                self.fault(
                    at,
                    format!("allow: \"{pattern}\" is an opaque tunnel"),
                    Some(hint.into()),
                );
            }
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
        let role = Role::new(
            name,
            &base,
            allowed,
            Some(limits),
            mode,
            target_check,
            self.line(at),
        );
        if let Some(problem) = role.problem() {
            let hint = format!(
                "write [role.{name}.limits] with tags = [\"registry.example.com/team/**\"], or deny those operations"
            );
            self.fault(at, problem, Some(hint));
        }
        Some(role)
    }

    fn limits(&mut self, node: &Node<'_>) -> Option<Limits> {
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
        for (_, value) in table
            .get("capabilities")
            .map(|node| self.texts(node, "capabilities"))
            .unwrap_or_default()
        {
            let upper = value.to_ascii_uppercase();
            limits
                .capabilities
                .push(upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned());
        }
        for (at, value) in table
            .get("host_namespaces")
            .map(|node| self.texts(node, "host_namespaces"))
            .unwrap_or_default()
        {
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
        for (at, value) in table
            .get("binds")
            .map(|node| self.texts(node, "binds"))
            .unwrap_or_default()
        {
            match PathPattern::parse(&value) {
                Ok(pattern) => limits.binds.push(pattern),
                Err(problem) => {
                    self.fault(at, format!("binds: {problem}, found \"{value}\""), None);
                }
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

    fn unknown_fields(&mut self, node: &Node<'_>) -> Vec<(usize, String)> {
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

    fn images(&mut self, node: &Node<'_>, key: &str) -> Vec<ImagePattern> {
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

    fn known(&mut self, table: &DeTable<'_>, keys: &[&str], place: &str) {
        for (key, _) in table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let near = nearest(key.get_ref(), keys.iter().copied());
                self.fault(
                    key.span().start,
                    format!("unknown key \"{}\" in {place}", key.get_ref()),
                    near,
                );
            }
        }
    }

    fn table<'n, 'd>(&mut self, node: &'n Node<'d>, key: &str) -> Option<&'n DeTable<'d>> {
        match node.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong(node, key, "a table"),
        }
    }

    fn list<'n, 'd>(&mut self, node: &'n Node<'d>, key: &str) -> Option<&'n toml::de::DeArray<'d>> {
        match node.get_ref() {
            DeValue::Array(list) => Some(list),
            _ => self.wrong(node, key, "[[client]] entries"),
        }
    }

    fn text<'n>(&mut self, node: &'n Node<'_>, key: &str) -> Option<&'n str> {
        match node.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong(node, key, "a string"),
        }
    }

    /// A string, or a list of strings, each with its offset.
    fn texts(&mut self, node: &Node<'_>, key: &str) -> Vec<(usize, String)> {
        match node.get_ref() {
            DeValue::String(text) => vec![(node.span().start, text.to_string())],
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| Some((item.span().start, self.text(item, key)?.to_owned())))
                .collect(),
            _ => self
                .wrong(node, key, "a string or a list of strings")
                .unwrap_or_default(),
        }
    }

    fn boolean(&mut self, node: &Node<'_>, key: &str) -> Option<bool> {
        match node.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong(node, key, "true or false"),
        }
    }

    fn integer(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
        match node.get_ref() {
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix()).ok(),
            _ => self.wrong(node, key, "a whole number"),
        }
    }

    fn mode(&mut self, node: &Node<'_>) -> Option<Mode> {
        match self.text(node, "mode")? {
            "enforce" => Some(Mode::Enforce),
            "report" => Some(Mode::Report),
            _ => self.wrong(node, "mode", "\"enforce\" or \"report\""),
        }
    }

    /// Bytes as a number, or text with KiB or MiB.
    fn size(&mut self, node: &Node<'_>) -> Option<usize> {
        let bytes = match node.get_ref() {
            DeValue::String(text) => {
                let (digits, unit) = text.split_at(
                    text.find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(text.len()),
                );
                let unit = match unit.trim() {
                    "" => Some(1),
                    "KiB" => Some(1 << 10),
                    "MiB" => Some(1 << 20),
                    _ => None,
                };
                digits
                    .parse::<usize>()
                    .ok()
                    .zip(unit)
                    .and_then(|(number, unit)| number.checked_mul(unit))
            }
            DeValue::Integer(_) => self
                .integer(node, "max_body")
                .and_then(|bytes| usize::try_from(bytes).ok()),
            _ => None,
        };
        match bytes {
            Some(bytes) if (1024..=64 << 20).contains(&bytes) => Some(bytes),
            _ => self.wrong(node, "max_body", "between \"1KiB\" and \"64MiB\""),
        }
    }

    fn wrong<T>(&mut self, node: &Node<'_>, key: &str, expected: &str) -> Option<T> {
        self.fault(
            node.span().start,
            format!("{key}: expected {expected}"),
            None,
        );
        None
    }
}

fn default_name(matcher: &Matcher, index: usize) -> String {
    let lists = [
        &matcher.common_names,
        &matcher.spiffe,
        &matcher.uris,
        &matcher.dns,
        &matcher.emails,
        &matcher.organizational_units,
    ];
    match lists.into_iter().flatten().next() {
        Some(name) => name.clone(),
        None if matcher.any => "any".into(),
        None => format!("client {}", index + 1),
    }
}

fn pattern_problem(key: &str, value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("expected a name");
    }
    match key {
        "cn" | "o" | "ou" if value.contains('*') => {
            Some("names are compared whole, `*` has no meaning here")
        }
        "dns" if value.strip_prefix("*.").unwrap_or(value).contains('*') => {
            Some("`*.` may only stand first")
        }
        "email" if !value.contains('@') => Some("expected an address, or \"*@example.com\""),
        "spiffe" if !value.starts_with("spiffe://") => Some("expected \"spiffe://…\""),
        "uri" | "spiffe" => {
            let parts: Vec<&str> = value.split('/').collect();
            let last = parts.len() - 1;
            let odd = parts.iter().enumerate().any(|(i, part)| {
                part.contains('*') && *part != "*" && !(*part == "**" && i == last)
            });
            odd.then_some("`*` is one whole segment, `**` stands only at the end")
        }
        _ => None,
    }
}

/// `sha256:` and 32 bytes, in base64 or hexadecimal.
pub fn pin(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?;
    let decoded = match digits.len() {
        64 => HEXLOWER_PERMISSIVE.decode(digits.as_bytes()),
        44 => BASE64.decode(digits.as_bytes()),
        _ => BASE64_NOPAD.decode(digits.as_bytes()),
    };
    decoded.ok()?.try_into().ok()
}

fn nearest<'k>(word: &str, among: impl Iterator<Item = &'k str>) -> Option<String> {
    among
        .map(|known| (strsim::jaro_winkler(known, word), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.75)
        .map(|(_, known)| format!("did you mean \"{known}\"?"))
}

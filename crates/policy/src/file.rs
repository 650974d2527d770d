//! The policy file (TOML): read strictly, so that a misspelt key cannot silently widen or narrow a role.

mod budget;
mod build;
mod role;
mod scope;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use toml::de::DeTable;

use super::client::Matcher;
use super::error::PolicyError;
use super::{Client, DEFAULT_MAX_BODY, Policy, Role, roles};
use crate::reader::{Node, PolicyReader, Values, nearest};

/// The longest policy file that is read.
const LARGEST: u64 = 4 << 20;

/// The text of a policy file, never more than anybody writes.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is over 4 MiB, the most that is read"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Reads a policy; `file` is its name in messages.
///
/// # Errors
/// [`PolicyError::Invalid`] with every fault found.
pub(super) fn parse(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let mut reader = PolicyReader {
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

impl PolicyReader<'_> {
    fn policy(&mut self, table: &DeTable<'_>) -> Option<Policy> {
        if table.is_empty() {
            let expected = "nothing is in it, expected `version = 1` and `[[client]]` entries";
            self.fault(0, expected.to_owned(), None);
            return None;
        }
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
            mode,
            protected: std::sync::Arc::default(),
            open: false,
        };
        let mut names = BTreeMap::new();
        for name in roles::NAMES {
            names.insert((*name).to_owned(), policy.roles.len());
            policy.roles.push(Role::built_in(name, mode));
        }
        let mut written = Vec::new();
        if let Some(node) = table.get("role") {
            for (name, node) in self.table(node, "role").into_iter().flatten() {
                let name = name.get_ref().as_ref();
                written.push(name);
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
        self.clients(table, (&names, &written), &mut policy);
        Some(policy)
    }

    fn clients(
        &mut self,
        table: &DeTable<'_>,
        (roles, written): (&BTreeMap<String, usize>, &[&str]),
        policy: &mut Policy,
    ) {
        let Some(node) = table.get("client") else {
            return self.fault(0, NO_ENTRY.into(), None);
        };
        let entries = self.list(node, "client");
        if entries.is_some_and(|entries| entries.is_empty()) {
            self.fault(node.span().start, NO_ENTRY.into(), None);
        }
        for entry in entries.into_iter().flatten() {
            let client = self.client(entry, (roles, written), policy.clients.len(), &policy.roles);
            if let Some(client) = client {
                self.own_name(policy, &client, entry);
                policy.clients.push(client);
            }
        }
    }

    fn client(
        &mut self,
        node: &Node<'_>,
        (roles, written): (&BTreeMap<String, usize>, &[&str]),
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
            // A role that is there, and could not be read, has been told so.
            if written.contains(&role) {
                return None;
            }
            let near = nearest(role, roles.keys().map(String::as_str));
            self.fault(
                node.span().start,
                format!("role \"{role}\" does not exist"),
                near,
            );
            return None;
        };
        // A role of the file has been told so already.
        let built_in = all.get(number).filter(|role| role.line == 0);
        if let Some(problem) = built_in.and_then(Role::problem) {
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
        let before = self.faults.len();
        self.known(table, KEYS, "match");
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
            self.names(node, key, list);
        }
        for (key, list) in [
            ("spki", &mut matcher.spki),
            ("issuer_spki", &mut matcher.issuer_spki),
        ] {
            if let Some(node) = table.get(key) {
                self.pins(node, key, list);
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

    fn names(&mut self, node: &Node<'_>, key: &str, list: &mut Vec<String>) {
        for (at, value) in self.choices(node, key) {
            if let Some(problem) = pattern_problem(key, &value) {
                let found = text::escape::quoted(&value);
                self.fault(at, format!("{key}: {problem}, found {found}"), None);
            }
            list.push(value);
        }
    }

    fn pins(&mut self, node: &Node<'_>, key: &str, list: &mut Vec<[u8; 32]>) {
        for (at, value) in self.choices(node, key) {
            match pin(&value) {
                Some(pin) => list.push(pin),
                None => {
                    let hint = "`dockgate certs show` prints it".to_owned();
                    let expected = format!(
                        "{key}: expected \"sha256:\" and 32 bytes in base64 or hex, found {}",
                        text::escape::quoted(&value)
                    );
                    self.fault(at, expected, Some(hint));
                }
            }
        }
    }
}

/// A policy without entries is a mistake.
const NO_ENTRY: &str = "no `[[client]]` entry: every request would be denied";

fn default_name(matcher: &Matcher, index: usize) -> String {
    match matcher.names().first() {
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
            Some("`*.` may only come first")
        }
        "email" if !value.contains('@') => Some("expected an address, or \"*@example.com\""),
        "spiffe" if !value.starts_with("spiffe://") => Some("expected \"spiffe://…\""),
        "uri" | "spiffe" => {
            let parts: Vec<&str> = value.split('/').collect();
            let last = parts.len() - 1;
            let odd = parts.iter().enumerate().any(|(i, part)| {
                part.contains('*') && *part != "*" && !(*part == "**" && i == last)
            });
            odd.then_some("`*` is one whole segment, `**` comes only at the end")
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

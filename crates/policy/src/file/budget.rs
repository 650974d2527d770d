//! `[role.NAME.budget]` and `[role.NAME.default]`.

use toml::de::{DeTable, DeValue};

use super::{Node, PolicyReader};
use crate::limits::{BoundUnit, Bytes};
use crate::scope::budget::{Amounts, OwnerBudget, RESOURCES, Resource};

impl PolicyReader<'_> {
    /// Reads `budget`; a key that is missing is no limit.
    pub(super) fn budget(&mut self, node: &Node<'_>) -> OwnerBudget {
        let mut budget = OwnerBudget::default();
        let Some(table) = self.table(node, "budget") else {
            return budget;
        };
        let keys = [
            "containers",
            "memory",
            "cpus",
            "pids",
            "volumes",
            "networks",
        ];
        self.known(table, &keys, "budget");
        budget.granted = self.amounts(table, "budget");
        budget.containers = self.amount(table, "budget", "containers");
        budget.volumes = self.amount(table, "budget", "volumes");
        budget.networks = self.amount(table, "budget", "networks");
        budget
    }

    /// Reads `default`.
    pub(super) fn grant(&mut self, node: &Node<'_>) -> Amounts {
        let Some(table) = self.table(node, "default") else {
            return Amounts::default();
        };
        self.known(table, &["memory", "cpus", "pids"], "default");
        self.amounts(table, "default")
    }

    fn amounts(&mut self, table: &DeTable<'_>, place: &str) -> Amounts {
        let mut amounts = Amounts::default();
        for resource in RESOURCES {
            let Some(node) = table.get(resource.name()) else {
                continue;
            };
            let (amount, expected) = match (resource, node.get_ref()) {
                (Resource::Memory, DeValue::String(text)) => {
                    (Bytes::parse(text), "a size such as \"512m\" or \"8g\"")
                }
                (Resource::Memory, _) => (None, "a size such as \"512m\" or \"8g\""),
                (Resource::Cpus, DeValue::Float(number)) => (billionths(number.as_str()), CPUS),
                (Resource::Cpus, DeValue::Integer(number)) => (billionths(number.as_str()), CPUS),
                (Resource::Cpus, _) => (None, CPUS),
                (Resource::Pids, _) => (
                    self.integer(node, "pids")
                        .and_then(|n| u64::try_from(n).ok()),
                    "a whole number above 0",
                ),
            };
            let amount = amount.filter(|amount| *amount > 0);
            if amount.is_none() {
                let message = format!("{place}.{}: expected {expected}", resource.name());
                self.fault(node.span().start, message, None);
            }
            amounts.set(resource, amount);
        }
        amounts
    }

    fn amount(&mut self, table: &DeTable<'_>, place: &str, key: &str) -> Option<u64> {
        let node = table.get(key)?;
        let amount = match node.get_ref() {
            DeValue::Integer(_) => self.integer(node, key).and_then(|n| u64::try_from(n).ok()),
            _ => None,
        };
        if amount.is_none() {
            let message = format!("{place}.{key}: expected a whole number");
            self.fault(node.span().start, message, None);
        }
        amount
    }
}

const CPUS: &str = "a number of CPUs such as 4.0";

/// CPUs in billionths: digits, and at most nine behind a point.
fn billionths(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !is_plain(whole) || !is_plain(part) {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(part)
}

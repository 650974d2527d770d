//! What all containers, volumes and networks of an owner may come to, and what one asks for.
//!
//! What a container was granted is stamped on it as labels, so that one list answers the sum.

use std::fmt;

use docker_api::json::Value;

pub use crate::amounts::{Amounts, RESOURCES, Resource};
use crate::limits::option_for;
use crate::read::resources::{Most, Resources, beside};

/// The rule that a denial names.
pub const BUDGET_RULE: &str = "budget";

/// `[role.NAME.budget]`: sums over all that an owner has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerBudget {
    /// Containers, whether they run or not.
    pub containers: Option<u64>,
    /// What they are granted together.
    pub granted: Amounts,
    /// Volumes.
    pub volumes: Option<u64>,
    /// Networks.
    pub networks: Option<u64>,
}

/// What would pass a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdrawn {
    what: &'static str,
    asked: String,
    used: String,
    most: String,
    room: String,
}

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} asked for, {} of {} used; {} would fit",
            self.what, self.asked, self.used, self.most, self.room
        )
    }
}

/// Whether one more fits beside `used` of a resource.
///
/// # Errors
/// If the sum would be above the budget.
pub fn fits(
    resource: Resource,
    budget: &OwnerBudget,
    used: &Amounts,
    asked: &Amounts,
) -> Result<(), Overdrawn> {
    let Some(most) = budget.granted.get(resource) else {
        return Ok(());
    };
    let used = used.get(resource).unwrap_or(0);
    let asked = asked.get(resource).unwrap_or(u64::MAX);
    if used.saturating_add(asked) <= most {
        return Ok(());
    }
    let shown = |amount| resource.shown(amount);
    Err(Overdrawn {
        what: resource.name(),
        asked: shown(asked),
        used: shown(used),
        most: shown(most),
        room: shown(most.saturating_sub(used)),
    })
}

/// Whether `more` things of a kind fit beside those there are.
///
/// # Errors
/// If the count would be above the budget.
pub fn counts(
    what: &'static str,
    most: Option<u64>,
    used: u64,
    more: u64,
) -> Result<(), Overdrawn> {
    match most {
        Some(most) if used.saturating_add(more) > most => Err(Overdrawn {
            what,
            asked: more.to_string(),
            used: used.to_string(),
            most: most.to_string(),
            room: most.saturating_sub(used).to_string(),
        }),
        _ => Ok(()),
    }
}

/// What a new container is granted: what its `HostConfig` asks for, or the default. What is missing is unlimited.
///
/// # Errors
/// What is asked for in a way that would evade the sum.
pub fn granted(
    host: Option<&Value<'_>>,
    defaults: &Amounts,
    budget: &OwnerBudget,
) -> Result<Amounts, String> {
    let host = host.unwrap_or(&Value::Null);
    let read = Resources::of_new_container(host, defaults);
    let mut amounts = Amounts::default();
    for resource in RESOURCES {
        let part = read.of(resource);
        match part.most {
            Most::Of(amount) => amounts.set(resource, Some(amount)),
            _ if budget.granted.get(resource).is_none() => {}
            _ => {
                let mut text = format!(
                    "HostConfig.{}: expected a limit, since all of an owner's are summed",
                    part.field
                );
                if let Some(option) = option_for(resource.name(), part.field) {
                    let name = resource.name();
                    text += &format!("; name one with {option}, or give the role default.{name}");
                }
                return Err(text);
            }
        }
    }
    if budget.granted.get(Resource::Memory).is_some() {
        swaps(host, &read)?;
    }
    Ok(amounts)
}

/// Whether swap would let a container have more than its memory says: the engine gives as much again by itself.
fn swaps(host: &Value<'_>, read: &Resources) -> Result<(), String> {
    match (read.swap.most, read.memory.most) {
        (Most::Unchanged, _) => Ok(()),
        (Most::Of(swap), Most::Of(memory)) if swap <= memory => Ok(()),
        (_, memory) => {
            let asked = match host.get("MemorySwap") {
                Some(Value::Number(number)) => number.as_i64(),
                _ => None,
            };
            let most = match memory {
                Most::Of(memory) => memory.saturating_mul(2),
                _ => 0,
            };
            Err(format!(
                "MemorySwap={}: expected at most twice the memory, {}",
                asked.unwrap_or_default(),
                Resource::Memory.shown(most)
            ))
        }
    }
}

/// Whether an update leaves a container within what it was granted. The engine takes zero for "as it is".
///
/// # Errors
/// What it may not become.
pub fn lowers(body: &Value<'_>, budget: &OwnerBudget, granted: &Amounts) -> Result<(), String> {
    let mut read = Resources::of_update(body);
    for resource in RESOURCES {
        if budget.granted.get(resource).is_none() {
            continue;
        }
        let part = read.of(resource);
        let most = granted.get(resource).unwrap_or(0);
        let wrong = match part.most {
            Most::Unchanged => continue,
            Most::Of(amount) if amount <= most => continue,
            Most::Of(amount) => format!("{} asked for", resource.shown(amount)),
            Most::Unlimited => format!("{}: expected a limit", part.field),
            // The other one stays as it is, and what they come to is not known.
            Most::Unknown(missing) => format!("{}: expected {missing} beside it", part.field),
        };
        return Err(format!(
            "{}: {wrong}, {} granted when it was created",
            resource.name(),
            resource.shown(most)
        ));
    }
    if budget.granted.get(Resource::Memory).is_some() {
        if read.memory.most == Most::Unchanged {
            let memory = granted.get(Resource::Memory).unwrap_or(0);
            read.swap.most = beside(read.swap.most, Most::Of(memory));
            read.memory.most = Most::Of(memory);
        }
        swaps(body, &read)?;
    }
    Ok(())
}

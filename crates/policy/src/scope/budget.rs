//! What all containers, volumes and networks of an owner may come to, and what one asks for.
//!
//! What a container was granted is stamped on it as labels, so that one list answers the sum.

use std::fmt;

use docker_api::json::Value;

/// What is counted of containers, in the order of messages.
pub const RESOURCES: [Resource; 3] = [Resource::Memory, Resource::Cpus, Resource::Pids];

/// The rule that a denial names.
pub const BUDGET_RULE: &str = "budget";

/// Most of what an engine lets a container have in swap beside its memory, when nothing is asked for: as much again.
const SWAP: u64 = 2;

/// The period that holds where none is asked for, in microseconds.
const PERIOD: u64 = 100_000;

/// A thing that a container has a limited amount of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes.
    Memory,
    /// Billionths of a CPU.
    Cpus,
    /// Processes and threads.
    Pids,
}

impl Resource {
    /// The key in the file, and the end of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Cpus => "cpus",
            Resource::Pids => "pids",
        }
    }

    /// The label that says how much a container was granted.
    #[must_use]
    pub fn label(self) -> String {
        format!("dockgate.{}", self.name())
    }

    /// The field by which the engine is told.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Resource::Memory => "Memory",
            Resource::Cpus => "NanoCpus",
            Resource::Pids => "PidsLimit",
        }
    }

    /// An amount as people write it.
    #[must_use]
    pub fn shown(self, amount: u64) -> String {
        match self {
            Resource::Memory => bytes(amount),
            Resource::Cpus => {
                let text = format!("{}.{:09}", amount / 1_000_000_000, amount % 1_000_000_000);
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Resource::Pids => amount.to_string(),
        }
    }
}

/// Bytes in the largest unit that says them exactly, or nearly.
fn bytes(amount: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let one = 1u64 << shift;
        if amount >= one && amount.is_multiple_of(one) {
            return format!("{}{unit}", amount / one);
        }
        if amount >= one && shift > 10 {
            let tenths = amount / (one / 10);
            return format!("{}.{}{unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{amount}B")
}

/// Amounts of each resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts([Option<u64>; 3]);

impl Amounts {
    /// The amount of one.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Option<u64> {
        self.0[resource as usize]
    }

    /// Sets the amount of one.
    pub fn set(&mut self, resource: Resource, amount: Option<u64>) {
        self.0[resource as usize] = amount;
    }

    /// Adds the amounts of another; what is not said counts nothing. Sums do not overflow.
    pub fn add(&mut self, other: &Amounts) {
        for resource in RESOURCES {
            let sum = self.get(resource).unwrap_or(0);
            let more = other.get(resource).unwrap_or(0);
            self.set(resource, Some(sum.saturating_add(more)));
        }
    }

    /// Whether nothing is said of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

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

/// What a container asks for by its `HostConfig`, or by the body of an update. Zero and negative numbers ask for nothing: they mean
/// that there is no limit.
///
/// # Errors
/// What is asked for in a way that would evade the sum.
pub fn asked(host: Option<&Value<'_>>) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    let number = |key: &str| number(host, key);
    let positive = |key: &str| match number(key)? {
        Some(n) if n > 0 => Ok(u64::try_from(n).ok()),
        _ => Ok::<_, String>(None),
    };
    amounts.set(Resource::Memory, positive("Memory")?);
    amounts.set(Resource::Pids, positive("PidsLimit")?);
    let (quota, period) = (positive("CpuQuota")?, positive("CpuPeriod")?);
    let by_quota = quota.map(|quota| {
        let nano = u128::from(quota) * 1_000_000_000 / u128::from(period.unwrap_or(PERIOD));
        u64::try_from(nano).unwrap_or(u64::MAX)
    });
    amounts.set(Resource::Cpus, positive("NanoCpus")?.or(by_quota));
    Ok(amounts)
}

/// Whether swap would let a container have more than its memory says.
///
/// # Errors
/// What is asked for.
pub fn swaps(host: Option<&Value<'_>>, memory: Option<u64>) -> Result<(), String> {
    let most = memory.unwrap_or(0).saturating_mul(SWAP);
    match number(host, "MemorySwap")? {
        None | Some(0) => Ok(()),
        Some(n) if n > 0 && u64::try_from(n).is_ok_and(|n| n <= most) => Ok(()),
        Some(n) => Err(format!(
            "MemorySwap={n}: expected at most twice the memory, {}",
            Resource::Memory.shown(most)
        )),
    }
}

/// Whether an update leaves a container within what it was granted. The engine takes zero for "as it is".
///
/// # Errors
/// What it may not become.
pub fn lowers(body: &Value<'_>, budget: &OwnerBudget, granted: &Amounts) -> Result<(), String> {
    let body = Some(body);
    let asked = asked(body)?;
    for resource in RESOURCES {
        if budget.granted.get(resource).is_none() {
            continue;
        }
        let most = granted.get(resource).unwrap_or(0);
        if let Some(amount) = asked.get(resource).filter(|amount| *amount > most) {
            return Err(format!(
                "{}: {} asked for, {} granted when it was created",
                resource.name(),
                resource.shown(amount),
                resource.shown(most)
            ));
        }
    }
    if budget.granted.get(Resource::Pids).is_some()
        && let Some(n) = number(body, "PidsLimit")?
        && n <= 0
    {
        return Err(format!("PidsLimit={n}: expected a limit"));
    }
    if budget.granted.get(Resource::Cpus).is_some() {
        for key in ["CpuQuota", "NanoCpus"] {
            if let Some(n) = number(body, key)?.filter(|n| *n < 0) {
                return Err(format!("{key}={n}: expected a limit"));
            }
        }
        // The other one stays as it is, and what they come to is not known.
        let is_set = |key: &str| Ok::<_, String>(number(body, key)?.is_some_and(|n| n != 0));
        if is_set("CpuQuota")? != is_set("CpuPeriod")? {
            return Err("CpuQuota and CpuPeriod: expected both or neither".into());
        }
    }
    if budget.granted.get(Resource::Memory).is_some() {
        if let Some(n) = number(body, "Memory")?.filter(|n| *n < 0) {
            return Err(format!("Memory={n}: expected a limit"));
        }
        let memory = asked
            .get(Resource::Memory)
            .or(granted.get(Resource::Memory));
        swaps(body, memory)?;
    }
    Ok(())
}

/// A whole number; what has no exact reading is refused.
fn number(owner: Option<&Value<'_>>, key: &str) -> Result<Option<i64>, String> {
    let Some(value) = owner.and_then(|owner| owner.get(key)) else {
        return Ok(None);
    };
    let Value::Number(number) = value else {
        return Err(format!("{key}: expected a number"));
    };
    let whole = number.as_i64().map(Some);
    whole.ok_or_else(|| format!("{key}: expected a whole number of 64 bits"))
}

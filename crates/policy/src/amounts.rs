//! Amounts of what a container may take: memory, CPUs and processes.

/// What is counted of containers, in the order of messages.
pub const RESOURCES: [Resource; 3] = [Resource::Memory, Resource::Cpus, Resource::Pids];

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

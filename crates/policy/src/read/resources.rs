//! What a container, an update of one, or each task of a service may use of the host: memory, swap, CPUs and processes.
//!
//! The one reader of these fields. The engine has several for the same thing, and zero, minus one, `null` and a missing field
//! mean "unlimited" in some and "as before" in others.

use docker_api::json::Value;

use crate::amounts::{Amounts, Resource};
use crate::findings::Findings;
use crate::limits::{self, LimitKey, UNLIMITED};

/// The most that something may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Most {
    /// An update says nothing of it.
    Unchanged,
    /// All there is.
    Unlimited,
    /// It depends on what is not in the request; what is missing.
    Unknown(&'static str),
    /// A number: bytes, billionths of a CPU, or processes.
    Of(u64),
}

/// A resource, and the field that says most about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceUse {
    /// Below the body's part that was read.
    pub(crate) field: &'static str,
    /// How much.
    pub(crate) most: Most,
}

impl ResourceUse {
    /// Whether a limit beside it would not hold.
    pub(crate) fn is_beyond_limits(&self) -> bool {
        self.field == REAL_TIME
    }
}

/// The resources of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Bytes of memory.
    pub(crate) memory: ResourceUse,
    /// Bytes of swap beside it.
    pub(crate) swap: ResourceUse,
    /// Billionths of a CPU.
    pub(crate) cpus: ResourceUse,
    /// Processes and threads.
    pub(crate) pids: ResourceUse,
}

/// The engine's period where a quota names none, microseconds.
const PERIOD: u64 = 100_000;

const NANO: u64 = 1_000_000_000;

/// A real-time thread is not held by a quota.
const REAL_TIME: &str = "CpuRealtimeRuntime";

/// A number as Go reads an `int64`. Other numbers are refused by the engine, so that what they are taken for does not matter.
fn number(of: &Value<'_>, key: &str) -> Option<i64> {
    match of.get(key)? {
        Value::Number(number) => Some(number.as_i64().unwrap_or(-1)),
        _ => None,
    }
}

/// A most: `zero` is what nothing and 0 mean.
fn most(of: &Value<'_>, key: &str, zero: Most) -> Most {
    match number(of, key) {
        None | Some(0) => zero,
        Some(number) => u64::try_from(number).map_or(Most::Unlimited, Most::Of),
    }
}

impl Resources {
    /// Of a `HostConfig`, in a body or inspected.
    pub(crate) fn of_container(host: &Value<'_>) -> Resources {
        Self::of_new_container(host, &Amounts::default())
    }

    /// Of the `HostConfig` of a create, which gets `defaults` where it asks for nothing.
    pub(crate) fn of_new_container(host: &Value<'_>, defaults: &Amounts) -> Resources {
        let filled = |part: ResourceUse, resource| match (part.most, defaults.get(resource)) {
            (Most::Unlimited, Some(default)) if !part.is_beyond_limits() => ResourceUse {
                field: resource.field(),
                most: Most::Of(default),
            },
            _ => part,
        };
        let part = |field| ResourceUse {
            field,
            most: most(host, field, Most::Unlimited),
        };
        let memory = filled(part("Memory"), Resource::Memory);
        let swap = match most(host, "MemorySwap", Most::Unchanged) {
            // The engine gives as much swap as memory.
            Most::Unchanged => memory.most,
            swap => beside(swap, memory.most),
        };
        Resources {
            memory,
            swap: ResourceUse {
                field: "MemorySwap",
                most: swap,
            },
            cpus: filled(cpus(host, Most::Unlimited), Resource::Cpus),
            pids: filled(part("PidsLimit"), Resource::Pids),
        }
    }

    /// Of one of those that are counted.
    pub(crate) fn of(&self, resource: Resource) -> ResourceUse {
        match resource {
            Resource::Memory => self.memory,
            Resource::Cpus => self.cpus,
            Resource::Pids => self.pids,
        }
    }

    /// Of the body of `container.update`, where 0 leaves a field as it was. What depends on what the container has is unknown.
    pub(crate) fn of_update(body: &Value<'_>) -> Resources {
        let memory = most(body, "Memory", Most::Unchanged);
        let swap = beside(most(body, "MemorySwap", Most::Unchanged), memory);
        let pids = match number(body, "PidsLimit") {
            None => Most::Unchanged,
            Some(_) => most(body, "PidsLimit", Most::Unlimited),
        };
        Resources {
            memory: ResourceUse {
                field: "Memory",
                most: memory,
            },
            swap: ResourceUse {
                field: "MemorySwap",
                most: swap,
            },
            cpus: cpus(body, Most::Unchanged),
            pids: ResourceUse {
                field: "PidsLimit",
                most: pids,
            },
        }
    }

    /// Of a classic build's parameters: what each of its steps may use. Nothing says how many processes it may have.
    pub(crate) fn of_build<'p>(parameter: impl Fn(&str) -> &'p str) -> Resources {
        let number = |name| {
            let value: i64 = parameter(name).parse().unwrap_or_default();
            Value::Number(value.into())
        };
        let host = Value::Object(Box::new([
            ("Memory".into(), number("memory")),
            ("MemorySwap".into(), number("memswap")),
            ("CpuPeriod".into(), number("cpuperiod")),
            ("CpuQuota".into(), number("cpuquota")),
            (
                "CpusetCpus".into(),
                Value::Text(parameter("cpusetcpus").into()),
            ),
        ]));
        let read = Resources::of_container(&host);
        let parameter = |part: ResourceUse| ResourceUse {
            field: match part.field {
                "Memory" => "memory",
                "MemorySwap" => "memswap",
                "CpusetCpus" => "cpusetcpus",
                _ => "cpuquota",
            },
            ..part
        };
        Resources {
            memory: parameter(read.memory),
            swap: parameter(read.swap),
            cpus: parameter(read.cpus),
            pids: ResourceUse {
                most: Most::Unchanged,
                ..read.pids
            },
        }
    }

    /// Of a service's `TaskTemplate`: what each of its tasks may use.
    pub(crate) fn of_task(task: &Value<'_>) -> Resources {
        let resources = task.get("Resources").unwrap_or(&Value::Null);
        let limits = resources.get("Limits").unwrap_or(&Value::Null);
        let memory = most(limits, "MemoryBytes", Most::Unlimited);
        let swap = match number(resources, "SwapBytes") {
            None => memory,
            Some(_) => most(resources, "SwapBytes", Most::Of(0)),
        };
        Resources {
            memory: ResourceUse {
                field: "Resources.Limits.MemoryBytes",
                most: memory,
            },
            swap: ResourceUse {
                field: "Resources.SwapBytes",
                most: swap,
            },
            cpus: ResourceUse {
                field: "Resources.Limits.NanoCPUs",
                most: most(limits, "NanoCPUs", Most::Unlimited),
            },
            pids: ResourceUse {
                field: "Resources.Limits.Pids",
                most: most(limits, "Pids", Most::Unlimited),
            },
        }
    }

    /// Asks for them; `at` is where their fields are.
    pub(crate) fn ask(&self, at: &str, out: &mut Findings<'_>) {
        let shown: fn(u64) -> String = limits::bytes;
        for (key, part, shown) in [
            (LimitKey::Memory, self.memory, shown),
            (LimitKey::Memory, self.swap, shown),
            (LimitKey::Cpus, self.cpus, limits::cpus),
            (LimitKey::Pids, self.pids, |number| number.to_string()),
        ] {
            let value = match part.most {
                Most::Unchanged => continue,
                Most::Unlimited => UNLIMITED.to_owned(),
                Most::Unknown(missing) => format!("unknown without {missing}"),
                Most::Of(number) => shown(number),
            };
            // Swap that is as much as memory is no other thing to ask for.
            if part.field == self.swap.field && part.most == self.memory.most {
                continue;
            }
            out.ask(format!("{at}{}", part.field), value, key);
        }
    }
}

/// The swap in an amount of memory and swap together.
pub(crate) fn beside(both: Most, memory: Most) -> Most {
    match (both, memory) {
        (Most::Of(both), Most::Of(memory)) => Most::Of(both.saturating_sub(memory)),
        (both, _) => both,
    }
}

/// The least of what NanoCpus, CpuQuota with CpuPeriod, and CpusetCpus leave; `otherwise` if no field is set.
fn cpus(of: &Value<'_>, otherwise: Most) -> ResourceUse {
    let update = otherwise == Most::Unchanged;
    let here = |field, most| ResourceUse { field, most };
    if number(of, REAL_TIME).is_some_and(|runtime| runtime != 0) {
        return here(REAL_TIME, Most::Unlimited);
    }
    let (quota, period) = (
        most(of, "CpuQuota", Most::Unchanged),
        most(of, "CpuPeriod", Most::Unchanged),
    );
    let by_quota = match (quota, period) {
        (Most::Unchanged, Most::Unchanged) => Most::Unchanged,
        (Most::Unchanged, _) if update => Most::Unknown("CpuQuota"),
        (Most::Unchanged, _) => Most::Unchanged,
        (Most::Of(_), Most::Unchanged) if update => Most::Unknown("CpuPeriod"),
        (Most::Of(quota), Most::Of(period)) => share(quota, period),
        (Most::Of(quota), Most::Unchanged) => share(quota, PERIOD),
        _ => Most::Unlimited,
    };
    let by_set = match of.text_at("CpusetCpus") {
        None => Most::Unchanged,
        Some(set) => counted(set).map_or(Most::Unlimited, |count| {
            Most::Of(count.saturating_mul(NANO))
        }),
    };
    let parts = [
        here("NanoCpus", most(of, "NanoCpus", Most::Unchanged)),
        here("CpuQuota", by_quota),
        here("CpusetCpus", by_set),
    ];
    let said = parts
        .into_iter()
        .filter(|part| part.most != Most::Unchanged);
    let chosen = match update {
        // What is not said stays as it was and is not known here, so each that is said must fit.
        true => said.max_by_key(|part| rank(part.most)),
        false => said.min_by_key(|part| rank(part.most)),
    };
    chosen.unwrap_or(here("NanoCpus", otherwise))
}

/// CPUs from a quota and its period.
fn share(quota: u64, period: u64) -> Most {
    let nano = u128::from(quota) * u128::from(NANO) / u128::from(period.max(1));
    // A share that is rounded down would be less than it is.
    Most::Of(
        u64::try_from(nano)
            .unwrap_or(u64::MAX)
            .saturating_add(u64::from(
                u128::from(quota) * u128::from(NANO) % u128::from(period.max(1)) > 0,
            )),
    )
}

fn rank(most: Most) -> u128 {
    match most {
        Most::Of(number) => u128::from(number),
        _ => u128::MAX,
    }
}

/// How many CPUs a set such as `0-3,7` has, at most; `None` if it has no reading.
fn counted(set: &str) -> Option<u64> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let mut count: u64 = 0;
    for part in set.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::{Most, NANO, Resources, counted};
    use docker_api::json;

    fn with(text: &str, read: fn(&json::Value<'_>) -> Resources) -> Resources {
        read(&json::parse(text.as_bytes(), 4096).expect("JSON"))
    }

    #[test]
    fn every_way_to_say_nothing_is_unlimited_at_create() {
        for text in [
            "{}",
            r#"{"Memory":0,"NanoCpus":0,"CpuQuota":0,"PidsLimit":0}"#,
            r#"{"Memory":null,"NanoCpus":null,"PidsLimit":null}"#,
            r#"{"Memory":-1,"CpuQuota":-1,"PidsLimit":-1}"#,
            r#"{"Memory":1e9,"NanoCpus":1.5,"PidsLimit":1e2}"#,
            r#"{"CpuPeriod":1000,"CpuShares":2,"CpusetCpus":"","CpusetMems":"0"}"#,
        ] {
            let found = with(text, Resources::of_container);
            for part in [found.memory, found.swap, found.cpus, found.pids] {
                assert_eq!(part.most, Most::Unlimited, "{text}: {}", part.field);
            }
        }
    }

    #[test]
    fn cpus_are_the_least_that_any_field_leaves() {
        let cpus = |text: &str| with(text, Resources::of_container).cpus.most;
        assert_eq!(cpus(r#"{"NanoCpus":500000000}"#), Most::Of(NANO / 2));
        assert_eq!(cpus(r#"{"CpuQuota":50000}"#), Most::Of(NANO / 2));
        assert_eq!(
            cpus(r#"{"CpuQuota":50000,"CpuPeriod":1000}"#),
            Most::Of(50 * NANO)
        );
        assert_eq!(cpus(r#"{"CpusetCpus":"0-1,4"}"#), Most::Of(3 * NANO));
        assert_eq!(
            cpus(r#"{"CpusetCpus":"0-7","CpuQuota":100000}"#),
            Most::Of(NANO)
        );
        assert_eq!(
            cpus(r#"{"CpuQuota":1,"CpuPeriod":3}"#),
            Most::Of(333_333_334)
        );
        assert_eq!(
            cpus(r#"{"NanoCpus":1,"CpuRealtimeRuntime":1000}"#),
            Most::Unlimited
        );
        assert_eq!(cpus(r#"{"CpusetCpus":"0-x"}"#), Most::Unlimited);
        assert_eq!(counted("0,0"), Some(2));
        for odd in ["", ",", "1-", "2-1", "-1", "+1", "0-18446744073709551615"] {
            assert_eq!(counted(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_update_leaves_what_it_does_not_name_and_must_name_both_halves() {
        let nothing = with(
            r#"{"Memory":0,"MemorySwap":0,"NanoCpus":0,"CpuShares":5}"#,
            Resources::of_update,
        );
        for part in [nothing.memory, nothing.swap, nothing.cpus, nothing.pids] {
            assert_eq!(part.most, Most::Unchanged, "{}", part.field);
        }
        let update = |text: &str| with(text, Resources::of_update);
        assert_eq!(update(r#"{"PidsLimit":0}"#).pids.most, Most::Unlimited);
        assert_eq!(update(r#"{"PidsLimit":-1}"#).pids.most, Most::Unlimited);
        assert_eq!(update(r#"{"MemorySwap":-1}"#).swap.most, Most::Unlimited);
        assert_eq!(update(r#"{"Memory":-1}"#).memory.most, Most::Unlimited);
        assert_eq!(update(r#"{"CpuQuota":-1}"#).cpus.most, Most::Unlimited);
        assert_eq!(
            update(r#"{"CpuQuota":1000}"#).cpus.most,
            Most::Unknown("CpuPeriod")
        );
        assert_eq!(
            update(r#"{"CpuPeriod":1000}"#).cpus.most,
            Most::Unknown("CpuQuota")
        );
        assert_eq!(
            update(r#"{"CpuPeriod":1000,"CpuQuota":1000}"#).cpus.most,
            Most::Of(NANO)
        );
        assert_eq!(
            update(r#"{"NanoCpus":1,"CpusetCpus":"0-3"}"#).cpus.most,
            Most::Of(4 * NANO)
        );
    }

    #[test]
    fn swap_is_what_is_beyond_memory() {
        let swap = |text: &str| with(text, Resources::of_container).swap.most;
        assert_eq!(swap(r#"{"Memory":100}"#), Most::Of(100));
        assert_eq!(swap(r#"{"Memory":100,"MemorySwap":100}"#), Most::Of(0));
        assert_eq!(swap(r#"{"Memory":100,"MemorySwap":500}"#), Most::Of(400));
        assert_eq!(swap(r#"{"Memory":100,"MemorySwap":-1}"#), Most::Unlimited);
        let task = |text: &str| with(text, Resources::of_task);
        let limited = task(
            r#"{"Resources":{"Limits":{"MemoryBytes":5,"NanoCPUs":6,"Pids":7},"SwapBytes":-1}}"#,
        );
        assert_eq!(limited.memory.most, Most::Of(5));
        assert_eq!(limited.cpus.most, Most::Of(6));
        assert_eq!(limited.pids.most, Most::Of(7));
        assert_eq!(limited.swap.most, Most::Unlimited);
        let open = task(r#"{"Resources":{"Reservations":{"MemoryBytes":5,"NanoCPUs":6}}}"#);
        for part in [open.memory, open.cpus, open.pids] {
            assert_eq!(part.most, Most::Unlimited, "{}", part.field);
        }
    }
}

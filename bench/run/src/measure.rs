//! What the kernel says about processes: CPU time and memory of a tree.

use std::collections::BTreeSet;
use std::fs;

/// CPU time that a tree of processes has spent so far, by two clocks.
///
/// `schedstat` counts nanoseconds, but only for threads that are still alive; `stat` includes threads that have ended and
/// children that were waited for, in ticks of 10 ms. [`Cpu::since`] takes the finer where both agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    live_ns: u64,
    all_ns: u64,
}

impl Cpu {
    /// Reads the clocks of `roots` and all their descendants.
    pub(crate) fn of(roots: &[u32]) -> Self {
        let mut cpu = Self {
            live_ns: 0,
            all_ns: 0,
        };
        for pid in tree(roots) {
            cpu.live_ns += live_ns(pid);
            cpu.all_ns += all_ns(pid);
        }
        cpu
    }

    /// Reads the clocks of one process without its descendants.
    pub(crate) fn alone(pid: u32) -> Self {
        Self {
            live_ns: live_ns(pid),
            all_ns: all_ns(pid),
        }
    }

    /// Nanoseconds spent since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        let live = self.live_ns.saturating_sub(earlier.live_ns);
        let all = self.all_ns.saturating_sub(earlier.all_ns);
        // Two readings of a 10 ms clock, over a few threads.
        if all.abs_diff(live) <= 30_000_000 {
            live
        } else {
            all.max(live)
        }
    }
}

/// Memory of a tree of processes, in KiB, from `smaps_rollup`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in each process.
    pub(crate) rss: u64,
    /// Resident, shared pages divided among those who share them.
    pub(crate) pss: u64,
}

impl Memory {
    /// Reads the memory of `roots` and all their descendants.
    pub(crate) fn of(roots: &[u32]) -> Self {
        let mut memory = Self::default();
        for pid in tree(roots) {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .and_then(|rest| rest.trim().strip_suffix(" kB"))
                    .and_then(|n| n.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            memory.rss += field("Rss:");
            memory.pss += field("Pss:");
        }
        memory
    }
}

/// `roots` and all their descendants.
pub(crate) fn tree(roots: &[u32]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut todo = roots.to_vec();
    while let Some(pid) = todo.pop() {
        if !found.insert(pid) {
            continue;
        }
        for task in tasks(pid) {
            let text =
                fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
            todo.extend(
                text.split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    found
}

fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn live_ns(pid: u32) -> u64 {
    let ran = |task: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks(pid).iter().filter_map(ran).sum()
}

fn all_ns(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command name may hold spaces and parentheses: the fields begin after the last ')', with field 3.
    let Some((_, fields)) = text.rsplit_once(") ") else {
        return 0;
    };
    // proc_pid_stat(5): utime 14, stime 15, cutime 16, cstime 17.
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Nanoseconds on the clock that all processes of the machine share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Median, least and greatest of some figures.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Spread {
    /// The middle one; the mean of the two middle ones where their number is even.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `figures`, or nothing if there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|n| n.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

/// The value below which `share` of the sorted latencies lie, in microseconds.
pub(crate) fn percentile_us(sorted_ns: &[u32], share: f64) -> Option<f64> {
    let last = sorted_ns.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index between 0 and last"
    )]
    let index = (last as f64 * share).round() as usize;
    Some(f64::from(sorted_ns[index.min(last)]) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_an_even_number_of_figures_has_the_mean_of_the_middle_ones() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("four figures must have a spread");
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert!(Spread::of([]).is_none());
    }

    #[test]
    fn busy_work_shows_in_the_cpu_time_of_this_process() {
        let me = [std::process::id()];
        let before = Cpu::of(&me);
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let spent = Cpu::of(&me).since(before);
        assert!((5_000_000..5_000_000_000).contains(&spent), "{spent} ns");
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let sorted: Vec<u32> = (0..=100).map(|n| n * 1000).collect();
        assert_eq!(percentile_us(&sorted, 0.5), Some(50.0));
        assert_eq!(percentile_us(&sorted, 0.99), Some(99.0));
        assert_eq!(percentile_us(&[], 0.5), None);
    }
}

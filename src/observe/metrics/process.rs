//! What the kernel says about this process (proc(5)).

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Figures of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProcessFigures {
    /// User and system time.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    /// Since the Unix epoch.
    pub(super) start_seconds: f64,
}

impl ProcessFigures {
    /// Reads them; `None` where /proc is not mounted.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let mut process = parse(
            &stat,
            now.saturating_sub(Duration::try_from_secs_f64(uptime).ok()?),
        )?;
        process.open_fds = open_fds();
        process.max_fds = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Some(process)
    }
}

/// `boot` is the time of the system's start since the Unix epoch.
fn parse(stat: &str, boot: Duration) -> Option<ProcessFigures> {
    // The command's name may hold anything, brackets and spaces included: fields count from behind its last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    let field =
        |number: usize| -> Option<u64> { rest.split(' ').nth(number - 3)?.trim().parse().ok() };
    let ticks = clock_ticks_per_second() as f64;
    Some(ProcessFigures {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
        threads: field(20)?,
        start_seconds: boot.as_secs_f64() + field(22)? as f64 / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_size() as u64,
        ..ProcessFigures::default()
    })
}

/// Since Linux 6.2 the size of the directory is the number of descriptors; before, they have to be counted.
fn open_fds() -> u64 {
    match fs::metadata("/proc/self/fd").map(|m| m.len()) {
        Ok(n) if n > 0 => n,
        // Less the one that reads the directory.
        _ => fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count().saturating_sub(1) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 3 0 200 4096 5 18446744073709551615 1";
        let process = parse(stat, Duration::from_secs(1_000)).expect("parsed");
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(process.cpu_seconds, 200.0 / ticks);
        assert_eq!(process.threads, 3);
        assert_eq!(process.virtual_bytes, 4096);
        assert_eq!(process.resident_bytes, 5 * page_size() as u64);
        assert_eq!(process.start_seconds, 1_000.0 + 200.0 / ticks);
    }

    #[test]
    fn this_process_can_be_read() {
        let process = ProcessFigures::read().expect("/proc is mounted");
        assert!(process.resident_bytes > 100_000 && process.open_fds >= 3 && process.threads >= 1);
        assert!(process.max_fds >= process.open_fds);
    }
}

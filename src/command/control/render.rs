//! Live connections as text for a terminal.

use std::collections::HashMap;

use crate::observe::control::{Connection, OwnerAmounts, OwnersReport};
use policy::scope::budget::Resource;
use text::{Align, columns, escape, short_ids};

use crate::command::output::Output;

/// Bytes per second, in and out, by connection number.
pub(super) type Rates = HashMap<u64, (f64, f64)>;

const COLUMNS: [&str; 10] = [
    "ID",
    "CLIENT",
    "ADDRESS",
    "STATE",
    "OPERATION",
    "TARGET",
    "AGE",
    "IDLE",
    "IN",
    "OUT",
];

/// Columns that hold numbers line up at the right.
const ALIGN: [Align; 10] = {
    use Align::{Left, Right};
    [
        Right, Left, Left, Left, Left, Left, Right, Right, Right, Right,
    ]
};

/// Longest name or path shown in a table; `--json` has them whole.
const WIDEST: usize = 60;

/// A table with a heading.
pub(super) fn table(output: &mut Output<'_>, connections: &[Connection], rates: Option<&Rates>) {
    for line in lines(connections, rates) {
        output.row(line);
    }
}

/// The table's lines. With `rates` the last two columns are bytes per second.
pub(super) fn lines(connections: &[Connection], rates: Option<&Rates>) -> Vec<String> {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    if rates.is_some() {
        rows[0][8] = "IN/S".to_owned();
        rows[0][9] = "OUT/S".to_owned();
    }
    for c in connections {
        let (bytes_in, bytes_out) = match rates {
            Some(rates) => rates.get(&c.id).copied().unwrap_or_default(),
            None => (c.bytes_in as f64, c.bytes_out as f64),
        };
        rows.push([
            c.id.to_string(),
            shorten(&field(c.client.as_deref())),
            c.address.clone(),
            c.state.as_str().to_owned(),
            field(c.operation.as_deref()),
            shorten(&target(c)),
            time(c.age_ms),
            time(c.idle_ms),
            bytes(bytes_in),
            bytes(bytes_out),
        ]);
    }
    columns(&rows, &ALIGN)
}

/// Owners with what they have, and may have.
pub(super) fn owners(output: &mut Output<'_>, owners: &OwnersReport) {
    for line in owner_lines(owners) {
        output.row(line);
    }
}

/// The lines of a table of owners.
pub(super) fn owner_lines(owners: &OwnersReport) -> Vec<String> {
    let heading = [
        "OWNER",
        "CONTAINERS",
        "MEMORY",
        "CPUS",
        "PIDS",
        "VOLUMES",
        "NETWORKS",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    let none = OwnerAmounts::default();
    for owner in &owners.owners {
        let (used, most) = (&owner.used, owner.budget.as_ref().unwrap_or(&none));
        let of = |used: Option<u64>, most: Option<u64>, shown: &dyn Fn(u64) -> String| {
            let used = shown(used.unwrap_or(0));
            match most {
                Some(most) => format!("{used}/{}", shown(most)),
                None => used,
            }
        };
        let count = |n: u64| n.to_string();
        let name = owner
            .owner
            .split_once('/')
            .filter(|_| !owner.owner.starts_with("entry:"));
        rows.push([
            shorten(&plain(name.map_or(owner.owner.as_str(), |(_, name)| name))),
            of(used.containers, most.containers, &count),
            of(used.memory, most.memory, &|n| Resource::Memory.shown(n)),
            of(used.nano_cpus, most.nano_cpus, &|n| Resource::Cpus.shown(n)),
            of(used.pids, most.pids, &count),
            of(used.volumes, most.volumes, &count),
            of(used.networks, most.networks, &count),
        ]);
    }
    let align = [
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
    ];
    columns(&rows, &align)
}

/// One connection in words.
pub(super) fn sentence(c: &Connection) -> String {
    let client = plain(c.client.as_deref().unwrap_or("?"));
    let mut text = format!("connection {} of \"{client}\" from {}", c.id, c.address);
    if let (Some(operation), Some(path)) = (&c.operation, &c.path) {
        let what = if c.state == crate::observe::registry::State::Idle {
            "last"
        } else {
            "in"
        };
        let path = plain(&short_ids(path));
        text.push_str(&format!(", {what} {operation} {path}"));
        for call in &c.calls {
            text.push_str(&format!(", {}", plain(call)));
        }
    }
    text.push_str(&format!(", after {}", time(c.age_ms)));
    if let Some(left) = &c.left {
        text.push_str(&format!(
            "; its process {} goes on in container {}",
            left.pid,
            plain(&short_ids(&left.container))
        ));
    }
    text
}

/// The path, or inside a build the call that asks for most.
fn target(c: &Connection) -> String {
    let call = c.calls.iter().max_by_key(|call| call.len());
    let path = c.path.as_deref().map(short_ids);
    field(call.map(String::as_str).or(path.as_deref()))
}

fn field(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}

/// Without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape::json(text, &mut out);
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Keeps both ends: the beginning says what it is, the end tells it from its neighbours.
fn shorten(text: &str) -> String {
    let count = width(text);
    if count <= WIDEST {
        return text.to_owned();
    }
    let (head, tail) = (WIDEST / 2 - 1, WIDEST - WIDEST / 2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// `850ms`, `12s`, `3m05s`, `2h10m`, `4d06h`.
pub(super) fn time(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{s}s"),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// `512B`, `1.5KiB`, `3.2GiB`.
pub(super) fn bytes(n: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n;
    let mut unit = 0;
    while value >= 1023.95 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{value:.0}B")
    } else {
        format!("{value:.1}{}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::registry::State;

    fn connection() -> Connection {
        Connection {
            id: 7,
            client: Some("al\x1b[2Jice\u{202e}\n".to_owned()),
            serial: Some("0a".to_owned()),
            sha256: None,
            spki_sha256: None,
            address: "192.0.2.1:5000".to_owned(),
            state: State::Tunnel,
            operation: Some("exec.start".to_owned()),
            path: Some(format!("/v1.51/exec/{}/start", "f".repeat(64))),
            left: None,
            calls: Vec::new(),
            requests: 2,
            age_ms: 185_000,
            state_ms: 1,
            idle_ms: 12,
            bytes_in: 1536,
            bytes_out: 0,
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let text = lines(&[connection()], None).join("\n") + "\n" + &sentence(&connection());
        assert!(text.contains("al\\u001b[2Jice\\u202e\\n"), "{text}");
        let bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(bad), "{text}");
        assert_eq!(lines(&[connection()], None).len(), 2);
    }

    #[test]
    fn columns_line_up_and_long_paths_keep_both_ends() {
        let text = lines(&[connection()], None).join("\n");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("STATE"), lines[1].find("tunnel"), "{text}");
        assert!(lines[1].contains(" /exec/ffffffffffff/start "));
        assert!(
            lines[1].contains("/start")
                && lines[1].contains("3m05s")
                && lines[1].contains("1.5KiB")
        );
    }

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!(
            [0, 59_999, 3_600_000, 90_000_000].map(time),
            ["0ms", "59s", "1h00m", "1d01h"]
        );
        assert_eq!(
            [0.0, 1023.0, 1024.0, 1_048_575.0].map(bytes),
            ["0B", "1023B", "1.0KiB", "1.0MiB"]
        );
    }
}

//! The tables: CPU time first, then rate, latency, memory, start, and how busy the load generator was.

use std::collections::BTreeMap;

use crate::cases::Unit;
use crate::measure::Spread;
use crate::peers::PeerKind;

use super::{BenchReport, FigureRow, START};

/// A cell of a table.
type Cell = fn(&FigureRow) -> Option<String>;

impl BenchReport {
    /// All tables.
    pub(super) fn tables(&self) -> String {
        let mut text = String::new();
        text += &self.table(
            "CPU time of the proxy's processes per unit: median (least–greatest)",
            |row| {
                row.case != START && row.unit != Unit::Stream.name() && row.kind != PeerKind::Direct
            },
            true,
            |row| spread(row, "cpu"),
        );
        text += &self.table(
            "Units per second",
            |row| row.case != START && row.unit != Unit::Stream.name() && !row.latency,
            false,
            |row| spread(row, "rate"),
        );
        text += &self.table(
            "Latency in µs: p50 / p99",
            |row| row.figures.contains_key("p50_us"),
            false,
            |row| {
                Some(format!(
                    "{} / {}",
                    short(row.figures.get("p50_us")?.median),
                    short(row.figures.get("p99_us")?.median)
                ))
            },
        );
        text += &self.table(
            "Memory per idle stream in KiB (PSS of all processes)",
            |row| row.unit == Unit::Stream.name(),
            false,
            |row| spread(row, "kib_per_stream"),
        );
        text += &self.start_table();
        text += &self.generator_table();
        text += &self.failures();
        text
    }

    fn table(
        &self,
        title: &str,
        which: fn(&FigureRow) -> bool,
        with_unit: bool,
        cell: Cell,
    ) -> String {
        let rows: Vec<&FigureRow> = self.rows.iter().filter(|row| which(row)).collect();
        if rows.is_empty() {
            return String::new();
        }
        let columns: Vec<PeerKind> = PeerKind::ALL
            .into_iter()
            .filter(|kind| rows.iter().any(|row| row.kind == *kind))
            .collect();
        let mut text = format!("\n### {title}\n\n| case |");
        columns
            .iter()
            .for_each(|kind| text += &format!(" {} |", kind.name()));
        text += &format!("\n|---|{}\n", "---:|".repeat(columns.len()));
        let mut done = Vec::new();
        for row in &rows {
            if done.contains(&row.case) {
                continue;
            }
            done.push(row.case);
            let unit = if with_unit {
                format!(" ({}/{})", row.cpu_unit, row.unit)
            } else {
                String::new()
            };
            text += &format!("| {}{unit} |", row.about);
            for kind in &columns {
                let found = rows
                    .iter()
                    .find(|other| other.case == row.case && other.kind == *kind);
                text += &format!(
                    " {} |",
                    found.map_or("–".to_owned(), |row| filled(row, cell))
                );
            }
            text.push('\n');
        }
        text
    }

    fn start_table(&self) -> String {
        let rows: Vec<&FigureRow> = self.rows.iter().filter(|row| row.case == START).collect();
        if rows.is_empty() {
            return String::new();
        }
        let mut text = "\n### Start, rest, size\n\n| peer | start to listening, ms | RSS at rest, MiB | PSS at rest, MiB | binary, MiB |\n|---|---:|---:|---:|---:|\n".to_owned();
        for row in rows {
            text += &format!("| {} |", row.peer);
            for name in ["start_ms", "rss_mib", "rest_pss_mib", "binary_mib"] {
                text += &format!(" {} |", spread(row, name).unwrap_or("–".into()));
            }
            text.push('\n');
        }
        text
    }

    /// The generator's own cost per unit must not depend on the peer, and its threads must have had idle time.
    fn generator_table(&self) -> String {
        let mut cases: BTreeMap<&str, Vec<&FigureRow>> = BTreeMap::new();
        for row in self
            .rows
            .iter()
            .filter(|row| row.figures.contains_key("generator_cpu") && row.kind != PeerKind::Direct)
        {
            cases.entry(row.case).or_default().push(row);
        }
        if cases.is_empty() {
            return String::new();
        }
        let mut text = "\n### Was the load generator in the way?\n\nCPU time per unit of the generator and of the engine (least and greatest median over the peers), and the rate through the bare tunnel (for scale: through dockgate).\n\n| case | generator | engine | tunnel/s | dockgate/s | generator's share of a core with dockgate |\n|---|---:|---:|---:|---:|---:|\n".to_owned();
        for (case, rows) in cases {
            let range = |name: &str| {
                let all = Spread::of(
                    rows.iter()
                        .filter_map(|row| Some(row.figures.get(name)?.median)),
                );
                all.map_or("–".into(), |all| {
                    format!("{}–{} {}", short(all.min), short(all.max), rows[0].cpu_unit)
                })
            };
            let of = |kind, name| self.figure(case, kind, name).map_or("–".into(), short);
            text += &format!(
                "| {case} | {} | {} | {} | {} | {} |\n",
                range("generator_cpu"),
                range("engine_cpu"),
                of(PeerKind::Tunnel, "rate"),
                of(PeerKind::Dockgate, "rate"),
                of(PeerKind::Dockgate, "generator_share"),
            );
        }
        text
    }

    fn failures(&self) -> String {
        let mut text = String::new();
        for row in self.rows.iter().filter(|row| row.failed > 0) {
            let reason = row.reason.as_deref().unwrap_or("no reason given");
            text += &format!(
                "- {} with {}: {} failed, {:.1} good: {reason}\n",
                row.case, row.peer, row.failed, row.units
            );
        }
        if text.is_empty() {
            "\nNo unit failed.\n".into()
        } else {
            format!("\n### What failed\n\n{text}")
        }
    }
}

fn filled(row: &FigureRow, cell: Cell) -> String {
    let mark = if row.failed > 0 { " (some failed)" } else { "" };
    match cell(row).filter(|_| row.units > 0.0) {
        Some(text) => text + mark,
        None => format!(
            "fails: {}",
            row.reason.as_deref().unwrap_or("nothing was measured")
        ),
    }
}

fn spread(row: &FigureRow, name: &str) -> Option<String> {
    let Spread { median, min, max } = *row.figures.get(name)?;
    #[expect(
        clippy::float_cmp,
        reason = "one figure is its own minimum and maximum"
    )]
    let alone = min == max;
    if alone {
        Some(short(median))
    } else {
        Some(format!("{} ({}–{})", short(median), short(min), short(max)))
    }
}

/// Three figures that count.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        n if n >= 100.0 => format!("{value:.0}"),
        n if n >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

//! The bars that dockgate is held to, each against the best peer of the same run.

use crate::peers::PeerKind;

use super::tables::short;
use super::{BenchReport, START};

/// One bar: what it is about, the figure, the limit.
struct Bar {
    about: String,
    value: f64,
    limit: f64,
}

impl BenchReport {
    /// The bars as a table, or nothing if dockgate was not measured.
    pub(super) fn bars(&self) -> String {
        let bars = self.all_bars();
        if bars.is_empty() {
            return String::new();
        }
        let mut text =
            "\n### Bars\n\n| bar | figure | at most | met |\n|---|---:|---:|---|\n".to_owned();
        for Bar {
            about,
            value,
            limit,
        } in bars
        {
            let met = if value <= limit { "yes" } else { "**no**" };
            text += &format!(
                "| {about} | {} | {} | {met} |\n",
                short(value),
                short(limit)
            );
        }
        text
    }

    #[expect(clippy::too_many_lines, reason = "sequence")]
    fn all_bars(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        let mut names: Vec<&str> = self.rows.iter().map(|row| row.case).collect();
        names.dedup();
        for case in names {
            match case {
                _ if case.starts_with("ping-") || case.starts_with("json-") => {
                    self.against(&mut bars, case, "cpu", 0.75, PeerKind::is_http);
                    self.against_floor(&mut bars, case, 1.5);
                }
                "command-ecdsa" | "command-rsa" => {
                    self.against(&mut bars, case, "cpu", 0.35, PeerKind::is_rival);
                    self.against_floor(&mut bars, case, f64::INFINITY);
                }
                "download" | "download-chunked" | "upload" | "upload-chunked" | "exec-source"
                | "exec-sink" | "exec-echo" => {
                    self.against(&mut bars, case, "cpu", 0.70, PeerKind::is_rival);
                    self.against_floor(&mut bars, case, 1.15);
                }
                "round-trip" => {
                    self.against(&mut bars, case, "p50_us", 1.0, PeerKind::is_rival);
                    self.against(&mut bars, case, "p99_us", 1.0, PeerKind::is_rival);
                }
                "flush" => {
                    let figure = |kind| self.figure(case, kind, "p99_us");
                    if let (Some(gate), Some(direct)) =
                        (figure(PeerKind::Dockgate), figure(PeerKind::Direct))
                    {
                        let about = "flush: p99 above direct, µs".to_owned();
                        bars.push(Bar {
                            about,
                            value: gate - direct,
                            limit: 1000.0,
                        });
                    }
                }
                _ if case.starts_with("idle-") => {
                    self.against(&mut bars, case, "kib_per_stream", 1.0, PeerKind::is_rival);
                }
                START => {
                    for (name, about, limit) in [
                        ("start_ms", "start to listening, ms", 20.0),
                        ("rss_mib", "RSS at rest, MiB", 12.0),
                        ("binary_mib", "binary, MiB", 12.0),
                    ] {
                        if let Some(value) = self.figure(START, PeerKind::Dockgate, name) {
                            bars.push(Bar {
                                about: about.to_owned(),
                                value,
                                limit,
                            });
                        }
                    }
                }
                _ => {}
            }
        }
        for (one, other) in [
            ("ping-1", "ping-64"),
            ("ping-1024", "ping-64"),
            ("ping-1024", "ping-1"),
        ] {
            self.linear(&mut bars, one, other, 1.3);
        }
        self.linear(&mut bars, "download-10g", "download-100m", 1.1);
        self.linear(&mut bars, "upload-10g", "upload-100m", 1.1);
        bars
    }

    fn against(
        &self,
        bars: &mut Vec<Bar>,
        case: &str,
        name: &str,
        limit: f64,
        among: fn(PeerKind) -> bool,
    ) {
        let gate = self.figure(case, PeerKind::Dockgate, name);
        if let (Some(gate), Some((best, whose))) = (gate, self.best(case, name, among)) {
            let about = format!(
                "{case}: {name} {} to {} of {}",
                short(gate),
                short(best),
                whose.name()
            );
            bars.push(Bar {
                about,
                value: gate / best,
                limit,
            });
        }
    }

    fn against_floor(&self, bars: &mut Vec<Bar>, case: &str, limit: f64) {
        let (gate, floor) = (
            self.figure(case, PeerKind::Dockgate, "cpu"),
            self.figure(case, PeerKind::Tunnel, "cpu"),
        );
        if let (Some(gate), Some(floor)) = (gate, floor) {
            let about = format!(
                "{case}: cpu {} to {} of the bare tunnel",
                short(gate),
                short(floor)
            );
            bars.push(Bar {
                about,
                value: gate / floor,
                limit,
            });
        }
    }

    fn linear(&self, bars: &mut Vec<Bar>, one: &str, other: &str, limit: f64) {
        let figure = |case| self.figure(case, PeerKind::Dockgate, "cpu");
        if let (Some(a), Some(b)) = (figure(one), figure(other)) {
            bars.push(Bar {
                about: format!("linear: {one} to {other}"),
                value: a / b,
                limit,
            });
        }
    }

    /// Cases of which dockgate did nothing.
    pub(crate) fn broken(&self) -> Vec<String> {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.kind == PeerKind::Dockgate);
        rows.filter(|row| row.failed > 0 && row.units == 0.0)
            .map(|row| {
                let reason = row.reason.as_deref().unwrap_or("no reason given");
                format!("{}: no good unit: {reason}", row.case)
            })
            .collect()
    }

    /// What no noise can explain: failed units, and CPU time far beyond the bare tunnel's.
    pub(crate) fn guard(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut measured = false;
        for row in self
            .rows
            .iter()
            .filter(|row| row.kind == PeerKind::Dockgate)
        {
            measured = true;
            if row.failed > 0 {
                let reason = row.reason.as_deref().unwrap_or("no reason given");
                faults.push(format!(
                    "{}: {} units failed: {reason}",
                    row.case, row.failed
                ));
            }
            // Several times what a sound build shows, so that a busy machine cannot reach it.
            let limit = match row.unit {
                "request" => 6.0,
                "connection" => 4.0,
                "GiB" => 4.0,
                _ => continue,
            };
            let floor = self.figure(row.case, PeerKind::Tunnel, "cpu");
            if let (Some(cpu), Some(floor)) = (row.figures.get("cpu"), floor)
                && cpu.median > floor * limit
            {
                faults.push(format!(
                    "{}: {} {} of CPU time per {}, more than {limit} times the bare tunnel's {}",
                    row.case,
                    short(cpu.median),
                    row.cpu_unit,
                    row.unit,
                    short(floor)
                ));
            }
        }
        if !measured {
            faults.push("dockgate was not measured".into());
        }
        faults
    }
}

//! What was measured, as Markdown for people and JSON for programs.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::cases::BenchCase;
use crate::load::Counts;
use crate::measure::Spread;
use crate::peers::PeerKind;

mod bars;
mod tables;

/// Name of the rows about starting, resting and size.
pub(crate) const START: &str = "start";

/// Figures of one peer in one case, one of each name per round.
#[derive(Default)]
pub(crate) struct Figures {
    /// Verified units over all rounds.
    pub(crate) units: f64,
    /// Failed units over all rounds.
    pub(crate) failed: u64,
    /// What failed first.
    pub(crate) reason: Option<String>,
    values: BTreeMap<&'static str, Vec<f64>>,
}

impl Figures {
    /// One round's figure.
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.values.entry(name).or_default().push(value);
    }

    /// One round's counts.
    pub(crate) fn count(&mut self, counts: &Counts) {
        self.units += counts.units;
        self.failed += counts.failed;
        self.reason = self.reason.take().or_else(|| counts.reason.clone());
    }
}

/// One peer in one case.
#[derive(Serialize)]
pub(crate) struct FigureRow {
    pub(crate) case: &'static str,
    pub(crate) about: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) cpu_unit: &'static str,
    pub(crate) units: f64,
    pub(crate) failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) figures: BTreeMap<&'static str, Spread>,
    /// Whether latency is the figure that counts.
    #[serde(skip)]
    pub(crate) latency: bool,
    #[serde(skip)]
    pub(crate) kind: PeerKind,
}

impl FigureRow {
    /// A case's row.
    pub(crate) fn new(case: &BenchCase, kind: PeerKind, figures: Figures) -> Self {
        let figures = Self::start(kind, figures);
        Self {
            case: case.name,
            about: case.about,
            unit: case.unit.name(),
            cpu_unit: case.unit.cpu().0,
            latency: case.unit.is_latency(),
            ..figures
        }
    }

    /// A row about starting, resting and size.
    pub(crate) fn start(kind: PeerKind, figures: Figures) -> Self {
        let spread = |(name, values): (&'static str, Vec<f64>)| Some((name, Spread::of(values)?));
        Self {
            case: START,
            about: "start to listening, memory at rest, size",
            peer: kind.name(),
            unit: "start",
            cpu_unit: "",
            units: figures.units,
            failed: figures.failed,
            reason: figures.reason,
            figures: figures.values.into_iter().filter_map(spread).collect(),
            latency: false,
            kind,
        }
    }
}

/// Everything that one run found.
#[derive(Serialize)]
pub(crate) struct BenchReport {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) quick: bool,
    pub(crate) versions: BTreeMap<&'static str, String>,
    pub(crate) skipped: Vec<String>,
    /// CPU time of a server's handshake in memory, in microseconds, by case.
    pub(crate) handshake_us: BTreeMap<&'static str, Spread>,
    pub(crate) rows: Vec<FigureRow>,
}

impl BenchReport {
    /// An empty report of this machine and this day.
    pub(crate) fn new(quick: bool) -> Self {
        let first = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split_once(':')
                .map_or(line, |(_, value)| value)
                .trim()
                .to_owned()
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let now = time::OffsetDateTime::now_utc();
        Self {
            date: format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute()),
            machine: format!(
                "{}, {cores} cores, Linux {}",
                first("/proc/cpuinfo", "model name"),
                kernel.trim()
            ),
            quick,
            versions: BTreeMap::new(),
            skipped: Vec::new(),
            handshake_us: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    /// One figure's median.
    pub(crate) fn figure(&self, case: &str, kind: PeerKind, name: &str) -> Option<f64> {
        Some(self.row(case, kind)?.figures.get(name)?.median)
    }

    /// One peer in one case.
    pub(crate) fn row(&self, case: &str, kind: PeerKind) -> Option<&FigureRow> {
        self.rows
            .iter()
            .find(|row| row.case == case && row.kind == kind)
    }

    /// The lowest figure among the peers that `among` admits, and whose it is. One that failed some units is no rival.
    pub(crate) fn best(
        &self,
        case: &str,
        name: &str,
        among: fn(PeerKind) -> bool,
    ) -> Option<(f64, PeerKind)> {
        let sound = self
            .rows
            .iter()
            .filter(|row| row.case == case && among(row.kind) && row.failed == 0);
        sound
            .filter_map(|row| Some((row.figures.get(name)?.median, row.kind)))
            .min_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// The whole report as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "{}, {}{}\n\n",
            self.date,
            self.machine,
            if self.quick { ", quick run" } else { "" }
        );
        for (peer, version) in self
            .versions
            .iter()
            .filter(|(_, version)| !version.is_empty())
        {
            text += &format!("- {peer}: {version}\n");
        }
        for reason in &self.skipped {
            text += &format!("- skipped: {reason}\n");
        }
        for (case, cost) in &self.handshake_us {
            let Spread { median, min, .. } = cost;
            text += &format!(
                "- {case}: the server's handshake in memory costs {median:.0} µs of CPU time (least {min:.0})\n"
            );
        }
        text += &self.tables();
        text += &self.bars();
        text
    }
}

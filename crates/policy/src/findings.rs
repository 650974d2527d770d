//! What the readers find in a request, judged piece by piece as it is found.
//!
//! A body of a few megabytes can ask for a million things. Where denials are enforced, the first thing that is refused
//! settles the request, and the readers stop. Where they are only reported, the first [`MOST_KEPT`] are kept for the
//! record, and the rest is counted.

use std::collections::HashSet;

use super::demand::{Demand, Want};
use super::hostpath::clean;
use super::{Limits, Mode};
use docker_api::work;

/// Demands that are kept for the record.
const MOST_KEPT: usize = 256;

/// Bytes of fields and values that are kept for the record.
const MOST_BYTES: usize = 64 << 10;

/// Volumes and networks of one request that the engine is asked about.
const MOST_UNRESOLVED: usize = 64;

/// Something whose power only the engine can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unresolved {
    /// A named volume: its driver options may bind a host path.
    Volume {
        /// The volume's name.
        name: String,
        /// The field that names it.
        field: String,
    },
    /// A network by id: it may be the host's.
    Network {
        /// The name or id.
        name: String,
        /// The field that names it.
        field: String,
    },
}

/// What a request asked for: the first of its demands, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The demands that were kept, in the order they were found.
    pub demands: Vec<Demand>,
    /// How many were not kept.
    pub omitted: usize,
}

/// What was found so far.
#[derive(Clone, Debug)]
pub(super) struct Findings<'p> {
    limits: &'p Limits,
    mode: Mode,
    asked: Asked,
    /// Bytes of `asked`.
    bytes: usize,
    refused: Option<Demand>,
    unresolved: Vec<Unresolved>,
    named: HashSet<Unresolved>,
    /// Read-only binds leave what is mounted below them writable, as before API 1.44.
    pub shallow: bool,
}

impl<'p> Findings<'p> {
    pub(super) fn new(limits: &'p Limits, mode: Mode) -> Self {
        Findings {
            limits,
            mode,
            asked: Asked::default(),
            bytes: 0,
            refused: None,
            unresolved: Vec::new(),
            named: HashSet::new(),
            shallow: false,
        }
    }

    /// Whether nothing that is found from now on can change the answer: readers may stop.
    pub(super) fn is_settled(&self) -> bool {
        self.mode == Mode::Enforce && self.refused.is_some()
    }

    /// The first demand that the limits do not admit.
    pub(super) fn refused(&self) -> Option<&Demand> {
        self.refused.as_ref()
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Judges a demand and keeps it while there is room. It is not even made where it could change nothing.
    pub(super) fn add(&mut self, demand: impl FnOnce() -> Demand) {
        if self.is_settled() {
            return;
        }
        work::add(1);
        let full = self.asked.omitted > 0 || self.asked.demands.len() >= MOST_KEPT;
        if full && self.refused.is_some() {
            self.asked.omitted += 1;
            return;
        }
        let demand = demand();
        if self.refused.is_none() && !self.limits.admit(&demand) {
            self.refused = Some(demand.clone());
        }
        let bytes = self.bytes + demand.field.len() + demand.value.len();
        if full || bytes > MOST_BYTES {
            self.asked.omitted += 1;
        } else {
            self.bytes = bytes;
            self.asked.demands.push(demand);
        }
    }

    /// Adds a demand.
    pub(super) fn want(&mut self, field: impl Into<String>, value: impl Into<String>, want: Want) {
        self.add(|| Demand::new(field, value, want));
    }

    /// Adds a demand nothing allows.
    pub(super) fn never(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        value: impl Into<String>,
    ) {
        self.add(|| Demand::never(rule, field, value));
    }

    /// `written` is what the body says, for messages; the cleaned path is what is judged.
    pub(super) fn host_path(&mut self, field: String, written: &str, path: &str, writable: bool) {
        let writable = writable || self.shallow;
        self.add(|| {
            let path = clean(path);
            Demand::new(field, written, Want::HostPath { path, writable })
        });
    }

    /// Notes what the engine must be asked about, each once.
    pub(super) fn look_up(&mut self, name: Unresolved) {
        if self.is_settled() || self.named.contains(&name) {
            return;
        }
        if self.unresolved.len() >= MOST_UNRESOLVED {
            return self.add(|| {
                let value = format!("more than {MOST_UNRESOLVED} volumes and networks by name");
                Demand::never("volumes", "body", value)
            });
        }
        self.named.insert(name.clone());
        self.unresolved.push(name);
    }

    /// What the engine must be asked about.
    pub(super) fn unresolved(&mut self) -> Vec<Unresolved> {
        self.named.clear();
        std::mem::take(&mut self.unresolved)
    }
}

//! What the readers find in a request, judged piece by piece as it is found.
//!
//! A body of a few megabytes can ask for a million things. Where denials are enforced, the first thing that is refused
//! settles the request, and the readers stop. Where they are only reported, the first [`MOST_KEPT`] are kept for the
//! record, and the rest is counted.

use std::collections::HashSet;

use super::amounts::Amounts;
use super::hostpath::clean;
use super::limits::{LimitKey, Means};
use super::power::Power;
use super::protected::RULE;
use super::{Limits, Mode, Protected};
use docker_api::{Operation, work};

/// Powers that are kept for the record.
const MOST_KEPT: usize = 256;

/// Bytes of fields and values that are kept for the record.
const MOST_BYTES: usize = 64 << 10;

/// Volumes, networks and containers of one request that the engine is asked about.
const MOST_UNRESOLVED: usize = 64;

/// Host paths of one request whose links are followed.
const MOST_PATHS: usize = 256;

/// Longest path of a host, Linux's `PATH_MAX`: the engine could not bind a longer one.
const LONGEST_PATH: usize = 4096;

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
    /// A container whose volumes or namespaces are joined, or whose networks change.
    Container {
        /// The name or id.
        name: String,
        /// The field that names it.
        field: String,
        /// Whether its files come into reach.
        enters: bool,
    },
    /// A volume of a container that is to be started: its device may be a link.
    Started {
        /// The volume's name.
        name: String,
    },
    /// A volume that is to be removed.
    Removed {
        /// The volume's name.
        name: String,
    },
}

/// What a request asked for: the first of its powers, and how many more there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// The powers that were kept, in the order they were found.
    pub kept: Vec<Power>,
    /// How many were not kept.
    pub omitted: usize,
}

/// What was found so far.
#[derive(Clone, Debug)]
pub(super) struct Findings<'p> {
    operation: Operation,
    limits: &'p Limits,
    protected: &'p Protected,
    mode: Mode,
    asked: Powers,
    /// Bytes of `asked`.
    bytes: usize,
    refused: Option<Power>,
    /// The refusal is for what is not known, not for what was asked.
    in_doubt: bool,
    /// Host paths that the limits admit, where links are to be followed.
    paths: Vec<String>,
    unresolved: Vec<Unresolved>,
    named: HashSet<Unresolved>,
    /// Read-only binds leave what is mounted below them writable, as before API 1.44.
    pub shallow: bool,
    /// What a new container gets where it asks for nothing.
    pub defaults: Amounts,
}

impl<'p> Findings<'p> {
    pub(super) fn new(
        operation: Operation,
        limits: &'p Limits,
        protected: &'p Protected,
        mode: Mode,
    ) -> Self {
        Findings {
            operation,
            limits,
            protected,
            mode,
            asked: Powers::default(),
            bytes: 0,
            refused: None,
            in_doubt: false,
            paths: Vec::new(),
            unresolved: Vec::new(),
            named: HashSet::new(),
            shallow: false,
            defaults: Amounts::default(),
        }
    }

    /// Whether nothing that is found from now on can change the answer: readers may stop.
    pub(super) fn is_settled(&self) -> bool {
        self.mode == Mode::Enforce && self.refused.is_some()
    }

    /// The first power that the limits do not admit.
    pub(super) fn refused(&self) -> Option<&Power> {
        self.refused.as_ref()
    }

    /// Whether it was refused since the gate could not know what it is.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Host paths whose links are to be followed.
    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> &Powers {
        &self.asked
    }

    /// Judges a power and keeps it while there is room. It is not even made where it could change nothing.
    pub(super) fn add(&mut self, power: impl FnOnce() -> Power) {
        if self.is_settled() {
            return;
        }
        work::add(1);
        let full = self.asked.omitted > 0 || self.asked.kept.len() >= MOST_KEPT;
        if full && self.refused.is_some() {
            self.asked.omitted += 1;
            return;
        }
        let power = power();
        if self.refused.is_none() {
            match power.is_within(self.limits) {
                true => self.keep_out(&power),
                false => self.refused = Some(power.clone()),
            }
        }
        let bytes = self.bytes + power.field.len() + power.value.len();
        // Without its secrets a value would be another one.
        if full || bytes > MOST_BYTES || !power.is_public() {
            self.asked.omitted += 1;
        } else {
            self.bytes = bytes;
            self.asked.kept.push(power);
        }
    }

    /// After the limits: whatever they admit, what is protected is out of reach.
    fn keep_out(&mut self, power: &Power) {
        let protected = self.protected;
        if let Some(why) = protected.doubt(power) {
            return self.doubt(why);
        }
        if let Some(why) = protected.objection(self.operation, power) {
            self.refused = Some(Power::never(RULE, power.to_string(), why));
            return;
        }
        match &power.means {
            Means::HostPath { path, .. } if protected.follows_links() => {
                self.follow(&power.field, path);
            }
            Means::Limit(LimitKey::JoinContainers)
                if protected.asks(Operation::ContainerAttach) =>
            {
                self.look_up(Unresolved::Container {
                    name: joined(power).to_owned(),
                    field: power.field.clone(),
                    enters: true,
                });
            }
            _ => {}
        }
    }

    /// Notes a host path whose links are to be followed.
    pub(super) fn follow(&mut self, field: &str, path: &str) {
        if self.paths.len() < MOST_PATHS {
            self.paths.push(path.to_owned());
        } else if self.refused.is_none() {
            let why = format!("more than {MOST_PATHS} host paths");
            self.refused = Some(Power::never(RULE, field, why));
        }
    }

    /// Refuses since it cannot be known what is asked for.
    pub(super) fn doubt(&mut self, why: String) {
        if self.refused.is_none() {
            self.refused = Some(Power::never(RULE, self.operation.id(), why));
            self.in_doubt = true;
        }
    }

    /// Adds a power.
    pub(super) fn ask(
        &mut self,
        field: impl Into<String>,
        value: impl Into<String>,
        means: impl Into<Means>,
    ) {
        self.add(|| Power::new(field, value, means));
    }

    /// Adds a power nothing allows.
    pub(super) fn never(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        value: impl Into<String>,
    ) {
        self.add(|| Power::never(rule, field, value));
    }

    /// Adds what was found, if anything was.
    pub(super) fn extend(&mut self, power: Option<Power>) {
        if let Some(power) = power {
            self.add(|| power);
        }
    }

    /// `written` is what the body says, for messages; the cleaned path is what is judged.
    pub(super) fn host_path(&mut self, field: String, written: &str, path: &str, writable: bool) {
        if path.len() > LONGEST_PATH {
            return self.never("binds", field, "a path longer than 4096 bytes");
        }
        let writable = writable || self.shallow;
        self.add(|| {
            let path = clean(path);
            Power::new(field, written, Means::HostPath { path, writable })
        });
    }

    /// Notes what the engine must be asked about, each once.
    pub(super) fn look_up(&mut self, name: Unresolved) {
        // A container that is not entered matters only where the gate has one of its own.
        let own_alone = matches!(name, Unresolved::Container { enters: false, .. });
        if self.is_settled()
            || self.named.contains(&name)
            || own_alone && !self.protected.asks(self.operation)
        {
            return;
        }
        if let Unresolved::Container { name, field, .. } = &name
            && self.protected.names_own(name)
        {
            let why = "the gate's own container";
            self.refused = Some(Power::never(RULE, field.as_str(), why));
            return;
        }
        if self.unresolved.len() >= MOST_UNRESOLVED {
            return self.add(|| {
                let value =
                    format!("more than {MOST_UNRESOLVED} volumes, networks and containers by name");
                Power::never("volumes", "body", value)
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

/// The container that a join names: `container:NAME` of a mode, `NAME:ro` of VolumesFrom, `/NAME:/ALIAS` of Links. In a list a
/// container may itself be called `container`, so nothing is taken off there.
fn joined(power: &Power) -> &str {
    let field = power.field.rsplit('.').next().unwrap_or_default();
    let listed = field.starts_with("VolumesFrom[") || field.starts_with("Links[");
    let value = match power.value.strip_prefix("container:") {
        Some(name) if !listed => return name,
        _ => power.value.trim_start_matches('/'),
    };
    value.split(':').next().unwrap_or_default()
}

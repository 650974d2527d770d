//! One source's settings as text, and where each was written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::error::ConfigProblem;
use crate::config::key::{KEYS, suggest};
use crate::config::origin::Origin;
use crate::config::service_link;

/// What one source says about one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// One item, or several for a list.
    pub items: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
    /// What relative paths are relative to; the working directory when nothing is said.
    pub base: Option<PathBuf>,
}

/// What one source says, by the setting's name.
pub type Layer = BTreeMap<&'static str, LayerEntry>;

/// Variables that only the project's tests read.
const TEST_PREFIXES: &[&str] = &[
    "DOCKGATE_TEST_",
    "DOCKGATE_E2E_",
    "DOCKGATE_REQUIRE_",
    "DOCKGATE_ENGINE",
];

/// Variables that name a source of settings rather than a setting.
pub const CONFIG_FILE: &str = "DOCKGATE_CONFIG_FILE";
/// See [`CONFIG_FILE`].
pub const FROM_DAEMON_JSON: &str = "DOCKGATE_FROM_DAEMON_JSON";

/// The settings among flags.
pub fn from_flags<'a>(settings: impl Iterator<Item = (&'static str, &'a [String])>) -> Layer {
    let entry = |items: &[String]| LayerEntry {
        items: items.to_vec(),
        origin: Origin::Flag,
        base: None,
    };
    settings.map(|(name, items)| (name, entry(items))).collect()
}

/// The settings among environment variables. An empty variable counts as unset, since compose files pass `${VAR:-}` on.
pub fn from_env(vars: &BTreeMap<String, String>) -> (Layer, Vec<ConfigProblem>) {
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    let names: Vec<String> = KEYS.iter().map(crate::config::key::Key::env).collect();
    for (name, value) in vars
        .iter()
        .filter(|(name, _)| name.starts_with("DOCKGATE_"))
    {
        let Some(index) = names.iter().position(|known| known == name) else {
            if !is_known_elsewhere(name, value) {
                problems.push(unknown_variable(name, &names));
            }
            continue;
        };
        if value.trim().is_empty() {
            continue;
        }
        let key = &KEYS[index];
        let items = match key.kind {
            crate::config::key::SettingKind::List { .. } => value
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
            _ => vec![value.trim().to_owned()],
        };
        layer.insert(
            key.name,
            LayerEntry {
                items,
                origin: Origin::Env(name.clone()),
                base: None,
            },
        );
    }
    (layer, problems)
}

/// Not settings, but not mistakes either: what other programs set beside the gate.
fn is_known_elsewhere(name: &str, value: &str) -> bool {
    name == CONFIG_FILE
        || name == FROM_DAEMON_JSON
        || service_link::is_one(name, value)
        || TEST_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn unknown_variable(name: &str, names: &[String]) -> ConfigProblem {
    let word = name.trim_start_matches("DOCKGATE_");
    let known = names
        .iter()
        .map(|known| known.trim_start_matches("DOCKGATE_"));
    let problem = ConfigProblem::new(
        Origin::Env(name.to_owned()),
        format!("unknown environment variable {name}"),
    );
    match suggest(word, known) {
        Some(meant) => problem.hint(format!("did you mean DOCKGATE_{meant}?")),
        None => problem.hint("`dockgate serve --help` lists them"),
    }
}

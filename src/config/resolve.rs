//! Picks each setting from the highest layer that has it, parses it, and keeps its origin.

use std::fmt::Debug;
use std::path::PathBuf;

use crate::config::error::{ConfigProblem, Wrong};
use crate::config::key::{Key, SettingKind};
use crate::config::layer::{Layer, LayerEntry};
use crate::config::origin::{Origin, Setting};

/// The layers, highest precedence first, and what came of reading them.
pub(super) struct Resolver {
    layers: Vec<Layer>,
    /// Everything wrong so far.
    pub(super) problems: Vec<ConfigProblem>,
    /// Whether the layers hold all that was written: if not, a setting that is not there is no finding.
    pub(super) whole: bool,
    /// Every setting read so far.
    pub(super) settings: Vec<Setting>,
}

impl Resolver {
    pub(super) fn new(layers: Vec<Layer>, problems: Vec<ConfigProblem>, whole: bool) -> Self {
        Self {
            layers,
            problems,
            whole,
            settings: Vec::new(),
        }
    }

    /// A value that always exists: when it cannot be read, the problem is noted and the default is used.
    pub(super) fn value<T: Debug>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> T {
        let (key, entry) = self.read(name);
        match parse(only(&entry)) {
            Ok(value) => self.means(name, value),
            Err(wrong) => {
                self.refuse(ConfigProblem::value(
                    key,
                    &entry.origin,
                    only(&entry),
                    wrong,
                ));
                parse(key.default).expect("the defaults in KEYS must parse")
            }
        }
    }

    /// A value that "off" (or, where a number or time is meant, 0) turns off.
    pub(super) fn optional<T: Debug>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (_, entry) = self.read(name);
        if matches!(only(&entry).trim(), "" | "off" | "0" | "0s" | "none") {
            self.means(name, Off);
            return None;
        }
        self.required(name, parse)
    }

    fn required<T: Debug>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (key, entry) = self.read(name);
        match parse(only(&entry)) {
            Ok(value) => Some(self.means(name, value)),
            Err(wrong) => {
                self.refuse(ConfigProblem::value(
                    key,
                    &entry.origin,
                    only(&entry),
                    wrong,
                ));
                None
            }
        }
    }

    /// An optional path, relative to where it was written.
    pub(super) fn optional_path(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str, Option<&std::path::Path>) -> Result<PathBuf, Wrong>,
    ) -> Option<PathBuf> {
        let base = self.entry(name).and_then(|entry| entry.base.clone());
        self.optional(name, |text| parse(text, base.as_deref()))
    }

    /// An optional setting that restrains the gate. Only `off` says that it shall not be: an empty text is a mistake (a
    /// shell's unset variable), except in the environment, where Compose's `${NAME:-}` writes one.
    pub(super) fn guard<T: Debug>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let empty = self
            .layers
            .iter()
            .filter_map(|layer| layer.get(name))
            .take_while(|entry| entry.items == [""])
            .find(|entry| !matches!(entry.origin, Origin::Env(_)));
        if let Some(entry) = empty {
            let key = Key::named(name).expect("settings are read by a name that KEYS must have");
            let wrong = match key.kind {
                SettingKind::Text { expected } => format!("expected {expected}").into(),
                kind => format!("expected {}", kind.expected()).into(),
            };
            let problem = ConfigProblem::value(key, &entry.origin, "", wrong);
            self.refuse(problem);
            return None;
        }
        let (_, entry) = self.read(name);
        match only(&entry) {
            "" | "off" => {
                self.means(name, Off);
                None
            }
            _ => self.required(name, parse),
        }
    }

    /// The same of a path, relative to where it was written.
    pub(super) fn guard_path(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str, Option<&std::path::Path>) -> Result<PathBuf, Wrong>,
    ) -> Option<PathBuf> {
        let base = self.entry(name).and_then(|entry| entry.base.clone());
        self.guard(name, |text| parse(text, base.as_deref()))
    }

    /// A list; items that cannot be read are noted and left out.
    pub(super) fn list<T: Debug>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str, Option<&std::path::Path>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let (key, entry) = self.read(name);
        let mut values = Vec::new();
        for item in &entry.items {
            match parse(item, entry.base.as_deref()) {
                Ok(value) => values.push(value),
                Err(wrong) => {
                    self.refuse(ConfigProblem::value(key, &entry.origin, item, wrong));
                }
            }
        }
        self.means(name, values)
    }

    /// Notes a value that cannot be used. What a line with a mistake in its TOML leaves behind is not told again.
    fn refuse(&mut self, problem: ConfigProblem) {
        let is_told = |told: &ConfigProblem| told.origin == problem.origin;
        if self.whole || !self.problems.iter().any(is_told) {
            self.problems.push(problem);
        }
    }

    /// Who wrote a setting, if anybody did.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.entry(name).map(|entry| &entry.origin)
    }

    /// Replaces the record of a setting whose value was found rather than written.
    pub(super) fn record(&mut self, name: &'static str, value: String, origin: Origin) {
        self.settings.retain(|setting| setting.name != name);
        self.settings.push(Setting {
            name,
            meaning: value.clone(),
            value,
            origin,
        });
    }

    /// Keeps what was made of a setting, by which a reload sees whether it has changed.
    fn means<T: Debug>(&mut self, name: &str, value: T) -> T {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.name == name) {
            setting.meaning = format!("{value:?}");
        }
        value
    }

    fn entry(&self, name: &str) -> Option<&LayerEntry> {
        // An empty text is as good as none; an empty list is a statement.
        self.layers
            .iter()
            .find_map(|layer| layer.get(name).filter(|entry| entry.items != [""]))
    }

    fn read(&mut self, name: &'static str) -> (&'static Key, LayerEntry) {
        let key = Key::named(name).expect("settings are read by a name that KEYS must have");
        let entry = self.entry(name).cloned().unwrap_or_else(|| LayerEntry {
            items: match key.kind {
                SettingKind::List { .. } if key.default.is_empty() => Vec::new(),
                _ => vec![key.default.to_owned()],
            },
            origin: Origin::Default,
            base: None,
        });
        self.record(name, entry.items.join(","), entry.origin.clone());
        (key, entry)
    }
}

/// What a setting means that is turned off.
#[derive(Debug)]
struct Off;

fn only(entry: &LayerEntry) -> &str {
    entry.items.last().map_or("", String::as_str)
}

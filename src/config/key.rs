//! What a setting is: its name in the file, its flag, its environment variable, the kind of value it takes, its default and its
//! help. [`KEYS`] is the one table of them: the command line, the readers of environment and file, `check`, a reload's "takes
//! effect at the next start" and docs/reference/configuration.md come from it.

mod table;

pub use table::KEYS;

/// What a setting's value looks like; it decides which TOML types the file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// One string.
    Text {
        /// What to write, for the error message.
        expected: &'static str,
    },
    /// A string or an array of strings; comma-separated in the environment, repeated on the command line.
    List {
        /// What each item is, for the error message.
        expected: &'static str,
    },
    /// A whole number.
    Count,
    /// A whole number, or "off".
    OptionalCount,
    /// true or false.
    Switch,
}

impl SettingKind {
    /// What the file should have had, for the error message.
    pub fn expected(self) -> String {
        match self {
            Self::Text { expected } => format!("{expected}, in quotes"),
            Self::List { expected } => {
                format!("a list in brackets, each item {expected} in quotes")
            }
            Self::Count => "a whole number without quotes".into(),
            Self::OptionalCount => "a whole number without quotes, or \"off\"".into(),
            Self::Switch => "true or false".into(),
        }
    }
}

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingChange {
    /// At the next reload.
    Live,
    /// At the next start.
    Restart,
}

/// The heading under which `--help` lists a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Group {
    Addresses,
    Tls,
    Policy,
    Deadlines,
    Limits,
    Process,
    Log,
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Addresses => "Addresses",
            Self::Tls => "TLS",
            Self::Policy => "Policy and audit",
            Self::Deadlines => "Deadlines",
            Self::Limits => "Limits",
            Self::Process => "Process",
            Self::Log => "Log",
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the configuration file.
    pub name: &'static str,
    /// Its flag without the dashes; differs from `name` only where the flag is repeated for a list.
    pub flag: &'static str,
    /// The one-letter flag.
    pub short: Option<char>,
    /// The kind of value.
    pub kind: SettingKind,
    /// The default as one would write it; empty for "nothing".
    pub default: &'static str,
    /// What stands for the value in the usage, as in `--policy <FILE>`.
    pub placeholder: &'static str,
    /// Where `--help` lists it.
    pub group: Group,
    /// When a change takes effect.
    pub change: SettingChange,
    /// One sentence for people, without a full stop.
    pub help: &'static str,
}

impl Key {
    /// Its environment variable.
    pub fn env(&self) -> String {
        format!(
            "DOCKGATE_{}",
            self.flag.replace('-', "_").to_ascii_uppercase()
        )
    }

    /// The row of a setting by its name in the file.
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Words people bring from other programs, and what they are called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("listen", "hosts"),
    ("bind", "hosts"),
    ("address", "hosts"),
    ("port", "hosts"),
    ("socket", "upstream"),
    ("docker-socket", "upstream"),
    ("docker-host", "upstream"),
    ("backend", "upstream"),
    ("ca", "tlscacert"),
    ("client-ca", "tlscacert"),
    ("cert", "tlscert"),
    ("key", "tlskey"),
    ("crl", "tlscrl"),
    ("debug", "log-level"),
    ("threads", "workers"),
    ("timeout", "head-timeout"),
    ("max-head-bytes", "max-head-size"),
    ("rate-limit", "max-requests-per-second-per-client"),
];

/// The candidate that was most likely meant, if any is near.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some((_, meant)) = SYNONYMS.iter().find(|(foreign, _)| *foreign == word) {
        // Looked up among the candidates, so that the answer has their spelling (file or environment).
        if let Some(found) = candidates.iter().find(|c| c.eq_ignore_ascii_case(meant)) {
            return Some(found);
        }
    }
    text::nearest(&word, candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_flags_and_variables_are_unique() {
        for (i, a) in KEYS.iter().enumerate() {
            for b in &KEYS[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.flag, b.flag);
                assert_ne!(a.env(), b.env());
            }
        }
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(suggest("drain_timeout", names()), Some("drain-timeout"));
        assert_eq!(suggest("drain-timeuot", names()), Some("drain-timeout"));
        assert_eq!(suggest("host", names()), Some("hosts"));
        assert_eq!(suggest("listen", names()), Some("hosts"));
        assert_eq!(suggest("xyzzy", names()), None);
    }
}

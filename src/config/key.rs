//! The table of settings: one row gives a setting its name in the file, its flag, its environment variable, the kind of value
//! it takes and its default. Help, parser, `check` and the documentation test all read this table.

/// What a setting's value looks like; it decides which TOML types the file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
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

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the configuration file.
    pub name: &'static str,
    /// Its flag without the dashes; differs from `name` only where the flag is repeated for a list.
    pub flag: &'static str,
    /// The kind of value.
    pub kind: Kind,
    /// The default as one would write it; empty for "nothing".
    pub default: &'static str,
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

const TIME: Kind = Kind::Text {
    expected: "a time with its unit such as \"10s\" or \"5m\"",
};
const OPTIONAL_TIME: Kind = Kind::Text {
    expected: "a time with its unit such as \"10s\" or \"5m\", or \"off\"",
};
const PATH: Kind = Kind::Text { expected: "a path" };
const OPTIONAL_PATH: Kind = Kind::Text {
    expected: "a path, or \"off\"",
};

const fn key(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        flag: name,
        kind,
        default,
    }
}

const fn repeated(
    name: &'static str,
    flag: &'static str,
    expected: &'static str,
    default: &'static str,
) -> Key {
    Key {
        name,
        flag,
        kind: Kind::List { expected },
        default,
    }
}

/// Every setting, in the order `config/dockgate.toml` documents them and `check` prints them.
pub const KEYS: &[Key] = &[
    repeated(
        "hosts",
        "host",
        "tcp://ADDRESS:PORT or fd://",
        "tcp://:2376",
    ),
    key(
        "upstream",
        Kind::Text {
            expected: "the engine's socket as unix:///PATH",
        },
        "unix:///var/run/docker.sock",
    ),
    key("tlscacert", PATH, ""),
    key("tlscert", PATH, ""),
    key("tlskey", PATH, ""),
    repeated("tlscrl", "tlscrl", "a path", ""),
    key("tlsverify", Kind::Switch, "true"),
    key("auto-certs", OPTIONAL_PATH, "off"),
    repeated("sans", "san", "a DNS name or IP address", ""),
    repeated("deny-serials", "deny-serial", "a serial number in hex", ""),
    repeated(
        "deny-spki-sha256",
        "deny-spki-sha256",
        "a SHA-256 in hex",
        "",
    ),
    key("policy", OPTIONAL_PATH, "off"),
    repeated("protected-paths", "protected-path", "an absolute path", ""),
    repeated(
        "protected-volumes",
        "protected-volume",
        "a volume's name",
        "",
    ),
    repeated("protected-images", "protected-image", "an image's name", ""),
    key(
        "audit",
        Kind::Text {
            expected: "\"stdout\", a path or \"off\"",
        },
        "off",
    ),
    key(
        "audit-failure",
        Kind::Text {
            expected: "\"deny\" or \"continue\"",
        },
        "deny",
    ),
    key("authz-plugin", OPTIONAL_PATH, "off"),
    key("handshake-timeout", TIME, "10s"),
    key("head-timeout", TIME, "30s"),
    key("drain-timeout", TIME, "10s"),
    key("upstream-connect-timeout", TIME, "10s"),
    key("tunnel-grace", TIME, "10s"),
    key("session-max-age", OPTIONAL_TIME, "off"),
    key("tcp-keepalive-idle", TIME, "30s"),
    key("tcp-keepalive-interval", TIME, "10s"),
    key("tcp-keepalive-probes", Kind::Count, "3"),
    key("reload-interval", OPTIONAL_TIME, "10s"),
    key("exit-on-stale-socket", OPTIONAL_TIME, "off"),
    key("max-connections", Kind::Count, "10000"),
    key("max-connections-per-client", Kind::Count, "1000"),
    key("max-handshakes", Kind::Count, "1000"),
    key(
        "max-head-size",
        Kind::Text {
            expected: "a size with its unit such as \"64KiB\"",
        },
        "1088KiB",
    ),
    key("max-header-lines", Kind::Count, "500"),
    key(
        "max-requests-per-second-per-client",
        Kind::OptionalCount,
        "off",
    ),
    key("workers", Kind::Count, "0"),
    key(
        "metrics",
        Kind::Text {
            expected: "ADDRESS:PORT, or \"off\"",
        },
        "off",
    ),
    key(
        "control-socket",
        OPTIONAL_PATH,
        "/run/dockgate/control.sock",
    ),
    key(
        "log-level",
        Kind::Text {
            expected: "\"trace\", \"debug\", \"info\", \"warn\" or \"error\"",
        },
        "info",
    ),
    key(
        "log-format",
        Kind::Text {
            expected: "\"auto\", \"text\" or \"json\"",
        },
        "auto",
    ),
];

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
    candidates
        .into_iter()
        .map(|c| {
            (
                strsim::jaro_winkler(&word, &c.to_ascii_lowercase().replace('_', "-")),
                c,
            )
        })
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
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

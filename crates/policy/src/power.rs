//! The normal form of a request: a list of the powers it asks for, whatever spelling the body used.
//!
//! Every reader (create bodies, services, inspected targets, builds, parameters) produces [`Power`]s, and one judge
//! holds them against the role's limits. A second spelling of the same power is a second producer, never a second rule.

use std::borrow::Cow;
use std::fmt;

use text::escape;

use super::limits::{LimitKey, Limits, Means, Namespace};

/// Rules that no limit relaxes; the others are the limits' keys.
pub const FIXED_RULES: &[&str] = &[
    "body",
    "budget",
    "build",
    "cgroup-parent",
    "checkpoints",
    "client",
    "field-names",
    "field-types",
    "form-body",
    "headers",
    "isolation",
    "operation",
    "parameters",
    "protected",
    "ps-args",
    "scope",
    "services",
    "stop-timeout",
    "target-check",
];

/// What a request asks for that a limit speaks about, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// The field or parameter, `HostConfig.Binds[0]`.
    pub field: String,
    /// What it says, normalised: `/etc`.
    pub value: String,
    /// What that means.
    pub means: Means,
}

impl Power {
    /// A power.
    pub fn new(
        field: impl Into<String>,
        value: impl Into<String>,
        means: impl Into<Means>,
    ) -> Power {
        Power {
            field: field.into(),
            value: value.into(),
            means: means.into(),
        }
    }

    /// A power nothing allows.
    pub fn never(rule: &'static str, field: impl Into<String>, value: impl Into<String>) -> Power {
        let known = FIXED_RULES.contains(&rule) || LimitKey::from_name(rule).is_some();
        debug_assert!(known, "{rule}");
        Power::new(field, value, Means::Never(rule))
    }

    /// The limit that speaks about it, if one does.
    pub fn key(&self) -> Option<LimitKey> {
        self.means.key()
    }

    /// Whether the limits allow it.
    pub fn is_within(&self, limits: &Limits) -> bool {
        limits.admit(&self.value, &self.means)
    }

    /// What the limits would allow in its place; empty if nothing.
    pub fn allowed_by(&self, limits: &Limits) -> String {
        let key = self.key();
        key.map_or_else(String::new, |key| limits.allowed(key))
    }

    /// The rule that judges it, as named in denials and by `explain`: the key of the limit.
    pub fn rule(&self) -> &'static str {
        match (self.key(), &self.means) {
            (Some(key), _) => key.name(),
            (None, Means::Never(rule)) => rule,
            (None, _) => "",
        }
    }

    /// Whether the value is what is wrong with the field, and not what the field says.
    fn is_fault(&self) -> bool {
        matches!(
            self.means,
            Means::Never("body" | "field-names" | "field-types" | "parameters")
        )
    }

    /// The value as it is shown: without what is before an `@`, and without a query. Paths of the host have neither.
    fn shown(&self) -> Cow<'_, str> {
        match self.means {
            Means::HostPath { .. } => escape::without_url_secrets(&self.value),
            _ => escape::without_credentials(&self.value),
        }
    }

    /// The field as it is shown: a key of a map is the peer's too.
    fn shown_field(&self) -> Cow<'_, str> {
        match self.means {
            Means::HostPath { .. } | Means::Never("binds") => {
                escape::without_url_secrets(&self.field)
            }
            // A parameter begins with a mark of its own.
            _ => match self.field.strip_prefix('?') {
                Some(name) => Cow::Owned(format!("?{}", escape::without_credentials(name))),
                None => escape::without_credentials(&self.field),
            },
        }
    }

    /// Whether the value can be kept in records as it is. One without its secrets would be another one.
    pub fn is_public(&self) -> bool {
        *self.shown() == self.value
    }

    /// The power as a key of the limits and a value, which audit records carry and `policy learn` reads.
    /// `None` for what no limit can allow.
    pub fn fact(&self) -> Option<(&'static str, String)> {
        let key = self.key()?;
        let value = match &self.means {
            _ if key.is_flag() => "true".into(),
            Means::Namespace(namespace) => namespace.name().into(),
            Means::HostPath { path, writable } => {
                let mode = if *writable { "" } else { ":ro" };
                format!("{path}{mode}")
            }
            _ => self.value.clone(),
        };
        Some((key.name(), value))
    }

    /// The power a fact of an audit record stands for.
    pub fn from_fact(key: &str, value: &str) -> Option<Power> {
        let means = match LimitKey::from_name(key)? {
            LimitKey::HostNamespaces => Means::Namespace(Namespace::from_name(value)?),
            LimitKey::Binds => {
                let (path, writable) = match value.strip_suffix(":ro") {
                    Some(path) => (path.to_owned(), false),
                    None => (value.to_owned(), true),
                };
                Means::HostPath { path, writable }
            }
            key => Means::Limit(key),
        };
        Some(Power::new(key, value, means))
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            return printable(f, &self.shown_field());
        }
        printable(f, &self.shown_field())?;
        f.write_str(if self.is_fault() { ": " } else { "=" })?;
        printable(f, &self.shown())
    }
}

/// Writes text that came from a peer: without secrets of URLs, control characters escaped, long text cut.
pub(super) fn printable(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    const LONGEST: usize = 200;
    let text = escape::without_url_secrets(text);
    let end = text.char_indices().nth(LONGEST).map(|(at, _)| at);
    f.write_str(&escape::line(&text[..end.unwrap_or(text.len())]))?;
    if end.is_some() {
        f.write_str("…")?;
    }
    Ok(())
}

//! Host paths and the patterns that allow them.

use std::fmt;

/// Cleans an absolute path the way Go's `path.Clean` does: lexically, without looking at the host.
pub(super) fn clean(path: &str) -> String {
    let mut cleaned = String::with_capacity(path.len() + 1);
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => cleaned.truncate(cleaned.rfind('/').unwrap_or(0)),
            part => {
                cleaned.push('/');
                cleaned.push_str(part);
            }
        }
    }
    if cleaned.is_empty() {
        cleaned.push('/');
    }
    cleaned
}

/// One entry of `limits.binds`: `/srv/a` that path alone, `/srv/a/**` it and everything below; `:ro` read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    base: String,
    below: bool,
    read_only: bool,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected, if the text is no pattern.
    pub fn parse(text: &str) -> Result<PathPattern, String> {
        let (path, read_only) = match text.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (base, below) = match path.strip_suffix("/**") {
            Some(base) => (if base.is_empty() { "/" } else { base }, true),
            None => (path, false),
        };
        if !base.starts_with('/') {
            return Err("expected an absolute path".into());
        }
        if base.contains(['*', '?', '\0']) {
            return Err(
                "expected a path, or a path followed by `/**`; other wildcards do not exist".into(),
            );
        }
        let cleaned = clean(base);
        if cleaned
            != base
                .strip_suffix('/')
                .filter(|short| !short.is_empty())
                .unwrap_or(base)
        {
            return Err(format!(
                "expected a clean path, which would be \"{cleaned}\""
            ));
        }
        Ok(PathPattern {
            base: cleaned,
            below,
            read_only,
        })
    }

    /// The path itself, without `/**` and the mode.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether the pattern allows binding `path`, which must be clean. Whole components are compared.
    pub fn admits(&self, path: &str, writable: bool) -> bool {
        if writable && self.read_only {
            return false;
        }
        if path == self.base {
            return true;
        }
        self.below
            && (self.base == "/"
                || path
                    .strip_prefix(&self.base)
                    .is_some_and(|rest| rest.starts_with('/')))
    }

    /// Whether a writable bind is possible.
    pub fn writable(&self) -> bool {
        !self.read_only
    }

    /// Whether the pattern reaches `path`, something below it or something above it: a directory that is bound brings
    /// all below it along, with `/**` or without.
    pub fn touches(&self, path: &str) -> bool {
        is_below(path, &self.base) || is_below(&self.base, path)
    }
}

impl PathPattern {
    /// Whether all that the pattern allows is `path` or lies below it.
    pub fn lies_in(&self, path: &str) -> bool {
        is_below(&self.base, path)
    }

    /// Whether what the pattern allows to be written holds something that the other allows to be bound: a container could put
    /// a link in its place.
    pub fn holds(&self, other: &PathPattern) -> bool {
        let strictly = other.base != self.base && is_below(&other.base, &self.base);
        self.below || strictly
    }
}

/// Whether `path` is `base` or lies below it; both clean.
fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = if self.base == "/" && self.below {
            ""
        } else {
            &self.base
        };
        let below = if self.below { "/**" } else { "" };
        let mode = if self.read_only { ":ro" } else { "" };
        write!(f, "{base}{below}{mode}")
    }
}

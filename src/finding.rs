//! One result of looking at something: fine, doubtful or wrong, with the cure.
//!
//! `check`, `doctor` and the start-up log say the same things in the same words because they share this type.

use std::fmt;

use text::escape;

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but somebody will be surprised.
    Warning,
    /// Does not work, or not for the people it is meant for.
    Error,
}

impl Severity {
    /// The word printed before a finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A sentence about one file, option or peer, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Lower case, no full stop; names the file or option.
    pub text: String,
    /// One thing to do, printed on a line of its own.
    pub hint: Option<String>,
    /// Further lines, such as a table.
    pub details: Vec<String>,
    /// Whether `serve` would not start because of it.
    pub is_fatal: bool,
}

impl Finding {
    /// Something that is as it should be.
    pub fn ok(text: impl Into<String>) -> Self {
        Self::new(Severity::Ok, text)
    }

    /// Something that works, but will surprise.
    pub fn warning(text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, text)
    }

    /// Something that does not work.
    pub fn error(text: impl Into<String>) -> Self {
        Self::new(Severity::Error, text)
    }

    /// Something that keeps `serve` from starting.
    pub fn fatal(text: impl Into<String>) -> Self {
        Self {
            is_fatal: true,
            ..Self::error(text)
        }
    }

    /// Adds the advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(escape::redact(hint.into()));
        self
    }

    /// Adds further lines.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.details.extend(lines.into_iter().map(Into::into));
        self
    }

    fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self {
            severity,
            text: escape::redact(text.into()),
            hint: None,
            details: Vec::new(),
            is_fatal: false,
        }
    }
}

/// On one line, for logs and tests; commands print findings through their output.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = escape::line(&self.text);
        write!(f, "{:<8} {text}", self.severity.word())?;
        match &self.hint {
            Some(hint) => write!(f, " hint: {}", escape::line(hint)),
            None => Ok(()),
        }
    }
}

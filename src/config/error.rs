//! What is wrong with a configuration: all of it at once, each with its place.

use std::borrow::Cow;
use std::fmt;

use crate::config::key::Key;
use crate::config::origin::Origin;
use crate::finding::Finding;
use text::escape;

/// Everything found wrong. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order the settings are documented.
    pub problems: Vec<ConfigProblem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where it was written.
    pub origin: Origin,
    /// Lower case, no full stop.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Why a value is refused: what was expected, and perhaps what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Follows the value and a colon.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl ConfigError {
    /// The process's exit code: 2 when all of it is on the command line, 78 otherwise.
    pub fn exit_code(&self) -> u8 {
        if self.problems.iter().all(|p| p.origin == Origin::Flag) {
            2
        } else {
            78
        }
    }
}

impl Wrong {
    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<T: Into<String>> From<T> for Wrong {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }
}

impl ConfigProblem {
    /// A problem of the whole, at a place.
    pub fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds the advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A refused value, quoted the way it was written.
    pub fn value(key: &Key, origin: &Origin, text: &str, wrong: Wrong) -> Self {
        let Wrong { message, hint } = wrong;
        // Advice repeats the value, which must not be seen where it holds a secret.
        let hint = hint.filter(|_| {
            escape::secret(text).is_none()
                && matches!(escape::without_credentials(text), Cow::Borrowed(_))
        });
        let text = escape::quoted(text);
        let message = match origin {
            Origin::Flag => format!("--{} {text}: {message}", key.flag),
            Origin::Env(name) => format!("{name}={text}: {message}"),
            Origin::File { .. } | Origin::DaemonJson(_) => {
                format!("{} = {text}: {message}", key.name)
            }
            Origin::Found(_) | Origin::Default => format!("{} {text}: {message}", key.name),
        };
        Self {
            origin: origin.clone(),
            message,
            hint,
        }
    }
}

impl ConfigProblem {
    /// As `check` and `doctor` print it.
    pub fn finding(&self) -> Finding {
        let bare = Self {
            hint: None,
            ..self.clone()
        };
        Finding {
            hint: self.hint.clone(),
            ..Finding::fatal(bare.to_string())
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.origin, Origin::File { .. } | Origin::DaemonJson(_)) {
            write!(f, "{}: ", self.origin)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigProblem> for ConfigError {
    fn from(problem: ConfigProblem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

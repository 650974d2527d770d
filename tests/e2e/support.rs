//! What the scenarios stand on: an engine, a gate, certificates, clients, a raw connection and a tap.

pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod gate;
pub(crate) mod pki;
pub(crate) mod plugin;
pub(crate) mod process;
pub(crate) mod same;
pub(crate) mod suite;
pub(crate) mod tap;
pub(crate) mod tapped;
pub(crate) mod tools;
pub(crate) mod traces;
pub(crate) mod wire;

/// A scenario's verdict: nothing, or the sentence that says what was expected and what came.
pub(crate) type ScenarioResult<T = ()> = Result<T, String>;

/// Fails the scenario with a formatted sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

/// Puts what was attempted in front of an error's own text.
pub(crate) trait OrSay<T> {
    /// `what` completes the sentence "cannot …".
    fn context(self, what: &str) -> ScenarioResult<T>;
}

impl<T, E: std::fmt::Display> OrSay<T> for Result<T, E> {
    fn context(self, what: &str) -> ScenarioResult<T> {
        self.map_err(|error| format!("cannot {what}: {error}"))
    }
}

//! Labels of the gate's own, which it stamps on what is made, and which nobody may claim.

/// The rule that a denial names.
pub const SCOPE_RULE: &str = "scope";

/// How the gate's own labels begin. Case does not matter: nobody else has a use for them.
pub(crate) const PREFIX: &str = "dockgate.";

/// Why one is refused.
pub(crate) const OWN_LABELS: &str = "labels that begin with \"dockgate.\" are the gate's own";

/// Whether a label is the gate's own.
#[must_use]
pub fn is_own_label(key: &str) -> bool {
    key.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether a key that goes on with what is not known could come to be a label of the gate's own.
pub(crate) fn may_be_own_label(start: &str) -> bool {
    PREFIX.starts_with(&start.to_ascii_lowercase())
}

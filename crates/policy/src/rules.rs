//! The names of all rules.

use crate::build::BUILD_RULES;
use crate::limits::LimitKey;
use crate::power::FIXED_RULES;

/// Every rule that a denial can name.
pub fn rules() -> impl Iterator<Item = &'static str> {
    let keys = LimitKey::ALL.iter().map(|key| key.name());
    let builds = BUILD_RULES.iter().copied();
    FIXED_RULES.iter().copied().chain(builds).chain(keys)
}

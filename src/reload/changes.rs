//! What a reload changes in the configuration beyond trust and policy.

use crate::config::Config;
use crate::config::key::{Change, Key};
use crate::config::origin::Setting;

/// Names of the settings that differ between two configurations, of one kind of change.
pub(super) fn changed(old: &Config, new: &Config, change: Change) -> Vec<&'static str> {
    let differs = |setting: &&Setting| {
        let before = old.settings.iter().find(|s| s.name == setting.name);
        before.is_none_or(|before| before.meaning != setting.meaning)
    };
    let of_kind =
        |setting: &&Setting| Key::named(setting.name).is_some_and(|key| key.change == change);
    new.settings
        .iter()
        .filter(of_kind)
        .filter(differs)
        .map(|setting| setting.name)
        .collect()
}

/// The names asked for in the server certificate of `--auto-certs`.
pub(super) fn names(config: &Config) -> Option<&[String]> {
    config.auto_certs.as_ref().map(|auto| auto.sans.as_slice())
}

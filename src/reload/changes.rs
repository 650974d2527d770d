//! What a reload changes, in words.

use std::path::Path;

use crate::config::Config;
use crate::config::key::{Key, SettingChange};
use crate::config::origin::Setting;
use crate::generation::Generation;
use crate::observe::expiry::{Date, Subject};

/// Names of the settings that differ between two configurations, of one kind of change.
pub(super) fn settings(old: &Config, new: &Config, change: SettingChange) -> Vec<&'static str> {
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

/// What is in force now that was not before, one sentence each; empty when nothing is.
pub(super) fn sentences(
    (old, before): (&Config, &Generation),
    (new, now): (&Config, &Generation),
) -> Vec<String> {
    let mut said = certificates(&before.dates, &now.dates);
    if before.policy_digest != now.policy_digest || policy_differs(before, now) {
        let file = new.policy.as_deref().map(Path::display);
        said.push(match file {
            Some(file) => format!("policy {file} changed"),
            None => "policy changed".to_owned(),
        });
    }
    for name in settings(old, new, SettingChange::Live) {
        said.push(format!("setting {name} changed"));
    }
    said
}

/// Whether they differ in more than what they protect, which the engine's answers change too.
fn policy_differs(before: &Generation, now: &Generation) -> bool {
    let plain = |generation: &Generation| {
        policy::Policy::clone(&generation.policy).protecting(std::sync::Arc::default())
    };
    plain(before) != plain(now)
}

fn certificates(before: &[Date], now: &[Date]) -> Vec<String> {
    let is_in = |dates: &[Date], date: &Date| {
        dates
            .iter()
            .any(|other| other.subject == date.subject && other.id == date.id)
    };
    let came = now.iter().filter(|date| !is_in(before, date));
    let went = before.iter().filter(|date| !is_in(now, date));
    let came = came.map(|date| {
        let Date { subject, name, .. } = date;
        let end = pki::timestamp(date.validity.until);
        match subject {
            Subject::Server => format!("new server certificate {name:?}, valid until {end}"),
            Subject::Ca => format!("new client CA {name:?}, valid until {end}"),
            Subject::Crl | Subject::Client => {
                format!("new {subject} of {name:?}, valid until {end}")
            }
        }
    });
    let went = went.filter_map(|date| match date.subject {
        Subject::Ca => Some(format!("client CA {:?} removed", date.name)),
        // It is superseded, unless its issuer has none any more.
        Subject::Crl
            if !now
                .iter()
                .any(|d| d.subject == Subject::Crl && d.name == date.name) =>
        {
            Some(format!("revocation list of {:?} removed", date.name))
        }
        _ => None,
    });
    came.chain(went).collect()
}

/// The names asked for in the server certificate of `--auto-certs`.
pub(super) fn names(config: &Config) -> Option<&[String]> {
    config.auto_certs.as_ref().map(|auto| auto.sans.as_slice())
}

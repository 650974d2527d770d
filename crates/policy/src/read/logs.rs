//! Log drivers: where they send what a container writes, which files of the host they read, and what they have the engine evaluate.

mod options;

use docker_api::json::Value;

use super::outbound::address;
use crate::findings::Findings;
use crate::limits::LimitKey;

/// A log driver that is asked for; or its options alone, which are then those of the daemon's default, whatever that is.
pub(super) fn driver(log: &Value<'_>, name: &str, options: &str, at: &str, out: &mut Findings<'_>) {
    let driver = log.text_at(name).unwrap_or_default();
    shapes(driver, log, options, at, out);
    existing(log, name, options, at, out);
}

/// The log driver of a container that is there: the daemon put its own defaults among the options.
pub(super) fn existing(
    log: &Value<'_>,
    name: &str,
    options: &str,
    at: &str,
    out: &mut Findings<'_>,
) {
    let options_at = format!("{at}.{options}");
    if let Some(driver) = log.text_at(name) {
        out.ask(format!("{at}.{name}"), driver, LimitKey::LogDrivers);
        if let Some(options) = log.get(options) {
            destinations(options, &options_at, out);
        }
        return;
    }
    for (key, _) in log.members_at(options) {
        if !options::is_common(key) {
            out.never(
                RULE,
                options_at.as_str(),
                format!("{key}, without a driver"),
            );
        }
    }
}

/// The rule of what no limit allows.
const RULE: &str = "log_drivers";

/// The values, some of which the engine evaluates. They may be secret, and are not shown.
fn shapes(driver: &str, log: &Value<'_>, options: &str, at: &str, out: &mut Findings<'_>) {
    for (key, value) in log.members_at(options) {
        let fault = match value {
            Value::Null => None,
            Value::Text(text) => options::fault(driver, key, text),
            other => Some(format!("{}, expected a string", other.kind())),
        };
        if let Some(fault) = fault {
            out.never(RULE, format!("{at}.{options}.{key}"), fault);
        }
    }
}

/// Options of log drivers that name a file on the host, which the engine reads.
const FILES: &[&str] = &[
    "splunk-capath",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
];

/// Where a log driver's options make the engine connect to, and which files they make it read.
fn destinations(options: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (key, value) in options.members() {
        let Some(value) = value.text().filter(|value| !value.is_empty()) else {
            continue;
        };
        let field = format!("{at}.{key}");
        if FILES.contains(&key.as_ref()) {
            out.host_path(field, value, value, false);
        } else if ["address", "url", "endpoint"]
            .iter()
            .any(|end| key.to_ascii_lowercase().ends_with(end))
        {
            match value.split_once("://") {
                Some((scheme, path)) if scheme.to_ascii_lowercase().starts_with("unix") => {
                    out.host_path(field, value, path, true);
                }
                // A path alone is one on the host that gives out a cloud's credentials.
                None if value.starts_with('/') => out.ask(field, "169.254.170.2", LimitKey::Fetch),
                _ => address(value, &field, out),
            }
        }
    }
}

//! What the engine is made to connect to: registries of images that it fetches or pushes, addresses, and log drivers' ends.

use docker_api::image::{ImageName, Reference};
use docker_api::json::Value;

use crate::fetch::Host;
use crate::findings::Findings;
use crate::limits::LimitKey;

/// An image that the engine fetches: its name is held to `images`, its registry to `fetch`.
pub(crate) fn source(image: &str, field: &str, out: &mut Findings<'_>) {
    let value = match ImageName::parse(image) {
        Some(ImageName::Named(reference)) => reference.to_string(),
        _ => image.to_owned(),
    };
    out.ask(field, value, LimitKey::Images);
    registry(image, field, out);
}

/// The registry of a name that the engine fetches from or writes to.
pub(crate) fn registry(image: &str, field: &str, out: &mut Findings<'_>) {
    let reference = Reference::parse(image);
    match reference.as_ref().map(Reference::registry) {
        Some(registry) => host(Host::parse(registry), registry, field, out),
        None => out.never(
            "images",
            field,
            format!("{image}, expected the name of an image"),
        ),
    }
}

/// An address with or without a scheme. Nothing of it but its host is shown: the rest may hold secrets.
pub(crate) fn address(address: &str, field: &str, out: &mut Findings<'_>) {
    host(
        Host::of_address(address),
        "an address whose host cannot be read",
        field,
        out,
    );
}

fn host(host: Option<Host>, unread: &str, field: &str, out: &mut Findings<'_>) {
    match host {
        Some(host) if host.is_hub() => {}
        Some(host) => out.ask(field, host.to_string(), LimitKey::Fetch),
        None => out.never("fetch", field, unread),
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
pub(super) fn log_options(options: &Value<'_>, at: &str, out: &mut Findings<'_>) {
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

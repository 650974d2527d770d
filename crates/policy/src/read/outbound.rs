//! What the engine is made to connect to: registries of images that it fetches or pushes, and addresses.

use docker_api::image::Reference;
use docker_api::json::Value;
use text::escape;

use crate::fetch::Host;
use crate::findings::Findings;
use crate::limits::LimitKey;

/// The body of `system.auth`.
pub(super) fn login(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(registry) = body.text_at("serveraddress") {
        address(registry, "serveraddress", out);
    }
}

/// The registry of a name that the engine fetches from or writes to.
pub(crate) fn registry(image: &str, field: &str, out: &mut Findings<'_>) {
    let reference = Reference::parse(image);
    match reference.as_ref().map(Reference::registry) {
        Some(registry) => host(Host::parse(registry), registry, field, out),
        None => out.never(
            "images",
            field,
            format!(
                "{}, expected the name of an image",
                escape::without_credentials(image)
            ),
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

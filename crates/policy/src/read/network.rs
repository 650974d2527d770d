//! Networks: their bodies, and every spelling of a network that a container joins.

use docker_api::json::Value;

use super::schema::LONGEST_KEY;
use crate::findings::{Findings, Unresolved};
use crate::limits::{LimitKey, Means, Namespace};

/// The body of `network.create`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(name) = body.text_at("Name") {
        out.ask("Name", name, LimitKey::Networks);
    }
    out.ask(
        "Driver",
        body.text_at("Driver").unwrap_or("bridge"),
        LimitKey::NetworkDrivers,
    );
    no_options(body, "Options", "", out);
    if let Some(ipam) = body.get("IPAM") {
        no_options(ipam, "Options", "IPAM.", out);
        let driver = ipam.text_at("Driver");
        if let Some(driver) = driver.filter(|driver| *driver != "default") {
            out.never("network_drivers", "IPAM.Driver", driver);
        }
        for (index, pool) in ipam.items_at("Config") {
            // The host routes a network's subnet to it, whatever else has these addresses.
            if let Some(subnet) = pool.text_at("Subnet") {
                let field = format!("IPAM.Config[{index}].Subnet");
                out.ask(field, subnet, LimitKey::Subnets);
            }
        }
    }
    if let Some(from) = body
        .get("ConfigFrom")
        .and_then(|from| from.text_at("Network"))
    {
        out.never("network_drivers", "ConfigFrom.Network", from);
    }
    for field in ["ConfigOnly", "Ingress"] {
        if body.is_true(field) {
            out.never("network_drivers", field, "true");
        }
    }
}

/// `network.connect` and `network.disconnect`.
pub(super) fn connect(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(settings) = body.get("EndpointConfig") {
        endpoint(settings, "EndpointConfig", out);
    }
    if let Some(name) = body.text_at("Container") {
        out.look_up(Unresolved::Container {
            name: name.trim_start_matches('/').to_owned(),
            field: "Container".into(),
            enters: false,
        });
    }
}

/// The network of what names none.
pub(super) const DEFAULT: &str = "bridge";

/// A network by name or id. All-hexadecimal text may be the id, or a prefix of it, of the host network or of another.
pub(crate) fn name(name: &str, field: String, out: &mut Findings<'_>) {
    if name == "host" {
        out.ask(field, "host", Means::Namespace(Namespace::Network));
    } else if name.len() > LONGEST_KEY {
        out.never("host_namespaces", field, "a name longer than 255 bytes");
    } else if !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        out.look_up(Unresolved::Network {
            name: name.to_owned(),
            field,
        });
    } else {
        named(name, field, out);
    }
}

/// A network by its name.
pub(crate) fn named(name: &str, field: impl Into<String>, out: &mut Findings<'_>) {
    match name {
        "" | "none" | "null" => {}
        "default" => out.ask(field, DEFAULT, LimitKey::Networks),
        name => out.ask(field, name, LimitKey::Networks),
    }
}

/// `NetworkingConfig.EndpointsConfig`, and one endpoint of `network.connect`.
pub(super) fn endpoint(endpoint: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, link) in endpoint.texts_at("Links") {
        out.ask(
            format!("{at}.Links[{index}]"),
            link,
            LimitKey::JoinContainers,
        );
    }
    no_options(endpoint, "DriverOpts", &format!("{at}."), out);
}

/// Options of a network's driver, which no limit allows.
pub(super) fn no_options(owner: &Value<'_>, name: &str, at: &str, out: &mut Findings<'_>) {
    if let Some((key, _)) = owner.members_at(name).first() {
        out.never("network_drivers", format!("{at}{name}"), key.as_ref());
    }
}

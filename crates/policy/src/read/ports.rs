//! Ports of the host that are published, in every spelling.

use docker_api::json::Value;

use crate::findings::Findings;
use crate::limits::{LimitKey, PublishedPort};

/// The field of `docker run -P`.
pub(crate) const PUBLISH_ALL: &str = "PublishAllPorts";

/// The protocols that an image can expose.
pub(crate) const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// `PortBindings` and `PublishAllPorts` of a `HostConfig`.
pub(crate) fn of_container(host: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    if host.is_true(PUBLISH_ALL) {
        // The image may expose ports that the body does not name.
        for protocol in PROTOCOLS {
            published("", "", protocol, format!("{at}{PUBLISH_ALL}"), out);
        }
    }
    for (port, bindings) in host.members_at("PortBindings") {
        if out.is_settled() {
            return;
        }
        let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol);
        let field = format!("{at}PortBindings.{}", super::cut(port, 64));
        if bindings.items().is_empty() {
            // Newer engines take an empty list for one binding that says nothing.
            published("", "", protocol, field, out);
            continue;
        }
        for (index, binding) in bindings.items().iter().enumerate() {
            let (address, port) = (binding.text_at("HostIp"), binding.text_at("HostPort"));
            let field = format!("{field}[{index}]");
            match spelt(binding) {
                true => published(
                    address.unwrap_or_default(),
                    port.unwrap_or_default(),
                    protocol,
                    field,
                    out,
                ),
                false => out.never(
                    "field-names",
                    field,
                    "must have HostIp and HostPort, spelt so",
                ),
            }
        }
    }
}

/// Whether a binding has only what the engine's own clients send; Go would fold the case of others.
fn spelt(binding: &Value<'_>) -> bool {
    let known = |key: &str, value: &Value<'_>| {
        matches!(key, "HostIp" | "HostPort") && (value.text().is_some() || *value == Value::Null)
    };
    match binding {
        Value::Null => true,
        Value::Object(members) => members.iter().all(|(key, value)| known(key, value)),
        _ => false,
    }
}

/// `EndpointSpec.Ports` of a service, which every node publishes on every address.
pub(crate) fn of_service(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, port) in spec.items_at("Ports") {
        let number = match port.get("PublishedPort") {
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let protocol = port.text_at("Protocol").unwrap_or("tcp");
        published("", &number, protocol, format!("{at}.Ports[{index}]"), out);
    }
}

fn published(address: &str, port: &str, protocol: &str, field: String, out: &mut Findings<'_>) {
    let value = match PublishedPort::read(address, port, protocol) {
        Some(asked) => asked.to_string(),
        None => {
            let most = 64;
            let cut = super::cut;
            format!(
                "{}:{}/{}, not an address and a port",
                cut(address, most),
                cut(port, most),
                cut(protocol, most)
            )
        }
    };
    out.ask(field, value, LimitKey::Ports);
}

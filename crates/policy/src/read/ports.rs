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

/// How many ports of the host a container publishes: for each the engine starts processes that no limit of the container counts. A
/// binding takes one port of its span; with `PublishAllPorts` each of the `exposed` ports takes one.
pub(crate) fn number_of(
    host: &Value<'_>,
    exposed: Option<&Value<'_>>,
    at: &str,
    out: &mut Findings<'_>,
) {
    let bindings = host.members_at("PortBindings").iter();
    let bound: u64 = bindings
        .map(|(port, bindings)| span_length(port) * bindings.items().len().max(1) as u64)
        .sum();
    let all = exposed.filter(|_| host.is_true(PUBLISH_ALL));
    let all = all.map(Value::members).unwrap_or_default().iter();
    let all: u64 = all.map(|(port, _)| span_length(port)).sum();
    let field = match all {
        0 => "PortBindings",
        _ => PUBLISH_ALL,
    };
    counted(bound + all, format!("{at}{field}"), out);
}

fn counted(number: u64, field: String, out: &mut Findings<'_>) {
    if number > 0 {
        out.ask(field, number.to_string(), LimitKey::PortCount);
    }
}

/// How many ports of the container a key such as `80/tcp` or `8000-8009/tcp` names.
fn span_length(port: &str) -> u64 {
    let number = port.split('/').next().unwrap_or_default();
    let span = number.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
        Some(u64::from(last.checked_sub(first)?) + 1)
    });
    span.unwrap_or(1)
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
    let number = spec.items_at("Ports").count() as u64;
    counted(number, format!("{at}.Ports"), out);
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

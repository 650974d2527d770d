//! Ports of the host that lead to a container, as the engine shows them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The network that a container was made with, and the ports that were to be published.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AskedNetwork {
    network_mode: String,
    port_bindings: Option<Bindings>,
}

/// The ports that are published.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortsInUse {
    ports: Option<Bindings>,
}

/// By the container's port, such as `2376/tcp`.
type Bindings = BTreeMap<String, Option<Vec<HostBinding>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostBinding {
    host_port: String,
}

/// A swarm service, of which only its ports count.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ServicePorts {
    endpoint: Option<ServiceEndpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceEndpoint {
    ports: Option<Vec<ServicePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServicePort {
    protocol: String,
    published_port: u16,
}

impl AskedNetwork {
    /// The container whose network it shares.
    pub(super) fn joined(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }
}

impl ServicePorts {
    /// The TCP ports of its nodes that lead to it.
    pub(super) fn ports(self) -> impl Iterator<Item = u16> {
        let ports = self.endpoint.and_then(|endpoint| endpoint.ports);
        let ports = ports.into_iter().flatten();
        ports
            .filter(|port| matches!(port.protocol.as_str(), "" | "tcp"))
            .map(|port| port.published_port)
            .filter(|port| *port != 0)
    }
}

/// The TCP ports of the host that lead to a container; `None` if its network is the host's or another's.
pub(super) fn ports(asked: &AskedNetwork, in_use: Option<&PortsInUse>) -> Option<Vec<u16>> {
    if asked.network_mode == "host" || asked.joined().is_some() {
        return None;
    }
    let in_use = in_use.and_then(|in_use| in_use.ports.as_ref());
    let all = asked.port_bindings.iter().chain(in_use).flatten();
    let mut found: Vec<u16> = all
        .filter(|(port, _)| port.ends_with("/tcp") || !port.contains('/'))
        .flat_map(|(_, bindings)| bindings.iter().flatten())
        .filter_map(|binding| binding.host_port.parse().ok())
        .filter(|port| *port != 0)
        .collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, settings: &str) -> Option<Vec<u16>> {
        let host: AskedNetwork = serde_json::from_str(host).expect("a HostConfig");
        let settings: PortsInUse = serde_json::from_str(settings).expect("NetworkSettings");
        ports(&host, Some(&settings))
    }

    #[test]
    fn published_ports_are_those_of_the_host_and_the_hosts_network_has_none() {
        let asked = r#"{"NetworkMode":"bridge","PortBindings":{"2376/tcp":[{"HostIp":"","HostPort":"12376"}],"9/udp":[{"HostPort":"9"}]}}"#;
        let used = r#"{"Ports":{"2376/tcp":[{"HostIp":"0.0.0.0","HostPort":"12376"},{"HostIp":"::","HostPort":"12376"}],"2377/tcp":[{"HostPort":"40001"}],"9323/tcp":null}}"#;
        assert_eq!(found(asked, used), Some(vec![12376, 40001]));
        assert_eq!(found(asked, "{}"), Some(vec![12376]));
        assert_eq!(found("{}", r#"{"Ports":null}"#), Some(Vec::new()));
        for mode in ["host", "container:0123"] {
            let asked = format!(r#"{{"NetworkMode":"{mode}"}}"#);
            assert_eq!(found(&asked, used), None, "{mode}");
        }
    }

    #[test]
    fn a_services_ports_lead_to_its_tasks() {
        let text = r#"{"Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":2376,"PublishedPort":32376},{"Protocol":"udp","PublishedPort":53},{"TargetPort":1}]}}"#;
        let service: ServicePorts = serde_json::from_str(text).expect("a service");
        assert_eq!(service.ports().collect::<Vec<_>>(), [32376]);
    }
}

//! The built-in roles.

use docker_api::Operation;

use super::operations::{OperationSet, expand};

/// The names of the built-in roles, least powerful first.
pub(super) const NAMES: &[&str] = &[
    "none",
    "monitor",
    "read-only",
    "operator",
    "deployer",
    "builder",
    "ci",
    "traefik",
    "prometheus",
    "cadvisor",
    "watchtower",
    "admin",
];

const PING: &[&str] = &[
    "system.ping",
    "system.ping-head",
    "system.version",
    "system.info",
];

const MONITOR: &[&str] = &[
    "system.events",
    "container.list",
    "container.stats",
    "image.list",
    "network.list",
    "network.list-slash",
    "network.inspect",
    "node.list",
    "node.inspect",
];

const READ_ONLY: &[&str] = &[
    "container.inspect",
    "container.top",
    "container.logs",
    "container.changes",
    "container.wait",
    "exec.inspect",
    "image.inspect",
    "image.history",
    "image.attestations",
    "image.search",
    "distribution.inspect",
    "volume.list",
    "volume.inspect",
    "service.list",
    "service.inspect",
    "service.logs",
    "task.list",
    "task.inspect",
    "task.logs",
    "secret.list",
    "secret.inspect",
    "plugin.list",
    "plugin.inspect",
    "system.df",
];

const OPERATOR: &[&str] = &[
    "container.start",
    "container.stop",
    "container.restart",
    "container.kill",
    "container.pause",
    "container.unpause",
    "container.resize",
];

const DEPLOYER: &[&str] = &[
    "container.create",
    "container.attach",
    "container.delete",
    "container.rename",
    "container.update",
    "image.pull",
    "network.create",
    "network.connect",
    "network.disconnect",
    "network.delete",
    "volume.create",
    "volume.delete",
];

const BUILDER: &[&str] = &[
    "image.list",
    "image.inspect",
    "image.build",
    "image.push",
    "image.tag",
];

const CI: &[&str] = &[
    "exec.create",
    "exec.start",
    "exec.resize",
    "exec.inspect",
    "container.archive-stat",
    "container.archive-get",
    "container.archive-put",
];

const TRAEFIK: &[&str] = &[
    "system.events",
    "container.list",
    "container.inspect",
    "network.list",
    "network.list-slash",
    "service.list",
    "task.list",
];

const PROMETHEUS: &[&str] = &[
    "container.list",
    "network.list",
    "network.list-slash",
    "service.list",
    "task.list",
    "node.list",
];

const CADVISOR: &[&str] = &[
    "system.events",
    "container.list",
    "container.inspect",
    "image.list",
];

const WATCHTOWER: &[&str] = &[
    "container.start",
    "container.stop",
    "container.kill",
    "container.rename",
    "container.create",
    "container.delete",
    "image.pull",
    "image.delete",
    "network.connect",
    "network.disconnect",
];

/// What a built-in role may do before limits; `None` if there is no such role.
pub(super) fn operations(name: &str) -> Option<OperationSet> {
    let lists: &[&[&str]] = match name {
        "none" => &[],
        "monitor" => &[PING, MONITOR],
        "read-only" => &[PING, MONITOR, READ_ONLY],
        "operator" => &[PING, MONITOR, READ_ONLY, OPERATOR],
        "deployer" => &[PING, MONITOR, READ_ONLY, OPERATOR, DEPLOYER],
        "builder" => &[PING, BUILDER],
        "ci" => &[PING, MONITOR, READ_ONLY, OPERATOR, DEPLOYER, BUILDER, CI],
        "traefik" => &[PING, TRAEFIK],
        "prometheus" => &[PING, PROMETHEUS],
        "cadvisor" => &[PING, CADVISOR],
        "watchtower" => &[PING, MONITOR, READ_ONLY, WATCHTOWER],
        "admin" => return expand("*").ok(),
        _ => return None,
    };
    Some(
        lists
            .iter()
            .copied()
            .flatten()
            .filter_map(|id| Operation::from_id(id))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_lists_is_an_operation() {
        for list in [
            PING, MONITOR, READ_ONLY, OPERATOR, DEPLOYER, BUILDER, CI, TRAEFIK, PROMETHEUS,
            CADVISOR, WATCHTOWER,
        ] {
            for id in list {
                assert!(Operation::from_id(id).is_some(), "{id}");
            }
        }
        for name in NAMES {
            assert!(operations(name).is_some(), "{name}");
        }
    }
}

//! The bodies that are judged, operation by operation.

pub(crate) mod container;
mod devices;
mod outbound;
pub(crate) mod parameters;
mod ps;
pub(crate) mod schema;
mod volume;

use docker_api::Operation;

use crate::findings::{Findings, Unresolved};
use crate::limits::LimitKey;
use crate::upload::dockerfile;
use container::{View, items, text, texts};
use docker_api::json::Value;
use schema::{FieldPath, SchemaField, Unknown, conform};

/// How much a limited role's request body must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The operation means nothing without it.
    Required,
    /// An empty body is fine.
    Optional,
}

/// Whether an operation's body is judged, and whether it must be there.
pub(crate) fn inspected(operation: Operation) -> Option<Presence> {
    match operation {
        Operation::ContainerCreate
        | Operation::ExecCreate
        | Operation::VolumeCreate
        | Operation::NetworkCreate
        | Operation::NetworkConnect
        | Operation::NetworkDisconnect
        | Operation::ServiceCreate
        | Operation::ServiceUpdate
        | Operation::SwarmInit
        | Operation::SwarmJoin
        | Operation::SwarmUpdate => Some(Presence::Required),
        Operation::ContainerStart
        | Operation::ContainerUpdate
        | Operation::ExecStart
        | Operation::ImageCommit
        | Operation::CheckpointCreate
        | Operation::SystemAuth => Some(Presence::Optional),
        _ => None,
    }
}

/// The powers of a parsed body.
pub(crate) fn body(operation: Operation, body: &Value<'_>, out: &mut Findings<'_>) {
    let fields: &[SchemaField] = match operation {
        Operation::ContainerCreate => schema::CREATE,
        Operation::ExecCreate => schema::EXEC_CREATE,
        Operation::ExecStart => schema::EXEC_START,
        Operation::ContainerUpdate => schema::UPDATE,
        Operation::ImageCommit => schema::COMMIT,
        Operation::VolumeCreate => schema::VOLUME_CREATE,
        Operation::NetworkCreate => schema::NETWORK_CREATE,
        Operation::NetworkConnect => schema::NETWORK_CONNECT,
        Operation::NetworkDisconnect => schema::NETWORK_DISCONNECT,
        Operation::ServiceCreate | Operation::ServiceUpdate => schema::SERVICE,
        Operation::SystemAuth => schema::AUTH,
        Operation::CheckpointCreate => schema::CHECKPOINT,
        Operation::SwarmInit => schema::SWARM_INIT,
        Operation::SwarmJoin => schema::SWARM_JOIN,
        Operation::SwarmUpdate => schema::SWARM_SPEC,
        _ => &[],
    };
    if *body == Value::Null && inspected(operation) == Some(Presence::Required) {
        return out.never("body", "body", "null, expected an object");
    }
    conform(body, fields, Unknown::Refused, &FieldPath::ROOT, out);
    if matches!(
        operation,
        Operation::ContainerCreate | Operation::ImageCommit
    ) {
        // A commit puts them into an image, and the next build on it runs them.
        for (index, line) in texts(body, "OnBuild") {
            dockerfile::read_instructions(line, &format!("OnBuild[{index}]"), out);
        }
    }
    match operation {
        Operation::ContainerCreate => create(body, out),
        Operation::ExecCreate if body.get("Privileged") == Some(&Value::Bool(true)) => {
            out.ask("Privileged", "true", LimitKey::Privileged);
        }
        Operation::ContainerUpdate => container::resources(body, "", out),
        Operation::VolumeCreate => volume(body, out),
        Operation::NetworkCreate => network(body, out),
        Operation::NetworkConnect | Operation::NetworkDisconnect => {
            if let Some(endpoint) = body.get("EndpointConfig") {
                container::endpoint(endpoint, "EndpointConfig", out);
            }
            if let Some(name) = text(body, "Container") {
                out.look_up(Unresolved::Container {
                    name: name.trim_start_matches('/').to_owned(),
                    field: "Container".into(),
                    enters: false,
                });
            }
        }
        Operation::ServiceCreate | Operation::ServiceUpdate => service(body, out),
        Operation::SystemAuth => {
            if let Some(address) = text(body, "serveraddress") {
                container::address(address, "serveraddress", out);
            }
        }
        Operation::CheckpointCreate => {
            if let Some(directory) = text(body, "CheckpointDir") {
                out.never("checkpoints", "CheckpointDir", directory);
            }
        }
        Operation::SwarmInit | Operation::SwarmJoin => swarm_node(body, out),
        Operation::SwarmUpdate => swarm_spec(body, "", out),
        _ => {}
    }
}

/// The addresses that a node of a swarm talks to, or tells others to talk to.
fn swarm_node(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(address) = text(body, "AdvertiseAddr") {
        container::address(address, "AdvertiseAddr", out);
    }
    for (index, address) in texts(body, "RemoteAddrs") {
        container::address(address, &format!("RemoteAddrs[{index}]"), out);
    }
    if let Some(spec) = body.get("Spec") {
        swarm_spec(spec, "Spec.", out);
    }
}

/// What a swarm's settings make every manager connect to.
fn swarm_spec(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let authority = spec.get("CAConfig");
    for (index, external) in authority
        .into_iter()
        .flat_map(|ca| items(ca, "ExternalCAs"))
    {
        let field = format!("{at}CAConfig.ExternalCAs[{index}].URL");
        container::address(text(external, "URL").unwrap_or_default(), &field, out);
    }
    if let Some(log) = spec
        .get("TaskDefaults")
        .and_then(|defaults| defaults.get("LogDriver"))
    {
        let field = format!("{at}TaskDefaults.LogDriver");
        container::log_driver(log, "Name", "Options", &field, out);
    }
}

/// The command line an `exec.create` body carries, for the audit record.
pub(crate) fn command_line(body: &Value<'_>) -> Option<Vec<String>> {
    match body.get("Cmd")? {
        Value::Text(command) => Some(vec![command.to_string()]),
        list => Some(
            list.items()
                .iter()
                .filter_map(Value::text)
                .map(str::to_owned)
                .collect(),
        ),
    }
}

fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    out.ask(
        "Image",
        text(body, "Image").unwrap_or_default(),
        LimitKey::Images,
    );
    if let Some(host) = body.get("HostConfig") {
        container::host_config(host, "HostConfig.", View::Body, out);
    }
    let endpoints = body
        .get("NetworkingConfig")
        .and_then(|networking| networking.get("EndpointsConfig"));
    let endpoints = endpoints.map(Value::members).unwrap_or_default().iter();
    // Longer names have been refused with the shape of the body.
    for (name, endpoint) in endpoints.filter(|(name, _)| name.len() <= schema::LONGEST_KEY) {
        if out.is_settled() {
            return;
        }
        let at = format!("NetworkingConfig.EndpointsConfig.{name}");
        container::network(name, at.clone(), out);
        container::endpoint(endpoint, &at, out);
        if let Some(id) = text(endpoint, "NetworkID") {
            container::network(id, format!("{at}.NetworkID"), out);
        }
    }
}

/// The powers of an inspected container: "would this role have been allowed to create it?"
pub(crate) fn target(inspected: &Value<'_>, out: &mut Findings<'_>) {
    let Some(host) = inspected.get("HostConfig") else {
        return out.never(
            "target-check",
            "HostConfig",
            "missing from the engine's answer",
        );
    };
    conform(
        host,
        schema::HOST_CONFIG,
        Unknown::EmptyPasses,
        &FieldPath::ROOT.key("HostConfig"),
        out,
    );
    container::host_config(host, "HostConfig.", View::Inspected, out);
    let config = inspected.get("Config");
    if let Some(image) = config.and_then(|config| text(config, "Image")) {
        out.ask("Config.Image", image, LimitKey::Images);
    }
    // A task's secrets and configs stand nowhere in the container, and no role that has limits may name any.
    let labels = config.and_then(|config| config.get("Labels"));
    if labels.is_some_and(|labels| labels.get(TASK).is_some()) {
        out.never(
            "target-check",
            format!("Config.Labels.{TASK}"),
            "a task of a service, which may hold secrets",
        );
    }
}

/// The label that swarm puts on the containers of its tasks.
const TASK: &str = "com.docker.swarm.task.id";

fn volume(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(name) = text(body, "Name") {
        out.ask("Name", name, LimitKey::Volumes);
    }
    container::volume_driver(
        text(body, "Driver").unwrap_or_default(),
        body.get("DriverOpts"),
        "DriverOpts",
        out,
    );
    if body.get("ClusterVolumeSpec").is_some() {
        out.never("volumes", "ClusterVolumeSpec", "");
    }
}

fn network(body: &Value<'_>, out: &mut Findings<'_>) {
    out.ask(
        "Driver",
        text(body, "Driver").unwrap_or("bridge"),
        LimitKey::NetworkDrivers,
    );
    let ipam = body.get("IPAM");
    let maps = [
        ("Options", body.get("Options")),
        ("IPAM.Options", ipam.and_then(|ipam| ipam.get("Options"))),
    ];
    for (field, map) in maps {
        if let Some((key, _)) = map.and_then(|map| map.members().first()) {
            out.never("network_drivers", field, key.as_ref());
        }
    }
    if let Some(driver) = ipam
        .and_then(|ipam| text(ipam, "Driver"))
        .filter(|driver| *driver != "default")
    {
        out.never("network_drivers", "IPAM.Driver", driver);
    }
    for (index, pool) in ipam.into_iter().flat_map(|ipam| items(ipam, "Config")) {
        // The host routes a network's subnet to it, whatever else has these addresses.
        if let Some(subnet) = text(pool, "Subnet") {
            out.ask(
                format!("IPAM.Config[{index}].Subnet"),
                subnet,
                LimitKey::Subnets,
            );
        }
    }
    if let Some(from) = body
        .get("ConfigFrom")
        .and_then(|from| text(from, "Network"))
    {
        out.never("network_drivers", "ConfigFrom.Network", from);
    }
    for field in ["ConfigOnly", "Ingress"] {
        if body.get(field) == Some(&Value::Bool(true)) {
            out.never("network_drivers", field, "true");
        }
    }
}

fn service(body: &Value<'_>, out: &mut Findings<'_>) {
    let task = body.get("TaskTemplate");
    if let Some(task) = task {
        for field in ["PluginSpec", "NetworkAttachmentSpec"] {
            if task.get(field).is_some() {
                out.never("services", format!("TaskTemplate.{field}"), "");
            }
        }
        if let Some(runtime) = text(task, "Runtime").filter(|runtime| *runtime != "container") {
            out.never("services", "TaskTemplate.Runtime", runtime);
        }
        if let Some(log) = task.get("LogDriver") {
            container::log_driver(log, "Name", "Options", "TaskTemplate.LogDriver", out);
        }
        let generic = task
            .get("Resources")
            .and_then(|resources| resources.get("Reservations"))
            .and_then(|reservations| reservations.get("GenericResources"));
        if generic.is_some_and(|list| !list.items().is_empty()) {
            out.never(
                "devices",
                "TaskTemplate.Resources.Reservations.GenericResources",
                "",
            );
        }
        service_networks(task, "TaskTemplate.Networks", out);
    }
    service_networks(body, "Networks", out);
    match task.and_then(|task| task.get("ContainerSpec")) {
        Some(spec) => container_spec(spec, "TaskTemplate.ContainerSpec", out),
        None => out.never("services", "TaskTemplate.ContainerSpec", "missing"),
    }
}

fn service_networks(owner: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, network) in items(owner, "Networks") {
        let field = format!("{at}[{index}].Target");
        match text(network, "Target") {
            Some("host") => container::network("host", field, out),
            // The CLI sends ids, and the host network of a swarm has one of its own.
            Some(name) => out.look_up(Unresolved::Network {
                name: name.to_owned(),
                field,
            }),
            None => {}
        }
        if let Some((key, _)) = network
            .get("DriverOpts")
            .and_then(|options| options.members().first())
        {
            out.never(
                "network_drivers",
                format!("{at}[{index}].DriverOpts"),
                key.as_ref(),
            );
        }
    }
}

fn container_spec(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    // Managers ask the registry for the image's digest, and nodes pull it.
    let image = text(spec, "Image").unwrap_or_default();
    container::source(image, &format!("{at}.Image"), out);
    if let Some(mounts) = spec.get("Mounts") {
        container::mounts(mounts, &format!("{at}.Mounts"), out);
    }
    for (index, name) in texts(spec, "CapabilityAdd") {
        container::capability(name, format!("{at}.CapabilityAdd[{index}]"), out);
    }
    for (index, group) in texts(spec, "Groups") {
        out.ask(format!("{at}.Groups[{index}]"), group, LimitKey::Groups);
    }
    for (key, _) in spec.get("Sysctls").map(Value::members).unwrap_or_default() {
        out.ask(format!("{at}.Sysctls"), key.as_ref(), LimitKey::Sysctls);
    }
    for field in ["Secrets", "Configs"] {
        if spec.get(field).is_some_and(|list| !list.items().is_empty()) {
            out.never(
                "services",
                format!("{at}.{field}"),
                "any of the cluster's could be named",
            );
        }
    }
    if let Some(isolation) = text(spec, "Isolation").filter(|isolation| *isolation != "default") {
        out.never("isolation", format!("{at}.Isolation"), isolation);
    }
    let Some(privileges) = spec.get("Privileges") else {
        return;
    };
    for field in ["CredentialSpec", "SELinuxContext"] {
        if privileges.get(field).is_some_and(|value| !value.is_empty()) {
            out.never("security_opts", format!("{at}.Privileges.{field}"), "");
        }
    }
    for profile in ["Seccomp", "AppArmor"] {
        if let Some(mode) = privileges
            .get(profile)
            .and_then(|value| text(value, "Mode"))
            .filter(|mode| *mode != "default")
        {
            let field = format!("{at}.Privileges.{profile}.Mode");
            container::security_opt(&format!("{}={mode}", profile.to_lowercase()), field, out);
        }
    }
    if let Some(profile) = privileges
        .get("Seccomp")
        .and_then(|seccomp| text(seccomp, "Profile"))
    {
        out.never(
            "security_opts",
            format!("{at}.Privileges.Seccomp.Profile"),
            profile,
        );
    }
    if privileges.get("NoNewPrivileges") == Some(&Value::Bool(true)) {
        container::security_opt(
            "no-new-privileges",
            format!("{at}.Privileges.NoNewPrivileges"),
            out,
        );
    }
}

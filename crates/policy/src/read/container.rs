//! Containers: the body of `container.create`, and what an existing one was made with.

use docker_api::json::Value;

use super::resources::Resources;
use super::schema::{self, FieldPath, Unknown, conform};
use super::{devices, image, kept, logs, network, ports, volume};
use crate::findings::Findings;
use crate::limits::{AskedUser, LimitKey, Means, Namespace, OF_THE_IMAGE};

/// Which reading of `HostConfig`: in a body `null` is the default, an inspected container shows the defaults in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// A body about to be sent.
    Body,
    /// The answer of an inspect.
    Inspected,
}

/// Paths a container's `MaskedPaths` has by default; fewer in an inspected container means it was unmasked.
const MASKED: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/sys/firmware",
];

/// Paths a container's `ReadonlyPaths` has by default.
const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The body of `container.create`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    image::triggers(body, out);
    kept::together(body, &["Env", "Cmd", "Entrypoint", "Labels"], "", out);
    out.ask(
        "Image",
        body.text_at("Image").unwrap_or_default(),
        LimitKey::Images,
    );
    user(
        body.text_at("User").unwrap_or(OF_THE_IMAGE),
        "User".into(),
        out,
    );
    stop_wait(body.get("StopTimeout"), 1, "StopTimeout", out);
    let host = body.get("HostConfig").unwrap_or(&Value::Null);
    ports::number_of(host, body.get("ExposedPorts"), "HostConfig.", out);
    host_config(host, "HostConfig.", View::Body, out);
    let networking = body.get("NetworkingConfig");
    let endpoints = networking.map(|networking| networking.members_at("EndpointsConfig"));
    let endpoints = endpoints.unwrap_or_default().iter();
    // Longer names have been refused with the shape of the body.
    for (name, endpoint) in endpoints.filter(|(name, _)| name.len() <= schema::LONGEST_KEY) {
        if out.is_settled() {
            return;
        }
        let at = format!("NetworkingConfig.EndpointsConfig.{name}");
        network::name(name, at.clone(), out);
        network::endpoint(endpoint, &at, out);
        if let Some(id) = endpoint.text_at("NetworkID") {
            network::name(id, format!("{at}.NetworkID"), out);
        }
    }
}

/// The body of `container.update`.
pub(super) fn update(body: &Value<'_>, out: &mut Findings<'_>) {
    devices::resources(body, "", out);
    Resources::of_update(body).ask("", out);
}

/// The user of a container, an exec or a service's tasks.
pub(crate) fn user(text: &str, field: String, out: &mut Findings<'_>) {
    let value = AskedUser::read(text).map_or_else(|| text.to_owned(), |user| user.to_string());
    out.ask(field, value, LimitKey::Users);
}

/// The name that a container or a service gets; without one the engine picks it.
pub(super) fn name(text: &str, field: &str, out: &mut Findings<'_>) {
    let name = text.strip_prefix('/').unwrap_or(text);
    let missing = format!("{field}, which is missing");
    let field = if name.is_empty() { &missing } else { field };
    out.ask(field, name, LimitKey::Names);
}

/// Longest time that a container gets to end by itself, in seconds. Until then the engine does not end either.
const LONGEST_STOP: u64 = 3600;

/// A time to end by itself, in a body that counts so many to the second. The engine takes a negative one for no end.
pub(super) fn stop_wait(
    wait: Option<&Value<'_>>,
    second: u64,
    field: &str,
    out: &mut Findings<'_>,
) {
    let Some(Value::Number(number)) = wait else {
        return;
    };
    if number
        .as_u64()
        .is_none_or(|wait| wait > LONGEST_STOP * second)
    {
        let longest = LONGEST_STOP * second;
        out.never(
            "stop-timeout",
            field,
            format!("{number} (expected 0 to {longest})"),
        );
    }
}

/// `t` of a stop and of a restart.
pub(super) fn stop_parameter(text: &str, out: &mut Findings<'_>) {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let wait = text
        .parse()
        .ok()
        .filter(|wait: &u64| digits && *wait <= LONGEST_STOP);
    if !text.is_empty() && wait.is_none() {
        let text = schema::cut(text, 64);
        out.never(
            "stop-timeout",
            "?t",
            format!("{text} (expected seconds from 0 to {LONGEST_STOP})"),
        );
    }
}

/// The body of `checkpoint.create`.
pub(super) fn checkpoint(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(directory) = body.text_at("CheckpointDir") {
        out.never("checkpoints", "CheckpointDir", directory);
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
    host_config(host, "HostConfig.", View::Inspected, out);
    let config = inspected.get("Config");
    let exposed = config.and_then(|config| config.get("ExposedPorts"));
    ports::number_of(host, exposed, "HostConfig.", out);
    if let Some(image) = config.and_then(|config| config.text_at("Image")) {
        out.ask("Config.Image", image, LimitKey::Images);
    }
    // The engine has put the image's own user there, if it has one.
    let own = config.and_then(|config| config.text_at("User"));
    user(own.unwrap_or("0"), "Config.User".into(), out);
    if let Some(settings) = inspected.get("NetworkSettings") {
        for (joined, _) in settings.members_at("Networks") {
            // The host's is the NetworkMode's too.
            if joined != "host" {
                network::named(joined, format!("NetworkSettings.Networks.{joined}"), out);
            }
        }
    }
    // A task's secrets and configs are nowhere in the container, and no role that has limits may name any.
    let labels = config.and_then(|config| config.get("Labels"));
    if labels.is_some_and(|labels| labels.get(TASK).is_some()) {
        out.never(
            "target-check",
            format!("Config.Labels.{TASK}"),
            "a task of a service, which may hold secrets",
        );
    }
}

/// What a start makes of a container with `PublishAllPorts`: the image says how many ports that are, and its create did not show it.
pub(crate) fn started(inspected: &Value<'_>, out: &mut Findings<'_>) {
    let host = inspected.get("HostConfig");
    let exposed = inspected
        .get("Config")
        .and_then(|config| config.get("ExposedPorts"));
    if let Some(host) = host.filter(|host| host.is_true(ports::PUBLISH_ALL)) {
        ports::number_of(host, exposed, "HostConfig.", out);
    }
}

/// The label that swarm puts on the containers of its tasks.
const TASK: &str = "com.docker.swarm.task.id";

/// The powers of a `HostConfig`.
fn host_config(host: &Value<'_>, at: &str, view: View, out: &mut Findings<'_>) {
    if host.is_true("Privileged") {
        out.ask(format!("{at}Privileged"), "true", LimitKey::Privileged);
    }
    namespaces(host, at, view, out);
    storage(host, at, out);
    for name in ["VolumesFrom", "Links"] {
        for (index, joined) in host.texts_at(name) {
            let field = format!("{at}{name}[{index}]");
            if name == "VolumesFrom" {
                volume::volumes_from(joined, &field, out);
            }
            out.ask(field, joined, LimitKey::JoinContainers);
        }
    }
    devices::resources(host, at, out);
    let resources = match view {
        View::Body => Resources::of_new_container(host, &out.defaults),
        View::Inspected => Resources::of_container(host),
    };
    resources.ask(at, out);
    ports::of_container(host, at, out);
    confinement(host, at, view, out);
    if let Some(runtime) = host.text_at("Runtime") {
        out.ask(format!("{at}Runtime"), runtime, LimitKey::Runtimes);
    }
    for (field, limit) in [
        ("Sysctls", LimitKey::Sysctls),
        ("Annotations", LimitKey::Annotations),
    ] {
        for (key, _) in host.members_at(field) {
            out.ask(format!("{at}{field}"), key.as_ref(), limit);
        }
    }
    for (index, group) in host.texts_at("GroupAdd") {
        out.ask(format!("{at}GroupAdd[{index}]"), group, LimitKey::Groups);
    }
    if let Some(log) = host.get("LogConfig") {
        let read = match view {
            View::Body => logs::driver,
            View::Inspected => logs::existing,
        };
        read(log, "Type", "Config", &format!("{at}LogConfig"), out);
    }
    isolation(host, at, out);
}

fn storage(host: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, text) in host.texts_at("Binds") {
        volume::bind(text, &format!("{at}Binds[{index}]"), out);
    }
    if let Some(mounts) = host.get("Mounts") {
        volume::mounts(mounts, &format!("{at}Mounts"), out);
    }
    if let Some(map) = host.get("Tmpfs") {
        volume::tmpfs(map, &format!("{at}Tmpfs"), out);
    }
    let driver = host.text_at("VolumeDriver");
    if let Some(driver) = driver.filter(|driver| *driver != "local") {
        out.never("volumes", format!("{at}VolumeDriver"), driver);
    }
}

/// What keeps a container in: capabilities, profiles, and the paths that are hidden from it.
fn confinement(host: &Value<'_>, at: &str, view: View, out: &mut Findings<'_>) {
    for (index, name) in host.texts_at("CapAdd") {
        capability(name, format!("{at}CapAdd[{index}]"), out);
    }
    for (index, option) in host.texts_at("SecurityOpt") {
        security_opt(option, format!("{at}SecurityOpt[{index}]"), out);
    }
    for (name, needed) in [("MaskedPaths", MASKED), ("ReadonlyPaths", READ_ONLY)] {
        let Some(list) = host.get(name) else { continue };
        let has = |path: &&str| list.items().iter().any(|item| item.text() == Some(path));
        if view == View::Body || !needed.iter().all(has) {
            let value = if list.items().is_empty() {
                "[]"
            } else {
                "a list"
            };
            out.never("security_opts", format!("{at}{name}"), value);
        }
    }
}

/// The isolation of Windows containers, of a `HostConfig` or of a service.
pub(super) fn isolation(owner: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let isolation = owner.text_at("Isolation");
    if let Some(isolation) = isolation.filter(|isolation| *isolation != "default") {
        out.never("isolation", format!("{at}Isolation"), isolation);
    }
}

fn namespaces(host: &Value<'_>, at: &str, view: View, out: &mut Findings<'_>) {
    let modes: &[(&str, Namespace, &[&str])] = &[
        ("PidMode", Namespace::Pid, &[]),
        ("IpcMode", Namespace::Ipc, &["private", "shareable", "none"]),
        ("UTSMode", Namespace::Uts, &[]),
        ("UsernsMode", Namespace::User, &[]),
        ("CgroupnsMode", Namespace::Cgroup, &["private"]),
    ];
    for (name, namespace, harmless) in modes {
        // On a cgroup v1 host the engine itself fills "host" into every container that named none, so it says nothing of
        // who asked; that client was judged at create.
        if view == View::Inspected && *namespace == Namespace::Cgroup {
            continue;
        }
        match host.text_at(name) {
            None => {}
            Some("host") => out.ask(format!("{at}{name}"), "host", Means::Namespace(*namespace)),
            Some(mode) if mode.starts_with("container:") => {
                out.ask(format!("{at}{name}"), mode, LimitKey::JoinContainers);
            }
            Some(mode) if harmless.contains(&mode) => {}
            Some(mode) => out.never("host_namespaces", format!("{at}{name}"), mode),
        }
    }
    match host.text_at("NetworkMode") {
        None => network::name(network::DEFAULT, format!("{at}NetworkMode"), out),
        Some(mode) if mode.starts_with("container:") => {
            out.ask(format!("{at}NetworkMode"), mode, LimitKey::JoinContainers);
        }
        Some(mode) => network::name(mode, format!("{at}NetworkMode"), out),
    }
    if let Some(cgroup) = host.text_at("Cgroup") {
        out.ask(format!("{at}Cgroup"), cgroup, LimitKey::JoinContainers);
    }
}

/// One capability, in any of its spellings.
pub(super) fn capability(name: &str, field: String, out: &mut Findings<'_>) {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    out.ask(field, short, LimitKey::Capabilities);
}

/// One security option; the three spellings of no-new-privileges are one.
pub(super) fn security_opt(option: &str, field: String, out: &mut Findings<'_>) {
    let option = match option {
        "no-new-privileges=true" | "no-new-privileges:true" => "no-new-privileges",
        option => option,
    };
    out.ask(field, option, LimitKey::SecurityOpts);
}

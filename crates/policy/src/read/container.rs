//! What a container body reaches: every spelling of a power, turned into powers.
//!
//! Used for `container.create`, for the inspected target of exec, attach, archive and the like, and (through
//! [`mounts`] and the smaller helpers) for swarm services.

use super::schema;
use crate::findings::{Findings, Unresolved};
use crate::limits::LimitKey;
use crate::power::{Means, Namespace};
use docker_api::json::Value;

use super::outbound::{self};
use super::volume::{bind, tmpfs};

pub(crate) use super::devices::resources;
pub(crate) use super::outbound::{address, registry, source};
pub(crate) use super::volume::{mounts, volume_driver};

/// Which reading of `HostConfig`: in a body `null` is the default, an inspected container shows the defaults in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
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

/// The powers of a `HostConfig`.
pub(crate) fn host_config(host: &Value<'_>, at: &str, view: View, out: &mut Findings<'_>) {
    let path = |name: &str| format!("{at}{name}");
    if host.get("Privileged") == Some(&Value::Bool(true)) {
        out.ask(path("Privileged"), "true", LimitKey::Privileged);
    }
    namespaces(host, at, view, out);
    for (index, text) in texts(host, "Binds") {
        bind(text, &format!("{at}Binds[{index}]"), out);
    }
    if let Some(mounts) = host.get("Mounts") {
        self::mounts(mounts, &path("Mounts"), out);
    }
    if let Some(map) = host.get("Tmpfs") {
        tmpfs(map, &path("Tmpfs"), out);
    }
    if let Some(driver) = text(host, "VolumeDriver").filter(|driver| *driver != "local") {
        out.never("volumes", path("VolumeDriver"), driver);
    }
    for name in ["VolumesFrom", "Links"] {
        for (index, text) in texts(host, name) {
            out.ask(
                format!("{at}{name}[{index}]"),
                text,
                LimitKey::JoinContainers,
            );
        }
    }
    for (index, capability) in texts(host, "CapAdd") {
        self::capability(capability, format!("{at}CapAdd[{index}]"), out);
    }
    resources(host, at, out);
    for (index, option) in texts(host, "SecurityOpt") {
        security_opt(option, format!("{at}SecurityOpt[{index}]"), out);
    }
    for (name, needed) in [("MaskedPaths", MASKED), ("ReadonlyPaths", READ_ONLY)] {
        let Some(list) = host.get(name) else { continue };
        let whole = |paths: &[Value<'_>]| {
            needed
                .iter()
                .all(|path| paths.iter().any(|item| item.text() == Some(path)))
        };
        if view == View::Body || !whole(list.items()) {
            let value = if list.items().is_empty() {
                "[]"
            } else {
                "a list"
            };
            out.never("security_opts", path(name), value);
        }
    }
    if let Some(runtime) = text(host, "Runtime") {
        out.ask(path("Runtime"), runtime, LimitKey::Runtimes);
    }
    for (field, limit) in [
        ("Sysctls", LimitKey::Sysctls),
        ("Annotations", LimitKey::Annotations),
    ] {
        for (key, _) in host.get(field).map(Value::members).unwrap_or_default() {
            out.ask(path(field), key.as_ref(), limit);
        }
    }
    for (index, group) in texts(host, "GroupAdd") {
        out.ask(format!("{at}GroupAdd[{index}]"), group, LimitKey::Groups);
    }
    if let Some(log) = host.get("LogConfig") {
        log_driver(log, "Type", "Config", &path("LogConfig"), out);
    }
    if let Some(isolation) = text(host, "Isolation").filter(|isolation| *isolation != "default") {
        out.never("isolation", path("Isolation"), isolation);
    }
}

/// Log options that say how much is kept and what is noted with it, and not where it goes.
const LOG_OPTIONS: &[&str] = &[
    "compress",
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "tag",
];

/// A log driver; or its options alone, which are then those of the daemon's default, whatever that is.
pub(crate) fn log_driver(
    log: &Value<'_>,
    name: &str,
    options: &str,
    at: &str,
    out: &mut Findings<'_>,
) {
    let options_at = format!("{at}.{options}");
    if let Some(driver) = text(log, name) {
        out.ask(format!("{at}.{name}"), driver, LimitKey::LogDrivers);
        if let Some(options) = log.get(options) {
            outbound::log_options(options, &options_at, out);
        }
        return;
    }
    for (key, _) in log.get(options).map(Value::members).unwrap_or_default() {
        if !LOG_OPTIONS.contains(&key.as_ref()) {
            out.never(
                "log_drivers",
                options_at.as_str(),
                format!("{key}, without a driver"),
            );
        }
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
        // who asked; whoever did was judged at create.
        if view == View::Inspected && *namespace == Namespace::Cgroup {
            continue;
        }
        match text(host, name) {
            None => {}
            Some("host") => out.ask(format!("{at}{name}"), "host", Means::Namespace(*namespace)),
            Some(mode) if mode.starts_with("container:") => {
                out.ask(format!("{at}{name}"), mode, LimitKey::JoinContainers);
            }
            Some(mode) if harmless.contains(&mode) => {}
            Some(mode) => out.never("host_namespaces", format!("{at}{name}"), mode),
        }
    }
    match text(host, "NetworkMode") {
        None => {}
        Some(mode) if mode.starts_with("container:") => {
            out.ask(format!("{at}NetworkMode"), mode, LimitKey::JoinContainers);
        }
        Some(mode) => network(mode, format!("{at}NetworkMode"), out),
    }
    if let Some(cgroup) = text(host, "Cgroup") {
        out.ask(format!("{at}Cgroup"), cgroup, LimitKey::JoinContainers);
    }
}

/// A network by name or id. All-hexadecimal text may be the id, or a prefix of it, of the host network.
pub(crate) fn network(name: &str, field: String, out: &mut Findings<'_>) {
    if name == "host" {
        out.ask(field, "host", Means::Namespace(Namespace::Network));
    } else if name.len() > schema::LONGEST_KEY {
        out.never("host_namespaces", field, "a name longer than 255 bytes");
    } else if !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        out.look_up(Unresolved::Network {
            name: name.to_owned(),
            field,
        });
    }
}

/// `NetworkingConfig.EndpointsConfig`, and one endpoint of `network.connect`.
pub(crate) fn endpoint(endpoint: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, link) in texts(endpoint, "Links") {
        out.ask(
            format!("{at}.Links[{index}]"),
            link,
            LimitKey::JoinContainers,
        );
    }
    if let Some((key, _)) = endpoint
        .get("DriverOpts")
        .and_then(|options| options.members().first())
    {
        out.never("network_drivers", format!("{at}.DriverOpts"), key.as_ref());
    }
}

/// One capability, in any of its spellings.
pub(crate) fn capability(name: &str, field: String, out: &mut Findings<'_>) {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    out.ask(field, short, LimitKey::Capabilities);
}

/// One security option; the three spellings of no-new-privileges are one.
pub(crate) fn security_opt(option: &str, field: String, out: &mut Findings<'_>) {
    let option = match option {
        "no-new-privileges=true" | "no-new-privileges:true" => "no-new-privileges",
        option => option,
    };
    out.ask(field, option, LimitKey::SecurityOpts);
}

/// The text of a member, if it is a string and not empty.
pub(crate) fn text<'v>(value: &'v Value<'_>, key: &str) -> Option<&'v str> {
    value
        .get(key)
        .and_then(Value::text)
        .filter(|text| !text.is_empty())
}

/// The strings of a member that is an array, with their indices.
pub(crate) fn texts<'v>(value: &'v Value<'_>, key: &str) -> impl Iterator<Item = (usize, &'v str)> {
    items(value, key).filter_map(|(i, item)| Some((i, item.text()?)))
}

/// The items of a member that is an array, with their indices.
pub(crate) fn items<'v>(
    value: &'v Value<'_>,
    key: &str,
) -> impl Iterator<Item = (usize, &'v Value<'v>)> {
    let list = value.get(key).map(Value::items).unwrap_or_default();
    list.iter().enumerate()
}

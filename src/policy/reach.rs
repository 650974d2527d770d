//! What a container body reaches: every spelling of a power, turned into demands.
//!
//! Used for `container.create`, for the inspected target of exec, attach, archive and the like, and (through
//! [`mounts`] and the smaller helpers) for swarm services.

use super::demand::{Demand, Namespace, Want};
use super::hostpath::clean;
use super::json::Value;

/// Something whose power only the engine can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// A named volume: its driver options may bind a host path.
    Volume {
        /// The volume's name.
        name: String,
        /// The field that names it.
        field: String,
    },
    /// A network by id: it may be the host's.
    Network {
        /// The name or id.
        name: String,
        /// The field that names it.
        field: String,
    },
}

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Powers asked for.
    pub demands: Vec<Demand>,
    /// What must be looked up.
    pub unresolved: Vec<Unresolved>,
}

impl Findings {
    /// Adds a demand.
    pub(super) fn want(&mut self, field: impl Into<String>, value: impl Into<String>, want: Want) {
        self.demands.push(Demand::new(field, value, want));
    }

    /// Adds a demand nothing allows.
    pub(super) fn never(
        &mut self,
        rule: &'static str,
        field: impl Into<String>,
        value: impl Into<String>,
    ) {
        self.demands.push(Demand::never(rule, field, value));
    }

    /// `written` is what the body says, for messages; the cleaned path is what is judged.
    fn host_path(&mut self, field: String, written: &str, path: &str, writable: bool) {
        self.want(
            field,
            written,
            Want::HostPath {
                path: clean(path),
                writable,
            },
        );
    }
}

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

/// The demands of a `HostConfig`.
pub(super) fn host_config(host: &Value<'_>, at: &str, view: View, out: &mut Findings) {
    let path = |name: &str| format!("{at}{name}");
    if host.get("Privileged") == Some(&Value::Bool(true)) {
        out.want(path("Privileged"), "true", Want::Privileged);
    }
    namespaces(host, at, view, out);
    for (index, text) in texts(host, "Binds") {
        bind(text, &format!("{at}Binds[{index}]"), out);
    }
    if let Some(mounts) = host.get("Mounts") {
        self::mounts(mounts, &path("Mounts"), out);
    }
    if let Some(driver) = text(host, "VolumeDriver").filter(|driver| *driver != "local") {
        out.never("volumes", path("VolumeDriver"), driver);
    }
    for name in ["VolumesFrom", "Links"] {
        for (index, text) in texts(host, name) {
            out.want(format!("{at}{name}[{index}]"), text, Want::Join);
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
            out.never("security-options", path(name), value);
        }
    }
    if let Some(runtime) = text(host, "Runtime") {
        out.want(path("Runtime"), runtime, Want::Runtime);
    }
    for (field, want) in [("Sysctls", Want::Sysctl), ("Annotations", Want::Annotation)] {
        for (key, _) in host.get(field).map(Value::members).unwrap_or_default() {
            out.want(path(field), key.as_ref(), want.clone());
        }
    }
    for (index, group) in texts(host, "GroupAdd") {
        out.want(format!("{at}GroupAdd[{index}]"), group, Want::Group);
    }
    if let Some(driver) = host.get("LogConfig").and_then(|log| text(log, "Type")) {
        out.want(path("LogConfig.Type"), driver, Want::LogDriver);
    }
    if let Some(isolation) = text(host, "Isolation").filter(|isolation| *isolation != "default") {
        out.never("isolation", path("Isolation"), isolation);
    }
}

/// The demands of the cgroup limits and devices, which `container.update` sends without the rest.
pub(super) fn resources(host: &Value<'_>, at: &str, out: &mut Findings) {
    for (index, device) in host
        .get("Devices")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let source = text(device, "PathOnHost").unwrap_or_default();
        out.want(
            format!("{at}Devices[{index}].PathOnHost"),
            clean(source),
            Want::Device,
        );
    }
    for (index, rule) in texts(host, "DeviceCgroupRules") {
        out.never("devices", format!("{at}DeviceCgroupRules[{index}]"), rule);
    }
    for (index, request) in host
        .get("DeviceRequests")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        device_request(request, &format!("{at}DeviceRequests[{index}]"), out);
    }
    for name in [
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    ] {
        for (index, device) in host
            .get(name)
            .map(Value::items)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let source = text(device, "Path").unwrap_or_default();
            out.want(
                format!("{at}{name}[{index}].Path"),
                clean(source),
                Want::Device,
            );
        }
    }
    if let Some(parent) = text(host, "CgroupParent") {
        out.never("cgroup-parent", format!("{at}CgroupParent"), parent);
    }
}

fn namespaces(host: &Value<'_>, at: &str, view: View, out: &mut Findings) {
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
            Some("host") => out.want(format!("{at}{name}"), "host", Want::Namespace(*namespace)),
            Some(mode) if mode.starts_with("container:") => {
                out.want(format!("{at}{name}"), mode, Want::Join);
            }
            Some(mode) if harmless.contains(&mode) => {}
            Some(mode) => out.never("no-host-namespaces", format!("{at}{name}"), mode),
        }
    }
    match text(host, "NetworkMode") {
        None => {}
        Some(mode) if mode.starts_with("container:") => {
            out.want(format!("{at}NetworkMode"), mode, Want::Join);
        }
        Some(mode) => network(mode, format!("{at}NetworkMode"), out),
    }
    if let Some(cgroup) = text(host, "Cgroup") {
        out.want(format!("{at}Cgroup"), cgroup, Want::Join);
    }
}

/// A network by name or id. All-hexadecimal text may be the id, or a prefix of it, of the host network.
pub(super) fn network(name: &str, field: String, out: &mut Findings) {
    if name == "host" {
        out.want(field, "host", Want::Namespace(Namespace::Network));
    } else if !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        out.unresolved.push(Unresolved::Network {
            name: name.to_owned(),
            field,
        });
    }
}

/// `NetworkingConfig.EndpointsConfig`, and one endpoint of `network.connect`.
pub(super) fn endpoint(endpoint: &Value<'_>, at: &str, out: &mut Findings) {
    for (index, link) in texts(endpoint, "Links") {
        out.want(format!("{at}.Links[{index}]"), link, Want::Join);
    }
    if let Some((key, _)) = endpoint
        .get("DriverOpts")
        .and_then(|options| options.members().first())
    {
        out.never("network-drivers", format!("{at}.DriverOpts"), key.as_ref());
    }
}

/// A `Binds` string: `source:destination[:options]`, as the engine's Linux parser splits it.
fn bind(spec: &str, field: &str, out: &mut Findings) {
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, options) = match parts[..] {
        // A destination alone: an anonymous volume.
        [_] => return,
        // `source:destination`; `destination:mode` is an anonymous volume, and starts with a slash too, so is read as a path.
        [source, _] => (source, ""),
        [source, _, options] => (source, options),
        _ => return out.never("bind-sources", field, spec),
    };
    for option in options.split(',') {
        if matches!(option, "shared" | "rshared") {
            out.never(
                "bind-sources",
                field,
                format!("{spec} (propagation must be private or slave)"),
            );
        }
    }
    if source.starts_with('/') {
        out.host_path(
            field.to_owned(),
            spec,
            source,
            !options.split(',').any(|option| option == "ro"),
        );
    } else {
        volume(source, field, out);
    }
}

fn volume(name: &str, field: &str, out: &mut Findings) {
    let plain = name.len() > 1
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !plain {
        return out.never("volumes", field, name);
    }
    out.want(field, name, Want::Volume);
    out.unresolved.push(Unresolved::Volume {
        name: name.to_owned(),
        field: field.to_owned(),
    });
}

/// `Mounts[]`, of a container or of a service.
pub(super) fn mounts(mounts: &Value<'_>, at: &str, out: &mut Findings) {
    for (index, mount) in mounts.items().iter().enumerate() {
        let at = format!("{at}[{index}]");
        let source = text(mount, "Source");
        let options = |name: &str| mount.get(name).filter(|options| !options.is_empty());
        match text(mount, "Type").unwrap_or_default() {
            "bind" => {
                let bind = options("BindOptions");
                match bind.and_then(|bind| text(bind, "Propagation")) {
                    None | Some("private" | "rprivate" | "slave" | "rslave") => {}
                    Some(mode) => out.never(
                        "bind-sources",
                        format!("{at}.BindOptions.Propagation"),
                        mode,
                    ),
                }
                // Read-only that stops at mount points leaves what is mounted below writable.
                let shallow = bind.is_some_and(|bind| {
                    bind.get("ReadOnlyNonRecursive") == Some(&Value::Bool(true))
                });
                let read_only = mount.get("ReadOnly") == Some(&Value::Bool(true)) && !shallow;
                match source {
                    Some(source) if source.starts_with('/') => {
                        out.host_path(format!("{at}.Source"), source, source, !read_only);
                    }
                    source => out.never(
                        "bind-sources",
                        format!("{at}.Source"),
                        source.unwrap_or_default(),
                    ),
                }
            }
            "volume" => {
                if let Some(source) = source {
                    volume(source, &format!("{at}.Source"), out);
                }
                if let Some(driver) =
                    options("VolumeOptions").and_then(|volume| volume.get("DriverConfig"))
                {
                    let name = text(driver, "Name").unwrap_or_default();
                    volume_driver(
                        name,
                        driver.get("Options"),
                        &format!("{at}.VolumeOptions.DriverConfig"),
                        out,
                    );
                }
            }
            "tmpfs" => {}
            "image" => out.want(
                format!("{at}.Source"),
                source.unwrap_or_default(),
                Want::Image,
            ),
            kind => out.never("bind-sources", format!("{at}.Type"), kind),
        }
    }
}

/// A volume's driver and options: of a mount, of `volume.create`, or of an existing volume. The local driver hands them
/// to mount(2), so its `device` is a host path like any other.
pub(super) fn volume_driver(name: &str, options: Option<&Value<'_>>, at: &str, out: &mut Findings) {
    if !matches!(name, "" | "local") {
        return out.never("volumes", format!("{at}.Name"), name);
    }
    let options = options.map(Value::members).unwrap_or_default();
    let mut seen = [""; 3];
    for (key, value) in options {
        let Some(value) = value.text() else {
            return out.never("bind-sources", format!("{at} {key}"), value.kind());
        };
        match key.as_ref() {
            "type" => seen[0] = value,
            "o" => seen[1] = value,
            "device" => seen[2] = value,
            "size" => {}
            // The value may be a secret (cifs has `password`), and the option is refused whatever it says.
            _ => return out.never("bind-sources", format!("{at} {key}"), ""),
        }
    }
    let [kind, flags, device] = seen;
    if kind.is_empty() && flags.is_empty() && device.is_empty() {
        return;
    }
    if kind == "tmpfs" {
        return;
    }
    let flag = |name: &str| flags.split(',').any(|flag| flag == name);
    let shared = flags.split(',').any(|flag| flag.contains("shared"));
    if !matches!(kind, "none" | "bind" | "") || !(flag("bind") || flag("rbind")) || shared {
        return out.never(
            "bind-sources",
            format!("{at} type={kind},o={},device", without_secrets(flags)),
            device,
        );
    }
    // The kernel walks `..` through symbolic links, where cleaning would not.
    if !device.starts_with('/') || device.split('/').any(|part| part == "..") {
        return out.never("bind-sources", format!("{at} device"), device);
    }
    out.host_path(
        format!("{at} device"),
        device,
        device,
        !flag("ro") || flag("rw"),
    );
}

/// Mount options as a message may show them: cifs takes its user's password among them.
fn without_secrets(flags: &str) -> String {
    let shown = |flag: &str| match flag.split_once('=') {
        Some((key, _)) if key.to_ascii_lowercase().contains("pass") => format!("{key}=***"),
        _ => flag.to_owned(),
    };
    flags.split(',').map(shown).collect::<Vec<_>>().join(",")
}

/// One capability, in any of its spellings.
pub(super) fn capability(name: &str, field: String, out: &mut Findings) {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    out.want(field, short, Want::Capability);
}

/// One security option; the three spellings of no-new-privileges are one.
pub(super) fn security_opt(option: &str, field: String, out: &mut Findings) {
    let option = match option {
        "no-new-privileges=true" | "no-new-privileges:true" => "no-new-privileges",
        option => option,
    };
    out.want(field, option, Want::SecurityOpt);
}

fn device_request(request: &Value<'_>, at: &str, out: &mut Findings) {
    let driver = text(request, "Driver");
    if let Some(driver) = driver {
        out.want(format!("{at}.Driver"), driver, Want::DeviceRequest);
    }
    if driver == Some("cdi") {
        for (index, id) in texts(request, "DeviceIDs") {
            out.want(format!("{at}.DeviceIDs[{index}]"), id, Want::DeviceRequest);
        }
    }
    let mut any = driver.is_some();
    for (index, set) in request
        .get("Capabilities")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        for capability in set.items() {
            any = true;
            let name = capability.text().unwrap_or("not a string");
            out.want(
                format!("{at}.Capabilities[{index}]"),
                name,
                Want::DeviceRequest,
            );
        }
    }
    if !any {
        out.never("devices", at, "names neither driver nor capability");
    }
    if let Some((key, _)) = request
        .get("Options")
        .and_then(|options| options.members().first())
    {
        out.never("devices", format!("{at}.Options"), key.as_ref());
    }
}

/// The text of a member, if it is a string and not empty.
pub(super) fn text<'v>(value: &'v Value<'_>, key: &str) -> Option<&'v str> {
    value
        .get(key)
        .and_then(Value::text)
        .filter(|text| !text.is_empty())
}

/// The strings of a member that is an array, with their indices.
pub(super) fn texts<'v>(value: &'v Value<'_>, key: &str) -> impl Iterator<Item = (usize, &'v str)> {
    value
        .get(key)
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(|(i, item)| Some((i, item.text()?)))
}

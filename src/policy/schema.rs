//! The shapes of the bodies that are judged: which fields exist, and of which type.
//!
//! A field that is not listed is not understood, and a limited role may not send it (unless it is `null`, which sets
//! nothing). Names are the engine's, in the engine's spelling; Go would fold case, this does not.

use std::fmt;

use super::demand::{Demand, Want};
use super::json::Value;

/// The type a field must have; `null` is always accepted, since Go leaves the field as it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// A string or an array of strings (commands).
    Command,
    /// An object with free keys and any values.
    Free,
    /// An array of anything.
    List,
    /// An object of the given fields.
    Object(&'static [Field]),
    /// An array of such objects.
    Objects(&'static [Field]),
    /// An object with free keys, its values such objects.
    Map(&'static [Field]),
}

/// A field's name and type.
pub(super) type Field = (&'static str, Type);

/// Where in a body something stands; formatted only when a message needs it.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy)]
enum Part<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// The body itself.
    pub(super) const ROOT: Path<'static> = Path {
        parent: None,
        part: Part::Root,
    };

    /// A member of this place.
    pub(super) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path {
            parent: Some(self),
            part: Part::Key(key),
        }
    }

    /// An item of this place.
    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path {
            parent: Some(self),
            part: Part::Index(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if matches!(self.part, Part::Key(_)) && !matches!(parent.part, Part::Root) {
                f.write_str(".")?;
            }
        }
        match self.part {
            Part::Root => Ok(()),
            Part::Key(key) => f.write_str(key),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether unknown fields with empty values pass: an inspected container of a newer engine has them, a body may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Any value but `null` is a demand.
    Refused,
    /// Only a value that says something is a demand.
    EmptyPasses,
}

/// Holds an object against its fields and adds a demand for everything that strays.
pub(super) fn conform(
    value: &Value<'_>,
    fields: &[Field],
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let Value::Object(members) = value else {
        if *value != Value::Null {
            wrong(value, "an object", path, demands);
        }
        return;
    };
    let mut strangers = false;
    for (key, value) in members {
        let here = path.key(key);
        match fields.iter().find(|(name, _)| name == key) {
            Some((_, kind)) => check(value, *kind, unknown, &here, demands),
            None => {
                strangers = true;
                stranger(key, value, fields, unknown, &here, demands);
            }
        }
    }
    if strangers {
        let mut folded: Vec<String> = members.iter().map(|(key, _)| fold(key)).collect();
        folded.sort_unstable();
        if let Some(pair) = folded.windows(2).find(|pair| pair[0] == pair[1]) {
            demands.push(Demand::never(
                "field-names",
                path.key(&pair[0]).to_string(),
                "twice, in different spellings",
            ));
        }
    }
}

fn stranger(
    key: &str,
    value: &Value<'_>,
    fields: &[Field],
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let folded = fold(key);
    if let Some((name, _)) = fields.iter().find(|(name, _)| fold(name) == folded) {
        demands.push(Demand::never(
            "field-names",
            path.to_string(),
            format!("must be spelt {name}"),
        ));
    } else if !key.is_ascii() {
        demands.push(Demand::never(
            "field-names",
            path.to_string(),
            "must be ASCII",
        ));
    } else if *value != Value::Null && !(unknown == Unknown::EmptyPasses && value.is_empty()) {
        demands.push(Demand::new(
            path.to_string(),
            path.to_string(),
            Want::UnknownField,
        ));
    }
}

fn check(
    value: &Value<'_>,
    kind: Type,
    unknown: Unknown,
    path: &Path<'_>,
    demands: &mut Vec<Demand>,
) {
    let expected = match (kind, value) {
        (_, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::Text | Type::Command, Value::Text(_))
        | (Type::Free, Value::Object(_))
        | (Type::List, Value::Array(_)) => return,
        (Type::Texts | Type::Command, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                if item.text().is_none() {
                    wrong(item, "a string", &path.index(index), demands);
                }
            }
            return;
        }
        (Type::Object(fields), Value::Object(_)) => {
            return conform(value, fields, unknown, path, demands);
        }
        (Type::Objects(fields), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                conform(item, fields, unknown, &path.index(index), demands);
            }
            return;
        }
        (Type::Map(fields), Value::Object(members)) => {
            for (key, item) in members {
                conform(item, fields, unknown, &path.key(key), demands);
            }
            return;
        }
        (Type::Bool, _) => "true or false",
        (Type::Number, _) => "a number",
        (Type::Text, _) => "a string",
        (Type::Texts, _) => "an array of strings",
        (Type::Command, _) => "a string or an array of strings",
        (Type::Free | Type::Object(_) | Type::Map(_), _) => "an object",
        (Type::List | Type::Objects(_), _) => "an array",
    };
    wrong(value, expected, path, demands);
}

fn wrong(value: &Value<'_>, expected: &str, path: &Path<'_>, demands: &mut Vec<Demand>) {
    demands.push(Demand::never(
        "field-types",
        path.to_string(),
        format!("{}, expected {expected}", value.kind()),
    ));
}

/// The folding of Go's `encoding/json`: the only characters beyond ASCII that fold into it are the long s and the Kelvin
/// sign (Unicode simple folding).
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

use Type::{Bool, Command, Free, List, Map, Number, Object, Objects, Text, Texts};

const HEALTHCHECK: &[Field] = &[
    ("Test", Texts),
    ("Interval", Number),
    ("Timeout", Number),
    ("StartPeriod", Number),
    ("StartInterval", Number),
    ("Retries", Number),
];

const CONFIG: &[Field] = &[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Bool),
    ("AttachStdout", Bool),
    ("AttachStderr", Bool),
    ("ExposedPorts", Free),
    ("Tty", Bool),
    ("OpenStdin", Bool),
    ("StdinOnce", Bool),
    ("Env", Texts),
    ("Cmd", Command),
    ("Healthcheck", Object(HEALTHCHECK)),
    ("ArgsEscaped", Bool),
    ("Image", Text),
    ("Volumes", Free),
    ("WorkingDir", Text),
    ("Entrypoint", Command),
    ("NetworkDisabled", Bool),
    ("MacAddress", Text),
    ("OnBuild", Texts),
    ("Labels", Free),
    ("StopSignal", Text),
    ("StopTimeout", Number),
    ("Shell", Command),
];

const ENDPOINT_IPAM: &[Field] = &[
    ("IPv4Address", Text),
    ("IPv6Address", Text),
    ("LinkLocalIPs", Texts),
];

const ENDPOINT: &[Field] = &[
    ("IPAMConfig", Object(ENDPOINT_IPAM)),
    ("Links", Texts),
    ("Aliases", Texts),
    ("MacAddress", Text),
    ("DriverOpts", Free),
    ("GwPriority", Number),
    ("NetworkID", Text),
    ("EndpointID", Text),
    ("Gateway", Text),
    ("IPAddress", Text),
    ("IPPrefixLen", Number),
    ("IPv6Gateway", Text),
    ("GlobalIPv6Address", Text),
    ("GlobalIPv6PrefixLen", Number),
    ("DNSNames", Texts),
];

const NETWORKING: &[Field] = &[("EndpointsConfig", Map(ENDPOINT))];

const DRIVER: &[Field] = &[("Name", Text), ("Options", Free)];

const MOUNT: &[Field] = &[
    ("Type", Text),
    ("Source", Text),
    ("Target", Text),
    ("ReadOnly", Bool),
    ("Consistency", Text),
    (
        "BindOptions",
        Object(&[
            ("Propagation", Text),
            ("NonRecursive", Bool),
            ("CreateMountpoint", Bool),
            ("ReadOnlyNonRecursive", Bool),
            ("ReadOnlyForceRecursive", Bool),
        ]),
    ),
    (
        "VolumeOptions",
        Object(&[
            ("NoCopy", Bool),
            ("Labels", Free),
            ("DriverConfig", Object(DRIVER)),
            ("Subpath", Text),
        ]),
    ),
    ("ImageOptions", Object(&[("Subpath", Text)])),
    (
        "TmpfsOptions",
        Object(&[("SizeBytes", Number), ("Mode", Number), ("Options", List)]),
    ),
    ("ClusterOptions", Object(&[])),
];

const DEVICE: &[Field] = &[
    ("PathOnHost", Text),
    ("PathInContainer", Text),
    ("CgroupPermissions", Text),
];

const DEVICE_REQUEST: &[Field] = &[
    ("Driver", Text),
    ("Count", Number),
    ("DeviceIDs", Texts),
    ("Capabilities", List),
    ("Options", Free),
];

const ULIMIT: &[Field] = &[("Name", Text), ("Hard", Number), ("Soft", Number)];

const RESTART: &[Field] = &[("Name", Text), ("MaximumRetryCount", Number)];

const WEIGHT: &[Field] = &[("Path", Text), ("Weight", Number)];

const THROTTLE: &[Field] = &[("Path", Text), ("Rate", Number)];

/// Cgroup limits and devices: the body of `container.update`, and part of [`HOST_CONFIG`].
macro_rules! with_resources {
    ($($more:expr),* $(,)?) => {
        &[
            $($more,)*
            ("RestartPolicy", Object(RESTART)), ("CpuShares", Number), ("Memory", Number), ("NanoCpus", Number),
            ("CgroupParent", Text), ("BlkioWeight", Number), ("BlkioWeightDevice", Objects(WEIGHT)),
            ("BlkioDeviceReadBps", Objects(THROTTLE)), ("BlkioDeviceWriteBps", Objects(THROTTLE)),
            ("BlkioDeviceReadIOps", Objects(THROTTLE)), ("BlkioDeviceWriteIOps", Objects(THROTTLE)), ("CpuPeriod", Number),
            ("CpuQuota", Number), ("CpuRealtimePeriod", Number), ("CpuRealtimeRuntime", Number), ("CpusetCpus", Text),
            ("CpusetMems", Text), ("Devices", Objects(DEVICE)), ("DeviceCgroupRules", Texts),
            ("DeviceRequests", Objects(DEVICE_REQUEST)), ("KernelMemory", Number), ("KernelMemoryTCP", Number),
            ("MemoryReservation", Number), ("MemorySwap", Number), ("MemorySwappiness", Number), ("OomKillDisable", Bool),
            ("PidsLimit", Number), ("Ulimits", Objects(ULIMIT)), ("CpuCount", Number), ("CpuPercent", Number),
            ("IOMaximumIOps", Number), ("IOMaximumBandwidth", Number),
        ]
    };
}

/// The body of `container.update`.
pub(super) const UPDATE: &[Field] = with_resources!();

/// `HostConfig`.
pub(super) const HOST_CONFIG: &[Field] = with_resources![
    ("Binds", Texts),
    ("ContainerIDFile", Text),
    ("LogConfig", Object(&[("Type", Text), ("Config", Free)])),
    ("NetworkMode", Text),
    ("PortBindings", Free),
    ("AutoRemove", Bool),
    ("VolumeDriver", Text),
    ("VolumesFrom", Texts),
    ("ConsoleSize", List),
    ("Annotations", Free),
    ("CapAdd", Texts),
    ("CapDrop", Texts),
    ("CgroupnsMode", Text),
    ("Dns", Texts),
    ("DnsOptions", Texts),
    ("DnsSearch", Texts),
    ("ExtraHosts", Texts),
    ("GroupAdd", Texts),
    ("IpcMode", Text),
    ("Cgroup", Text),
    ("Links", Texts),
    ("OomScoreAdj", Number),
    ("PidMode", Text),
    ("Privileged", Bool),
    ("PublishAllPorts", Bool),
    ("ReadonlyRootfs", Bool),
    ("SecurityOpt", Texts),
    ("StorageOpt", Free),
    ("Tmpfs", Free),
    ("UTSMode", Text),
    ("UsernsMode", Text),
    ("ShmSize", Number),
    ("Sysctls", Free),
    ("Runtime", Text),
    ("Isolation", Text),
    ("Mounts", Objects(MOUNT)),
    ("MaskedPaths", Texts),
    ("ReadonlyPaths", Texts),
    ("Init", Bool),
];

/// The body of `container.create`: Config's fields and two more.
pub(super) const CREATE: &[Field] = &{
    let mut fields = [("HostConfig", Object(HOST_CONFIG)); CONFIG.len() + 2];
    let mut at = 0;
    while at < CONFIG.len() {
        fields[at] = CONFIG[at];
        at += 1;
    }
    fields[at] = ("NetworkingConfig", Object(NETWORKING));
    fields
};

/// The body of `image.commit`.
pub(super) const COMMIT: &[Field] = CONFIG;

/// The body of `exec.create`.
pub(super) const EXEC_CREATE: &[Field] = &[
    ("User", Text),
    ("Privileged", Bool),
    ("Tty", Bool),
    ("ConsoleSize", List),
    ("AttachStdin", Bool),
    ("AttachStderr", Bool),
    ("AttachStdout", Bool),
    ("Detach", Bool),
    ("DetachKeys", Text),
    ("Env", Texts),
    ("WorkingDir", Text),
    ("Cmd", Command),
    ("Container", Text),
];

/// The body of `exec.start`.
pub(super) const EXEC_START: &[Field] = &[
    ("Detach", Bool),
    ("Tty", Bool),
    ("ConsoleSize", List),
    ("DetachKeys", Text),
];

/// The body of `volume.create`.
pub(super) const VOLUME_CREATE: &[Field] = &[
    ("Name", Text),
    ("Driver", Text),
    ("DriverOpts", Free),
    ("Labels", Free),
    ("ClusterVolumeSpec", Free),
];

const IPAM: &[Field] = &[
    ("Driver", Text),
    ("Options", Free),
    (
        "Config",
        Objects(&[
            ("Subnet", Text),
            ("IPRange", Text),
            ("Gateway", Text),
            ("AuxiliaryAddresses", Free),
        ]),
    ),
];

/// The body of `network.create`.
pub(super) const NETWORK_CREATE: &[Field] = &[
    ("Name", Text),
    ("CheckDuplicate", Bool),
    ("Driver", Text),
    ("Scope", Text),
    ("EnableIPv4", Bool),
    ("EnableIPv6", Bool),
    ("Internal", Bool),
    ("Attachable", Bool),
    ("Ingress", Bool),
    ("ConfigOnly", Bool),
    ("ConfigFrom", Object(&[("Network", Text)])),
    ("IPAM", Object(IPAM)),
    ("Options", Free),
    ("Labels", Free),
];

/// The body of `network.connect`.
pub(super) const NETWORK_CONNECT: &[Field] =
    &[("Container", Text), ("EndpointConfig", Object(ENDPOINT))];

const SERVICE_RESOURCES: &[Field] = &[
    ("NanoCPUs", Number),
    ("MemoryBytes", Number),
    ("Pids", Number),
    ("GenericResources", List),
];

const SERVICE_NETWORK: &[Field] = &[("Target", Text), ("Aliases", Texts), ("DriverOpts", Free)];

const CONTAINER_SPEC: &[Field] = &[
    ("Image", Text),
    ("Labels", Free),
    ("Command", Command),
    ("Args", Command),
    ("Hostname", Text),
    ("Env", Texts),
    ("Dir", Text),
    ("User", Text),
    ("Groups", Texts),
    (
        "Privileges",
        Object(&[
            ("CredentialSpec", Free),
            ("SELinuxContext", Free),
            ("Seccomp", Object(&[("Mode", Text), ("Profile", Text)])),
            ("AppArmor", Object(&[("Mode", Text)])),
            ("NoNewPrivileges", Bool),
        ]),
    ),
    ("Init", Bool),
    ("StopSignal", Text),
    ("TTY", Bool),
    ("OpenStdin", Bool),
    ("ReadOnly", Bool),
    ("Mounts", Objects(MOUNT)),
    ("StopGracePeriod", Number),
    ("Healthcheck", Object(HEALTHCHECK)),
    ("Hosts", Texts),
    (
        "DNSConfig",
        Object(&[
            ("Nameservers", Texts),
            ("Search", Texts),
            ("Options", Texts),
        ]),
    ),
    ("Secrets", List),
    ("Configs", List),
    ("Isolation", Text),
    ("Sysctls", Free),
    ("CapabilityAdd", Texts),
    ("CapabilityDrop", Texts),
    ("Ulimits", Objects(ULIMIT)),
    ("OomScoreAdj", Number),
];

const UPDATE_CONFIG: &[Field] = &[
    ("Parallelism", Number),
    ("Delay", Number),
    ("FailureAction", Text),
    ("Monitor", Number),
    ("MaxFailureRatio", Number),
    ("Order", Text),
];

/// The body of `service.create` and `service.update`.
pub(super) const SERVICE: &[Field] = &[
    ("Name", Text),
    ("Labels", Free),
    (
        "TaskTemplate",
        Object(&[
            ("ContainerSpec", Object(CONTAINER_SPEC)),
            ("PluginSpec", Free),
            ("NetworkAttachmentSpec", Free),
            (
                "Resources",
                Object(&[
                    ("Limits", Object(SERVICE_RESOURCES)),
                    ("Reservations", Object(SERVICE_RESOURCES)),
                    ("SwapBytes", Number),
                    ("MemorySwappiness", Number),
                ]),
            ),
            (
                "RestartPolicy",
                Object(&[
                    ("Condition", Text),
                    ("Delay", Number),
                    ("MaxAttempts", Number),
                    ("Window", Number),
                ]),
            ),
            (
                "Placement",
                Object(&[
                    ("Constraints", Texts),
                    ("Preferences", List),
                    ("MaxReplicas", Number),
                    ("Platforms", List),
                ]),
            ),
            ("Networks", Objects(SERVICE_NETWORK)),
            ("LogDriver", Object(DRIVER)),
            ("ForceUpdate", Number),
            ("Runtime", Text),
        ]),
    ),
    (
        "Mode",
        Object(&[
            ("Replicated", Object(&[("Replicas", Number)])),
            ("Global", Free),
            (
                "ReplicatedJob",
                Object(&[("MaxConcurrent", Number), ("TotalCompletions", Number)]),
            ),
            ("GlobalJob", Free),
        ]),
    ),
    ("UpdateConfig", Object(UPDATE_CONFIG)),
    ("RollbackConfig", Object(UPDATE_CONFIG)),
    ("Networks", Objects(SERVICE_NETWORK)),
    (
        "EndpointSpec",
        Object(&[
            ("Mode", Text),
            (
                "Ports",
                Objects(&[
                    ("Name", Text),
                    ("Protocol", Text),
                    ("TargetPort", Number),
                    ("PublishedPort", Number),
                    ("PublishMode", Text),
                ]),
            ),
        ]),
    ),
];

//! The engine's fields, struct by struct, in the engine's spelling (API 1.24 to 1.56).
//!
//! Kept one field a word, so that a new API version is a short diff.

mod engine;
mod service;

use super::SchemaField;
use super::Type::{Bool, Command, Free, List, Map, Number, Object, Objects, Text, Texts};

pub(crate) use engine::{AUTH, CHECKPOINT, SWARM_INIT, SWARM_JOIN, SWARM_SPEC};
pub(crate) use service::SERVICE;

const HEALTHCHECK: &[SchemaField] = &[
    ("Test", Texts),
    ("Interval", Number),
    ("Timeout", Number),
    ("StartPeriod", Number),
    ("StartInterval", Number),
    ("Retries", Number),
];

const CONFIG: &[SchemaField] = &[
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

const ENDPOINT_IPAM: &[SchemaField] = &[
    ("IPv4Address", Text),
    ("IPv6Address", Text),
    ("LinkLocalIPs", Texts),
];

const ENDPOINT: &[SchemaField] = &[
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

const NETWORKING: &[SchemaField] = &[("EndpointsConfig", Map(ENDPOINT))];

const DRIVER: &[SchemaField] = &[("Name", Text), ("Options", Free)];

const MOUNT: &[SchemaField] = &[
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

const DEVICE: &[SchemaField] = &[
    ("PathOnHost", Text),
    ("PathInContainer", Text),
    ("CgroupPermissions", Text),
];

const DEVICE_REQUEST: &[SchemaField] = &[
    ("Driver", Text),
    ("Count", Number),
    ("DeviceIDs", Texts),
    ("Capabilities", List),
    ("Options", Free),
];

const ULIMIT: &[SchemaField] = &[("Name", Text), ("Hard", Number), ("Soft", Number)];

const RESTART: &[SchemaField] = &[("Name", Text), ("MaximumRetryCount", Number)];

const WEIGHT: &[SchemaField] = &[("Path", Text), ("Weight", Number)];

const THROTTLE: &[SchemaField] = &[("Path", Text), ("Rate", Number)];

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
pub(crate) const UPDATE: &[SchemaField] = with_resources!();

/// `HostConfig`.
pub(crate) const HOST_CONFIG: &[SchemaField] = with_resources![
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
pub(crate) const CREATE: &[SchemaField] = &{
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
pub(crate) const COMMIT: &[SchemaField] = CONFIG;

/// The body of `exec.create`.
pub(crate) const EXEC_CREATE: &[SchemaField] = &[
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
pub(crate) const EXEC_START: &[SchemaField] = &[
    ("Detach", Bool),
    ("Tty", Bool),
    ("ConsoleSize", List),
    ("DetachKeys", Text),
];

/// The body of `volume.create`.
pub(crate) const VOLUME_CREATE: &[SchemaField] = &[
    ("Name", Text),
    ("Driver", Text),
    ("DriverOpts", Free),
    ("Labels", Free),
    ("ClusterVolumeSpec", Free),
];

const IPAM: &[SchemaField] = &[
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
pub(crate) const NETWORK_CREATE: &[SchemaField] = &[
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
pub(crate) const NETWORK_CONNECT: &[SchemaField] =
    &[("Container", Text), ("EndpointConfig", Object(ENDPOINT))];

/// The body of `network.disconnect`.
pub(crate) const NETWORK_DISCONNECT: &[SchemaField] = &[("Container", Text), ("Force", Bool)];

//! What a limited role's containers, images and builds may be: allow-lists, so that a forgotten key denies.

use super::demand::{Demand, Namespace, Want};
use super::hostpath::PathPattern;
use super::subnet::Subnet;
use docker_api::image::{ImageName, ImagePattern};
use docker_api::work;

/// The capabilities a container has by default; asking for one of them asks for nothing.
pub(super) const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability of Linux 6.12, and `ALL`; a policy that lists another has a misspelt one.
pub(super) const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// `[role.NAME.limits]`; the keys are those of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether a container may be privileged.
    pub privileged: bool,
    /// Host namespaces a container may share.
    pub host_namespaces: Vec<Namespace>,
    /// Whether a container may join another's namespaces, volumes or environment.
    pub join_containers: bool,
    /// Host paths that may be bound, by whatever spelling.
    pub binds: Vec<PathPattern>,
    /// Named volumes that may be used; `*` stands for any text.
    pub volumes: Vec<String>,
    /// Capabilities beyond the default set.
    pub capabilities: Vec<String>,
    /// Devices by path.
    pub devices: Vec<String>,
    /// Device requests: drivers, capabilities, and CDI names.
    pub device_requests: Vec<String>,
    /// Images that may be run, pulled or mounted.
    pub images: Vec<ImagePattern>,
    /// Image names that may be written; `None` if the file does not say.
    pub tags: Option<Vec<ImagePattern>>,
    /// Security options, exact.
    pub security_opts: Vec<String>,
    /// Runtimes.
    pub runtimes: Vec<String>,
    /// Sysctls, exact names.
    pub sysctls: Vec<String>,
    /// Annotations, exact names.
    pub annotations: Vec<String>,
    /// Additional groups, exact.
    pub groups: Vec<String>,
    /// Log drivers.
    pub log_drivers: Vec<String>,
    /// Network drivers.
    pub network_drivers: Vec<String>,
    /// Subnets that networks may be made with, in CIDR notation; one within another is allowed with it.
    pub subnets: Vec<Subnet>,
    /// Whether the opaque tunnels of BuildKit are granted.
    pub buildkit: bool,
    /// Fields this version does not know that may pass, by path.
    pub unknown_fields: Vec<String>,
}

impl Default for Limits {
    fn default() -> Limits {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Limits {
            privileged: false,
            host_namespaces: Vec::new(),
            join_containers: false,
            binds: Vec::new(),
            volumes: Vec::new(),
            capabilities: Vec::new(),
            devices: Vec::new(),
            device_requests: Vec::new(),
            images: ImagePattern::parse("**").into_iter().collect(),
            tags: None,
            security_opts: words(&["no-new-privileges"]),
            runtimes: words(&["runc"]),
            sysctls: Vec::new(),
            annotations: Vec::new(),
            groups: Vec::new(),
            log_drivers: words(&["json-file", "local", "journald"]),
            network_drivers: words(&["bridge", "overlay"]),
            subnets: Vec::new(),
            buildkit: false,
            unknown_fields: Vec::new(),
        }
    }
}

impl Limits {
    /// Whether the limits allow what is asked for.
    pub fn admit(&self, demand: &Demand) -> bool {
        let value = &demand.value;
        match &demand.want {
            Want::Privileged => self.privileged,
            Want::Namespace(namespace) => self.host_namespaces.contains(namespace),
            Want::Join => self.join_containers,
            Want::HostPath { path, writable } => self
                .binds
                .iter()
                .any(|pattern| pattern.admits(path, *writable)),
            Want::Volume => self.volumes.iter().any(|pattern| glob(pattern, value)),
            Want::Capability => {
                DEFAULT_CAPABILITIES.contains(&value.as_str())
                    || self.capabilities.iter().any(|name| name == value)
            }
            Want::Device => self.devices.contains(value),
            Want::DeviceRequest => self.device_requests.contains(value),
            Want::Image => admits_image(&self.images, value),
            Want::Tag => self
                .tags
                .as_ref()
                .is_some_and(|tags| admits_image(tags, value)),
            Want::SecurityOpt => self.security_opts.contains(value),
            Want::Runtime => self.runtimes.contains(value),
            Want::Sysctl => self.sysctls.contains(value),
            Want::Annotation => self.annotations.contains(value),
            Want::Group => self.groups.contains(value),
            Want::LogDriver => self.log_drivers.contains(value),
            Want::NetworkDriver => self.network_drivers.contains(value),
            Want::Subnet => Subnet::parse(value)
                .is_some_and(|asked| self.subnets.iter().any(|subnet| subnet.holds(&asked))),
            Want::Buildkit => self.buildkit,
            Want::UnknownField => self.unknown_fields.contains(value),
            Want::Never(_) => false,
        }
    }

    /// What would be allowed in place of a refused demand; empty if nothing would.
    pub fn allowed(&self, demand: &Demand) -> String {
        let words = |list: &[String]| list.join(", ");
        match &demand.want {
            Want::Namespace(_) => self
                .host_namespaces
                .iter()
                .map(|namespace| namespace.name())
                .collect::<Vec<_>>()
                .join(", "),
            Want::HostPath { .. } => display(&self.binds),
            Want::Volume => words(&self.volumes),
            Want::Capability => words(&self.capabilities),
            Want::Device => words(&self.devices),
            Want::DeviceRequest => words(&self.device_requests),
            Want::Image => display(&self.images),
            Want::Tag => display(self.tags.as_deref().unwrap_or_default()),
            Want::SecurityOpt => words(&self.security_opts),
            Want::Runtime => words(&self.runtimes),
            Want::Sysctl => words(&self.sysctls),
            Want::Annotation => words(&self.annotations),
            Want::Group => words(&self.groups),
            Want::LogDriver => words(&self.log_drivers),
            Want::NetworkDriver => words(&self.network_drivers),
            Want::Subnet => display(&self.subnets),
            Want::UnknownField => words(&self.unknown_fields),
            Want::Privileged => "limits.privileged = true".into(),
            Want::Join => "limits.join_containers = true".into(),
            Want::Buildkit => "limits.buildkit = true".into(),
            Want::Never(_) => String::new(),
        }
    }
}

fn display<T: ToString>(list: &[T]) -> String {
    list.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn admits_image(patterns: &[ImagePattern], value: &str) -> bool {
    if patterns.iter().any(ImagePattern::is_everything) {
        return true;
    }
    ImageName::parse(value)
        .is_some_and(|image| patterns.iter().any(|pattern| pattern.admits(&image)))
}

/// `*` stands for any text; nothing else is special.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The earliest place for each part leaves the most for the next, so nothing is ever tried again.
    for part in parts {
        let found = text.find(part);
        work::add(found.unwrap_or(text.len()) + part.len());
        match found {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

//! The normal form of a request: a list of the powers it asks for, whatever spelling the body used.
//!
//! Every reader (create bodies, services, inspected targets, builds, parameters) produces [`Demand`]s, and one judge
//! holds them against the role's limits. A second spelling of the same power is a second producer, never a second rule.

use std::fmt;
use text::escape;

/// A host namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `NetworkMode: host`
    Network,
    /// `PidMode: host`
    Pid,
    /// `IpcMode: host`
    Ipc,
    /// `UTSMode: host`
    Uts,
    /// `UsernsMode: host`
    User,
    /// `CgroupnsMode: host`
    Cgroup,
}

impl Namespace {
    /// Every namespace.
    pub const ALL: &[Namespace] = &[
        Namespace::Network,
        Namespace::Pid,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::User,
        Namespace::Cgroup,
    ];

    /// The name in `limits.host_namespaces`.
    pub fn name(self) -> &'static str {
        match self {
            Namespace::Network => "network",
            Namespace::Pid => "pid",
            Namespace::Ipc => "ipc",
            Namespace::Uts => "uts",
            Namespace::User => "user",
            Namespace::Cgroup => "cgroup",
        }
    }

    /// The namespace called `name`.
    pub fn from_name(name: &str) -> Option<Namespace> {
        Self::ALL
            .iter()
            .copied()
            .find(|namespace| namespace.name() == name)
    }
}

/// A power a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// `Privileged: true`.
    Privileged,
    /// A namespace of the host.
    Namespace(Namespace),
    /// Another container's namespaces, volumes or environment.
    Join,
    /// A path of the host, by whatever road.
    HostPath {
        /// Cleaned as the daemon cleans it.
        path: String,
        /// Whether it can be written.
        writable: bool,
    },
    /// A named volume.
    Volume,
    /// A capability beyond the default set, upper case without `CAP_`.
    Capability,
    /// A device of the host.
    Device,
    /// A device request: a driver, a capability or a CDI device.
    DeviceRequest,
    /// An image that is run, pulled or mounted.
    Image,
    /// An image name that is written.
    Tag,
    /// A security option.
    SecurityOpt,
    /// A runtime.
    Runtime,
    /// A sysctl.
    Sysctl,
    /// An annotation.
    Annotation,
    /// An additional group.
    Group,
    /// A log driver.
    LogDriver,
    /// A network driver.
    NetworkDriver,
    /// A network's addresses, in CIDR notation.
    Subnet,
    /// An opaque build tunnel or session.
    Buildkit,
    /// A field this version does not know.
    UnknownField,
    /// Nothing in a limited role allows it; the rule's name.
    Never(&'static str),
}

/// One power asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The field or parameter, `HostConfig.Binds[0]`.
    pub field: String,
    /// What it says, normalised: `/etc`.
    pub value: String,
    /// The power.
    pub want: Want,
}

impl Demand {
    /// A demand.
    pub fn new(field: impl Into<String>, value: impl Into<String>, want: Want) -> Demand {
        Demand {
            field: field.into(),
            value: value.into(),
            want,
        }
    }

    /// A demand nothing allows.
    pub fn never(rule: &'static str, field: impl Into<String>, value: impl Into<String>) -> Demand {
        Demand::new(field, value, Want::Never(rule))
    }

    /// The rule that judges it, as named in denials and by `explain`.
    pub fn rule(&self) -> &'static str {
        match self.want {
            Want::Privileged => "no-privileged",
            Want::Namespace(_) => "no-host-namespaces",
            Want::Join => "no-joining",
            Want::HostPath { .. } => "bind-sources",
            Want::Volume => "volumes",
            Want::Capability => "capabilities",
            Want::Device | Want::DeviceRequest => "devices",
            Want::Image => "images",
            Want::Tag => "tags",
            Want::SecurityOpt => "security-options",
            Want::Runtime => "runtimes",
            Want::Sysctl => "sysctls",
            Want::Annotation => "annotations",
            Want::Group => "groups",
            Want::LogDriver => "log-drivers",
            Want::NetworkDriver => "network-drivers",
            Want::Subnet => "subnets",
            Want::Buildkit => "buildkit",
            Want::UnknownField => "unknown-fields",
            Want::Never(rule) => rule,
        }
    }

    /// Whether the value is what is wrong with the field, and not what the field says.
    fn is_fault(&self) -> bool {
        matches!(
            self.want,
            Want::Never("body" | "field-names" | "field-types" | "parameters")
        )
    }

    /// The demand as a key of the limits and a value, which audit records carry and `policy learn` reads.
    /// `None` for what no limit can allow.
    pub fn fact(&self) -> Option<(&'static str, String)> {
        let value = self.value.clone();
        Some(match &self.want {
            Want::Privileged => ("privileged", "true".into()),
            Want::Namespace(namespace) => ("host_namespaces", namespace.name().into()),
            Want::Join => ("join_containers", "true".into()),
            Want::HostPath { path, writable } => (
                "binds",
                if *writable {
                    path.clone()
                } else {
                    format!("{path}:ro")
                },
            ),
            Want::Volume => ("volumes", value),
            Want::Capability => ("capabilities", value),
            Want::Device => ("devices", value),
            Want::DeviceRequest => ("device_requests", value),
            Want::Image => ("images", value),
            Want::Tag => ("tags", value),
            Want::SecurityOpt => ("security_opts", value),
            Want::Runtime => ("runtimes", value),
            Want::Sysctl => ("sysctls", value),
            Want::Annotation => ("annotations", value),
            Want::Group => ("groups", value),
            Want::LogDriver => ("log_drivers", value),
            Want::NetworkDriver => ("network_drivers", value),
            Want::Subnet => ("subnets", value),
            Want::Buildkit => ("buildkit", "true".into()),
            Want::UnknownField => ("unknown_fields", value),
            Want::Never(_) => return None,
        })
    }

    /// The demand a fact of an audit record stands for.
    pub fn from_fact(key: &str, value: &str) -> Option<Demand> {
        let want = match key {
            "privileged" => Want::Privileged,
            "host_namespaces" => Want::Namespace(Namespace::from_name(value)?),
            "join_containers" => Want::Join,
            "binds" => match value.strip_suffix(":ro") {
                Some(path) => Want::HostPath {
                    path: path.into(),
                    writable: false,
                },
                None => Want::HostPath {
                    path: value.into(),
                    writable: true,
                },
            },
            "volumes" => Want::Volume,
            "capabilities" => Want::Capability,
            "devices" => Want::Device,
            "device_requests" => Want::DeviceRequest,
            "images" => Want::Image,
            "tags" => Want::Tag,
            "security_opts" => Want::SecurityOpt,
            "runtimes" => Want::Runtime,
            "sysctls" => Want::Sysctl,
            "annotations" => Want::Annotation,
            "groups" => Want::Group,
            "log_drivers" => Want::LogDriver,
            "network_drivers" => Want::NetworkDriver,
            "subnets" => Want::Subnet,
            "buildkit" => Want::Buildkit,
            "unknown_fields" => Want::UnknownField,
            _ => return None,
        };
        Some(Demand::new(key, value, want))
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            return printable(f, &self.field);
        }
        printable(f, &self.field)?;
        f.write_str(if self.is_fault() { ": " } else { "=" })?;
        printable(f, &self.value)
    }
}

/// Writes text that came from a peer: control characters escaped, long text cut.
pub(super) fn printable(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    const LONGEST: usize = 200;
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            return f.write_str("…");
        }
        if escape::is_unsafe(c) {
            write!(f, "{}", c.escape_unicode())?;
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}

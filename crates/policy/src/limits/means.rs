//! What a limit is asked: each power of a request means one of these, whatever spelling the body used.

use std::fmt;

use super::LimitKey;

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

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

/// What a power means to the judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// What the limit of this key speaks about; the power's value says which one.
    Limit(LimitKey),
    /// A namespace of the host.
    Namespace(Namespace),
    /// A path of the host, by whatever road.
    HostPath {
        /// Cleaned as the daemon cleans it.
        path: String,
        /// Whether it can be written.
        writable: bool,
    },
    /// Nothing in a limited role allows it; the rule's name.
    Never(&'static str),
}

impl From<LimitKey> for Means {
    fn from(key: LimitKey) -> Means {
        Means::Limit(key)
    }
}

impl Means {
    /// The limit that speaks about it, if one does.
    pub(crate) fn key(&self) -> Option<LimitKey> {
        match self {
            Means::Limit(key) => Some(*key),
            Means::Namespace(_) => Some(LimitKey::HostNamespaces),
            Means::HostPath { .. } => Some(LimitKey::Binds),
            Means::Never(_) => None,
        }
    }
}

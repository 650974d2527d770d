//! What a limited role's containers, images and builds may be: one table of limits.
//!
//! A limit has one name: the key in the file is the rule in a denial, in `policy explain` and in audit records. Its line
//! in the table says of which kind it is, what it is by default and what it means; the reader of the file, the judge,
//! `policy learn` and the reference page take it from there. All are allow-lists, so that a forgotten key denies.

mod bounds;
mod kinds;
mod means;
mod ports;
mod users;

use super::fetch::{self, Host, HostPattern};
use super::subnet::Subnet;
use super::{ImagePattern, PathPattern};

pub use bounds::{Bound, BoundUnit, Bytes, NanoCpus, PortNumbers, Processes};
pub(crate) use bounds::{UNLIMITED, bytes, cpus};
use kinds::AnyLimit;
pub(crate) use kinds::DEFAULT_CAPABILITIES;
use kinds::LimitKind;
pub use kinds::{Capabilities, Fields, Globs, Words, glob};
pub use means::{Means, Namespace};
pub use ports::PortPattern;
pub(crate) use ports::{PublishedPort, tcp_ports};
pub use users::UserPattern;
pub(crate) use users::{AskedUser, OF_THE_IMAGE};

/// Makes the table: a key, its field, its kind, its default as the file would have it, and what it means.
macro_rules! limits {
    ($($key:ident $field:ident: $kind:ty = $default:expr, $help:literal;)*) => {
        /// The key of a limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum LimitKey {
            $(#[doc = $help] $key,)*
        }

        impl LimitKey {
            /// Every limit, in the order of the reference page.
            pub const ALL: &'static [LimitKey] = &[$(LimitKey::$key),*];

            /// The key in the file, and the rule in denials.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(LimitKey::$key => stringify!($field),)*
                }
            }

            /// Whether the file says `true` or `false`.
            #[must_use]
            pub fn is_flag(self) -> bool {
                match self {
                    $(LimitKey::$key => <$kind as LimitKind>::FLAG,)*
                }
            }

            /// Whether the file says a number, the most of something.
            #[must_use]
            pub fn is_bound(self) -> bool {
                match self {
                    $(LimitKey::$key => <$kind as LimitKind>::BOUND,)*
                }
            }

            /// What the limit means, for the reference page.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self {
                    $(LimitKey::$key => $help,)*
                }
            }
        }

        /// `[role.NAME.limits]`; the keys are those of the file.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Default for Limits {
            fn default() -> Limits {
                Limits {
                    $($field: <$kind as LimitKind>::of($default),)*
                }
            }
        }

        impl Limits {
            /// The limit of a key.
            fn of(&self, key: LimitKey) -> &dyn AnyLimit {
                match key {
                    $(LimitKey::$key => &self.$field,)*
                }
            }

            pub(crate) fn of_mut(&mut self, key: LimitKey) -> &mut dyn AnyLimit {
                match key {
                    $(LimitKey::$key => &mut self.$field,)*
                }
            }
        }
    };
}

limits! {
    Privileged privileged: bool = &[],
        "privileged containers and execs";
    HostNamespaces host_namespaces: Vec<Namespace> = &[],
        "of `network`, `pid`, `ipc`, `uts`, `user`, `cgroup`";
    JoinContainers join_containers: bool = &[],
        "`container:` modes, VolumesFrom, Links, Cgroup";
    Binds binds: Vec<PathPattern> = &[],
        "host paths: `/srv/a` alone, `/srv/a/**` it and all below, `:ro` read-only, with API 1.44 or newer and without `z` and `Z`, which relabel the source. Propagation must be private or slave; tmpfs and volume options that would remount or bind something else count here";
    Volumes volumes: Globs = &[],
        "named volumes; `*` is any text. Each is looked up: its device counts as a bind, other drivers are refused. Volumes without a name always pass";
    Capabilities capabilities: Capabilities = &[],
        "beyond Docker's default set; `CAP_` and case do not matter";
    Devices devices: Words = &[],
        "paths on the host, without `..` and the like; cgroup rules never pass";
    DeviceRequests device_requests: Words = &[],
        "drivers, capabilities (`gpu`) and CDI names, each";
    Images images: Vec<ImagePattern> = &["**"],
        "images run, mounted, fetched, saved or tagged, taken by a classic build with `FROM` or `COPY --from`, and of containers that exec and the like go into, normalised (`busybox` is `docker.io/library/busybox`); whole components, `*` one, `**` at the end any number, `:tag` exact. Image ids and all-hexadecimal names pass only with `**`";
    Tags tags: Option<Vec<ImagePattern>> = &[],
        "names that build, tag, commit, import, load and push may write; required where those are granted. `image.load` and a push or pull of every tag need a pattern without a tag, `image.load` the pattern `**`";
    Fetch fetch: Vec<HostPattern> = &[],
        "hosts that the engine may be made to connect to, beside Docker Hub and the registries that `images` and `tags` name: `files.example.com`, `10.0.0.5:5000`, `*.example.com`, `*`. Under `images = [\"**\"]` only Docker Hub counts as named. Addresses, names of this machine, of its neighbours and of a cloud's metadata only as themselves";
    SecurityOpts security_opts: Words = &["no-new-privileges"],
        "exact strings. `MaskedPaths` and `ReadonlyPaths` must be null";
    Runtimes runtimes: Words = &["runc"],
        "an empty runtime always passes";
    Sysctls sysctls: Words = &[],
        "exact names";
    Annotations annotations: Words = &[],
        "exact names";
    Groups groups: Words = &[],
        "additional groups, exact names";
    LogDrivers log_drivers: Words = &["json-file", "local", "journald"],
        "without a driver only options that name no destination (`max-size`, `labels`, `tag` …). Under every driver: `tag` is text with fields in it, such as `{{.Name}}`, and calls no function; `max-buffer-size` is at most 32m, `max-file` 100, `max-size` at least 10k";
    NetworkDrivers network_drivers: Words = &["bridge", "overlay"],
        "for `network.create`; options are refused";
    Subnets subnets: Vec<Subnet> = &[],
        "address ranges that networks may be made with, such as `10.20.0.0/16`: the host sends what goes to a network's subnet into that network. Without one the engine picks";
    Memory memory: Bound<Bytes> = &[],
        "most memory of a container or of a service's task, such as `\"512m\"`, and as much swap again; whatever names no amount is refused. A classic build must name one too";
    Cpus cpus: Bound<NanoCpus> = &[],
        "most CPUs of a container or of a service's task, such as `1.5`, by NanoCpus, by CpuQuota with its CpuPeriod or by the number of CPUs in CpusetCpus; real-time scheduling is refused";
    Pids pids: Bound<Processes> = &[],
        "most processes and threads of a container or of a service's task";
    Ports ports: Vec<PortPattern> = &["*"],
        "ports of the host that may be published: `8080`, `8000-8999`, `127.0.0.1:8080`, `[::1]:53/udp`, `127.0.0.1:*`. Without an address any of them passes, and all of them; without a protocol any. A port that the engine picks needs `*` in its place";
    PortCount port_count: Bound<PortNumbers> = &["128"],
        "most ports of the host that one container or service may publish, since the engine starts a process or two for each; for `docker run -P` the exposed ports count";
    Users users: Vec<UserPattern> = &["*"],
        "users of containers, execs and services: `1000`, `1-65535` for anybody but root, `app`, `1000:50`; a group must fit the user's pattern or the one behind the colon. Only `*` lets the image choose. A name means what the image says";
    Networks networks: Globs = &["*"],
        "networks that containers and services may join, leave and be made with, by name; `*` is any text, the default network is `bridge`. `none` always passes, `host` is of `host_namespaces`";
    Names names: Globs = &["*"],
        "names that containers and services may get, by `create` and `rename`; `*` is any text. Only `*` alone lets the engine pick one. A name of 12 to 64 hexadecimal digits, which may be an id, never passes";
    Buildkit buildkit: bool = &[],
        "grants the tunnels `build.session` and `build.grpc`, in which nothing is judged";
    UnknownFields unknown_fields: Fields = &[],
        "or a list of paths that may pass: `[\"HostConfig.NewThing\"]`";
}

impl LimitKey {
    /// The limit called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<LimitKey> {
        LimitKey::ALL.iter().copied().find(|key| key.name() == name)
    }
}

impl Limits {
    /// Whether a limit lets everything pass that it speaks about.
    #[must_use]
    pub fn is_open(&self, key: LimitKey) -> bool {
        self.of(key).admits_everything()
    }

    /// The value of a limit as the file has it.
    #[must_use]
    pub fn written(&self, key: LimitKey) -> String {
        self.of(key).written()
    }

    /// Whether the limits allow what is asked for: a value, and what it means.
    pub(crate) fn admit(&self, value: &str, means: &Means) -> bool {
        match means.key() {
            Some(LimitKey::Fetch) => {
                self.fetch.admits(value, means)
                    || Host::parse(value).is_some_and(|host| self.names(&host))
            }
            Some(key) => self.of(key).admits(value, means),
            None => false,
        }
    }

    /// What a limit would allow in place of what was refused; empty if nothing.
    pub(crate) fn allowed(&self, key: LimitKey) -> String {
        match key {
            key if key.is_flag() => String::new(),
            LimitKey::Fetch => self.hosts().join(", "),
            key => self.of(key).allowed(),
        }
    }
}

impl Limits {
    /// Whether a host is Docker Hub or a registry that `images` or `tags` name.
    fn names(&self, host: &Host) -> bool {
        host.is_hub()
            || self
                .registries()
                .any(|registry| Host::parse(registry).as_ref() == Some(host))
    }

    /// The registries that `images` and `tags` name.
    fn registries(&self) -> impl Iterator<Item = &str> {
        let tags = self.tags.as_deref().unwrap_or_default();
        self.images
            .iter()
            .chain(tags)
            .filter_map(ImagePattern::registry)
    }

    /// What may be connected to, as a message names it.
    fn hosts(&self) -> Vec<String> {
        let mut hosts = vec![fetch::HUB[0].to_owned()];
        let listed = self.fetch.iter().map(ToString::to_string);
        for host in self.registries().map(str::to_owned).chain(listed) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// The option of the docker CLI that names an amount, where a field names none.
pub(crate) fn option_for(rule: &str, field: &str) -> Option<&'static str> {
    let is_service = field.starts_with("TaskTemplate");
    Some(match (LimitKey::from_name(rule)?, is_service) {
        (LimitKey::Memory, false) if (field.ends_with("MemorySwap") || field == "?memswap") => {
            "--memory-swap"
        }
        (LimitKey::Memory, false) => "--memory",
        (LimitKey::Memory, true) if field.ends_with("MemoryBytes") => "--limit-memory",
        (LimitKey::Cpus, _) if field.ends_with("CpuRealtimeRuntime") => return None,
        (LimitKey::Cpus, false) if field.starts_with('?') => "--cpu-quota",
        (LimitKey::Cpus, false) => "--cpus",
        (LimitKey::Cpus, true) => "--limit-cpu",
        (LimitKey::Pids, false) => "--pids-limit",
        (LimitKey::Pids, true) => "--limit-pids",
        _ => return None,
    })
}

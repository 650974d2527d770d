//! What each limit leads to when containers may be made: a limit that has no answer here does not compile.

use crate::limits::{DEFAULT_CAPABILITIES, Namespace};
use crate::{ImagePattern, LimitKey, Limits, Role};

use super::Reach;

/// What comes of a directory that may be written.
pub(crate) const BY_LINK: &str =
    "a link to / that a container makes there is followed by the next bind";

/// Host directories from which root follows when they can be written.
const CRITICAL: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib",
    "/var/run",
    "/var/spool",
];

/// Host directories whose secrets lead to root, or to other people's, when they can be read.
const SECRET: &[&str] = &[
    "/dev",
    "/etc/shadow",
    "/etc/docker",
    "/etc/kubernetes",
    "/etc/ssh",
    "/etc/ssl/private",
    "/home",
    "/proc",
    "/root",
    "/run",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/run",
];

/// Host directories that every user of the host may read, and that hold nobody's secrets.
const PUBLIC: &[&str] = &[
    "/etc/group",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/timezone",
    "/lib/modules",
    "/sys",
    "/usr/include",
    "/usr/lib/modules",
    "/usr/share",
    "/usr/src",
];

/// Log drivers that keep what a container writes on this host.
const LOCAL_LOGS: &[&str] = &["journald", "json-file", "local", "none"];

/// Log drivers that send it to an address or a socket of the client's choice.
const REMOTE_LOGS: &[&str] = &[
    "awslogs",
    "etwlogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "logentries",
    "splunk",
    "syslog",
];

/// Network drivers that come with the engine and do nothing to the host's interfaces without options.
const PLAIN_NETWORKS: &[&str] = &["bridge", "ipvlan", "macvlan", "none", "null", "overlay"];

/// Runtimes that are runc.
const RUNC: &[&str] = &["io.containerd.runc.v2", "runc"];

/// Capabilities that do not reach the host by themselves.
const HARMLESS: &[&str] = &[
    "IPC_LOCK",
    "LEASE",
    "NET_BROADCAST",
    "SYS_NICE",
    "SYS_RESOURCE",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
];

/// Devices that every container could as well make for itself, or that reach no further than its own namespaces.
const PLAIN_DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/dev/fuse",
    "/dev/net/tun",
];

/// What a security option says that takes a barrier away.
const LOOSENED: &[&str] = &["unconfined", "disable", "unmask", "systempaths"];

/// Adds what one limit opens.
#[expect(clippy::too_many_lines, reason = "table")]
pub(super) fn roads(key: LimitKey, role: &Role, limits: &Limits, reach: &mut Reach) {
    // In a scope both reach the owner's own alone.
    let is_scoped = role.scope.is_some();
    match key {
        LimitKey::Privileged => {
            let granted = limits.privileged.then(|| "privileged = true".to_owned());
            reach.root.extend(granted);
        }
        LimitKey::HostNamespaces => namespaces(limits, reach),
        LimitKey::JoinContainers => {
            let why = "join_containers = true (a privileged container can be joined)";
            let granted = limits.join_containers && !is_scoped;
            reach.root.extend(granted.then(|| why.to_owned()));
        }
        LimitKey::Binds => binds(limits, reach),
        LimitKey::Volumes => {
            let why = "volumes \"*\" reaches the volumes of every other tool, with its credentials";
            // A pattern of stars alone.
            let every = limits.volumes.iter().any(|volume| is_any(volume));
            reach.root.extend((every && !is_scoped).then(|| why.to_owned()));
        }
        LimitKey::Capabilities => reach.root.extend(
            beyond(&limits.capabilities, &[DEFAULT_CAPABILITIES, HARMLESS])
                .map(|capability| format!("capabilities has {capability}")),
        ),
        LimitKey::Devices => reach.root.extend(
            beyond(&limits.devices, &[PLAIN_DEVICES]).map(|device| format!("devices has {device}")),
        ),
        LimitKey::DeviceRequests => reach.unknown.extend(beyond(&limits.device_requests, &[]).map(
            |request| format!("device_requests has \"{request}\"; a CDI specification may add mounts and hooks"),
        )),
        LimitKey::Images => {
            let every = limits.images.iter().any(ImagePattern::is_everything);
            let why = "images is not limited";
            reach.warnings.extend(every.then(|| why.to_owned()));
        }
        LimitKey::SecurityOpts => security_opts(limits, reach),
        LimitKey::Runtimes => reach.unknown.extend(beyond(&limits.runtimes, &[RUNC]).map(
            |runtime| format!("runtimes has \"{runtime}\", whose isolation this program does not know"),
        )),
        LimitKey::Annotations => reach.root.extend(beyond(&limits.annotations, &[]).map(
            |annotation| format!("annotations has \"{annotation}\", which the runtime and its hooks obey"),
        )),
        LimitKey::Groups => {
            let why = "groups with binds can reach files the host keeps for those groups";
            let both = !limits.groups.is_empty() && !limits.binds.is_empty();
            reach.unknown.extend(both.then(|| why.to_owned()));
        }
        LimitKey::LogDrivers => log_drivers(limits, reach),
        LimitKey::NetworkDrivers => {
            reach.unknown.extend(beyond(&limits.network_drivers, &[PLAIN_NETWORKS]).map(
                |driver| format!("network_drivers has \"{driver}\", which this program does not know"),
            ));
        }
        LimitKey::Subnets => reach.unknown.extend(limits.subnets.iter().map(|subnet| {
            format!("subnets has {subnet}: what the host sends there reaches the network's containers")
        })),
        LimitKey::UnknownFields => {
            let fields = limits.unknown_fields.iter();
            reach.unknown.extend(fields.map(|field| format!("unknown_fields lets \"{field}\" pass unseen")));
        }
        // They are looked at with the operations that they are for.
        LimitKey::Tags | LimitKey::Fetch | LimitKey::Buildkit => {}
        // The engine takes the sysctls of a container's own namespaces alone.
        LimitKey::Sysctls
        // They only narrow what containers may be.
        | LimitKey::Memory
        | LimitKey::Cpus
        | LimitKey::Pids
        | LimitKey::Ports
        | LimitKey::PortCount
        | LimitKey::Users
        | LimitKey::Networks
        | LimitKey::Names => {}
    }
}

/// The words that none of the lists has.
fn beyond<'w>(
    words: &'w [String],
    lists: &[&'static [&'static str]],
) -> impl Iterator<Item = &'w String> {
    let lists = lists.to_vec();
    words
        .iter()
        .filter(move |word| !lists.iter().any(|list| list.contains(&word.as_str())))
}

/// Whether a pattern of volumes fits every name.
fn is_any(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|b| b == b'*')
}

fn namespaces(limits: &Limits, reach: &mut Reach) {
    for namespace in &limits.host_namespaces {
        match namespace {
            Namespace::Pid | Namespace::User | Namespace::Cgroup | Namespace::Network => {
                let why = format!("host_namespaces has \"{}\"", namespace.name());
                reach.root.push(why);
            }
            Namespace::Ipc => reach.unknown.push(
                "host_namespaces has \"ipc\": what other programs share there cannot be known"
                    .into(),
            ),
            Namespace::Uts => {}
        }
    }
}

fn security_opts(limits: &Limits, reach: &mut Reach) {
    for option in limits.security_opts.iter() {
        if LOOSENED.iter().any(|word| option.contains(word)) {
            reach.root.push(format!("security_opts has \"{option}\""));
        } else if option != "no-new-privileges" {
            reach.unknown.push(format!(
                "security_opts has \"{option}\", a profile that this program does not know"
            ));
        }
    }
}

fn log_drivers(limits: &Limits, reach: &mut Reach) {
    for driver in limits.log_drivers.iter().map(String::as_str) {
        if REMOTE_LOGS.contains(&driver) {
            reach.root.push(format!(
                "log_drivers has \"{driver}\", whose options make the engine connect to any address or socket"
            ));
        } else if !LOCAL_LOGS.contains(&driver) {
            let doubt = format!("log_drivers has \"{driver}\", which this program does not know");
            reach.unknown.push(doubt);
        }
    }
}

/// What host paths lead to.
fn binds(limits: &Limits, reach: &mut Reach) {
    for pattern in &limits.binds {
        let list = if pattern.writable() { CRITICAL } else { SECRET };
        if let Some(path) = list.iter().find(|path| pattern.touches(path)) {
            reach
                .root
                .push(format!("binds \"{pattern}\" reaches {path}"));
        } else if !pattern.writable() {
            if !PUBLIC.iter().any(|path| pattern.lies_in(path)) {
                reach.unknown.push(format!(
                    "binds \"{pattern}\": whether others keep credentials there cannot be known"
                ));
            }
        } else if limits.binds.iter().any(|other| pattern.holds(other)) {
            reach
                .root
                .push(format!("binds \"{pattern}\" may be written: {BY_LINK}"));
        } else {
            reach.unknown.push(format!(
                "binds \"{pattern}\" may be written: whether others use what lies there cannot be known"
            ));
        }
    }
}

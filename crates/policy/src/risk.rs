//! Whether a role leads to root on the host, and by what: the question every role must be able to answer.

use docker_api::{Operation, Risk};

use super::operations::OperationSet;
use super::power::Namespace;
use super::{Limits, Mode, Policy, Role, TARGETED};

/// What a role can come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Roads to root on the host; empty means none that this program knows.
    pub root: Vec<String>,
    /// What weakens the role without being a road to root by itself.
    pub warnings: Vec<String>,
}

/// Host directories from which root follows when they can be written.
const CRITICAL: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
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
    "/proc",
    "/root",
    "/run",
    "/var/lib/docker",
    "/var/run",
];

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

/// Operations of root risk whose arguments the limits judge, so that they are roads to root only through the limits.
const JUDGED: &[Operation] = &[
    Operation::ContainerCreate,
    Operation::ServiceCreate,
    Operation::ServiceUpdate,
    Operation::VolumeCreate,
];

/// What reporting alone amounts to.
const REPORTED: &str = "mode = \"report\" forwards what it would deny, container.create with privileged = true for one";

/// The road to root of certificates without an entry, if there is one: there is where the file only reports.
pub fn of_strangers(policy: &Policy) -> Option<&'static str> {
    let strangers = !policy.clients.iter().any(|client| client.matcher.any);
    (strangers && policy.mode == Mode::Report).then_some(REPORTED)
}

/// Finds the roads to root of a role.
pub fn reach(role: &Role) -> Reach {
    let mut reach = Reach::default();
    let Some(limits) = &role.limits else {
        reach.root.push("unrestricted".into());
        return reach;
    };
    if role.mode == Mode::Report {
        reach.root.push(REPORTED.into());
    }
    // The engine grants `network.host` to every build unless its own settings say otherwise, and no build is looked into.
    if limits.buildkit {
        reach.root.push(
            "buildkit = true (a build with --allow network.host runs in the host's network namespace)"
                .into(),
        );
    }
    let judged: OperationSet = JUDGED.iter().copied().collect();
    let targeted: OperationSet = TARGETED.iter().copied().collect();
    for operation in role
        .allowed
        .iter()
        .filter(|op| op.risk() == Risk::RootEquivalent)
    {
        if matches!(operation, Operation::BuildSession | Operation::BuildGrpc) {
            reach.warnings.push(format!(
                "{operation} is opaque; set builder.Entitlements in daemon.json"
            ));
        } else if targeted.contains(operation) {
            if !role.target_check {
                reach.root.push(format!(
                    "{operation} into any privileged container (target_check = false)"
                ));
            }
        } else if !judged.contains(operation) {
            reach.root.push(operation.to_string());
        }
    }
    let shapes = role.allowed.common(judged.union(targeted));
    if !shapes.is_empty() {
        for road in by_limits(limits) {
            reach.root.push(road);
        }
        caveats(limits, &mut reach.warnings);
    }
    if role.allowed.contains(Operation::ImageLoad) {
        reach.warnings.push(
            "image.load can re-point any local tag, which others may run with more rights".into(),
        );
    }
    if role.allowed.contains(Operation::PluginDisable) {
        reach
            .warnings
            .push("plugin.disable can switch off an authorization plugin".into());
    }
    if role.allowed.contains(Operation::SwarmUnlockkey) {
        reach
            .warnings
            .push("swarm.unlockkey gives the key to the cluster's store".into());
    }
    reach
}

fn by_limits(limits: &Limits) -> Vec<String> {
    let mut roads = Vec::new();
    if limits.privileged {
        roads.push("privileged = true".to_owned());
    }
    for namespace in &limits.host_namespaces {
        match namespace {
            Namespace::Pid | Namespace::User | Namespace::Cgroup | Namespace::Network => {
                roads.push(format!("host_namespaces has \"{}\"", namespace.name()));
            }
            Namespace::Ipc | Namespace::Uts => {}
        }
    }
    if limits.join_containers {
        roads.push("join_containers = true (a privileged container can be joined)".into());
    }
    for pattern in &limits.binds {
        let list = if pattern.writable() { CRITICAL } else { SECRET };
        if let Some(path) = list.iter().find(|path| pattern.touches(path)) {
            roads.push(format!("binds \"{pattern}\" reaches {path}"));
        }
    }
    for capability in &limits.capabilities {
        if !super::limits::DEFAULT_CAPABILITIES.contains(&capability.as_str())
            && !HARMLESS.contains(&capability.as_str())
        {
            roads.push(format!("capabilities has {capability}"));
        }
    }
    for device in &limits.devices {
        if !matches!(
            device.as_str(),
            "/dev/null"
                | "/dev/zero"
                | "/dev/random"
                | "/dev/urandom"
                | "/dev/fuse"
                | "/dev/net/tun"
        ) {
            roads.push(format!("devices has {device}"));
        }
    }
    for option in &limits.security_opts {
        if option.contains("unconfined")
            || option.contains("disable")
            || option.contains("unmask")
            || option.contains("systempaths")
        {
            roads.push(format!("security_opts has \"{option}\""));
        }
    }
    roads
}

fn caveats(limits: &Limits, warnings: &mut Vec<String>) {
    let writable: Vec<String> = limits
        .binds
        .iter()
        .filter(|pattern| pattern.writable())
        .map(ToString::to_string)
        .collect();
    if !writable.is_empty() {
        warnings.push(format!(
            "binds {}: symlinks inside are followed by the daemon",
            writable.join(", ")
        ));
    }
    if limits.images.iter().any(super::ImagePattern::is_everything) {
        warnings.push("images is not limited".into());
    }
    for runtime in limits.runtimes.iter().filter(|runtime| *runtime != "runc") {
        warnings.push(format!(
            "runtimes has \"{runtime}\", whose isolation this program does not know"
        ));
    }
    for field in &limits.unknown_fields {
        warnings.push(format!("unknown_fields lets \"{field}\" pass unseen"));
    }
    for request in &limits.device_requests {
        warnings.push(format!(
            "device_requests has \"{request}\"; a CDI specification may add mounts and hooks"
        ));
    }
    if !limits.groups.is_empty() && !writable.is_empty() {
        warnings.push("groups with binds can reach files the host keeps for those groups".into());
    }
}

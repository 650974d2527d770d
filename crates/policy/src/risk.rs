//! Whether a role leads to root on the host, and by what: the question every role must be able to answer.

use docker_api::{Operation, Risk};

use super::build::Build;
use super::fetch::HostPattern;
use super::operations::OperationSet;
use super::power::Namespace;
use super::{LimitKey, Limits, Mode, Policy, Role, TARGETED};

/// What a role can come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Roads to root on the host, or to the credentials of what else runs there.
    pub root: Vec<String>,
    /// What may be such a road: this program cannot know.
    pub unknown: Vec<String>,
    /// What weakens the role without being a road to root by itself.
    pub warnings: Vec<String>,
}

/// Whether a role leads to root on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RootAnswer {
    /// By none of the ways that this program knows, and it knows all that the role is given.
    No,
    /// It depends on what this program cannot see.
    CannotTell,
    /// It does.
    Yes,
}

impl RootAnswer {
    /// The word in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            RootAnswer::No => "no",
            RootAnswer::CannotTell => "cannot tell",
            RootAnswer::Yes => "yes",
        }
    }
}

impl Reach {
    /// The answer in one word.
    #[must_use]
    pub fn answer(&self) -> RootAnswer {
        match (self.root.is_empty(), self.unknown.is_empty()) {
            (false, _) => RootAnswer::Yes,
            (true, false) => RootAnswer::CannotTell,
            (true, true) => RootAnswer::No,
        }
    }

    /// What makes it so; empty for a no.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self.answer() {
            RootAnswer::Yes => &self.root,
            _ => &self.unknown,
        }
    }
}

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
pub fn of_unmatched(policy: &Policy) -> Option<&'static str> {
    let unmatched = !policy.clients.iter().any(|client| client.matcher.any);
    (unmatched && policy.mode == Mode::Report).then_some(REPORTED)
}

/// Finds the roads to root of a role.
#[must_use]
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
    if let Some(build) = &role.build {
        builds(build, &mut reach);
    }
    let judged: OperationSet = JUDGED.iter().copied().collect();
    let targeted: OperationSet = TARGETED.iter().copied().collect();
    for operation in role
        .allowed
        .iter()
        .filter(|op| op.risk() == Risk::RootEquivalent)
    {
        let tunnel = matches!(operation, Operation::BuildSession | Operation::BuildGrpc);
        if tunnel && role.build.is_some() {
            // Judged call by call, below.
        } else if tunnel {
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
        by_limits(role, limits, &mut reach);
        binds(limits, &mut reach);
        doubts(limits, &mut reach.unknown);
        if limits.images.iter().any(super::ImagePattern::is_everything) {
            reach.warnings.push("images is not limited".into());
        }
    }
    by_operation(role, limits, &mut reach);
    reach.warnings.extend(super::scope::crossings(role));
    unheld(role, limits, &mut reach.warnings);
    reach
}

/// Limits of containers that hold no build.
fn unheld(role: &Role, limits: &Limits, warnings: &mut Vec<String>) {
    let classic = role.allowed.contains(Operation::ImageBuild);
    let buildkit = role.build.is_some() || limits.buildkit;
    let keys = [
        (LimitKey::Memory, buildkit),
        (LimitKey::Cpus, buildkit),
        (LimitKey::Pids, buildkit || classic),
        (LimitKey::Users, buildkit || classic),
        (LimitKey::Networks, buildkit),
    ];
    let loose = keys
        .iter()
        .filter(|(key, any)| *any && !limits.is_open(*key));
    let names: Vec<&str> = loose.map(|(key, _)| key.name()).collect();
    if !names.is_empty() {
        warnings.push(format!(
            "{} do not hold for the steps of builds",
            names.join(", ")
        ));
    }
}

/// Whether an operation makes the engine connect to a host that the client names.
fn connects(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::DistributionInspect
            | Operation::ImageBuild
            | Operation::ImageImport
            | Operation::ImagePull
            | Operation::ImagePush
            | Operation::ImageSearch
            | Operation::PluginPrivileges
            | Operation::SystemAuth
    )
}

/// What an operation opens beside what the limits of containers say.
fn by_operation(role: &Role, limits: &Limits, reach: &mut Reach) {
    let writes = [
        Operation::ImageBuild,
        Operation::ImageCommit,
        Operation::ImageImport,
        Operation::ImageLoad,
        Operation::ImageTag,
    ];
    let every_name = limits
        .tags
        .iter()
        .flatten()
        .any(super::ImagePattern::is_everything);
    if let Some(operation) = writes.iter().find(|op| role.allowed.contains(**op))
        && every_name
    {
        reach.unknown.push(format!(
            "tags \"**\": {operation} can give any name another content, and others may run that with more rights"
        ));
    }
    if role.allowed.contains(Operation::ImageBuild) {
        reach.unknown.push(
            "image.build: what a base image adds by ONBUILD, and where names lead, cannot be seen"
                .into(),
        );
    }
    if role.allowed.iter().any(connects) {
        for pattern in limits.fetch.iter().filter(|pattern| pattern.reaches_near()) {
            let why = format!("fetch has \"{pattern}\"");
            match pattern {
                HostPattern::One(host) if !host.is_metadata() => {
                    reach.unknown.push(format!("{why}: what answers there cannot be known"));
                }
                _ => reach.root.push(format!(
                    "{why}: what trusts this host's address, and a cloud's credentials, can be reached"
                )),
            }
        }
    }
    for (operation, why) in [
        (
            Operation::PluginDisable,
            "plugin.disable can switch off an authorization plugin",
        ),
        (
            Operation::SwarmUnlockkey,
            "swarm.unlockkey gives the key to the cluster's store",
        ),
    ] {
        if role.allowed.contains(operation) {
            reach.unknown.push(why.into());
        }
    }
}

/// What judged builds come to.
fn builds(build: &Build, reach: &mut Reach) {
    for entitlement in &build.entitlements {
        reach
            .root
            .push(format!("build.entitlements has \"{entitlement}\""));
    }
    reach.warnings.push(
        "build: a step reaches the engine's default network, and redirects of an allowed URL are followed".into(),
    );
    if build.raw_llb {
        reach
            .warnings
            .push("build.raw_llb: steps come without a Dockerfile".into());
    }
    if build.debug {
        reach.warnings.push(
            "build.debug: a client runs programs in its steps, which has ended engines (28.5, 29.0) that were called in an odd order".into(),
        );
    }
    if let Some((name, source)) = build.frontend_of_its_own() {
        reach.warnings.push(format!(
            "build: an image that the role may write (\"{name}\") can be a frontend (sources has \"{source}\"): such a program picks cgroups and other clients' cache mounts; frontends = \"engine\" closes that"
        ));
    }
    if build.shared_cache_mounts {
        reach.warnings.push(
            "build.cache_mounts = \"shared\": other clients' builds can change what a build finds there".into(),
        );
    }
    if build.all_history || build.usage || build.prune {
        reach
            .warnings
            .push("build: the builds of other clients can be seen or their cache removed".into());
    }
}

fn by_limits(role: &Role, limits: &Limits, reach: &mut Reach) {
    // In a scope both reach the owner's own alone.
    let is_scoped = role.scope.is_some();
    let roads = &mut reach.root;
    if limits.privileged {
        roads.push("privileged = true".to_owned());
    }
    for namespace in &limits.host_namespaces {
        match namespace {
            Namespace::Pid | Namespace::User | Namespace::Cgroup | Namespace::Network => {
                roads.push(format!("host_namespaces has \"{}\"", namespace.name()));
            }
            Namespace::Ipc => reach.unknown.push(
                "host_namespaces has \"ipc\": what other programs share there cannot be known"
                    .into(),
            ),
            Namespace::Uts => {}
        }
    }
    if limits.join_containers && !is_scoped {
        roads.push("join_containers = true (a privileged container can be joined)".into());
    }
    // A pattern of stars alone.
    if limits.volumes.iter().any(|volume| is_any(volume)) && !is_scoped {
        roads.push(
            "volumes \"*\" reaches the volumes of every other tool, with its credentials".into(),
        );
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
    for driver in limits.log_drivers.iter().map(String::as_str) {
        if REMOTE_LOGS.contains(&driver) {
            roads.push(format!(
                "log_drivers has \"{driver}\", whose options make the engine connect to any address or socket"
            ));
        } else if !LOCAL_LOGS.contains(&driver) {
            let doubt = format!("log_drivers has \"{driver}\", which this program does not know");
            reach.unknown.push(doubt);
        }
    }
    for annotation in &limits.annotations {
        roads.push(format!(
            "annotations has \"{annotation}\", which the runtime and its hooks obey"
        ));
    }
}

/// Whether a pattern of volumes fits every name.
fn is_any(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|b| b == b'*')
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

/// What only somebody who knows the host can judge.
fn doubts(limits: &Limits, unknown: &mut Vec<String>) {
    let runtimes = limits.runtimes.iter().map(String::as_str);
    for runtime in runtimes.filter(|runtime| !RUNC.contains(runtime)) {
        unknown.push(format!(
            "runtimes has \"{runtime}\", whose isolation this program does not know"
        ));
    }
    for field in &limits.unknown_fields {
        unknown.push(format!("unknown_fields lets \"{field}\" pass unseen"));
    }
    for request in &limits.device_requests {
        unknown.push(format!(
            "device_requests has \"{request}\"; a CDI specification may add mounts and hooks"
        ));
    }
    for option in &limits.security_opts {
        let loosened = ["unconfined", "disable", "unmask", "systempaths"];
        let plain = option == "no-new-privileges";
        if !plain && !loosened.iter().any(|word| option.contains(word)) {
            unknown.push(format!(
                "security_opts has \"{option}\", a profile that this program does not know"
            ));
        }
    }
    let drivers = limits.network_drivers.iter().map(String::as_str);
    for driver in drivers.filter(|driver| !PLAIN_NETWORKS.contains(driver)) {
        unknown.push(format!(
            "network_drivers has \"{driver}\", which this program does not know"
        ));
    }
    for subnet in &limits.subnets {
        unknown.push(format!(
            "subnets has {subnet}: what the host sends there reaches the network's containers"
        ));
    }
    if !limits.groups.is_empty() && !limits.binds.is_empty() {
        unknown.push("groups with binds can reach files the host keeps for those groups".into());
    }
}

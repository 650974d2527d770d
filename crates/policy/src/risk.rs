//! Whether a role leads to root on the host, and by what: the question every role must be able to answer.

use docker_api::{Operation, Risk};

use super::build::{Build, LOCAL_IMPORT};
use super::fetch::HostPattern;
use super::operations::OperationSet;
use super::{LimitKey, Limits, Mode, Policy, Role, TARGETED};

mod by_limit;

pub(crate) use by_limit::BY_LINK;

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

/// Operations of root risk whose arguments the limits judge, so that they are roads to root only through the limits.
const JUDGED: &[Operation] = &[
    Operation::ContainerCreate,
    Operation::ServiceCreate,
    Operation::ServiceUpdate,
    Operation::VolumeCreate,
];

/// Whether one limit of a role that may make containers leads to root on the host.
pub(crate) fn limit_leads_to_root(key: LimitKey, role: &Role) -> bool {
    let mut reach = Reach::default();
    if let Some(limits) = &role.limits {
        by_limit::roads(key, role, limits, &mut reach);
    }
    !reach.root.is_empty()
}

/// What reporting alone amounts to.
const REPORTED: &str = "mode = \"report\" forwards what it would deny, container.create with privileged = true for one";

/// The road to root of certificates without an entry, if there is one: there is where the file only reports.
pub fn of_unmatched(policy: &Policy) -> Option<&'static str> {
    let unmatched = !policy.clients.iter().any(|client| client.matcher.any);
    (unmatched && policy.mode == Mode::Report).then_some(REPORTED)
}

/// What certificates without an entry may do, for people, where that is nothing and there can be such.
pub fn unmatched_are_refused(policy: &Policy) -> Option<&'static str> {
    let unmatched = !policy.clients.iter().any(|client| client.matcher.any);
    (unmatched && policy.mode == Mode::Enforce)
        .then_some("a certificate that matches no entry may do nothing")
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
        for key in LimitKey::ALL {
            by_limit::roads(*key, role, limits, &mut reach);
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
            "the steps of builds are not bound by limits.{}",
            names.join(", limits.")
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
    let caches = build.cache.iter().map(ToString::to_string);
    let local = build.cache_local_import.then(|| LOCAL_IMPORT.to_owned());
    if let Some(cache) = caches.chain(local).next() {
        reach.warnings.push(format!(
            "build.cache has \"{cache}\": what an import gives is taken for a layer in the builds of all clients of the engine"
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

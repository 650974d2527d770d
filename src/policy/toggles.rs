//! The toggles of docker-socket-proxy (`CONTAINERS=1 POST=0`), translated to operations.
//!
//! There a toggle opens a path prefix, and with `POST=1` everything below it; `CONTAINERS=1 POST=1` opened exec though
//! `EXEC=0`. Here each toggle is a list of operations, and what leads into a container or out of it with files (exec,
//! attach, archive, export, build) is opened by its own toggle or not at all.

use crate::docker::{Kind, Operation};

use super::operations::OperationSet;
use super::{Policy, PolicyError};

/// The names that are understood.
pub const NAMES: &[&str] = &[
    "ALLOW_RESTARTS",
    "ALLOW_START",
    "ALLOW_STOP",
    "AUTH",
    "BUILD",
    "COMMIT",
    "CONFIGS",
    "CONTAINERS",
    "DISTRIBUTION",
    "EVENTS",
    "EXEC",
    "GRPC",
    "IMAGES",
    "INFO",
    "NETWORKS",
    "NODES",
    "PING",
    "PLUGINS",
    "POST",
    "SECRETS",
    "SERVICES",
    "SESSION",
    "SWARM",
    "SYSTEM",
    "TASKS",
    "VERSION",
    "VOLUMES",
];

/// Toggles that are on unless switched off.
const DEFAULT_ON: &[&str] = &["EVENTS", "PING", "VERSION"];

/// Never opened by a toggle for a whole resource.
fn reaches_in_or_out(operation: Operation) -> bool {
    matches!(operation.kind(), Kind::Exec | Kind::Build)
        || matches!(
            operation,
            Operation::ContainerAttach
                | Operation::ContainerAttachWs
                | Operation::ContainerArchiveStat
                | Operation::ContainerArchiveGet
                | Operation::ContainerArchivePut
                | Operation::ContainerExport
        )
}

/// What the toggles that are on open together. Without `POST` no operation that changes something is left, but for the
/// three `ALLOW_…` toggles, which work without it there too.
pub fn combined<'n>(on: impl IntoIterator<Item = &'n str>) -> OperationSet {
    let (mut post, mut open, mut kept) = (false, OperationSet::EMPTY, OperationSet::EMPTY);
    for name in on {
        let set = operations(name).unwrap_or_default();
        if name == "POST" {
            post = true;
        } else if name.starts_with("ALLOW_") {
            kept = kept.union(set);
        } else {
            open = open.union(set);
        }
    }
    if !post {
        open = open
            .iter()
            .filter(|op| matches!(op.method(), "GET" | "HEAD" | "OPTIONS"))
            .collect();
    }
    open.union(kept)
}

/// What a toggle opens (before `POST` is looked at); `None` if there is no such toggle.
pub fn operations(name: &str) -> Option<OperationSet> {
    let whole = |resource: &str| -> OperationSet {
        Operation::ALL
            .iter()
            .copied()
            .filter(|op| op.resource() == resource && !reaches_in_or_out(*op))
            .collect()
    };
    let these = |list: &[Operation]| list.iter().copied().collect();
    Some(match name {
        "POST" => OperationSet::EMPTY,
        "PING" => these(&[Operation::SystemPing, Operation::SystemPingHead]),
        "VERSION" => these(&[Operation::SystemVersion]),
        "INFO" => these(&[Operation::SystemInfo]),
        "EVENTS" => these(&[Operation::SystemEvents]),
        "SYSTEM" => these(&[Operation::SystemDf]),
        "AUTH" => these(&[Operation::SystemAuth]),
        "ALLOW_START" => these(&[Operation::ContainerStart]),
        "ALLOW_STOP" => these(&[Operation::ContainerStop]),
        "ALLOW_RESTARTS" => these(&[
            Operation::ContainerStop,
            Operation::ContainerRestart,
            Operation::ContainerKill,
        ]),
        "BUILD" => these(&[
            Operation::ImageBuild,
            Operation::BuildPrune,
            Operation::BuildCancel,
        ]),
        "SESSION" => these(&[Operation::BuildSession]),
        "GRPC" => these(&[Operation::BuildGrpc]),
        "COMMIT" => these(&[Operation::ImageCommit]),
        "EXEC" => these(&[
            Operation::ExecCreate,
            Operation::ExecStart,
            Operation::ExecResize,
            Operation::ExecInspect,
        ]),
        "CONTAINERS" => whole("container"),
        // Committing and building have toggles of their own.
        "IMAGES" => whole("image").minus(these(&[Operation::ImageCommit])),
        "DISTRIBUTION" => whole("distribution"),
        "NETWORKS" => whole("network"),
        "VOLUMES" => whole("volume"),
        "PLUGINS" => whole("plugin"),
        "SWARM" => whole("swarm"),
        "SERVICES" => whole("service"),
        "TASKS" => whole("task"),
        "NODES" => whole("node"),
        "SECRETS" => whole("secret"),
        "CONFIGS" => whole("config"),
        _ => return None,
    })
}

/// Reads the toggles among `variables`: those whose names are understood, all in capitals and without prefix, as that
/// proxy has them. `None` if there are none. A toggle's value must be `0` or `1`.
///
/// A role made this way has the limits of every limited role with their defaults, so `CONTAINERS=1 POST=1` still refuses
/// privileged containers and host paths.
///
/// # Errors
/// [`PolicyError::Toggle`] for a value that is neither, or a tag-writing toggle, which has no limits here.
pub fn from_env<K, V>(
    variables: impl IntoIterator<Item = (K, V)>,
) -> Result<Option<Policy>, PolicyError>
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut seen = false;
    let mut stray = None;
    let mut on: Vec<&str> = DEFAULT_ON.to_vec();
    for (key, value) in variables {
        let Some(name) = NAMES.iter().find(|name| **name == key.as_ref()) else {
            // Anything may stand in an environment, but a switch that is nearly a toggle is a misspelt one.
            let near = NAMES
                .iter()
                .find(|name| strsim::jaro_winkler(name, key.as_ref()) > 0.92);
            if let Some(name) = near.filter(|_| matches!(value.as_ref(), "0" | "1")) {
                stray.get_or_insert_with(|| (key.as_ref().to_owned(), *name));
            }
            continue;
        };
        seen = true;
        on.retain(|known| known != name);
        match value.as_ref() {
            "1" => on.push(name),
            "0" | "" => {}
            other => {
                return Err(PolicyError::Toggle(format!(
                    "environment variable {name}: expected 0 or 1, found \"{other}\""
                )));
            }
        }
    }
    if !seen {
        return Ok(None);
    }
    if let Some((key, name)) = stray {
        let text =
            format!("environment variable {key}: no such toggle\nhint: did you mean \"{name}\"?");
        return Err(PolicyError::Toggle(text));
    }
    if let Some(name) = on.iter().find(|name| matches!(**name, "SESSION" | "GRPC")) {
        return Err(PolicyError::Toggle(format!(
            "environment variable {name}: opens a tunnel that cannot be looked into\nhint: use a policy file with `buildkit = true`"
        )));
    }
    Ok(Some(Policy::single("toggles", combined(on))))
}

/// The table to print at start: every operation the toggles opened, by resource.
pub fn table(policy: &Policy) -> String {
    let mut out = String::new();
    let Some(role) = policy.roles.first() else {
        return out;
    };
    let mut resource = "";
    for operation in role.allowed.iter() {
        if operation.resource() != resource {
            resource = operation.resource();
            out.push_str(if out.is_empty() { "" } else { "\n" });
            out.push_str(resource);
            out.push(':');
        }
        out.push(' ');
        out.push_str(operation.verb());
    }
    out
}

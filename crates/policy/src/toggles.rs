//! The toggles of docker-socket-proxy (`CONTAINERS=1 POST=0`), translated to operations.
//!
//! There a toggle opens a path prefix, and with `POST=1` everything below it; `CONTAINERS=1 POST=1` opened exec though
//! `EXEC=0`. Here each toggle is a list of operations, and what leads into a container or out of it with files (exec,
//! attach, archive, export, build) is opened by its own toggle or not at all.

use docker_api::{Operation, OperationKind};

use super::operations::OperationSet;
use super::{Policy, PolicyError, Role};

/// The names that are understood: those of the released versions, and the finer ones that came later.
pub const NAMES: &[&str] = &[
    "ALLOW_ARCHIVE",
    "ALLOW_ATTACH",
    "ALLOW_EXEC",
    "ALLOW_EXPORT",
    "ALLOW_KILL",
    "ALLOW_LOGS",
    "ALLOW_PAUSE",
    "ALLOW_RESTARTS",
    "ALLOW_START",
    "ALLOW_STOP",
    "ALLOW_UNPAUSE",
    "AUTH",
    "BUILD",
    "COMMIT",
    "CONFIGS",
    "CONTAINERS",
    "DELETE",
    "DISTRIBUTION",
    "EVENTS",
    "EXEC",
    "GRPC",
    "IMAGES",
    "INFO",
    "NETWORKS",
    "NODES",
    "PATCH",
    "PING",
    "PLUGINS",
    "POST",
    "PUT",
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

/// Names that other programs use too (`BUILD=42`, `VERSION=1.2.3`): they make toggles of the environment only with a value
/// that is meant for a switch. The others do whatever their value is.
const GENERIC: &[&str] = &[
    "AUTH",
    "BUILD",
    "COMMIT",
    "CONFIGS",
    "DELETE",
    "DISTRIBUTION",
    "EVENTS",
    "INFO",
    "NODES",
    "PATCH",
    "PING",
    "PLUGINS",
    "SECRETS",
    "SERVICES",
    "SESSION",
    "SWARM",
    "SYSTEM",
    "TASKS",
    "VERSION",
];

/// One letter away from a toggle, and meant as themselves.
const OTHERS: &[&str] = &["AUTO", "HOST", "PORT"];

/// Opens a tunnel that cannot be looked into.
pub(super) fn opaque(name: &str) -> bool {
    matches!(name, "SESSION" | "GRPC")
}

/// Never opened by a toggle for a whole resource.
fn reaches_in_or_out(operation: Operation) -> bool {
    matches!(operation.kind(), OperationKind::Exec | OperationKind::Build)
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

/// What the toggles open together. Without `POST` no operation that changes something is left, but for what the `ALLOW_…`
/// toggles name, which work without it there too; `DELETE` and `PUT`, where they are given, decide for their methods. An
/// `ALLOW_EXEC`, `ALLOW_KILL` or `ALLOW_LOGS` of `0` closes what a wider toggle would open.
pub fn combined<'n>(switches: impl IntoIterator<Item = (&'n str, bool)>) -> OperationSet {
    let (mut post, mut delete, mut put) = (false, None, None);
    let [mut open, mut kept, mut closed] = [OperationSet::EMPTY; 3];
    for (name, on) in switches {
        let set = operations(name).unwrap_or_default();
        match name {
            "POST" => post = on,
            "DELETE" => delete = Some(on),
            "PUT" => put = Some(on),
            "ALLOW_EXEC" | "ALLOW_KILL" | "ALLOW_LOGS" if !on => closed = closed.union(set),
            _ if !on => {}
            _ if name.starts_with("ALLOW_") => kept = kept.union(set),
            _ => open = open.union(set),
        }
    }
    let open: OperationSet = open
        .iter()
        .filter(|op| match op.method() {
            "GET" | "HEAD" | "OPTIONS" => true,
            "DELETE" => delete.unwrap_or(post),
            "PUT" => put.unwrap_or(post),
            _ => post,
        })
        .collect();
    open.union(kept).minus(closed)
}

/// What a toggle opens (before `POST` is looked at); `None` if there is no such toggle.
#[expect(clippy::too_many_lines, reason = "table")]
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
        "POST" | "DELETE" | "PUT" | "PATCH" => OperationSet::EMPTY,
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
        "ALLOW_PAUSE" => these(&[Operation::ContainerPause]),
        "ALLOW_UNPAUSE" => these(&[Operation::ContainerUnpause]),
        "ALLOW_KILL" => these(&[Operation::ContainerKill]),
        "ALLOW_LOGS" => these(&[Operation::ContainerLogs]),
        "ALLOW_EXEC" => these(&[Operation::ExecCreate]),
        "ALLOW_EXPORT" => these(&[Operation::ContainerExport]),
        "ALLOW_ATTACH" => these(&[Operation::ContainerAttach, Operation::ContainerAttachWs]),
        "ALLOW_ARCHIVE" => these(&[
            Operation::ContainerArchiveStat,
            Operation::ContainerArchiveGet,
            Operation::ContainerArchivePut,
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

/// Whether a value is meant for a switch, be it a right one or not; files of variables may leave the quotes in.
fn switch_like(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    ["0", "1", "true", "false", "yes", "no", "on", "off"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// The toggle that an unknown name probably meant: it differs in number, case or one letter, or lacks `ALLOW_`.
fn meant(key: &str) -> Option<&'static str> {
    let upper = key.to_ascii_uppercase();
    let singular = |name: &str| name.strip_suffix('S').unwrap_or(name).len();
    let same = |name: &str| upper[..singular(&upper)] == name[..singular(name)];
    let score = |name: &'static str| {
        let differ = name.bytes().zip(upper.bytes()).filter(|(a, b)| a != b);
        let one_letter = name.len() == upper.len()
            && name.len() > 3
            && differ.count() == 1
            && !OTHERS.contains(&&*upper);
        if same(name) || same(name.trim_start_matches("ALLOW_")) || one_letter {
            1.0
        } else {
            text::likeness(name, &upper)
        }
    };
    let (near, name) = NAMES
        .iter()
        .map(|name| (score(name), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (near > 0.92 || key.starts_with("ALLOW_")).then_some(name)
}

/// Whether a toggle of this name and value is meant as such.
fn counts(name: &str, value: &str) -> bool {
    !GENERIC.contains(&name) || switch_like(value)
}

/// The names of the toggles that are set, as far as they are meant as such.
pub fn set<K: AsRef<str>, V: AsRef<str>>(
    variables: impl IntoIterator<Item = (K, V)>,
) -> Vec<&'static str> {
    let mut names: Vec<_> = variables
        .into_iter()
        .filter_map(|(key, value)| {
            let name = NAMES.iter().find(|name| **name == key.as_ref())?;
            counts(name, value.as_ref()).then_some(*name)
        })
        .collect();
    names.sort_unstable();
    names
}

/// Reads the toggles among `variables`: those whose names are understood, all in capitals and without prefix, as that
/// proxy has them. `None` if there are none. A toggle's value must be `0` or `1`; empty is `0`. Names that other programs use too
/// (`GENERIC`) count only with a value meant for a switch, right or wrong, or beside a toggle that counts.
///
/// A role made this way has the limits of every limited role with their defaults, so `CONTAINERS=1 POST=1` still refuses
/// privileged containers and host paths.
///
/// # Errors
/// [`PolicyError::Toggle`] for a value that is neither, an unknown name, or a tunnel, which cannot be looked into.
pub fn from_env<K, V>(
    variables: impl IntoIterator<Item = (K, V)>,
) -> Result<Option<Policy>, PolicyError>
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut given = Vec::new();
    for (key, value) in variables {
        let (key, value) = (key.as_ref(), value.as_ref());
        if let Some(name) = NAMES.iter().find(|name| **name == key) {
            given.push((*name, value.to_owned()));
        } else if switch_like(value)
            && let Some(name) = meant(key)
        {
            // Anything may be in an environment, but a switch that is nearly a toggle is a misspelt one.
            let text = format!(
                "environment variable {key}: no such toggle\nhint: did you mean \"{name}\"?"
            );
            return Err(PolicyError::Toggle(text));
        }
    }
    let seen = given.iter().any(|(name, value)| counts(name, value));
    if !seen {
        return Ok(None);
    }
    let mut switches: Vec<(&str, bool)> = DEFAULT_ON.iter().map(|name| (*name, true)).collect();
    for (name, value) in given {
        switches.retain(|(known, _)| *known != name);
        let on = match value.as_str() {
            "1" => true,
            "0" | "" => false,
            other => {
                return Err(PolicyError::Toggle(format!(
                    "environment variable {name}: expected 0 or 1, found {}",
                    text::escape::quoted(other)
                )));
            }
        };
        if on && opaque(name) {
            return Err(PolicyError::Toggle(format!(
                "environment variable {name}: opens a tunnel that cannot be looked into\nhint: use a policy file with `buildkit = true`"
            )));
        }
        switches.push((name, on));
    }
    Ok(Some(Policy::toggled(combined(switches))))
}

/// The table to print at start: every operation of a role that toggles made, by resource.
pub fn table(role: &Role) -> String {
    let mut out = String::new();
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

//! The engine's route table, walked by segments.
//!
//! The patterns are `{name:.*}/verb`, anchored, so the last segment decides; the swarm router's names are one segment.
//! A property test holds this walk against the patterns of the operations' table.

use std::ops::Range;

use super::operation::Operation;
use super::query;

/// A route's answer; ranges are relative to the path without its version prefix.
pub(super) struct Routed {
    pub(super) operation: Operation,
    pub(super) name: Option<Range<usize>>,
    pub(super) checkpoint: Option<Range<usize>>,
}

impl Routed {
    pub(super) const UNKNOWN: Routed = Routed {
        operation: Operation::Unknown,
        name: None,
        checkpoint: None,
    };

    /// Whether the route's pattern takes names of one segment, `[^/]+`, instead of `.*`.
    pub(super) fn is_one_segment(&self) -> bool {
        let resource = self.operation.resource();
        self.checkpoint.is_some()
            || matches!(resource, "service" | "task" | "node" | "secret" | "config")
    }

    fn plain(operation: Operation) -> Routed {
        Routed {
            operation,
            name: None,
            checkpoint: None,
        }
    }

    fn named(operation: Operation, name: Range<usize>) -> Routed {
        Routed {
            operation,
            name: Some(name),
            checkpoint: None,
        }
    }
}

/// The engine's route table. `path` is clean, decoded and starts with a slash.
#[expect(clippy::too_many_lines, reason = "table")]
pub(super) fn route(method: &str, path: &str, query: Option<&str>, versioned: bool) -> Routed {
    use Operation as Op;
    if method == "OPTIONS" {
        return Routed::plain(Op::SystemOptions);
    }
    let (head, start) = match memchr::memchr(b'/', &path.as_bytes()[1..]) {
        Some(at) => (&path[1..=at], at + 2),
        None => (&path[1..], path.len()),
    };
    if start == path.len() && !path.ends_with('/') {
        return Routed::plain(root(method, head));
    }
    let rest = &path[start..];
    // `{name:.*}/verb`: the last segment decides, whatever is before it.
    let (name, verb) = match memchr::memrchr(b'/', rest.as_bytes()) {
        Some(at) => (Some(start..start + at), &rest[at + 1..]),
        None => (None, rest),
    };
    let single = !rest.is_empty() && name.is_none();
    let operation = match (head, &name) {
        ("containers", Some(range)) => return container(method, path, range.clone(), verb, start),
        ("containers", None) => match (method, rest) {
            ("GET", "json") => Op::ContainerList,
            ("POST", "create") => Op::ContainerCreate,
            ("POST", "prune") => Op::ContainerPrune,
            ("DELETE", _) => return Routed::named(Op::ContainerDelete, start..path.len()),
            _ => Op::Unknown,
        },
        ("exec", Some(_)) => match (method, verb) {
            ("GET", "json") => Op::ExecInspect,
            ("POST", "start") => Op::ExecStart,
            ("POST", "resize") => Op::ExecResize,
            _ => Op::Unknown,
        },
        ("images", _) => return image(method, path, name, verb, start, query),
        ("distribution", Some(_)) if method == "GET" && verb == "json" => Op::DistributionInspect,
        ("networks", _) => return network(method, path, name.as_ref(), verb, start),
        ("volumes", _) => {
            let whole = start..path.len();
            return match (method, rest) {
                ("POST", "create") => Routed::plain(Op::VolumeCreate),
                ("POST", "prune") => Routed::plain(Op::VolumePrune),
                ("GET", _) => Routed::named(Op::VolumeInspect, whole),
                ("PUT", _) => Routed::named(Op::VolumeUpdate, whole),
                ("DELETE", _) => Routed::named(Op::VolumeDelete, whole),
                _ => Routed::UNKNOWN,
            };
        }
        ("plugins", _) => return plugin(method, path, name, verb, start),
        ("system", None) if method == "GET" && rest == "df" => Op::SystemDf,
        ("build", None) => match (method, rest) {
            ("POST", "prune") => Op::BuildPrune,
            ("POST", "cancel") => Op::BuildCancel,
            _ => Op::Unknown,
        },
        ("swarm", None) => match (method, rest) {
            ("GET", "unlockkey") => Op::SwarmUnlockkey,
            ("POST", "init") => Op::SwarmInit,
            ("POST", "join") => Op::SwarmJoin,
            ("POST", "leave") => Op::SwarmLeave,
            ("POST", "update") => Op::SwarmUpdate,
            ("POST", "unlock") => Op::SwarmUnlock,
            _ => Op::Unknown,
        },
        ("services" | "tasks" | "nodes" | "secrets" | "configs", _) => {
            return cluster(method, head, path, name, verb, start, single);
        }
        // The debug routes have no version prefix.
        ("debug", _) if !versioned && method == "GET" => match &path[start..] {
            "vars" => Op::DebugVars,
            "pprof/" => Op::DebugPprofIndex,
            "pprof/cmdline" => Op::DebugPprofCmdline,
            "pprof/profile" => Op::DebugPprofProfile,
            "pprof/symbol" => Op::DebugPprofSymbol,
            "pprof/trace" => Op::DebugPprofTrace,
            _ if rest
                .strip_prefix("pprof/")
                .is_some_and(|name| !name.contains('/')) =>
            {
                return Routed::named(Op::DebugPprofNamed, start + "pprof/".len()..path.len());
            }
            _ => Op::Unknown,
        },
        _ => Op::Unknown,
    };
    match name {
        Some(range) if operation.template().contains('{') => Routed::named(operation, range),
        _ => Routed::plain(operation),
    }
}

/// Paths of one segment.
fn root(method: &str, segment: &str) -> Operation {
    use Operation as Op;
    match (method, segment) {
        ("GET", "_ping") => Op::SystemPing,
        ("HEAD", "_ping") => Op::SystemPingHead,
        ("GET", "version") => Op::SystemVersion,
        ("GET", "info") => Op::SystemInfo,
        ("GET", "events") => Op::SystemEvents,
        ("POST", "auth") => Op::SystemAuth,
        ("POST", "commit") => Op::ImageCommit,
        ("POST", "build") => Op::ImageBuild,
        ("POST", "session") => Op::BuildSession,
        ("POST", "grpc") => Op::BuildGrpc,
        ("GET", "networks") => Op::NetworkList,
        ("GET", "volumes") => Op::VolumeList,
        ("GET", "plugins") => Op::PluginList,
        ("GET", "swarm") => Op::SwarmInspect,
        ("GET", "services") => Op::ServiceList,
        ("GET", "tasks") => Op::TaskList,
        ("GET", "nodes") => Op::NodeList,
        ("GET", "secrets") => Op::SecretList,
        ("GET", "configs") => Op::ConfigList,
        _ => Op::Unknown,
    }
}

fn container(method: &str, path: &str, name: Range<usize>, verb: &str, start: usize) -> Routed {
    use Operation as Op;
    let operation = match (method, verb) {
        ("GET", "json") => Op::ContainerInspect,
        ("GET", "top") => Op::ContainerTop,
        ("GET", "logs") => Op::ContainerLogs,
        ("GET", "changes") => Op::ContainerChanges,
        ("GET", "export") => Op::ContainerExport,
        ("GET", "stats") => Op::ContainerStats,
        ("GET", "archive") => Op::ContainerArchiveGet,
        ("GET", "checkpoints") => Op::CheckpointList,
        ("GET", "ws") => {
            return match path[name.clone()].strip_suffix("/attach") {
                Some(inner) => {
                    Routed::named(Op::ContainerAttachWs, name.start..name.start + inner.len())
                }
                None => Routed::UNKNOWN,
            };
        }
        ("HEAD", "archive") => Op::ContainerArchiveStat,
        ("PUT", "archive") => Op::ContainerArchivePut,
        ("POST", "kill") => Op::ContainerKill,
        ("POST", "pause") => Op::ContainerPause,
        ("POST", "unpause") => Op::ContainerUnpause,
        ("POST", "restart") => Op::ContainerRestart,
        ("POST", "start") => Op::ContainerStart,
        ("POST", "stop") => Op::ContainerStop,
        ("POST", "wait") => Op::ContainerWait,
        ("POST", "resize") => Op::ContainerResize,
        ("POST", "attach") => Op::ContainerAttach,
        ("POST", "exec") => Op::ExecCreate,
        ("POST", "rename") => Op::ContainerRename,
        ("POST", "update") => Op::ContainerUpdate,
        ("POST", "checkpoints") => Op::CheckpointCreate,
        ("DELETE", _) => {
            // The checkpoint route takes one segment for each name and is registered first.
            return match path[name.clone()].strip_suffix("/checkpoints") {
                Some(inner) if !inner.contains('/') && !verb.is_empty() => Routed {
                    operation: Op::CheckpointDelete,
                    name: Some(name.start..name.start + inner.len()),
                    checkpoint: Some(path.len() - verb.len()..path.len()),
                },
                _ => Routed::named(Op::ContainerDelete, start..path.len()),
            };
        }
        _ => return Routed::UNKNOWN,
    };
    Routed::named(operation, name)
}

fn image(
    method: &str,
    path: &str,
    name: Option<Range<usize>>,
    verb: &str,
    start: usize,
    query: Option<&str>,
) -> Routed {
    use Operation as Op;
    let operation = match (method, &name, verb) {
        ("DELETE", ..) => return Routed::named(Op::ImageDelete, start..path.len()),
        ("GET", None, "json") => Op::ImageList,
        ("GET", None, "search") => Op::ImageSearch,
        ("GET", None, "get") => Op::ImageSaveMany,
        ("POST", None, "load") => Op::ImageLoad,
        ("POST", None, "prune") => Op::ImagePrune,
        ("POST", None, "create") => {
            // One route, two operations: the engine looks whether the first `fromImage` is empty.
            if query.is_some_and(|query| {
                query::first(query, "fromImage").is_some_and(|image| !image.is_empty())
            }) {
                Op::ImagePull
            } else {
                Op::ImageImport
            }
        }
        ("GET", Some(_), "json") => Op::ImageInspect,
        ("GET", Some(_), "history") => Op::ImageHistory,
        ("GET", Some(_), "attestations") => Op::ImageAttestations,
        ("GET", Some(_), "get") => Op::ImageSave,
        ("POST", Some(_), "push") => Op::ImagePush,
        ("POST", Some(_), "tag") => Op::ImageTag,
        _ => return Routed::UNKNOWN,
    };
    Routed {
        operation,
        name,
        checkpoint: None,
    }
}

fn network(
    method: &str,
    path: &str,
    name: Option<&Range<usize>>,
    verb: &str,
    start: usize,
) -> Routed {
    use Operation as Op;
    match (method, name, verb) {
        ("GET", None, "") => Routed::plain(Op::NetworkListSlash),
        ("GET", ..) => Routed::named(Op::NetworkInspect, start..path.len()),
        ("DELETE", ..) => Routed::named(Op::NetworkDelete, start..path.len()),
        ("POST", None, "create") => Routed::plain(Op::NetworkCreate),
        ("POST", None, "prune") => Routed::plain(Op::NetworkPrune),
        ("POST", Some(range), "connect") => Routed::named(Op::NetworkConnect, range.clone()),
        ("POST", Some(range), "disconnect") => Routed::named(Op::NetworkDisconnect, range.clone()),
        _ => Routed::UNKNOWN,
    }
}

fn plugin(
    method: &str,
    path: &str,
    name: Option<Range<usize>>,
    verb: &str,
    start: usize,
) -> Routed {
    use Operation as Op;
    let operation = match (method, &name, verb) {
        ("DELETE", ..) => return Routed::named(Op::PluginDelete, start..path.len()),
        ("GET", None, "privileges") => Op::PluginPrivileges,
        ("POST", None, "pull") => Op::PluginPull,
        ("POST", None, "create") => Op::PluginCreate,
        ("GET", Some(_), "json") => Op::PluginInspect,
        ("POST", Some(_), "enable") => Op::PluginEnable,
        ("POST", Some(_), "disable") => Op::PluginDisable,
        ("POST", Some(_), "set") => Op::PluginSet,
        ("POST", Some(_), "upgrade") => Op::PluginUpgrade,
        ("POST", Some(_), "push") => Op::PluginPush,
        _ => return Routed::UNKNOWN,
    };
    Routed {
        operation,
        name,
        checkpoint: None,
    }
}

/// The swarm router, where every name is one segment.
fn cluster(
    method: &str,
    head: &str,
    path: &str,
    name: Option<Range<usize>>,
    verb: &str,
    start: usize,
    single: bool,
) -> Routed {
    use Operation as Op;
    if let Some(range) = name {
        if verb.is_empty() || path[range.clone()].contains('/') {
            return Routed::UNKNOWN;
        }
        let operation = match (method, head, verb) {
            ("POST", "services", "update") => Op::ServiceUpdate,
            ("GET", "services", "logs") => Op::ServiceLogs,
            ("GET", "tasks", "logs") => Op::TaskLogs,
            ("POST", "nodes", "update") => Op::NodeUpdate,
            ("POST", "secrets", "update") => Op::SecretUpdate,
            ("POST", "configs", "update") => Op::ConfigUpdate,
            _ => return Routed::UNKNOWN,
        };
        return Routed::named(operation, range);
    }
    if !single {
        return Routed::UNKNOWN;
    }
    let operation = match (method, head, verb) {
        ("POST", "services", "create") => return Routed::plain(Op::ServiceCreate),
        ("POST", "secrets", "create") => return Routed::plain(Op::SecretCreate),
        ("POST", "configs", "create") => return Routed::plain(Op::ConfigCreate),
        ("GET", "services", _) => Op::ServiceInspect,
        ("GET", "tasks", _) => Op::TaskInspect,
        ("GET", "nodes", _) => Op::NodeInspect,
        ("GET", "secrets", _) => Op::SecretInspect,
        ("GET", "configs", _) => Op::ConfigInspect,
        ("DELETE", "services", _) => Op::ServiceDelete,
        ("DELETE", "nodes", _) => Op::NodeDelete,
        ("DELETE", "secrets", _) => Op::SecretDelete,
        ("DELETE", "configs", _) => Op::ConfigDelete,
        _ => return Routed::UNKNOWN,
    };
    Routed::named(operation, start..path.len())
}

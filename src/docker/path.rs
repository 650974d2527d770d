//! One reading of a request target, the one the engine's router (gorilla/mux on the decoded path) would have.
//!
//! Two callers with two needs share it. Without a policy the gate forwards the target verbatim and must know which
//! endpoints may hijack the connection: [`Classified::operation`] and [`Classified::hijack`]. With a policy, a target
//! that strays from the plain grammar is no known operation at all: [`Classified::judged`].
//!
//! The common case, a target without `%`, allocates nothing.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::operation::{Hijack, Operation};
use super::query;

/// Why a target has no single reading, and so is refused before anything else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `http://host/path`: the engine ignores the authority, others do not.
    #[error("request target is in absolute form, expected a path")]
    Absolute,
    /// `CONNECT`, or a target that is neither a path nor `*`.
    #[error("request target is in authority form, expected a path")]
    Authority,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("request target has a bad percent-escape")]
    BadEscape,
    /// A raw control character or space.
    #[error("request target has a raw control character or space")]
    ControlCharacter,
    /// A `#`: some parsers cut there, the engine does not.
    #[error("request target has a fragment")]
    Fragment,
}

/// The form of a request target (RFC 9112 §3.2) that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path and an optional query.
    Origin,
    /// `*`.
    Asterisk,
}

/// Why a target is outside the plain grammar, though the engine may serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irregular {
    /// `//`, `.` or `..`: the engine redirects instead of routing.
    Unclean,
    /// A version prefix other than `/v<digits>.<digits>`.
    Version,
    /// A resource name outside its grammar, a slash in a container's name for example.
    Name,
    /// Control characters once decoded.
    ControlCharacter,
    /// Not UTF-8 once decoded.
    NotUtf8,
}

impl fmt::Display for Irregular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Irregular::Unclean => "the path has an empty, `.` or `..` segment",
            Irregular::Version => "the version prefix is not of the form /v1.51",
            Irregular::Name => "the resource name is outside its grammar",
            Irregular::ControlCharacter => "the path decodes to control characters",
            Irregular::NotUtf8 => "the path does not decode to UTF-8",
        })
    }
}

/// A request target as the engine will read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified<'t> {
    /// What the engine's router would run; [`Operation::Unknown`] if nothing, or if the table does not know it.
    pub operation: Operation,
    /// How the engine may take the connection out of HTTP here; known for Podman's own paths too.
    pub hijack: Hijack,
    /// The target's form.
    pub form: Form,
    /// The first reason, if any, why the target is outside the plain grammar.
    pub irregular: Option<Irregular>,
    path: Cow<'t, str>,
    version: Range<usize>,
    name: Option<Range<usize>>,
    checkpoint: Option<Range<usize>>,
    query: Option<Cow<'t, str>>,
}

impl<'t> Classified<'t> {
    /// The operation a policy judges: a target outside the plain grammar is no known operation.
    pub fn judged(&self) -> Operation {
        if self.irregular.is_some() {
            Operation::Unknown
        } else {
            self.operation
        }
    }

    /// The path, decoded once, version prefix included.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The resource's name, decoded: a container's name or id, an image reference.
    pub fn name(&self) -> Option<&str> {
        self.name.clone().map(|range| &self.path[range])
    }

    /// The checkpoint named by `checkpoint.delete`.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.clone().map(|range| &self.path[range])
    }

    /// The API version of the prefix, without its `v`: `1.51`.
    pub fn version(&self) -> Option<&str> {
        (!self.version.is_empty()).then(|| &self.path[self.version.clone()])
    }

    /// The query as sent, without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The same, independent of the buffer it was read from.
    pub fn into_owned(self) -> Classified<'static> {
        Classified {
            operation: self.operation,
            hijack: self.hijack,
            form: self.form,
            irregular: self.irregular,
            path: Cow::Owned(self.path.into_owned()),
            version: self.version,
            name: self.name,
            checkpoint: self.checkpoint,
            query: self.query.map(|query| Cow::Owned(query.into_owned())),
        }
    }
}

/// Reads `method` and `target` (as they stand in the request line) the way the engine will.
///
/// # Errors
/// [`TargetError`] if the target has two readings; answer 400 and close.
pub fn classify<'t>(method: &str, target: &'t str) -> Result<Classified<'t>, TargetError> {
    if method == "CONNECT" {
        return Err(TargetError::Authority);
    }
    let bytes = target.as_bytes();
    match bytes.first() {
        Some(b'/') => {}
        Some(b'*') if bytes.len() == 1 => return Ok(asterisk(method, target)),
        _ if target.contains("://") => return Err(TargetError::Absolute),
        _ => return Err(TargetError::Authority),
    }
    if bytes.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(TargetError::ControlCharacter);
    }
    if memchr::memchr(b'#', bytes).is_some() {
        return Err(TargetError::Fragment);
    }
    let (raw, query) = match memchr::memchr(b'?', bytes) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let mut irregular = None;
    let path = match memchr::memchr(b'%', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(_) => match String::from_utf8(
            query::unescape(raw, query::Plus::Kept).ok_or(TargetError::BadEscape)?,
        ) {
            Ok(path) => Cow::Owned(path),
            Err(error) => {
                irregular = Some(Irregular::NotUtf8);
                Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        },
    };
    let decoded = matches!(path, Cow::Owned(_));
    if unclean(path.as_bytes()) {
        return Ok(Classified {
            operation: Operation::Unknown,
            hijack: Hijack::None,
            form: Form::Origin,
            irregular: Some(Irregular::Unclean),
            path,
            version: 0..0,
            name: None,
            checkpoint: None,
            query: query.map(Cow::Borrowed),
        });
    }
    let version = version_prefix(path.as_bytes());
    let start = if version.is_empty() { 0 } else { version.end };
    let rest = &path[start..];
    let routed = if decoded && rest.contains('\n') {
        // The router's `.*` stops at a line feed.
        Routed::UNKNOWN
    } else {
        route(method, rest, query, !version.is_empty())
    };
    let shift = |range: Range<usize>| range.start + start..range.end + start;
    let irregular = irregular
        .or_else(|| {
            ((decoded || !path.is_ascii()) && path.chars().any(char::is_control))
                .then_some(Irregular::ControlCharacter)
        })
        .or_else(|| version_irregular(&path, &version).then_some(Irregular::Version))
        .or_else(|| name_irregular(routed.operation, rest, &routed).then_some(Irregular::Name));
    let hijack = match routed.operation {
        Operation::Unknown => libpod_hijack(method, rest),
        operation => operation.hijack(),
    };
    Ok(Classified {
        operation: routed.operation,
        hijack,
        form: Form::Origin,
        irregular,
        version,
        name: routed.name.map(shift),
        checkpoint: routed.checkpoint.map(shift),
        query: query.map(Cow::Borrowed),
        path,
    })
}

fn asterisk<'t>(method: &str, target: &'t str) -> Classified<'t> {
    // Go's server answers `OPTIONS *` itself; with any other method the router redirects to `/%2A`.
    let options = method == "OPTIONS";
    Classified {
        operation: if options {
            Operation::SystemOptions
        } else {
            Operation::Unknown
        },
        hijack: Hijack::None,
        form: Form::Asterisk,
        irregular: (!options).then_some(Irregular::Unclean),
        path: Cow::Borrowed(target),
        version: 0..0,
        name: None,
        checkpoint: None,
        query: None,
    }
}

/// Whether Go's `path.Clean` would change the path (a trailing slash is kept by the router).
fn unclean(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        // path[at] is a slash
        let next = memchr::memchr(b'/', &path[at + 1..]).map(|offset| at + 1 + offset);
        let segment = &path[at + 1..next.unwrap_or(path.len())];
        if segment == b"." || segment == b".." || (segment.is_empty() && next.is_some()) {
            return true;
        }
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// The range of `[0-9.]+` in a leading `/v[0-9.]+/`; empty if there is none.
fn version_prefix(path: &[u8]) -> Range<usize> {
    if !path.starts_with(b"/v") {
        return 0..0;
    }
    let len = path[2..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    if len > 0 && path.get(2 + len) == Some(&b'/') {
        2..2 + len
    } else {
        0..0
    }
}

fn version_irregular(path: &str, version: &Range<usize>) -> bool {
    if version.is_empty() {
        return false;
    }
    match path[version.clone()].split_once('.') {
        Some((major, minor)) => {
            let plain = |part: &str| {
                !part.is_empty()
                    && part.len() <= 4
                    && !(part.len() > 1 && part.starts_with('0'))
                    && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            !plain(major) || !plain(minor)
        }
        None => true,
    }
}

/// A route's answer; ranges are relative to the path without its version prefix.
struct Routed {
    operation: Operation,
    name: Option<Range<usize>>,
    checkpoint: Option<Range<usize>>,
}

impl Routed {
    const UNKNOWN: Routed = Routed {
        operation: Operation::Unknown,
        name: None,
        checkpoint: None,
    };

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
fn route(method: &str, path: &str, query: Option<&str>, versioned: bool) -> Routed {
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
    // `{name:.*}/verb`: the last segment decides, whatever stands before it.
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
        ("networks", _) => return network(method, path, name, verb, start),
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
    name: Option<Range<usize>>,
    verb: &str,
    start: usize,
) -> Routed {
    use Operation as Op;
    match (method, &name, verb) {
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

/// Podman's own attach and exec start hijack as Docker's do, and are otherwise unknown here.
fn libpod_hijack(method: &str, path: &str) -> Hijack {
    let Some(rest) = path.strip_prefix("/libpod/") else {
        return Hijack::None;
    };
    let attach = rest.starts_with("containers/")
        && rest.len() > "containers//attach".len()
        && rest.ends_with("/attach");
    let start =
        rest.starts_with("exec/") && rest.len() > "exec//start".len() && rest.ends_with("/start");
    if method == "POST" && (attach || start) {
        Hijack::Tcp
    } else {
        Hijack::None
    }
}

/// Whether a name strays from the grammar of its resource, so that two tools might read it differently.
fn name_irregular(operation: Operation, path: &str, routed: &Routed) -> bool {
    let plain = |name: &str| {
        name.len() <= 255
            && name
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    if routed
        .checkpoint
        .clone()
        .is_some_and(|range| !plain(&path[range]))
    {
        return true;
    }
    let Some(name) = routed.name.clone().map(|range| &path[range]) else {
        return false;
    };
    match operation.resource() {
        "image" | "plugin" | "distribution" => {
            name.len() > 1024
                || name.split('/').any(|part| {
                    !part
                        .bytes()
                        .next()
                        .is_some_and(|byte| byte.is_ascii_alphanumeric())
                })
                || !name.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'_' | b'.' | b'-' | b':' | b'/' | b'@')
                })
        }
        "network" => name.is_empty() || name.len() > 1024 || name.contains(['/', '\\']),
        _ => !plain(name),
    }
}

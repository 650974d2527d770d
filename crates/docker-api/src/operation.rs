//! The operations of the Engine API: one row per method and path, and everything that is known about it.
//!
//! The table is facts, not policy. It was made from the routers of the engine's source; a test holds it against
//! the list in `tests/policy/operations.csv`, row by row. A row is all it takes to route an operation and to judge it by
//! its name and class; what is inspected of it (body, parameters, target) is named by single operations in `policy`.

/// What an operation does, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Returns one object.
    Inspect,
    /// Returns a collection.
    List,
    /// Returns or carries a stream that may never end.
    Stream,
    /// Makes an object.
    Create,
    /// Changes an object.
    Modify,
    /// Removes an object.
    Delete,
    /// Moves archives or layers.
    Transfer,
    /// Runs a command in a container.
    Exec,
    /// Builds images.
    Build,
    /// Administers the daemon, its plugins or the swarm.
    Admin,
}

/// How a connection leaves HTTP after the engine's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hijack {
    /// Never: a `101` here is a fault of the upstream.
    None,
    /// `101 UPGRADED`, or a `200` raw stream without a length.
    Tcp,
    /// `101` after a WebSocket handshake.
    WebSocket,
    /// `101` to HTTP/2 with prior knowledge, for gRPC.
    H2c,
}

/// Which bodies of an operation are streams, and so may never be buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Streams {
    /// Neither.
    None,
    /// The request body.
    Request,
    /// The response body.
    Response,
    /// Both.
    Both,
}

/// What a caller gains by an operation when nothing limits its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Risk {
    /// Metadata only.
    Read,
    /// Environment, logs, files: things that often hold secrets.
    SensitiveRead,
    /// Changes state, without reaching the host by itself.
    Write,
    /// Leads to root on the host unless its arguments are limited.
    RootEquivalent,
}

impl Risk {
    /// The class's name in policy patterns (`container.*:read`).
    pub fn class(self) -> &'static str {
        match self {
            Risk::Read => "read",
            Risk::SensitiveRead => "sensitive",
            Risk::Write => "write",
            Risk::RootEquivalent => "root",
        }
    }
}

struct OperationRow {
    id: &'static str,
    resource: &'static str,
    verb: &'static str,
    method: &'static str,
    template: &'static str,
    kind: OperationKind,
    hijack: Hijack,
    streams: Streams,
    risk: Risk,
}

macro_rules! operations {
    ($($variant:ident: $resource:literal $verb:literal $id:literal, $method:literal $template:literal, $kind:ident, $hijack:ident, $streams:ident, $risk:ident;)*) => {
        /// An operation of the Engine API, by what the engine's router would run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Operation {
            $(#[doc = concat!("`", $method, " ", $template, "`")] $variant,)*
            /// A method and path that the table does not know.
            Unknown,
        }

        impl Operation {
            /// Every known operation, in the table's order; [`Operation::Unknown`] is not among them.
            pub const ALL: &[Operation] = &[$(Operation::$variant),*];
        }

        const ROWS: &[OperationRow] = &[
            $(OperationRow {
                id: $id, resource: $resource, verb: $verb, method: $method, template: $template,
                kind: OperationKind::$kind, hijack: Hijack::$hijack, streams: Streams::$streams, risk: Risk::$risk,
            },)*
            OperationRow {
                id: "unknown", resource: "unknown", verb: "unknown", method: "", template: "",
                kind: OperationKind::Admin, hijack: Hijack::None, streams: Streams::Both, risk: Risk::RootEquivalent,
            },
        ];
    };
}

impl Operation {
    fn row(self) -> &'static OperationRow {
        &ROWS[self as usize]
    }

    /// The operation's name in policies, logs and audit records: `container.create`.
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// The first half of the name: `container`.
    pub fn resource(self) -> &'static str {
        self.row().resource
    }

    /// The second half of the name: `create`.
    pub fn verb(self) -> &'static str {
        self.row().verb
    }

    /// The HTTP method; empty for [`Operation::Unknown`].
    pub fn method(self) -> &'static str {
        self.row().method
    }

    /// The path without version prefix, names in braces; empty for [`Operation::Unknown`].
    pub fn template(self) -> &'static str {
        self.row().template
    }

    /// What the operation does, coarsely.
    pub fn kind(self) -> OperationKind {
        self.row().kind
    }

    /// How the connection leaves HTTP, if it does.
    pub fn hijack(self) -> Hijack {
        self.row().hijack
    }

    /// Which bodies are streams.
    pub fn streams(self) -> Streams {
        self.row().streams
    }

    /// What a caller gains by it.
    pub fn risk(self) -> Risk {
        self.row().risk
    }

    /// The operation called `id`, if the table has it.
    pub fn from_id(id: &str) -> Option<Operation> {
        Self::ALL.iter().copied().find(|op| op.id() == id)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

operations! {
    SystemPing: "system" "ping" "system.ping", "GET" "/_ping", Inspect, None, None, Read;
    SystemPingHead: "system" "ping-head" "system.ping-head", "HEAD" "/_ping", Inspect, None, None, Read;
    SystemVersion: "system" "version" "system.version", "GET" "/version", Inspect, None, None, Read;
    SystemInfo: "system" "info" "system.info", "GET" "/info", Inspect, None, None, Read;
    SystemEvents: "system" "events" "system.events", "GET" "/events", Stream, None, Response, Read;
    SystemDf: "system" "df" "system.df", "GET" "/system/df", Inspect, None, None, SensitiveRead;
    SystemAuth: "system" "auth" "system.auth", "POST" "/auth", Modify, None, None, Write;
    SystemOptions: "system" "options" "system.options", "OPTIONS" "/{anyroute}", Inspect, None, None, Read;
    ContainerList: "container" "list" "container.list", "GET" "/containers/json", List, None, None, Read;
    ContainerCreate: "container" "create" "container.create", "POST" "/containers/create", Create, None, None, RootEquivalent;
    ContainerInspect: "container" "inspect" "container.inspect", "GET" "/containers/{name}/json", Inspect, None, None, SensitiveRead;
    ContainerTop: "container" "top" "container.top", "GET" "/containers/{name}/top", Inspect, None, None, SensitiveRead;
    ContainerLogs: "container" "logs" "container.logs", "GET" "/containers/{name}/logs", Stream, None, Response, SensitiveRead;
    ContainerChanges: "container" "changes" "container.changes", "GET" "/containers/{name}/changes", Inspect, None, None, Read;
    ContainerExport: "container" "export" "container.export", "GET" "/containers/{name}/export", Transfer, None, Response, SensitiveRead;
    ContainerStats: "container" "stats" "container.stats", "GET" "/containers/{name}/stats", Stream, None, Response, Read;
    ContainerResize: "container" "resize" "container.resize", "POST" "/containers/{name}/resize", Modify, None, None, Write;
    ContainerStart: "container" "start" "container.start", "POST" "/containers/{name}/start", Modify, None, None, Write;
    ContainerStop: "container" "stop" "container.stop", "POST" "/containers/{name}/stop", Modify, None, None, Write;
    ContainerRestart: "container" "restart" "container.restart", "POST" "/containers/{name}/restart", Modify, None, None, Write;
    ContainerKill: "container" "kill" "container.kill", "POST" "/containers/{name}/kill", Modify, None, None, Write;
    ContainerUpdate: "container" "update" "container.update", "POST" "/containers/{name}/update", Modify, None, None, Write;
    ContainerRename: "container" "rename" "container.rename", "POST" "/containers/{name}/rename", Modify, None, None, Write;
    ContainerPause: "container" "pause" "container.pause", "POST" "/containers/{name}/pause", Modify, None, None, Write;
    ContainerUnpause: "container" "unpause" "container.unpause", "POST" "/containers/{name}/unpause", Modify, None, None, Write;
    ContainerAttach: "container" "attach" "container.attach", "POST" "/containers/{name}/attach", Stream, Tcp, Both, RootEquivalent;
    ContainerAttachWs: "container" "attach-ws" "container.attach-ws", "GET" "/containers/{name}/attach/ws", Stream, WebSocket, Both, RootEquivalent;
    ContainerWait: "container" "wait" "container.wait", "POST" "/containers/{name}/wait", Stream, None, Response, Read;
    ContainerDelete: "container" "delete" "container.delete", "DELETE" "/containers/{name}", Delete, None, None, Write;
    ContainerArchiveStat: "container" "archive-stat" "container.archive-stat", "HEAD" "/containers/{name}/archive", Inspect, None, None, SensitiveRead;
    ContainerArchiveGet: "container" "archive-get" "container.archive-get", "GET" "/containers/{name}/archive", Transfer, None, Response, SensitiveRead;
    ContainerArchivePut: "container" "archive-put" "container.archive-put", "PUT" "/containers/{name}/archive", Transfer, None, Request, RootEquivalent;
    ContainerPrune: "container" "prune" "container.prune", "POST" "/containers/prune", Delete, None, None, Write;
    ExecCreate: "exec" "create" "exec.create", "POST" "/containers/{name}/exec", Exec, None, None, RootEquivalent;
    ExecStart: "exec" "start" "exec.start", "POST" "/exec/{name}/start", Exec, Tcp, Both, RootEquivalent;
    ExecResize: "exec" "resize" "exec.resize", "POST" "/exec/{name}/resize", Modify, None, None, Write;
    ExecInspect: "exec" "inspect" "exec.inspect", "GET" "/exec/{id}/json", Inspect, None, None, SensitiveRead;
    CheckpointList: "checkpoint" "list" "checkpoint.list", "GET" "/containers/{name}/checkpoints", List, None, None, SensitiveRead;
    CheckpointCreate: "checkpoint" "create" "checkpoint.create", "POST" "/containers/{name}/checkpoints", Create, None, None, RootEquivalent;
    CheckpointDelete: "checkpoint" "delete" "checkpoint.delete", "DELETE" "/containers/{name}/checkpoints/{checkpoint}", Delete, None, None, RootEquivalent;
    ImageList: "image" "list" "image.list", "GET" "/images/json", List, None, None, Read;
    ImageSearch: "image" "search" "image.search", "GET" "/images/search", List, None, None, Read;
    ImageInspect: "image" "inspect" "image.inspect", "GET" "/images/{name}/json", Inspect, None, None, Read;
    ImageHistory: "image" "history" "image.history", "GET" "/images/{name}/history", Inspect, None, None, SensitiveRead;
    ImageAttestations: "image" "attestations" "image.attestations", "GET" "/images/{name}/attestations", Inspect, None, None, Read;
    ImageSave: "image" "save" "image.save", "GET" "/images/{name}/get", Transfer, None, Response, SensitiveRead;
    ImageSaveMany: "image" "save-many" "image.save-many", "GET" "/images/get", Transfer, None, Response, SensitiveRead;
    ImageLoad: "image" "load" "image.load", "POST" "/images/load", Transfer, None, Both, Write;
    ImagePull: "image" "pull" "image.pull", "POST" "/images/create", Transfer, None, Response, Write;
    ImageImport: "image" "import" "image.import", "POST" "/images/create", Transfer, None, Both, Write;
    ImagePush: "image" "push" "image.push", "POST" "/images/{name}/push", Transfer, None, Response, Write;
    ImageTag: "image" "tag" "image.tag", "POST" "/images/{name}/tag", Modify, None, None, Write;
    ImageDelete: "image" "delete" "image.delete", "DELETE" "/images/{name}", Delete, None, None, Write;
    ImagePrune: "image" "prune" "image.prune", "POST" "/images/prune", Delete, None, None, Write;
    ImageCommit: "image" "commit" "image.commit", "POST" "/commit", Create, None, None, Write;
    DistributionInspect: "distribution" "inspect" "distribution.inspect", "GET" "/distribution/{name}/json", Inspect, None, None, Read;
    ImageBuild: "image" "build" "image.build", "POST" "/build", Build, None, Both, Write;
    BuildPrune: "build" "prune" "build.prune", "POST" "/build/prune", Delete, None, None, Write;
    BuildCancel: "build" "cancel" "build.cancel", "POST" "/build/cancel", Modify, None, None, Write;
    BuildSession: "build" "session" "build.session", "POST" "/session", Build, H2c, Both, RootEquivalent;
    BuildGrpc: "build" "grpc" "build.grpc", "POST" "/grpc", Build, H2c, Both, RootEquivalent;
    BuildGrpcDirect: "build" "grpc-direct" "build.grpc-direct", "POST" "/{grpc.Service}/{Method}", Build, H2c, Both, RootEquivalent;
    NetworkList: "network" "list" "network.list", "GET" "/networks", List, None, None, Read;
    NetworkListSlash: "network" "list-slash" "network.list-slash", "GET" "/networks/", List, None, None, Read;
    NetworkInspect: "network" "inspect" "network.inspect", "GET" "/networks/{id}", Inspect, None, None, Read;
    NetworkCreate: "network" "create" "network.create", "POST" "/networks/create", Create, None, None, Write;
    NetworkConnect: "network" "connect" "network.connect", "POST" "/networks/{id}/connect", Modify, None, None, Write;
    NetworkDisconnect: "network" "disconnect" "network.disconnect", "POST" "/networks/{id}/disconnect", Modify, None, None, Write;
    NetworkDelete: "network" "delete" "network.delete", "DELETE" "/networks/{id}", Delete, None, None, Write;
    NetworkPrune: "network" "prune" "network.prune", "POST" "/networks/prune", Delete, None, None, Write;
    VolumeList: "volume" "list" "volume.list", "GET" "/volumes", List, None, None, SensitiveRead;
    VolumeInspect: "volume" "inspect" "volume.inspect", "GET" "/volumes/{name}", Inspect, None, None, SensitiveRead;
    VolumeCreate: "volume" "create" "volume.create", "POST" "/volumes/create", Create, None, None, RootEquivalent;
    VolumeUpdate: "volume" "update" "volume.update", "PUT" "/volumes/{name}", Modify, None, None, Write;
    VolumeDelete: "volume" "delete" "volume.delete", "DELETE" "/volumes/{name}", Delete, None, None, Write;
    VolumePrune: "volume" "prune" "volume.prune", "POST" "/volumes/prune", Delete, None, None, Write;
    PluginList: "plugin" "list" "plugin.list", "GET" "/plugins", List, None, None, SensitiveRead;
    PluginInspect: "plugin" "inspect" "plugin.inspect", "GET" "/plugins/{name}/json", Inspect, None, None, SensitiveRead;
    PluginPrivileges: "plugin" "privileges" "plugin.privileges", "GET" "/plugins/privileges", Inspect, None, None, Read;
    PluginPull: "plugin" "pull" "plugin.pull", "POST" "/plugins/pull", Admin, None, Response, RootEquivalent;
    PluginCreate: "plugin" "create" "plugin.create", "POST" "/plugins/create", Admin, None, Request, RootEquivalent;
    PluginEnable: "plugin" "enable" "plugin.enable", "POST" "/plugins/{name}/enable", Admin, None, None, RootEquivalent;
    PluginDisable: "plugin" "disable" "plugin.disable", "POST" "/plugins/{name}/disable", Admin, None, None, Write;
    PluginSet: "plugin" "set" "plugin.set", "POST" "/plugins/{name}/set", Admin, None, None, RootEquivalent;
    PluginUpgrade: "plugin" "upgrade" "plugin.upgrade", "POST" "/plugins/{name}/upgrade", Admin, None, Response, RootEquivalent;
    PluginPush: "plugin" "push" "plugin.push", "POST" "/plugins/{name}/push", Transfer, None, Response, Write;
    PluginDelete: "plugin" "delete" "plugin.delete", "DELETE" "/plugins/{name}", Delete, None, None, Write;
    SwarmInspect: "swarm" "inspect" "swarm.inspect", "GET" "/swarm", Inspect, None, None, RootEquivalent;
    SwarmUnlockkey: "swarm" "unlockkey" "swarm.unlockkey", "GET" "/swarm/unlockkey", Inspect, None, None, SensitiveRead;
    SwarmInit: "swarm" "init" "swarm.init", "POST" "/swarm/init", Admin, None, None, RootEquivalent;
    SwarmJoin: "swarm" "join" "swarm.join", "POST" "/swarm/join", Admin, None, None, RootEquivalent;
    SwarmLeave: "swarm" "leave" "swarm.leave", "POST" "/swarm/leave", Admin, None, None, Write;
    SwarmUpdate: "swarm" "update" "swarm.update", "POST" "/swarm/update", Admin, None, None, RootEquivalent;
    SwarmUnlock: "swarm" "unlock" "swarm.unlock", "POST" "/swarm/unlock", Admin, None, None, Write;
    ServiceList: "service" "list" "service.list", "GET" "/services", List, None, None, SensitiveRead;
    ServiceInspect: "service" "inspect" "service.inspect", "GET" "/services/{id}", Inspect, None, None, SensitiveRead;
    ServiceCreate: "service" "create" "service.create", "POST" "/services/create", Create, None, None, RootEquivalent;
    ServiceUpdate: "service" "update" "service.update", "POST" "/services/{id}/update", Modify, None, None, RootEquivalent;
    ServiceDelete: "service" "delete" "service.delete", "DELETE" "/services/{id}", Delete, None, None, Write;
    ServiceLogs: "service" "logs" "service.logs", "GET" "/services/{id}/logs", Stream, None, Response, SensitiveRead;
    TaskList: "task" "list" "task.list", "GET" "/tasks", List, None, None, SensitiveRead;
    TaskInspect: "task" "inspect" "task.inspect", "GET" "/tasks/{id}", Inspect, None, None, SensitiveRead;
    TaskLogs: "task" "logs" "task.logs", "GET" "/tasks/{id}/logs", Stream, None, Response, SensitiveRead;
    NodeList: "node" "list" "node.list", "GET" "/nodes", List, None, None, Read;
    NodeInspect: "node" "inspect" "node.inspect", "GET" "/nodes/{id}", Inspect, None, None, Read;
    NodeUpdate: "node" "update" "node.update", "POST" "/nodes/{id}/update", Admin, None, None, RootEquivalent;
    NodeDelete: "node" "delete" "node.delete", "DELETE" "/nodes/{id}", Delete, None, None, Write;
    SecretList: "secret" "list" "secret.list", "GET" "/secrets", List, None, None, Read;
    SecretInspect: "secret" "inspect" "secret.inspect", "GET" "/secrets/{id}", Inspect, None, None, Read;
    SecretCreate: "secret" "create" "secret.create", "POST" "/secrets/create", Create, None, None, Write;
    SecretUpdate: "secret" "update" "secret.update", "POST" "/secrets/{id}/update", Modify, None, None, Write;
    SecretDelete: "secret" "delete" "secret.delete", "DELETE" "/secrets/{id}", Delete, None, None, Write;
    ConfigList: "config" "list" "config.list", "GET" "/configs", List, None, None, SensitiveRead;
    ConfigInspect: "config" "inspect" "config.inspect", "GET" "/configs/{id}", Inspect, None, None, SensitiveRead;
    ConfigCreate: "config" "create" "config.create", "POST" "/configs/create", Create, None, None, Write;
    ConfigUpdate: "config" "update" "config.update", "POST" "/configs/{id}/update", Modify, None, None, Write;
    ConfigDelete: "config" "delete" "config.delete", "DELETE" "/configs/{id}", Delete, None, None, Write;
    DebugVars: "debug" "vars" "debug.vars", "GET" "/debug/vars", Admin, None, None, SensitiveRead;
    DebugPprofIndex: "debug" "pprof-index" "debug.pprof-index", "GET" "/debug/pprof/", Admin, None, None, SensitiveRead;
    DebugPprofCmdline: "debug" "pprof-cmdline" "debug.pprof-cmdline", "GET" "/debug/pprof/cmdline", Admin, None, None, SensitiveRead;
    DebugPprofProfile: "debug" "pprof-profile" "debug.pprof-profile", "GET" "/debug/pprof/profile", Admin, None, Response, SensitiveRead;
    DebugPprofSymbol: "debug" "pprof-symbol" "debug.pprof-symbol", "GET" "/debug/pprof/symbol", Admin, None, None, SensitiveRead;
    DebugPprofTrace: "debug" "pprof-trace" "debug.pprof-trace", "GET" "/debug/pprof/trace", Admin, None, Response, SensitiveRead;
    DebugPprofNamed: "debug" "pprof-named" "debug.pprof-named", "GET" "/debug/pprof/{name}", Admin, None, None, SensitiveRead;
}

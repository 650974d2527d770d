//! Every operation's parameters: the names that the engine reads, those that clients send in vain, and what each may say.
//!
//! A limited role may send nothing else. The lists were taken from the engine's routers (API 1.24 to 1.56) and from what
//! the Docker CLI, compose, docker-py, dockerode, bollard, docker-java and go-dockerclient send.

use docker_api::Operation;

use super::Rule::{self, Empty, False, Once, Repeats};

type ParameterList = &'static [(&'static str, Rule)];

const NOTHING: ParameterList = &[];
const FILTERS: ParameterList = &[("filters", Once)];
const FORCE: ParameterList = &[("force", Once)];
const SIZE: ParameterList = &[("h", Once), ("w", Once)];
const SIGNAL: ParameterList = &[("t", Once), ("signal", Once)];
const VERSION: ParameterList = &[("version", Once)];
const REMOTE: ParameterList = &[("remote", Once), ("name", Once)];
const CHECKPOINT_DIR: ParameterList = &[("dir", Empty("checkpoints"))];
const PPROF: ParameterList = &[("debug", Once), ("gc", Once), ("seconds", Once)];

const LOGS: ParameterList = &[
    ("follow", Once),
    ("stdout", Once),
    ("stderr", Once),
    ("since", Once),
    ("until", Once),
    ("timestamps", Once),
    ("tail", Once),
    ("details", Once),
    ("format", Once),
];

const ATTACH: ParameterList = &[
    ("detachKeys", Once),
    ("logs", Once),
    ("stream", Once),
    ("stdin", Once),
    ("stdout", Once),
    ("stderr", Once),
    // dockerode writes its own options into the query.
    ("hijack", Once),
];

const BUILD: ParameterList = &[
    ("dockerfile", Once),
    ("t", Repeats),
    ("q", Once),
    ("nocache", Once),
    ("cachefrom", Once),
    ("pull", Once),
    ("rm", Once),
    ("forcerm", Once),
    ("memory", Once),
    ("memswap", Once),
    ("cpushares", Once),
    ("cpusetcpus", Once),
    ("cpusetmems", Once),
    ("cpuperiod", Once),
    ("cpuquota", Once),
    ("buildargs", Once),
    ("shmsize", Once),
    ("squash", Once),
    ("labels", Once),
    ("platform", Once),
    ("target", Once),
    ("ulimits", Once),
    ("buildid", Once),
    ("extrahosts", Repeats),
    ("networkmode", Once),
    ("securityopt", Once),
    ("version", Once),
    ("session", Once),
    ("remote", Empty("build")),
    ("outputs", Empty("build")),
    ("cgroupparent", Empty("cgroup-parent")),
    ("isolation", Empty("isolation")),
    ("privileged", False("privileged")),
];

/// The parameters of an operation, each with its verdict; what is not listed is refused.
pub fn listed(operation: Operation) -> ParameterList {
    match operation.resource() {
        "container" | "exec" | "checkpoint" => of_containers(operation),
        "image" | "distribution" | "build" => of_images(operation),
        "plugin" => of_plugins(operation),
        _ => of_the_rest(operation),
    }
}

fn of_containers(operation: Operation) -> ParameterList {
    match operation {
        Operation::ContainerList => &[
            ("all", Once),
            ("size", Once),
            ("limit", Once),
            ("filters", Once),
            // Not read any more; docker-py and old clients send them.
            ("since", Once),
            ("before", Once),
            ("trunc_cmd", Once),
        ],
        Operation::ContainerCreate => &[("name", Once), ("platform", Once)],
        Operation::ContainerInspect => &[("size", Once)],
        Operation::ContainerTop => &[("ps_args", Once)],
        Operation::ContainerLogs => LOGS,
        Operation::ContainerStats => &[("stream", Once), ("one-shot", Once)],
        Operation::ContainerResize | Operation::ExecResize => SIZE,
        Operation::ContainerStart => &[
            ("detachKeys", Once),
            ("checkpoint", Empty("checkpoints")),
            ("checkpoint-dir", Empty("checkpoints")),
        ],
        Operation::ContainerStop | Operation::ContainerRestart => SIGNAL,
        Operation::ContainerKill => &[("signal", Once)],
        Operation::ContainerRename => &[("name", Once)],
        Operation::ContainerAttach | Operation::ContainerAttachWs => ATTACH,
        Operation::ContainerWait => &[("condition", Once)],
        Operation::ContainerDelete => &[("v", Once), ("force", Once), ("link", Once)],
        Operation::ContainerArchiveGet | Operation::ContainerArchiveStat => &[("path", Once)],
        Operation::ContainerArchivePut => &[
            ("path", Once),
            ("noOverwriteDirNonDir", Once),
            ("copyUIDGID", Once),
        ],
        Operation::ContainerPrune => FILTERS,
        Operation::CheckpointList | Operation::CheckpointDelete => CHECKPOINT_DIR,
        _ => NOTHING,
    }
}

#[expect(clippy::too_many_lines, reason = "table")]
fn of_images(operation: Operation) -> ParameterList {
    match operation {
        Operation::ImageList => &[
            ("all", Once),
            ("filters", Once),
            ("shared-size", Once),
            ("manifests", Once),
            ("identity", Once),
            ("digests", Once),
            // docker-py sends both, the engine reads the second before API 1.41 alone.
            ("only_ids", Once),
            ("filter", Once),
        ],
        Operation::ImageSearch => &[("term", Once), ("limit", Once), ("filters", Once)],
        Operation::ImageInspect => &[("manifests", Once), ("platform", Once)],
        Operation::ImageHistory => &[("platform", Once)],
        Operation::ImageAttestations => &[
            ("platform", Repeats),
            ("type", Repeats),
            ("statement", Once),
        ],
        Operation::ImageSave => &[("platform", Repeats)],
        Operation::ImageSaveMany => &[("names", Repeats), ("platform", Repeats)],
        Operation::ImageLoad => &[("quiet", Once), ("platform", Repeats)],
        Operation::ImagePull => &[
            ("fromImage", Once),
            ("tag", Once),
            ("platform", Once),
            ("fromSrc", Empty("images")),
            ("repo", Empty("images")),
            ("message", Once),
            ("changes", Empty("images")),
            // docker-java sends it; the registry is the one in the name.
            ("registry", Empty("images")),
        ],
        Operation::ImageImport => &[
            ("fromImage", Empty("images")),
            ("fromSrc", Once),
            ("repo", Once),
            ("tag", Once),
            ("message", Once),
            ("changes", Repeats),
            ("platform", Once),
        ],
        Operation::ImagePush => &[("tag", Once), ("platform", Once)],
        Operation::ImageTag => &[("repo", Once), ("tag", Once), ("force", Once)],
        Operation::ImageDelete => &[("force", Once), ("noprune", Once), ("platforms", Repeats)],
        Operation::ImagePrune => FILTERS,
        Operation::ImageCommit => &[
            ("container", Once),
            ("repo", Once),
            ("tag", Once),
            ("comment", Once),
            ("author", Once),
            ("pause", Once),
            ("changes", Repeats),
        ],
        Operation::ImageBuild => BUILD,
        Operation::BuildPrune => &[
            ("all", Once),
            ("filters", Once),
            ("keep-storage", Once),
            ("reserved-space", Once),
            ("max-used-space", Once),
            ("min-free-space", Once),
        ],
        Operation::BuildCancel => &[("id", Once)],
        _ => NOTHING,
    }
}

fn of_plugins(operation: Operation) -> ParameterList {
    match operation {
        Operation::PluginList => FILTERS,
        Operation::PluginPrivileges | Operation::PluginUpgrade => &[("remote", Once)],
        Operation::PluginPull => REMOTE,
        Operation::PluginCreate => &[("name", Once)],
        Operation::PluginEnable => &[("timeout", Once)],
        Operation::PluginDisable | Operation::PluginDelete => FORCE,
        _ => NOTHING,
    }
}

fn of_the_rest(operation: Operation) -> ParameterList {
    match operation {
        Operation::SystemEvents => &[("since", Once), ("until", Once), ("filters", Once)],
        Operation::SystemDf => &[("type", Repeats), ("verbose", Once)],
        Operation::NetworkInspect => &[("verbose", Once), ("scope", Once)],
        Operation::NetworkList
        | Operation::NetworkListSlash
        | Operation::NetworkPrune
        | Operation::VolumeList
        | Operation::VolumePrune
        | Operation::TaskList
        | Operation::NodeList
        | Operation::SecretList
        | Operation::ConfigList => FILTERS,
        Operation::VolumeDelete | Operation::NodeDelete | Operation::SwarmLeave => FORCE,
        Operation::VolumeUpdate
        | Operation::NodeUpdate
        | Operation::SecretUpdate
        | Operation::ConfigUpdate => VERSION,
        Operation::SwarmUpdate => &[
            ("version", Once),
            ("rotateWorkerToken", Once),
            ("rotateManagerToken", Once),
            ("rotateManagerUnlockKey", Once),
        ],
        Operation::ServiceList => &[("filters", Once), ("status", Once)],
        Operation::ServiceInspect => &[("insertDefaults", Once)],
        Operation::ServiceUpdate => &[
            ("version", Once),
            ("registryAuthFrom", Once),
            ("rollback", Empty("services")),
        ],
        Operation::ServiceLogs | Operation::TaskLogs => LOGS,
        Operation::DebugPprofIndex
        | Operation::DebugPprofProfile
        | Operation::DebugPprofTrace
        | Operation::DebugPprofNamed => PPROF,
        _ => NOTHING,
    }
}

//! What a scope does to each operation. The match is exhaustive: an operation without a line here does not compile.

use docker_api::Operation;

/// The kinds of objects that have an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

/// What becomes of an operation in a role with a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeAction {
    /// It concerns no object that has an owner.
    Unscoped,
    /// It is refused: it reaches what others own, and cannot be narrowed.
    Refused,
    /// It makes an object, which is stamped.
    Stamp(ObjectKind),
    /// It lists objects; the list is narrowed to those of the owner and those that are shared.
    Narrow(ObjectKind),
    /// It removes what is not used; only the owner's is.
    Prune(ObjectKind),
    /// It removes images or build caches that are not used: they have no owner, so it removes none.
    PruneNothing,
    /// The stream of events, narrowed to those of the owner's containers.
    Events,
    /// It names an object in its path, which has to be the owner's or a shared one.
    Object(ObjectKind),
    /// It gives an object another name.
    Rename,
    /// It removes the object in its path, which has to be the owner's.
    Remove(ObjectKind),
    /// It names an exec instance, which belongs to its container.
    Exec,
    /// It joins a container and a network, or separates them.
    Joined,
    /// It makes an image of a container, which must not carry the owner's label.
    Commit,
    /// It removes an image by a name that the role may write.
    ImageDelete,
    /// It builds an image; networks and containers that it joins are held to the owner's.
    Build,
}

impl ScopeAction {
    /// What a scope does to `operation`.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "table")]
    pub fn of(operation: Operation) -> ScopeAction {
        use ObjectKind::{Container, Network, Volume};
        use Operation as Op;
        match operation {
            Op::SystemPing
            | Op::SystemPingHead
            | Op::SystemVersion
            | Op::SystemInfo
            | Op::SystemAuth
            | Op::SystemOptions => ScopeAction::Unscoped,
            Op::SystemEvents => ScopeAction::Events,
            Op::ContainerList => ScopeAction::Narrow(Container),
            Op::ContainerCreate => ScopeAction::Stamp(Container),
            Op::ContainerInspect
            | Op::ContainerTop
            | Op::ContainerLogs
            | Op::ContainerChanges
            | Op::ContainerExport
            | Op::ContainerStats
            | Op::ContainerResize
            | Op::ContainerStart
            | Op::ContainerStop
            | Op::ContainerRestart
            | Op::ContainerKill
            | Op::ContainerUpdate
            | Op::ContainerPause
            | Op::ContainerUnpause
            | Op::ContainerAttach
            | Op::ContainerAttachWs
            | Op::ContainerWait
            | Op::ContainerArchiveStat
            | Op::ContainerArchiveGet
            | Op::ContainerArchivePut
            | Op::ExecCreate => ScopeAction::Object(Container),
            Op::ContainerRename => ScopeAction::Rename,
            Op::ContainerDelete => ScopeAction::Remove(Container),
            Op::ContainerPrune => ScopeAction::Prune(Container),
            Op::ExecStart | Op::ExecResize | Op::ExecInspect => ScopeAction::Exec,
            // Images have no owner: what may be run is held by `limits.images`, and which names may be written by `limits.tags`.
            Op::ImageList
            | Op::ImageSearch
            | Op::ImageInspect
            | Op::ImageHistory
            | Op::ImageAttestations
            | Op::ImageSave
            | Op::ImageSaveMany
            | Op::ImageLoad
            | Op::ImagePull
            | Op::ImageImport
            | Op::ImagePush
            | Op::ImageTag
            | Op::DistributionInspect => ScopeAction::Unscoped,
            Op::ImageDelete => ScopeAction::ImageDelete,
            Op::ImageCommit => ScopeAction::Commit,
            Op::ImageBuild => ScopeAction::Build,
            // Sessions and jobs of a judged build belong to the client that began them.
            Op::BuildSession | Op::BuildGrpc => ScopeAction::Unscoped,
            Op::NetworkList | Op::NetworkListSlash => ScopeAction::Narrow(Network),
            Op::NetworkInspect => ScopeAction::Object(Network),
            Op::NetworkCreate => ScopeAction::Stamp(Network),
            Op::NetworkConnect | Op::NetworkDisconnect => ScopeAction::Joined,
            Op::NetworkDelete => ScopeAction::Remove(Network),
            Op::NetworkPrune => ScopeAction::Prune(Network),
            Op::VolumeList => ScopeAction::Narrow(Volume),
            Op::VolumeInspect => ScopeAction::Object(Volume),
            Op::VolumeCreate => ScopeAction::Stamp(Volume),
            Op::VolumeDelete => ScopeAction::Remove(Volume),
            Op::VolumePrune => ScopeAction::Prune(Volume),
            Op::ImagePrune | Op::BuildPrune => ScopeAction::PruneNothing,
            // They speak about the whole engine, run as root on its host, or are not told apart by an owner.
            Op::SystemDf
            | Op::CheckpointList
            | Op::CheckpointCreate
            | Op::CheckpointDelete
            | Op::BuildCancel
            | Op::BuildGrpcDirect
            | Op::VolumeUpdate
            | Op::PluginList
            | Op::PluginInspect
            | Op::PluginPrivileges
            | Op::PluginPull
            | Op::PluginCreate
            | Op::PluginEnable
            | Op::PluginDisable
            | Op::PluginSet
            | Op::PluginUpgrade
            | Op::PluginPush
            | Op::PluginDelete
            | Op::SwarmInspect
            | Op::SwarmUnlockkey
            | Op::SwarmInit
            | Op::SwarmJoin
            | Op::SwarmLeave
            | Op::SwarmUpdate
            | Op::SwarmUnlock
            | Op::ServiceList
            | Op::ServiceInspect
            | Op::ServiceCreate
            | Op::ServiceUpdate
            | Op::ServiceDelete
            | Op::ServiceLogs
            | Op::TaskList
            | Op::TaskInspect
            | Op::TaskLogs
            | Op::NodeList
            | Op::NodeInspect
            | Op::NodeUpdate
            | Op::NodeDelete
            | Op::SecretList
            | Op::SecretInspect
            | Op::SecretCreate
            | Op::SecretUpdate
            | Op::SecretDelete
            | Op::ConfigList
            | Op::ConfigInspect
            | Op::ConfigCreate
            | Op::ConfigUpdate
            | Op::ConfigDelete
            | Op::DebugVars
            | Op::DebugPprofIndex
            | Op::DebugPprofCmdline
            | Op::DebugPprofProfile
            | Op::DebugPprofSymbol
            | Op::DebugPprofTrace
            | Op::DebugPprofNamed
            | Op::Unknown => ScopeAction::Refused,
        }
    }
}

//! What every limited role keeps away from, whatever its limits: the files the gate takes trust, keys, policy and
//! configuration from, the engine's socket, the gate's own container, image and ports, and what the configuration adds.
//!
//! This module only compares. Which files, volumes and container these are is found out by `crate::house`.

use docker_api::Operation;
use docker_api::image::{ALL_TAGS, ImageName, ImagePattern, Reference};
use docker_api::json::Value;

use super::TARGETED;
use super::hostpath::clean;
use super::limits::{LimitKey, Means, glob, tcp_ports};
use super::power::Power;

/// The rule that a denial names.
pub(super) const RULE: &str = "protected";

/// The container the gate runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its full id.
    pub id: String,
    /// Its image's id, `sha256:…`; empty if it is not known.
    pub image: String,
    /// The swarm service whose task it is, if it is one.
    pub service: Option<OwnService>,
}

/// The swarm service that the gate's container is a task of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnService {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of the task that the gate runs in.
    pub task: String,
}

/// What no limited role may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    paths: Vec<String>,
    /// Where engines keep their data.
    data_roots: Vec<String>,
    volumes: Vec<String>,
    images: Vec<ImagePattern>,
    ports: Vec<u16>,
    container: Option<OwnContainer>,
    unknown: Option<String>,
    prunable: bool,
    follow_links: bool,
}

impl Protected {
    /// Adds a path of the engine's host: it, what holds it and what lies below it.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        let path = real(path);
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        self
    }

    /// Adds a directory in which an engine keeps its data: containers, images, swarm keys. Only the volumes in it, each for itself, are
    /// for others to speak about.
    #[must_use]
    pub fn data_root(mut self, path: &str) -> Self {
        let path = real(path);
        if !self.data_roots.contains(&path) {
            self.data_roots.push(path);
        }
        self
    }

    /// Adds a volume by name; `*` stands for any text. `in_use` says that the gate's own container holds it, so that no prune
    /// removes it.
    #[must_use]
    pub fn volume(mut self, name: &str, in_use: bool) -> Self {
        self.prunable |= !in_use;
        self.volumes.push(name.to_owned());
        self
    }

    /// Adds an image name.
    #[must_use]
    pub fn image(mut self, pattern: ImagePattern) -> Self {
        self.images.push(pattern);
        self
    }

    /// Adds a TCP port of the engine's host by which the gate is reached, on any address.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Names the gate's own container.
    #[must_use]
    pub fn container(mut self, container: OwnContainer) -> Self {
        self.container = Some(container);
        self
    }

    /// The gate runs in a container and could not find out which: `why`. What might reach it is refused.
    #[must_use]
    pub fn unknown(mut self, why: String) -> Self {
        self.unknown = Some(why);
        self
    }

    /// Whether the gate sees the engine's files, so that links in host paths can be followed.
    #[must_use]
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    /// Whether host paths are to be resolved before they are judged.
    pub(super) fn follows_links(&self) -> bool {
        self.follow_links && (!self.paths.is_empty() || !self.data_roots.is_empty())
    }

    /// The protected paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths
            .iter()
            .chain(&self.data_roots)
            .map(String::as_str)
    }

    /// Whether a decision about `operation` must know its target because of what is protected.
    pub(super) fn asks(&self, operation: Operation) -> bool {
        match operation {
            Operation::VolumeDelete | Operation::VolumePrune => {
                self.holds_files() || self.unknown.is_some()
            }
            Operation::ImageDelete | Operation::ImageLoad => {
                !self.images.is_empty() || self.container.is_some() || self.unknown.is_some()
            }
            operation if TARGETED.contains(&operation) => {
                self.holds_files() || self.container.is_some() || self.unknown.is_some()
            }
            // What is started mounts its paths again, wherever they lead by then.
            Operation::ContainerStart | Operation::ContainerRestart if self.follows_links() => true,
            operation if SERVICES.contains(&operation) => {
                self.own_service().is_some() || self.unknown.is_some()
            }
            operation => {
                let named = names_container(operation)
                    || matches!(
                        operation,
                        Operation::NetworkConnect | Operation::NetworkDisconnect
                    );
                named && (self.container.is_some() || self.unknown.is_some())
            }
        }
    }

    /// Whether another container could hold something protected.
    pub(super) fn holds_files(&self) -> bool {
        !self.paths.is_empty() || !self.volumes.is_empty()
    }

    /// Why an operation may not be decided yet, if it may not.
    pub(super) fn doubt_about(&self, operation: Operation) -> Option<String> {
        self.in_doubt(self.asks(operation) || operation == Operation::ImagePull)
    }

    /// Why a power may not be judged yet, if it may not.
    pub(crate) fn doubt(&self, power: &Power) -> Option<String> {
        self.in_doubt(match power.means {
            Means::Limit(LimitKey::Ports) => tcp_ports(&power.value).is_some(),
            Means::HostPath { .. }
            | Means::Limit(
                LimitKey::Volumes | LimitKey::JoinContainers | LimitKey::Tags | LimitKey::Devices,
            ) => true,
            _ => false,
        })
    }

    fn in_doubt(&self, concerned: bool) -> Option<String> {
        let why = self.unknown.as_ref().filter(|_| concerned)?;
        Some(format!(
            "the gate does not know its own container and mounts yet: {why}"
        ))
    }

    /// What of the protected a power reaches, as a message.
    pub(crate) fn objection(&self, operation: Operation, power: &Power) -> Option<String> {
        let ours = match &power.means {
            Means::HostPath { path, .. } => self.conflict(path),
            Means::Limit(LimitKey::Devices) => self.conflict(&power.value),
            Means::Limit(LimitKey::Ports) => {
                let (first, last) = tcp_ports(&power.value)?;
                let taken = |port: &&u16| (first..=last).contains(*port);
                let port = self.ports.iter().find(taken)?;
                return Some(format!("takes port {port} of the gate, which is protected"));
            }
            Means::Limit(LimitKey::Volumes) => self.named_volume(&power.value),
            Means::Limit(LimitKey::Tags) => self.named_image(&power.value),
            // A build with `pull` fetches what it is made from, and a node what its service runs: both write that name.
            Means::Limit(LimitKey::Images)
                if matches!(
                    operation,
                    Operation::ImagePull
                        | Operation::ImageBuild
                        | Operation::ServiceCreate
                        | Operation::ServiceUpdate
                ) =>
            {
                self.named_image(&power.value)
            }
            _ => None,
        }?;
        Some(format!("reaches {ours}, which is protected"))
    }

    /// The protected path that `path` is, holds or lies in.
    pub(super) fn conflict(&self, path: &str) -> Option<&str> {
        if self.paths.is_empty() && self.data_roots.is_empty() {
            return None;
        }
        let path = real(path);
        if by_process(&path) {
            return Some("the files of any process of the host");
        }
        let own = self.paths.iter();
        own.chain(&self.data_roots)
            .find(|own| within(own, &path))
            .or_else(|| self.paths.iter().find(|own| within(&path, own)))
            .or_else(|| {
                self.data_roots
                    .iter()
                    .find(|root| in_data_root(&path, root))
            })
            .map(String::as_str)
    }

    fn named_volume(&self, name: &str) -> Option<&str> {
        self.volumes
            .iter()
            .find(|pattern| glob(pattern, name))
            .map(String::as_str)
    }

    fn own_service(&self) -> Option<&OwnService> {
        self.container.as_ref()?.service.as_ref()
    }

    /// A name to be written. One that cannot be read could be any.
    fn named_image(&self, name: &str) -> Option<&'static str> {
        let name = name.strip_suffix(ALL_TAGS).unwrap_or(name);
        let ours = match Reference::parse(name) {
            Some(mut reference) => {
                // Another tag is still the gate's repository.
                (reference.tag, reference.digest) = (None, None);
                let name = ImageName::Named(reference);
                self.images.iter().any(|pattern| pattern.admits(&name))
            }
            None => !self.images.is_empty(),
        };
        ours.then_some("an image name")
    }

    /// What of the protected the operation itself names, where no body and no parameter does.
    pub(super) fn named(&self, operation: Operation, name: &str) -> Option<Power> {
        match operation {
            Operation::ImageDelete => {
                let hex = name.strip_prefix("sha256:").unwrap_or(name);
                let own_id = self.container.as_ref().is_some_and(|own| {
                    let id = own.image.strip_prefix("sha256:").unwrap_or(&own.image);
                    !hex.is_empty() && id.starts_with(hex)
                });
                let ours =
                    own_id || Reference::parse(name).is_some() && self.named_image(name).is_some();
                ours.then(|| out_of_reach("name", format!("{name} is a protected image")))
            }
            Operation::ImageLoad if !self.images.is_empty() => {
                let why = "an archive could carry a protected image name";
                Some(out_of_reach("body", why))
            }
            Operation::VolumePrune if self.prunable => {
                let why = "a protected volume that no container uses would be removed";
                Some(out_of_reach("volume.prune", why))
            }
            operation
                if SERVICES.contains(&operation)
                    && self
                        .own_service()
                        .is_some_and(|own| own.is_named(operation, name)) =>
            {
                Some(out_of_reach("service", "the gate's own service"))
            }
            _ if self.asks(operation)
                && operation.id().starts_with("container.")
                && self.names_own(name) =>
            {
                Some(out_of_reach("container", "the gate's own container"))
            }
            _ => None,
        }
    }

    /// Whether the engine may read a name as the gate's own container: by its id, or the beginning of it. A container of that name
    /// would be found first, and could be gone when the request arrives; so this needs no look-up.
    pub(super) fn names_own(&self, name: &str) -> bool {
        let own = self.container.as_ref();
        !name.is_empty() && own.is_some_and(|own| own.id.starts_with(name))
    }

    /// What of the protected an inspected volume reaches.
    pub(super) fn inspected_volume(&self, found: &Value<'_>, field: &str) -> Option<Power> {
        let name = found
            .text_at("Name")
            .and_then(|name| self.named_volume(name));
        let place = found
            .text_at("Mountpoint")
            .and_then(|place| self.conflict(place));
        let device = found
            .get("Options")
            .and_then(|options| options.text_at("device"))
            .and_then(|device| self.conflict(device));
        let ours = name.or(place).or(device)?;
        Some(out_of_reach(
            field,
            format!("reaches {ours}, which is protected"),
        ))
    }

    /// What of the protected an inspected container reaches that a request names at `field`.
    pub(super) fn inspected_container(
        &self,
        found: &Value<'_>,
        field: &str,
        enters: bool,
    ) -> Option<Power> {
        let id = found.text_at("Id").unwrap_or_default();
        if self.container.as_ref().is_some_and(|own| own.id == id) {
            return Some(out_of_reach(field, "the gate's own container"));
        }
        let service = found
            .get("Config")
            .and_then(|config| config.get("Labels")?.text_at(SERVICE_LABEL));
        if self
            .own_service()
            .is_some_and(|own| service == Some(&own.id))
        {
            return Some(out_of_reach(field, "a container of the gate's own service"));
        }
        if !enters {
            return None;
        }
        let mounts = found.get("Mounts").map(Value::items).unwrap_or_default();
        mounts.iter().find_map(|mount| {
            let name = mount
                .text_at("Name")
                .and_then(|name| self.named_volume(name));
            let source = mount
                .text_at("Source")
                .and_then(|source| self.conflict(source));
            let ours = name.or(source)?;
            let value = format!("a container that mounts {ours}, which is protected");
            Some(out_of_reach(field, value))
        })
    }
}

/// What reaches something protected: nothing allows it.
fn out_of_reach(field: &str, value: impl Into<String>) -> Power {
    Power::never(RULE, field, value)
}

/// The label by which swarm says whose task a container is.
const SERVICE_LABEL: &str = "com.docker.swarm.service.id";

/// Operations that change a swarm service, or show what its containers print.
const SERVICES: &[Operation] = &[
    Operation::ServiceUpdate,
    Operation::ServiceDelete,
    Operation::ServiceLogs,
    Operation::TaskLogs,
];

impl OwnService {
    /// Whether the engine may read a name as this service, or for its logs as the task: by its id, the beginning of it, or its
    /// name, which swarm compares without regard to case.
    fn is_named(&self, operation: Operation, name: &str) -> bool {
        let (id, own) = match operation {
            Operation::TaskLogs => (&self.task, ""),
            _ => (&self.id, self.name.as_str()),
        };
        let same = !own.is_empty() && own.to_lowercase() == name.to_lowercase();
        same || !name.is_empty() && id.starts_with(name)
    }
}

/// Operations on a container that is named in the path, but for those that show its state and nothing of its files.
fn names_container(operation: Operation) -> bool {
    operation.template().starts_with("/containers/{name}")
        && !matches!(
            operation,
            Operation::ContainerInspect | Operation::ContainerStats
        )
}

/// A host path with the links resolved that every Linux host has: `/var/run` is `/run`.
fn real(path: &str) -> String {
    let path = clean(path);
    match path.strip_prefix("/var/run") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/run{rest}"),
        _ => path,
    }
}

/// Whether a path goes through a process (`/proc/1/root/etc`), or brings all of them along: that leads to any file of the host or
/// of a container. A container that runs as the gate's user could read the gate's by it.
fn by_process(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/proc/") else {
        return path == "/proc" || path == "/dev/fd" || path.starts_with("/dev/fd/");
    };
    let first = rest.split('/').next().unwrap_or_default();
    matches!(first, "self" | "thread-self") || first.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a path lies in an engine's data, but not in one of its volumes.
fn in_data_root(path: &str, root: &str) -> bool {
    let volumes = format!("{}/volumes/", root.trim_end_matches('/'));
    let volume = path.strip_prefix(&volumes);
    // The engine's own list of its volumes lies beside them.
    within(path, root) && volume.is_none_or(|volume| volume.starts_with("metadata.db"))
}

/// Whether `path` is `base` or lies below it; both clean.
fn within(path: &str, base: &str) -> bool {
    path.strip_prefix(base.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

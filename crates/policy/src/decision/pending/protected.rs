//! What belongs to the gate itself: where a decision asks [`Protected`](crate::Protected) about it.

use docker_api::Operation;
use docker_api::json::Value;

use crate::findings::Unresolved;
use crate::protected::RULE;

use super::super::{Pending, Step};

impl<'p> Pending<'p> {
    /// Adds what the operation's own name reaches.
    pub(super) fn protected_names(&mut self) {
        let name = self.classified.name().unwrap_or_default();
        let protected = &self.policy.protected;
        if let Some(why) = protected.doubt_about(self.operation) {
            return self.findings.doubt(why);
        }
        self.findings.extend(protected.named(self.operation, name));
        if self.operation == Operation::VolumeDelete && protected.asks(self.operation) {
            self.findings.look_up(Unresolved::Removed {
                name: name.to_owned(),
            });
        }
    }

    /// Notes where the mounts of a container come from, to see where that leads by now: the engine follows links at every start.
    /// What reaches the house by its own name was mounted by somebody who may.
    pub(super) fn follow_mounts(&mut self, found: &Value<'_>, volumes: bool) {
        let protected = &self.policy.protected;
        if !protected.follows_links() {
            return;
        }
        let mounts = found.get("Mounts").map(Value::items).unwrap_or_default();
        for mount in mounts {
            match mount.text_at("Type") {
                Some("bind") => {
                    let source = mount.text_at("Source").unwrap_or_default();
                    if protected.conflict(source).is_none() {
                        self.findings.follow("Mounts", source);
                    }
                }
                // Volumes of plugins have no device of the host.
                Some("volume") if volumes && mount.text_at("Driver") == Some("local") => {
                    let name = mount.text_at("Name").unwrap_or_default().to_owned();
                    self.findings.look_up(Unresolved::Started { name });
                }
                _ => {}
            }
        }
    }

    /// The same of a volume that a container mounts.
    pub(super) fn follow_volume(&mut self, found: &Value<'_>) {
        let device = found
            .get("Options")
            .and_then(|options| options.text_at("device"))
            .filter(|device| device.starts_with('/'));
        if let Some(device) = device
            && self.policy.protected.conflict(device).is_none()
        {
            self.findings.follow("Mounts", device);
        }
    }

    /// Whether host paths wait to be resolved.
    pub(super) fn needs_paths(&self) -> bool {
        !self.followed && !self.findings.paths().is_empty()
    }

    /// The host paths the request asks for.
    pub fn host_paths(&self) -> &[String] {
        self.findings.paths()
    }

    /// What must not be reached, for the caller that resolves [`Pending::host_paths`].
    pub fn protected_paths(&self) -> Vec<String> {
        self.policy.protected.paths().map(str::to_owned).collect()
    }

    /// Goes on with every path that the host paths turned out to be, links followed.
    pub fn resolved(mut self, paths: &[String]) -> Step<'p> {
        self.followed = true;
        let protected = &self.policy.protected;
        let found = paths
            .iter()
            .find_map(|path| Some((path.clone(), protected.conflict(path)?.to_owned())));
        let Some((path, ours)) = found else {
            return self.permit();
        };
        let detail =
            format!("a host path leads to {path}, which reaches {ours}, which is protected");
        match self.object(RULE, detail, String::new()) {
            Some(step) => step,
            None => self.permit(),
        }
    }
}

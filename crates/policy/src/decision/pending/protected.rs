//! What belongs to the gate itself: where a decision asks [`Protected`](crate::Protected) about it.

use docker_api::Operation;

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
        protected.named(self.operation, name, &mut self.findings);
        if self.operation == Operation::VolumeDelete && protected.asks(self.operation) {
            self.findings.look_up(Unresolved::Removed {
                name: name.to_owned(),
            });
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

    /// What must not be reached, for whoever resolves [`Pending::host_paths`].
    pub fn protected_paths(&self) -> &[String] {
        self.policy.protected.paths()
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

//! Header fields that the engine's handlers read, beside those of HTTP itself.

use docker_api::Operation;

/// Which of these fields a request has. `X-Meta-…` is not among them: the engine only passes it on to a registry that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineHeaders {
    registry_auth: bool,
    registry_config: bool,
    other: bool,
}

impl EngineHeaders {
    /// Notes a field by its name.
    pub fn note(&mut self, name: &str) {
        let rest = match name.get(..11) {
            Some(prefix) if prefix.eq_ignore_ascii_case("x-registry-") => &name[11..],
            _ => return,
        };
        if rest.eq_ignore_ascii_case("auth") {
            self.registry_auth = true;
        } else if rest.eq_ignore_ascii_case("config") {
            self.registry_config = true;
        } else {
            self.other = true;
        }
    }

    /// The field that the operation does not take, if there is one.
    pub(crate) fn unlisted(self, operation: Operation) -> Option<&'static str> {
        if self.other {
            Some("X-Registry-*")
        } else if self.registry_config && operation != Operation::ImageBuild {
            Some("X-Registry-Config")
        } else if self.registry_auth && !takes_credentials(operation) {
            Some("X-Registry-Auth")
        } else {
            None
        }
    }
}

/// Operations with which credentials for a registry are sent; some clients send them in vain.
fn takes_credentials(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::ContainerCreate
            | Operation::DistributionInspect
            | Operation::ImageBuild
            | Operation::ImageImport
            | Operation::ImagePull
            | Operation::ImagePush
            | Operation::ImageSearch
            | Operation::PluginPrivileges
            | Operation::PluginPull
            | Operation::PluginPush
            | Operation::PluginUpgrade
            | Operation::ServiceCreate
            | Operation::ServiceUpdate
            | Operation::SystemAuth
    )
}

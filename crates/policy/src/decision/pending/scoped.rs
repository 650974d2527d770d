//! What a scope, and the gate's own labels, forbid by the request alone.

use docker_api::Operation;
use docker_api::image::Reference;
use docker_api::json::Value;

use super::super::{Pending, Step};
use crate::labels::{OWN_LABELS, SCOPE_RULE};
use crate::limits::LimitKey;
use crate::scope::{LEAST_ID, SHORT_ID, ScopeAction, claims, may_be_id};

impl<'p> Pending<'p> {
    /// The denial of an operation that no role with a scope may call, whatever its list says.
    pub(super) fn outside_scope(&mut self) -> Option<Step<'p>> {
        let refused = ScopeAction::of(self.operation) == ScopeAction::Refused;
        if self.role.scope.is_none() || !refused || self.operation == Operation::Unknown {
            return None;
        }
        let detail = format!(
            "{} reaches what others own, and is refused in a role with a scope",
            self.operation
        );
        self.object(SCOPE_RULE, detail, String::new())
    }

    /// Adds the labels and names that a client claims although they are not for it to give. Labels of the gate's own are refused in
    /// every role that has limits: with one, a client would give away what it makes.
    pub(super) fn claimed(&mut self, body: Option<&Value<'_>>) {
        if let Some((field, key)) = claims(self.operation, body, self.parameters.pairs()) {
            let why = format!("{key} ({OWN_LABELS})");
            self.findings.never(SCOPE_RULE, field, why);
        }
        self.named_like_an_id(body);
        if self.role.scope.is_none() {
            return;
        }
        match self.operation {
            Operation::ImageDelete => self.removed_image(),
            Operation::ImageList | Operation::ImageInspect => self.shown_image(),
            _ => {}
        }
    }

    /// A name that passes for an id, in every role that has limits. The engine looks for a name where no object has the id, so that
    /// the id that was looked at would come to mean another container once its own is removed; and a short one wins over the
    /// beginning of an id that somebody else types.
    fn named_like_an_id(&mut self, body: Option<&Value<'_>>) {
        let (field, name) = match (self.operation, body) {
            (Operation::ContainerCreate | Operation::ContainerRename, None) => {
                ("?name", self.parameters.get("name"))
            }
            (Operation::NetworkCreate, Some(body)) => {
                ("Name", body.text_at("Name").unwrap_or_default())
            }
            _ => return,
        };
        let (rule, least) = match self.role.scope {
            Some(_) => (SCOPE_RULE, LEAST_ID),
            None => (LimitKey::Names.name(), SHORT_ID),
        };
        if may_be_id(name, least) {
            let why = format!("{name}: expected a name that cannot be the beginning of an id");
            self.findings.never(rule, field, why);
        }
    }

    /// An image's manifests come with the containers that run them, those of other owners too.
    fn shown_image(&mut self) {
        let manifests = self.parameters.get("manifests");
        if !matches!(manifests, "" | "0" | "false") {
            let why = format!("{manifests}: the containers of other owners would be named");
            self.findings.never(SCOPE_RULE, "?manifests", why);
        }
    }

    /// Images have no owner, so one is removed by a name that the role may write; ids and what may be one are not names.
    fn removed_image(&mut self) {
        let name = self.classified.name().unwrap_or_default();
        let id = name.strip_prefix("sha256:").unwrap_or(name);
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
        match Reference::parse(name).filter(|_| !is_id) {
            Some(reference) => {
                let name = reference.to_string();
                self.findings.ask("name", name, LimitKey::Tags);
            }
            None => {
                let name = name.to_owned();
                self.findings.never("tags", "name", name);
            }
        }
    }
}

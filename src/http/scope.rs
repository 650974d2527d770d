//! Requests of a client whose role has a scope, after the policy has permitted them.
//!
//! A request goes on as it is, goes on with another target, or is performed by the gate, which then has the answer in its hands before
//! the client does. Every object that a request names is looked up as its owner sees the engine (`view`); one that is not the
//! owner's is asked for under a name that cannot exist (`ghost`), so that the answer is that for a missing one.

mod budget;
mod create;
pub mod events;
mod ghost;
mod joined;
mod listed;
mod lists;
mod locks;
mod made;
mod objects;
mod prune;
pub mod usage;
mod view;

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::respond::Status;
use super::shared::Shared;
use crate::engine::ask::{AskError, IsWhole};
use crate::engine::lookup::{EngineCall, EngineReply, LookupError};
use crate::error;
use crate::limits::{MemoryBudget, NoRoom, Reservation};
use docker_api::{Classified, Operation};
use policy::Permitted;
use policy::scope::parameters::{QueryPairs, encoded};
use policy::scope::{ObjectKind, ObjectOwner, RoleScope, ScopeAction};

pub use locks::OwnerLocks;
pub use made::MadeContainers;
pub use view::OwnerView;

/// A client whose role has a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedClient {
    /// The scope.
    pub scope: RoleScope,
    /// Who owns what it creates.
    pub owner: ObjectOwner,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Course {
    /// It goes on as it is.
    Forward,
    /// It goes on with another target.
    Retarget(String),
    /// It asks for events by this target, and those of the owner's containers come back.
    Events(String),
    /// It has been performed, and this is the answer.
    Answer(EngineReply),
}

/// Why a request goes no further.
#[derive(Debug)]
pub enum Halt {
    /// The scope does not allow it: what was asked for.
    Denied(String),
    /// The owner's budget does not allow it: the sums.
    Budget(String),
    /// The gate refuses it in the engine's stead.
    Refused(Status, String),
    /// There is no memory for the engine's answer.
    Full(NoRoom),
    /// The engine's answer about something that is missing.
    Answer(EngineReply),
}

impl From<LookupError> for Halt {
    fn from(error: LookupError) -> Self {
        if let LookupError::Ask(AskError::NoRoom(full)) = error {
            return Self::Full(full);
        }
        let why = error::report(&error);
        Self::Refused(
            Status::BadGateway,
            format!("the engine could not be asked: {why}"),
        )
    }
}

/// A permitted request of a scoped client.
#[derive(Debug)]
pub struct ScopedRequest<'r> {
    /// What all sessions share.
    pub shared: &'r Shared,
    /// What its client may hold.
    pub room: Arc<MemoryBudget>,
    /// The permit.
    pub permit: &'r Permitted,
    /// Its target, as it would go on.
    pub classified: Classified<'r>,
    /// The type of its body.
    pub content_type: Option<String>,
    /// Its body, where it has been read whole.
    pub content: &'r [u8],
}

impl ScopedRequest<'_> {
    /// Finds the course of the request.
    ///
    /// # Errors
    /// When it goes no further.
    pub async fn course(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        use ObjectKind::{Container, Network, Volume};
        match ScopeAction::of(self.classified.operation) {
            ScopeAction::Unscoped if self.classified.operation == Operation::ImageInspect => {
                self.inspect_image(view).await
            }
            ScopeAction::Unscoped => Ok(Course::Forward),
            ScopeAction::ImageDelete => self.remove_image().await,
            ScopeAction::Refused => Err(Halt::Denied(format!(
                "{} is refused in a role with a scope",
                self.classified.operation
            ))),
            ScopeAction::Stamp(Container) => self.create_container(view).await,
            ScopeAction::Stamp(Network) => self.create_network(view).await,
            ScopeAction::Stamp(Volume) => self.create_volume(view).await,
            ScopeAction::Narrow(Container) => self.list_containers(view).await,
            ScopeAction::Narrow(kind @ (Network | Volume)) => self.list_shared(view, kind).await,
            ScopeAction::Events => self.events(view),
            ScopeAction::Prune(kind) => self.prune(view, kind).await,
            ScopeAction::PruneNothing => Ok(self.prune_nothing()),
            ScopeAction::Object(Container) => self.on_container(view).await,
            ScopeAction::Object(Network) => self.on_network(view).await,
            ScopeAction::Object(Volume) => self.on_volume(view).await,
            ScopeAction::Rename => self.rename(view).await,
            ScopeAction::Remove(Container) => self.remove_container(view).await,
            ScopeAction::Remove(Network) => self.remove_network(view).await,
            ScopeAction::Remove(Volume) => self.remove_volume(view).await,
            ScopeAction::Exec => self.on_exec(view).await,
            ScopeAction::Joined => self.join(view).await,
            ScopeAction::Commit => self.commit(view).await,
            ScopeAction::Build => self.build(view).await,
        }
    }

    /// Images are everybody's, and what is masked in containers came from them.
    async fn inspect_image(&self, view: &OwnerView<'_>) -> Result<Course, Halt> {
        if view.client.scope.redact.is_empty() {
            return Ok(Course::Forward);
        }
        let parts = self.name().split('/').map(encoded);
        let name: Vec<String> = parts.collect();
        let path = format!("{}/images/{}/json", self.version(), name.join("/"));
        self.inspect(view, format!("{path}{}", self.suffix())).await
    }

    fn name(&self) -> &str {
        self.classified.name().unwrap_or_default()
    }

    fn query(&self) -> Result<QueryPairs, Halt> {
        let query = self.classified.query().unwrap_or_default();
        QueryPairs::parse(query)
            .map_err(|error| Halt::Refused(Status::BadRequest, error.to_string()))
    }

    /// The query as it was sent, with its `?`.
    fn suffix(&self) -> String {
        match self.classified.query() {
            None | Some("") => String::new(),
            Some(query) => format!("?{query}"),
        }
    }

    /// The prefix of the client's API version.
    fn version(&self) -> String {
        let version = self.classified.version();
        version.map(|v| format!("/v{v}")).unwrap_or_default()
    }

    /// The target with another object in the path, and this suffix.
    fn target(&self, name: &str, suffix: &str) -> String {
        let name = encoded(name);
        let path = self.classified.operation.template();
        let path = path.replace("{name}", &name).replace("{id}", &name);
        format!("{}{path}{suffix}", self.version())
    }

    /// Performs the request with this target and body.
    async fn perform(&self, target: String, body: Vec<u8>) -> Result<EngineReply, Halt> {
        let call = EngineCall {
            method: self.classified.operation.method().to_owned(),
            target,
            content_type: self.content_type.clone(),
            body,
        };
        self.call(call).await
    }

    /// Performs a `GET` with this target, whose answer may go on as soon as its body is found to be whole.
    async fn perform_until(
        &self,
        target: String,
        is_whole: IsWhole<'_>,
    ) -> Result<EngineReply, Halt> {
        let call = EngineCall {
            method: "GET".to_owned(),
            target,
            ..EngineCall::default()
        };
        let room = Reservation::new(&self.room);
        let upstream = &self.shared.upstream;
        let performed = upstream.perform_until(self.permit, call, is_whole, room);
        Ok(performed.await?)
    }

    async fn call(&self, call: EngineCall) -> Result<EngineReply, Halt> {
        let room = Reservation::new(&self.room);
        let performed = self.shared.upstream.perform(self.permit, call, room);
        Ok(performed.await?)
    }

    /// Waits until no other request of the owner creates or removes anything.
    async fn lock(&self, view: &OwnerView<'_>) -> OwnedMutexGuard<()> {
        self.shared.owners.lock(view.client.owner.label()).await
    }

    /// The body as a tree.
    fn tree(&self) -> Result<serde_json::Value, Halt> {
        let parsed = docker_api::json::parse(self.content, self.content.len());
        let wrong = |e: docker_api::json::JsonError| Halt::Denied(e.to_string());
        Ok(parsed.map_err(wrong)?.to_tree())
    }
}

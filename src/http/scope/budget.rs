//! An owner's budget: what all its containers were granted is summed by one list, under the owner's lock.

use serde_json::{Value, json};

use super::create::CreateDraft;
use super::view::OwnerView;
use super::{Halt, ScopedRequest};
use policy::scope::RoleScope;
use policy::scope::budget::{self, Amounts, Overdrawn, RESOURCES};

/// What the owner of a container, or of several, was granted: by the labels that a create stamps.
pub(super) fn granted(labels: Option<&Value>) -> Amounts {
    let mut amounts = Amounts::default();
    for resource in RESOURCES {
        let label = labels.and_then(|labels| labels.get(resource.label()));
        let amount = label
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        amounts.set(resource, amount);
    }
    amounts
}

impl From<Overdrawn> for Halt {
    fn from(why: Overdrawn) -> Self {
        Self::Budget(why.to_string())
    }
}

/// Whether a scope counts anything of a container.
fn counts_containers(scope: &RoleScope) -> bool {
    scope.budget.containers.is_some() || !scope.budget.granted.is_empty()
}

impl ScopedRequest<'_> {
    /// What a new container asks for, or gets by default, is stamped, and has to fit beside what the owner has.
    pub(super) async fn grant(
        &self,
        view: &OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
    ) -> Result<(), Halt> {
        let scope = &view.client.scope;
        if !counts_containers(scope) && scope.default.is_empty() {
            return Ok(());
        }
        let parsed = docker_api::json::parse(self.content, self.content.len())
            .map_err(|e| Halt::Denied(e.to_string()))?;
        let host = parsed.get("HostConfig");
        let mut asked = budget::asked(host).map_err(Halt::Budget)?;
        for resource in RESOURCES {
            if asked.get(resource).is_some() {
                continue;
            }
            if let Some(amount) = scope.default.get(resource) {
                draft.host().insert(resource.field().into(), json!(amount));
                asked.set(resource, Some(amount));
            } else if scope.budget.granted.get(resource).is_some() {
                return Err(Halt::Budget(format!(
                    "HostConfig.{}: expected a limit, since all of an owner's are summed",
                    resource.field()
                )));
            }
        }
        if scope.budget.granted.get(budget::Resource::Memory).is_some() {
            let memory = asked.get(budget::Resource::Memory);
            budget::swaps(host, memory).map_err(Halt::Budget)?;
        }
        for resource in RESOURCES {
            if let Some(amount) = asked.get(resource) {
                draft.body["Labels"][resource.label()] = json!(amount.to_string());
            }
        }
        if !counts_containers(scope) {
            return Ok(());
        }
        let containers = view.listed("/containers/json", &[("all", "1")]).await?;
        let containers = containers.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut used = Amounts::default();
        for container in containers {
            used.add(&granted(container.get("Labels")));
        }
        let count = containers.len() as u64;
        budget::counts("containers", scope.budget.containers, count, 1)?;
        for resource in RESOURCES {
            budget::fits(resource, &scope.budget, &used, &asked)?;
        }
        Ok(())
    }

    /// An update may lower what a container was granted, and raise it again up to that.
    pub(super) fn lower(&self, view: &OwnerView<'_>, container: &Value) -> Result<(), Halt> {
        let budget = &view.client.scope.budget;
        if budget.granted.is_empty() || self.content.is_empty() {
            return Ok(());
        }
        let body = docker_api::json::parse(self.content, self.content.len())
            .map_err(|e| Halt::Denied(e.to_string()))?;
        let labels = container
            .get("Config")
            .and_then(|config| config.get("Labels"));
        budget::lowers(&body, budget, &granted(labels)).map_err(Halt::Budget)
    }

    /// How many more volumes the owner may have; `None` if they are not counted.
    pub(super) async fn volume_room(
        &self,
        view: &OwnerView<'_>,
    ) -> Result<Option<VolumeRoom>, Halt> {
        let Some(most) = view.client.scope.budget.volumes else {
            return Ok(None);
        };
        let listed = view.listed("/volumes", &[]).await?;
        let volumes = listed.get("Volumes").and_then(Value::as_array);
        let used = volumes.map_or(0, Vec::len) as u64;
        Ok(Some(VolumeRoom { used, most }))
    }

    /// Whether the owner may have one more network.
    pub(super) async fn network_fits(&self, view: &OwnerView<'_>) -> Result<(), Halt> {
        let Some(most) = view.client.scope.budget.networks else {
            return Ok(());
        };
        let listed = view.listed("/networks", &[]).await?;
        let used = listed.as_array().map_or(0, Vec::len) as u64;
        Ok(budget::counts("networks", Some(most), used, 1)?)
    }
}

/// How many volumes an owner has of those it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeRoom {
    used: u64,
    most: u64,
}

impl VolumeRoom {
    /// Takes one more.
    pub(super) fn take(room: &mut Option<VolumeRoom>) -> Result<(), Halt> {
        if let Some(room) = room {
            budget::counts("volumes", Some(room.most), room.used, 1)?;
            room.used += 1;
        }
        Ok(())
    }
}

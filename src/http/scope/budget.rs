//! An owner's budget: what all its containers were granted is summed by one list, under the owner's lock.

use serde_json::{Value, json};

use super::create::CreateDraft;
use super::view::OwnerView;
use super::{Halt, ScopedRequest};
use policy::scope::RoleScope;
use policy::scope::budget::{self, Amounts, Overdrawn, OwnerBudget, RESOURCES, Resource};

/// What the owner of a container, or of several, was granted: by the labels that a create stamps.
pub(super) fn stamped(labels: Option<&Value>) -> Amounts {
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
        let granted = budget::granted(host, &scope.default, &scope.budget).map_err(Halt::Budget)?;
        let asked = budget::granted(host, &Amounts::default(), &OwnerBudget::default());
        let asked = asked.map_err(Halt::Budget)?;
        for resource in RESOURCES {
            let Some(amount) = granted.get(resource) else {
                continue;
            };
            if asked.get(resource).is_none() {
                draft.host().insert(resource.field().into(), json!(amount));
                if resource == Resource::Cpus {
                    // The engine takes one of both ways to say it, and these said nothing.
                    draft.host().remove("CpuQuota");
                    draft.host().remove("CpuPeriod");
                }
            }
            draft.body["Labels"][resource.label()] = json!(amount.to_string());
        }
        if !counts_containers(scope) {
            return Ok(());
        }
        let containers = view.listed("/containers/json", &[("all", "1")]).await?;
        // What others run from an image with labels of the owner's is not the owner's.
        let listed = containers.as_array().map(Vec::as_slice).unwrap_or_default();
        let containers: Vec<_> = listed.iter().filter(|c| view.made_listed(c)).collect();
        let mut used = Amounts::default();
        for container in &containers {
            used.add(&stamped(container.get("Labels")));
        }
        let count = containers.len() as u64;
        budget::counts("containers", scope.budget.containers, count, 1)?;
        for resource in RESOURCES {
            budget::fits(resource, &scope.budget, &used, &granted)?;
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
        budget::lowers(&body, budget, &stamped(labels)).map_err(Halt::Budget)
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

/// How many volumes an owner has of those it may have: counted when the first one is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VolumeRoom {
    used: Option<u64>,
}

impl VolumeRoom {
    /// Takes one more.
    pub(super) async fn take(&mut self, view: &OwnerView<'_>) -> Result<(), Halt> {
        let Some(most) = view.client.scope.budget.volumes else {
            return Ok(());
        };
        let used = match self.used {
            Some(used) => used,
            None => {
                let listed = view.listed("/volumes", &[]).await?;
                let volumes = listed.get("Volumes").and_then(Value::as_array);
                volumes.map_or(0, Vec::len) as u64
            }
        };
        budget::counts("volumes", Some(most), used, 1)?;
        self.used = Some(used + 1);
        Ok(())
    }
}

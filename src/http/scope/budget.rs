//! An owner's budget: what all its containers were granted is summed by one list, under the owner's lock.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::create::CreateDraft;
use super::view::{OwnerView, text};
use super::{Halt, ScopedRequest};
use policy::scope::RoleScope;
use policy::scope::budget::{self, Amounts, Overdrawn, OwnerBudget, RESOURCES, Resource};

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
        // What others run from an image with labels of the owner's is not the owner's.
        let (count, used) = view
            .of_made(|containers| {
                let mut used = Amounts::default();
                for container in containers {
                    used.add(&container.granted());
                }
                (containers.len() as u64, used)
            })
            .await?;
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
        let label = |resource: Resource| labels?.get(resource.label())?.as_str()?.parse().ok();
        let mut granted = Amounts::default();
        for resource in RESOURCES {
            granted.set(resource, label(resource));
        }
        budget::lowers(&body, budget, &granted).map_err(Halt::Budget)
    }

    /// Whether the owner may have one more network.
    pub(super) async fn network_fits(&self, view: &OwnerView<'_>) -> Result<(), Halt> {
        let Some(most) = view.client.scope.budget.networks else {
            return Ok(());
        };
        let used = view.listed("/networks").await?.len() as u64;
        Ok(budget::counts("networks", Some(most), used, 1)?)
    }
}

/// The volumes that an owner has of those it may have: listed once for a request, under the owner's lock.
#[derive(Debug, Default)]
pub(super) struct VolumeRoom {
    own: Option<HashSet<String>>,
    /// Those that will get a name when the container is made.
    unnamed: u64,
}

impl VolumeRoom {
    /// The names of the owner's; `None` where nothing bounds them.
    async fn own(&mut self, view: &OwnerView<'_>) -> Result<Option<&mut HashSet<String>>, Halt> {
        if view.client.scope.budget.volumes.is_none() {
            return Ok(None);
        }
        if self.own.is_none() {
            let listed = view.listed("/volumes").await?;
            let names = listed.iter().map(|volume| text(volume, "Name").to_owned());
            self.own = Some(names.collect());
        }
        Ok(self.own.as_mut())
    }

    /// Whether a volume of this name is the owner's, as far as the list that the budget needs says so.
    pub(super) async fn has(&mut self, view: &OwnerView<'_>, name: &str) -> Result<bool, Halt> {
        let own = self.own(view).await?;
        Ok(own.is_some_and(|own| own.contains(name)))
    }

    /// Whether there is room for one more.
    pub(super) async fn fits(&mut self, view: &OwnerView<'_>) -> Result<(), Halt> {
        let unnamed = self.unnamed;
        let most = view.client.scope.budget.volumes;
        let Some(own) = self.own(view).await? else {
            return Ok(());
        };
        let used = unnamed.saturating_add(own.len() as u64);
        Ok(budget::counts("volumes", most, used, 1)?)
    }

    /// Takes one more, which has no name yet.
    pub(super) async fn take(&mut self, view: &OwnerView<'_>) -> Result<(), Halt> {
        self.fits(view).await?;
        self.unnamed += 1;
        Ok(())
    }

    /// One more has been made.
    pub(super) fn made(&mut self, name: &str) {
        if let Some(own) = &mut self.own {
            own.insert(name.to_owned());
        }
    }
}

//! What each owner has on the engine, against its budget: for `dockgate ps --owners` and `top`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::listed::containers;
use crate::error;
use crate::generation::Generation;
use crate::http::shared::Shared;
use crate::limits::Reservation;
use crate::observe::control::{OwnerAmounts, OwnerUse, OwnersReport};
use pki::identity::Identity;
use policy::scope::budget::{Amounts, OwnerBudget, Resource};
use policy::scope::parameters::encoded;
use policy::scope::{OWNER_LABEL, ObjectOwner, OwnedBy};

/// What of one owner was found.
#[derive(Default)]
struct OwnerFound {
    granted: Amounts,
    containers: u64,
    volumes: u64,
    networks: u64,
}

/// Asks the engine for everything that has an owner. `live` are the clients that are connected: their roles say which budgets hold.
///
/// # Errors
/// When the engine could not be asked.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub async fn usage(shared: &Shared, live: &[Arc<Identity>]) -> Result<OwnersReport, String> {
    let generation = shared.generation();
    let Some(key) = &generation.owner_key else {
        return Ok(OwnersReport::default());
    };
    let mut found: BTreeMap<String, OwnerFound> = BTreeMap::new();
    let body = listed(shared, "/containers/json?all=1&").await?;
    let list = containers(&body).map_err(|e| format!("the engine's answer: {e}"))?;
    for container in &list {
        let owner = container.owner().and_then(|label| key.verified(label));
        let made = owner
            .filter(|owner| owner.made(container.owner(), container.of_image(), container.image()));
        if let Some(owner) = made {
            let owner = found.entry(owner.value().to_owned()).or_default();
            owner.containers += 1;
            owner.granted.add(&container.granted());
        }
    }
    for (path, at) in [("/volumes?", "/Volumes"), ("/networks?", "")] {
        let list: Value = serde_json::from_slice(&listed(shared, path).await?)
            .map_err(|e| format!("the engine's answer: {e}"))?;
        let items = list.pointer(at).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            let label = item
                .get("Labels")
                .and_then(|labels| labels.get(OWNER_LABEL));
            let owner = label
                .and_then(Value::as_str)
                .and_then(|label| key.verified(label));
            let Some(owner) = owner else {
                continue;
            };
            let owner = found.entry(owner.value().to_owned()).or_default();
            match at {
                "" => owner.networks += 1,
                _ => owner.volumes += 1,
            }
        }
    }
    let budgets = budgets(&generation, live);
    let owners = found.into_iter().map(|(owner, found)| OwnerUse {
        used: OwnerAmounts {
            containers: Some(found.containers),
            memory: Some(found.granted.get(Resource::Memory).unwrap_or(0)),
            nano_cpus: Some(found.granted.get(Resource::Cpus).unwrap_or(0)),
            pids: Some(found.granted.get(Resource::Pids).unwrap_or(0)),
            volumes: Some(found.volumes),
            networks: Some(found.networks),
        },
        budget: budgets.get(&owner).map(|budget| OwnerAmounts {
            containers: budget.containers,
            memory: budget.granted.get(Resource::Memory),
            nano_cpus: budget.granted.get(Resource::Cpus),
            pids: budget.granted.get(Resource::Pids),
            volumes: budget.volumes,
            networks: budget.networks,
        }),
        owner,
    });
    Ok(OwnersReport {
        owners: owners.collect(),
    })
}

async fn listed(shared: &Shared, path: &str) -> Result<Vec<u8>, String> {
    let filters = encoded(&format!("{{\"label\":{{\"{OWNER_LABEL}\":true}}}}"));
    let target = format!("{path}filters={filters}");
    let mut room = Reservation::new(shared.pending_bodies.all());
    let asked = shared.upstream.get(&target, Some(&mut room)).await;
    let (status, body) = asked.map_err(|e| error::report(&e))?;
    match status {
        200 => Ok(body),
        status => Err(format!("the engine answered {status}")),
    }
}

/// The budgets of the owners whose role can be told: entries, and clients that are connected.
fn budgets(generation: &Generation, live: &[Arc<Identity>]) -> BTreeMap<String, OwnerBudget> {
    let policy = &generation.policy;
    let mut known = BTreeMap::new();
    for client in &policy.clients {
        let scope = policy
            .roles
            .get(client.role)
            .and_then(|role| role.scope.as_ref());
        if let Some(scope) = scope.filter(|scope| scope.by == OwnedBy::Entry) {
            known.insert(format!("entry:{}", client.name), scope.budget);
        }
    }
    for identity in live {
        let client = policy.client_for(identity);
        let scope = policy.role(client).and_then(|role| role.scope.as_ref());
        if let (Some(scope), Some(key)) = (scope, &generation.owner_key)
            && let Ok(owner) = ObjectOwner::of(scope.by, identity, policy.client_name(client), key)
        {
            known.insert(owner.value().to_owned(), scope.budget);
        }
    }
    known
}

//! What each owner has on the engine, against its budget: for `dockgate ps --owners` and `top`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::budget::stamped;
use super::view::text;
use crate::error;
use crate::generation::Generation;
use crate::http::shared::Shared;
use crate::limits::Reservation;
use crate::observe::control::{OwnerAmounts, OwnerUse, Owners};
use pki::identity::Identity;
use policy::scope::budget::{Amounts, OwnerBudget, Resource};
use policy::scope::parameters::encoded;
use policy::scope::{IMAGE_LABEL, OWNER_LABEL, ObjectOwner, OwnedBy};

/// What of one owner was found.
#[derive(Default)]
struct OwnerFound {
    granted: Amounts,
    containers: u64,
    volumes: u64,
    networks: u64,
}

/// What a container's labels say of its image.
fn of_image(labels: Option<&Value>) -> Option<&str> {
    labels.and_then(|labels| labels.get(IMAGE_LABEL)?.as_str())
}

/// Asks the engine for everything that has an owner. `live` are the clients that are connected: their roles say which budgets hold.
///
/// # Errors
/// When the engine could not be asked.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub async fn usage(shared: &Shared, live: &[Arc<Identity>]) -> Result<Owners, String> {
    let generation = shared.generation();
    let Some(key) = &generation.owner_key else {
        return Ok(Owners::default());
    };
    let mut found: BTreeMap<String, OwnerFound> = BTreeMap::new();
    let lists = [
        ("/containers/json?all=1&", ""),
        ("/volumes?", "/Volumes"),
        ("/networks?", ""),
    ];
    for (path, at) in lists {
        let list = listed(shared, path).await?;
        for item in list
            .pointer(at)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let labels = item.get("Labels");
            let label = labels
                .and_then(|labels| labels.get(OWNER_LABEL))
                .and_then(Value::as_str);
            let Some(owner) = label.and_then(|label| key.verified(label)) else {
                continue;
            };
            let is_container = path.starts_with("/containers/");
            if is_container && !owner.made(label, of_image(labels), text(item, "ImageID")) {
                continue;
            }
            let owner = found.entry(owner.value().to_owned()).or_default();
            match path.as_bytes().get(1) {
                Some(b'c') => {
                    owner.containers += 1;
                    owner.granted.add(&stamped(labels));
                }
                Some(b'v') => owner.volumes += 1,
                _ => owner.networks += 1,
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
    Ok(Owners {
        owners: owners.collect(),
    })
}

async fn listed(shared: &Shared, path: &str) -> Result<Value, String> {
    let filters = encoded(&format!("{{\"label\":{{\"{OWNER_LABEL}\":true}}}}"));
    let target = format!("{path}filters={filters}");
    let mut room = Reservation::new(&shared.pending_bodies);
    let asked = shared.upstream.get(&target, Some(&mut room)).await;
    let (status, body) = asked.map_err(|e| error::report(&e))?;
    match status {
        200 => serde_json::from_slice(&body).map_err(|e| format!("the engine's answer: {e}")),
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

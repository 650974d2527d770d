//! What an owner sees of the engine: each look-up answers as if nothing of others existed, but for what is shared.

use serde_json::Value;

use super::ScopedClient;
use super::lists::items;
use crate::engine::lookup::LookupError;
use crate::http::shared::Shared;
use crate::limits::Reservation;
use policy::EngineAnswer;
use policy::scope::filters::ListFilters;
use policy::scope::parameters::encoded;
use policy::scope::{IMAGE_LABEL, LEAST_ID, OWNER_LABEL, is_asked};

/// The engine's answer about an object that an owner sees.
#[derive(Clone, Debug)]
pub(super) struct SeenObject {
    /// Its full id.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it is the owner's, and not only shared.
    pub(super) is_own: bool,
    /// All that the engine says.
    pub(super) tree: Value,
    raw: Vec<u8>,
}

/// What a volume's name is to an owner.
#[derive(Clone, Debug)]
pub(super) enum VolumeSight {
    /// The owner's, or shared.
    Seen(Box<SeenObject>),
    /// Somebody else's.
    Taken,
    /// Nobody's.
    Missing,
}

/// One owner's view, for the time of one request.
#[derive(Debug)]
pub struct OwnerView<'v> {
    shared: &'v Shared,
    pub(super) client: &'v ScopedClient,
    /// Full ids of containers that were found to be the owner's. A label of a container cannot change.
    pub own: Vec<String>,
}

impl<'v> OwnerView<'v> {
    /// The view of `client`, which has found `own` before.
    #[must_use]
    pub fn new(shared: &'v Shared, client: &'v ScopedClient, own: Vec<String>) -> Self {
        Self {
            shared,
            client,
            own,
        }
    }

    /// Answers a look-up of the policy.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn answer(&mut self, target: &str) -> Result<EngineAnswer, LookupError> {
        let of = |prefix: &str, suffix: &str| target.strip_prefix(prefix)?.strip_suffix(suffix);
        let seen = if let Some(name) = of("/containers/", "/json") {
            self.container(name).await?
        } else if let Some(id) = of("/exec/", "/json") {
            self.exec(id).await?.map(|(exec, _)| exec)
        } else if let Some(name) = of("/volumes/", "") {
            match self.volume(name).await? {
                VolumeSight::Seen(seen) => Some(*seen),
                VolumeSight::Taken | VolumeSight::Missing => None,
            }
        } else if let Some(name) = of("/networks/", "") {
            self.network(name).await?
        } else {
            None
        };
        Ok(match seen {
            Some(seen) => EngineAnswer {
                status: 200,
                body: seen.raw,
            },
            None => EngineAnswer {
                status: 404,
                body: Vec::new(),
            },
        })
    }

    /// The container of the owner's that a name, an id or the beginning of one means.
    pub(super) async fn container(
        &mut self,
        name: &str,
    ) -> Result<Option<SeenObject>, LookupError> {
        let mut found = None;
        if !is_prefix(name) {
            let target = format!("/containers/{}/json", encoded(name));
            found = self.inspected(&target, "Id").await?;
            found = found.filter(|found| self.made_it(found));
        }
        if found.is_none() && may_be_prefix(name) {
            let ids = self.own_containers().await?;
            if let Some(id) = only(&ids, name) {
                let target = format!("/containers/{id}/json");
                found = self.inspected(&target, "Id").await?;
            }
        }
        Ok(found.map(|found| {
            let owner = self.client.owner.label();
            self.shared.made.learn(&found.id, owner);
            self.own.push(found.id.clone());
            SeenObject {
                is_own: true,
                ..found
            }
        }))
    }

    /// The full id of a container of the owner's.
    pub(super) async fn container_id(&mut self, name: &str) -> Result<Option<String>, LookupError> {
        if self.own.iter().any(|id| id == name) {
            return Ok(Some(name.to_owned()));
        }
        Ok(self.container(name).await?.map(|found| found.id))
    }

    /// Whether the owner made the container with this full id, as far as that can be told of one that is gone.
    pub(super) async fn has_made(&mut self, id: &str) -> Result<bool, LookupError> {
        let owner = self.client.owner.label();
        if self.shared.made.knows(id, owner) {
            return Ok(true);
        }
        let found = self
            .inspected(&format!("/containers/{id}/json"), "Id")
            .await?;
        let is_made = found.is_some_and(|found| found.id == id && self.made_it(&found));
        if is_made {
            self.shared.made.learn(id, owner);
        }
        Ok(is_made)
    }

    fn made_it(&self, found: &SeenObject) -> bool {
        let config = found.tree.get("Config");
        let labels = config.and_then(|config| config.get("Labels"));
        self.made(labels, text(&found.tree, "Image"))
    }

    /// The exec instance of an id, and the container it is in, if that is the owner's.
    pub(super) async fn exec(
        &mut self,
        id: &str,
    ) -> Result<Option<(SeenObject, String)>, LookupError> {
        let target = format!("/exec/{}/json", encoded(id));
        let Some(found) = self.inspected(&target, "ID").await? else {
            return Ok(None);
        };
        let container = text(&found.tree, "ContainerID").to_owned();
        let own = self.container_id(&container).await?;
        Ok(own.map(|container| (found, container)))
    }

    /// The network that a name, an id or the beginning of one means.
    pub(super) async fn network(&mut self, name: &str) -> Result<Option<SeenObject>, LookupError> {
        let target = format!("/networks/{}", encoded(name));
        let asks = !is_prefix(name) || self.client.scope.shares_network(name);
        let mut is_ambiguous = false;
        if asks {
            match self.looked_up(&target, "Id").await? {
                Ok(found) => {
                    let is_own = self.is_own(found.tree.get("Labels"));
                    if is_own || self.client.scope.shares_network(&found.name) {
                        return Ok(Some(SeenObject { is_own, ..found }));
                    }
                }
                // Engines before 25 let two networks have one name. Another's must not hide the owner's.
                Err(status) => is_ambiguous = status == 400,
            }
        }
        if !is_ambiguous && !may_be_prefix(name) {
            return Ok(None);
        }
        let listed = self.listed("/networks").await?;
        let ids_of = |of: &dyn Fn(&Value) -> bool| -> Vec<String> {
            let found = listed.iter().filter(|network| of(network));
            found.map(|n| text(n, "Id").to_owned()).collect()
        };
        // A whole name goes before the beginning of an id, as the engine has it.
        let (named, all) = (ids_of(&|n| text(n, "Name") == name), ids_of(&|_| true));
        let by_name = only(&named, "").filter(|_| is_ambiguous);
        let by_id = || only(&all, name).filter(|_| may_be_prefix(name) && named.len() < 2);
        Ok(match by_name.or_else(by_id) {
            Some(id) => {
                let found = self.inspected(&format!("/networks/{id}"), "Id").await?;
                found.map(|found| SeenObject {
                    is_own: true,
                    ..found
                })
            }
            None => None,
        })
    }

    /// What a volume's name is.
    pub(super) async fn volume(&mut self, name: &str) -> Result<VolumeSight, LookupError> {
        let target = format!("/volumes/{}", encoded(name));
        let Some(found) = self.inspected(&target, "Name").await? else {
            return Ok(VolumeSight::Missing);
        };
        let is_own = self.is_own(found.tree.get("Labels"));
        Ok(match is_own || self.client.scope.shares_volume(name) {
            true => VolumeSight::Seen(Box::new(SeenObject { is_own, ..found })),
            false => VolumeSight::Taken,
        })
    }

    /// Whether a container with these labels is one that the owner made, and not one that has them of its image.
    fn made(&self, labels: Option<&Value>, image: &str) -> bool {
        let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        let owner = &self.client.owner;
        owner.made(label(OWNER_LABEL), label(IMAGE_LABEL), image)
    }

    /// The owner's networks or volumes.
    pub(super) async fn listed(&self, path: &str) -> Result<Vec<Value>, LookupError> {
        let (status, body) = self.asked_for(path, &[]).await?;
        let mut list = serde_json::from_slice(&body).map_err(|_| LookupError::Answer(status))?;
        let mut own = items(&mut list).map(std::mem::take).unwrap_or_default();
        own.retain(|item| self.is_own(item.get("Labels")));
        Ok(own)
    }

    /// The engine's list of the objects with the owner's label.
    pub(super) async fn asked_for(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<(u16, Vec<u8>), LookupError> {
        let mut filters = ListFilters::default();
        filters.add("label", &self.client.owner.filter());
        let mut target = format!("{path}?filters={}", encoded(&filters.to_json()));
        for (key, value) in parameters {
            target.push_str(&format!("&{key}={value}"));
        }
        let mut room = Reservation::new(self.shared.pending_bodies.all());
        let (status, body) = self.shared.upstream.get(&target, Some(&mut room)).await?;
        match status {
            200 => Ok((status, body)),
            status => Err(LookupError::Answer(status)),
        }
    }

    /// Whether labels are those of the owner's networks and volumes, which have no other labels than those they were made with.
    pub(super) fn is_own(&self, labels: Option<&Value>) -> bool {
        let label = labels.and_then(|labels| labels.get(OWNER_LABEL));
        label.and_then(Value::as_str) == Some(self.client.owner.label())
    }

    /// What the engine says of an object; `None` if it does not exist, or its name is ambiguous.
    async fn inspected(&self, target: &str, id: &str) -> Result<Option<SeenObject>, LookupError> {
        Ok(self.looked_up(target, id).await?.ok())
    }

    /// The same, with the status that says which of both it is.
    async fn looked_up(
        &self,
        target: &str,
        id: &str,
    ) -> Result<Result<SeenObject, u16>, LookupError> {
        let mut room = Reservation::new(self.shared.pending_bodies.all());
        let (status, raw) = self.shared.upstream.get(target, Some(&mut room)).await?;
        if matches!(status, 400 | 404 | 409) {
            return Ok(Err(status));
        }
        let tree: Value = match status {
            200 => serde_json::from_slice(&raw).map_err(|_| LookupError::Answer(status))?,
            status => return Err(LookupError::Answer(status)),
        };
        let name = text(&tree, "Name").trim_start_matches('/').to_owned();
        let by_name = id == "Name";
        let id = text(&tree, id).to_owned();
        if id.is_empty() {
            return Err(LookupError::Answer(status));
        }
        // Another object has the id that was asked for as its name: what had that id is gone.
        let asked = target.split('/').nth(2).unwrap_or_default();
        if !by_name && !is_asked(asked, &id) {
            return Ok(Err(404));
        }
        Ok(Ok(SeenObject {
            id,
            name,
            is_own: false,
            tree,
            raw,
        }))
    }
}

/// The text of a member; empty if it has none.
pub(super) fn text<'t>(tree: &'t Value, key: &str) -> &'t str {
    tree.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a text may be the beginning of an id. The engine compares them as they are written.
fn may_be_prefix(name: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (1..64).contains(&name.len()) && name.bytes().all(digit)
}

/// Whether it is the beginning of an id and nothing else: no object of an owner's has such a name. The engine is not asked about it,
/// since the time of its answer would tell whether another's id begins so.
fn is_prefix(name: &str) -> bool {
    may_be_prefix(name) && name.len() >= LEAST_ID
}

/// The one id that begins so.
fn only<'i>(ids: &'i [String], start: &str) -> Option<&'i String> {
    let mut found = ids.iter().filter(|id| id.starts_with(start));
    match (found.next(), found.next()) {
        (Some(id), None) => Some(id),
        _ => None,
    }
}

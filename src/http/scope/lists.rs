//! Lists, prunes and events: narrowed by the engine itself, through the one `filters` parameter that goes on.

use serde_json::Value;
use serde_json::value::RawValue;

use super::ghost::Ghosts;
use super::objects::{parsed, reduce, written};
use super::view::{OwnerView, text};
use super::{Course, Halt, ObjectKind, ScopedRequest, Status};
use crate::engine::lookup::EngineReply;
use docker_api::Operation;
use policy::scope::IMAGE_LABEL;
use policy::scope::filters::ListFilters;
use policy::scope::parameters::QueryPairs;

impl ScopedRequest<'_> {
    fn filters(query: &QueryPairs) -> Result<ListFilters, Halt> {
        ListFilters::parse(query.get("filters"))
            .map_err(|e| Halt::Refused(Status::BadRequest, format!("filters: {e}")))
    }

    /// The query with filters that only the owner's objects pass.
    fn narrowed(query: &QueryPairs, view: &OwnerView<'_>) -> Result<QueryPairs, Halt> {
        let mut filters = Self::filters(query)?;
        filters.add("label", &view.client.owner.filter());
        let mut query = query.clone();
        query.set("filters", &filters.to_json());
        Ok(query)
    }

    /// The containers that `since` and `before` name are the owner's: their order among others' would be told otherwise.
    pub(super) async fn list_containers(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut query = self.query()?;
        let mut filters = Self::filters(&query)?;
        let mut ghosts = Ghosts::default();
        let mut is_missing = false;
        for key in ["since", "before"] {
            let names: Vec<String> = filters.values(key).map(str::to_owned).collect();
            // The engine takes one name, and which one of several is not said.
            if names.len() > 1 {
                let message = format!("filters: expected one value of {key}");
                return Err(Halt::Refused(Status::BadRequest, message));
            }
            for name in names {
                let id = match view.container_id(&name).await? {
                    Some(id) => id,
                    None => {
                        is_missing = true;
                        ghosts.of(&name)?
                    }
                };
                filters.replace(key, &id);
            }
        }
        query.set("filters", &filters.to_json());
        let target = self.target("", &Self::narrowed(&query, view)?.to_suffix());
        let reply = self.perform(target, Vec::new()).await?;
        if is_missing || reply.status != 200 {
            return Ok(Course::Answer(ghosts.put_back(reply)));
        }
        Ok(Course::Answer(made_alone(view, reply)?))
    }

    /// What is shared has no label of the owner's, so it comes by a second list.
    pub(super) async fn list_shared(
        &self,
        view: &mut OwnerView<'_>,
        kind: ObjectKind,
    ) -> Result<Course, Halt> {
        let query = self.query()?;
        let target = self.target("", &Self::narrowed(&query, view)?.to_suffix());
        let scope = &view.client.scope;
        let is_shared = |name: &str| match kind {
            ObjectKind::Volume => scope.shares_volume(name),
            _ => scope.shares_network(name),
        };
        if kind == ObjectKind::Volume && scope.volumes.is_empty() {
            return Ok(Course::Retarget(target));
        }
        let mut own = self.perform(target, Vec::new()).await?;
        let all = self.target("", &query.to_suffix());
        let all = self.perform(all, Vec::new()).await?;
        if own.status != 200 || all.status != 200 {
            return Ok(Course::Answer(if own.status == 200 { all } else { own }));
        }
        let (mut list, mut others) = (parsed(&own)?, parsed(&all)?);
        let more: Vec<Value> = items(&mut others)
            .drain(..)
            .filter(|item| {
                let labels = item.get("Labels");
                is_shared(text(item, "Name")) && !view.is_own(labels)
            })
            .collect();
        let merged = items(&mut list);
        merged.extend(more);
        if kind == ObjectKind::Network {
            reduce(view, merged).await?;
        }
        own.body = written(&list);
        Ok(Course::Answer(own))
    }

    /// Events of containers alone: those of images, networks and volumes carry no label of the gate's, and are left out.
    pub(super) fn events(&self, view: &OwnerView<'_>) -> Result<Course, Halt> {
        let mut query = self.query()?;
        let mut filters = Self::filters(&query)?;
        filters.add("label", IMAGE_LABEL);
        query.set("filters", &filters.to_json());
        let query = Self::narrowed(&query, view)?;
        Ok(Course::Retarget(self.target("", &query.to_suffix())))
    }

    /// Under the owner's lock, since a volume that was just made for a container is not used yet.
    pub(super) async fn prune(
        &self,
        view: &mut OwnerView<'_>,
        kind: ObjectKind,
    ) -> Result<Course, Halt> {
        let _lock = self.lock(view).await;
        let query = self.query()?;
        let mut query = Self::narrowed(&query, view)?;
        if kind == ObjectKind::Container {
            Self::removes_own_alone(view).await?;
            let mut filters = Self::filters(&query)?;
            filters.add("label", IMAGE_LABEL);
            query.set("filters", &filters.to_json());
        }
        let target = self.target("", &query.to_suffix());
        Ok(Course::Answer(self.perform(target, Vec::new()).await?))
    }

    /// Whether nothing would be removed that has the owner's label of its image alone. The engine takes an object out that has all
    /// labels of `label!`, so that what others made cannot be kept out by it.
    async fn removes_own_alone(view: &OwnerView<'_>) -> Result<(), Halt> {
        let listed = view.listed("/containers/json", &[("all", "1")]).await?;
        let containers = listed.as_array().into_iter().flatten();
        let is_in_doubt = containers.into_iter().any(|container| {
            let labels = container.get("Labels").unwrap_or(&Value::Null);
            labels.get(IMAGE_LABEL).is_some() && !view.made_listed(container)
        });
        if !is_in_doubt {
            return Ok(());
        }
        let message = "somebody else runs an image that carries labels of yours; remove containers by their names";
        Err(Halt::Refused(Status::Conflict, message.to_owned()))
    }

    /// Images and build caches are nobody's, so a prune removes none of them. It is answered, since `docker system prune` stops at
    /// what is refused.
    pub(super) fn prune_nothing(&self) -> Course {
        let what = match self.classified.operation {
            Operation::BuildPrune => "CachesDeleted",
            _ => "ImagesDeleted",
        };
        let body = format!("{{\"{what}\":null,\"SpaceReclaimed\":0}}\n");
        Course::Answer(EngineReply {
            status: 200,
            fields: vec![("Content-Type".into(), "application/json".into())],
            body: body.into_bytes(),
        })
    }
}

/// A list of containers without those that have the owner's label of their image. The others stay as the engine wrote them.
fn made_alone(view: &OwnerView<'_>, mut reply: EngineReply) -> Result<EngineReply, Halt> {
    let wrong = |e: serde_json::Error| {
        Halt::Refused(Status::BadGateway, format!("the engine's answer: {e}"))
    };
    let items: Vec<&RawValue> = serde_json::from_slice(&reply.body).map_err(wrong)?;
    let mut kept = Vec::with_capacity(items.len());
    for item in &items {
        let container: Value = serde_json::from_str(item.get()).map_err(wrong)?;
        if view.made_listed(&container) {
            kept.push(item.get());
        }
    }
    if kept.len() < items.len() {
        let body = format!("[{}]\n", kept.join(","));
        reply.body = body.into_bytes();
    }
    Ok(reply)
}

/// The objects in a list: networks come as an array, volumes in a member.
fn items(list: &mut Value) -> &mut Vec<Value> {
    if list.is_array() {
        return list.as_array_mut().expect("an array, as was just seen");
    }
    if !list.is_object() {
        *list = Value::Object(serde_json::Map::new());
    }
    let member = &mut list["Volumes"];
    if !member.is_array() {
        *member = Value::Array(Vec::new());
    }
    member.as_array_mut().expect("an array, as was just made")
}

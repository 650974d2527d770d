//! Lists, prunes and events: narrowed by the engine itself, through the one `filters` parameter that goes on.

use serde_json::Value;

use super::ghost::Ghosts;
use super::listed::made_alone;
use super::objects::{parsed, reduce, written};
use super::view::{OwnerView, text};
use super::{Course, Halt, ObjectKind, ScopedRequest, Status};
use crate::engine::lookup::EngineReply;
use docker_api::Operation;
use policy::scope::IMAGE_LABEL;
use policy::scope::filters::ListFilters;
use policy::scope::parameters::QueryPairs;

impl ScopedRequest<'_> {
    pub(super) fn filters(query: &QueryPairs) -> Result<ListFilters, Halt> {
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
        // It is read while its end is on the way.
        let mut made = None;
        let mut read = |body: &[u8]| {
            let ends = body.ends_with(b"]\n");
            made = ends
                .then(|| made_alone(view, body, usize::MAX).ok())
                .flatten();
            made.is_some()
        };
        let mut reply = self.perform_until(target, &mut read).await?;
        if is_missing || reply.status != 200 {
            return Ok(Course::Answer(ghosts.put_back(reply)));
        }
        let wrong = |e: serde_json::Error| {
            Halt::Refused(Status::BadGateway, format!("the engine's answer: {e}"))
        };
        let made = match made {
            Some(made) => made,
            None => made_alone(view, &reply.body, usize::MAX).map_err(wrong)?,
        };
        let Some(body) = made else {
            return Ok(Course::Answer(reply));
        };
        reply.body = body;
        if let Some(most) = query.get("limit").parse().ok().filter(|most| *most > 0) {
            // What was taken out counted among the newest ones.
            query.remove("limit");
            query.set("all", "1");
            let target = self.target("", &Self::narrowed(&query, view)?.to_suffix());
            reply = self.perform(target, Vec::new()).await?;
            if reply.status == 200
                && let Some(body) = made_alone(view, &reply.body, most).map_err(wrong)?
            {
                reply.body = body;
            }
        }
        Ok(Course::Answer(reply))
    }

    /// What is shared has no label of the owner's, so it comes by a second list. Both are read to their end: what the engine let pass is
    /// not taken for the owner's unread.
    pub(super) async fn list_shared(
        &self,
        view: &mut OwnerView<'_>,
        kind: ObjectKind,
    ) -> Result<Course, Halt> {
        let query = self.query()?;
        let target = self.target("", &Self::narrowed(&query, view)?.to_suffix());
        let mut own = self.perform(target, Vec::new()).await?;
        if own.status != 200 {
            return Ok(Course::Answer(own));
        }
        let mut list = parsed(&own)?;
        let listed = items(&mut list).map_or(0, |items| items.len());
        let made = items(&mut list).map_or(0, |items| {
            items.retain(|item| view.is_own(item.get("Labels")));
            items.len()
        });
        let scope = &view.client.scope;
        let shares = kind == ObjectKind::Network || !scope.volumes.is_empty();
        if !shares {
            if made < listed {
                own.body = written(&list);
            }
            return Ok(Course::Answer(own));
        }
        let is_shared = |name: &str| match kind {
            ObjectKind::Volume => scope.shares_volume(name),
            _ => scope.shares_network(name),
        };
        let all = self.target("", &query.to_suffix());
        let all = self.perform(all, Vec::new()).await?;
        if all.status != 200 {
            return Ok(Course::Answer(all));
        }
        let mut others = parsed(&all)?;
        let others = items(&mut others).map(std::mem::take).unwrap_or_default();
        let more = others.into_iter().filter(|item| {
            let labels = item.get("Labels");
            is_shared(text(item, "Name")) && !view.is_own(labels)
        });
        if kind == ObjectKind::Volume && list.get("Volumes").is_none_or(Value::is_null) {
            list["Volumes"] = Value::Array(Vec::new());
        }
        if let Some(merged) = items(&mut list) {
            merged.extend(more);
            if kind == ObjectKind::Network {
                reduce(view, merged).await?;
            }
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
        Ok(Course::Events(self.target("", &query.to_suffix())))
    }

    /// Removes what is not used of the owner's. Only volumes are left to the engine, which says how much room they took.
    pub(super) async fn prune(
        &self,
        view: &mut OwnerView<'_>,
        kind: ObjectKind,
    ) -> Result<Course, Halt> {
        match kind {
            ObjectKind::Container => self.prune_containers(view).await,
            ObjectKind::Network => self.prune_networks(view).await,
            ObjectKind::Volume => {
                // One that was just made for a container is not used yet.
                let owner = view.client.owner.label();
                let _mounts = self.shared.owners.prune_volumes(owner).await;
                let query = Self::narrowed(&self.query()?, view)?;
                let target = self.target("", &query.to_suffix());
                Ok(Course::Answer(self.perform(target, Vec::new()).await?))
            }
        }
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
            ..EngineReply::default()
        })
    }
}

/// The objects in a list: networks come as an array, volumes in a member.
pub(super) fn items(list: &mut Value) -> Option<&mut Vec<Value>> {
    match list {
        Value::Array(items) => Some(items),
        list => list.get_mut("Volumes")?.as_array_mut(),
    }
}

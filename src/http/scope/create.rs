//! Creates of containers and volumes: what a body names is looked up and written back as what it was found to be.

mod mounts;
mod networks;

use serde_json::{Map, Value, json};

use super::budget::VolumeRoom;
use super::ghost::{Ghosts, masked};
use super::joined::{few, stamp};
use super::objects::parsed;
use super::view::{OwnerView, VolumeSight, text};
use super::{Course, EngineCall, Halt, ScopedRequest, Status};
use crate::engine::lookup::EngineReply;
use mounts::{names_volumes, paths};
use policy::scope::parameters::encoded;
use policy::scope::{IMAGE_LABEL, is_own_label};

/// A container's body on its way to what is sent.
pub(super) struct CreateDraft<'d> {
    pub(super) body: Value,
    ghosts: Ghosts,
    /// Destinations that something is mounted on.
    covered: Vec<String>,
    /// Volumes that were made for this request.
    made: &'d mut Vec<String>,
    /// How many more volumes the owner may have.
    room: VolumeRoom,
}

/// How often a create is tried whose image turns out to be another than the one that was looked at.
const TRIES: usize = 3;

impl CreateDraft<'_> {
    pub(super) fn host(&mut self) -> &mut Map<String, Value> {
        object(&mut self.body["HostConfig"])
    }

    /// Joins the owner to the image, and takes the gate's own labels that the image has out of what it gives to the container.
    fn made_of(&mut self, view: &OwnerView<'_>, image: &str, labels: Option<&Value>) {
        let own = object(&mut self.body["Labels"]);
        own.insert(IMAGE_LABEL.into(), json!(view.client.owner.of_image(image)));
        let given = labels.and_then(Value::as_object).into_iter().flatten();
        for (key, _) in given.filter(|(key, _)| is_own_label(key)) {
            own.entry(key).or_insert(json!(""));
        }
    }
}

impl ScopedRequest<'_> {
    /// A new container: stamped, with everything it joins by id, and with every volume it makes stamped as well.
    pub(super) async fn create_container(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let body = self.tree()?;
        let _mounts = match names_volumes(&body) {
            true => {
                let owner = view.client.owner.label();
                Some(self.shared.owners.mount_volumes(owner).await)
            }
            false => None,
        };
        let _lock = self.lock(view).await;
        let mut made = Vec::new();
        let created = self.create(view, body, &mut made).await;
        let is_refused = !matches!(&created, Ok(reply) if reply.status < 300);
        if is_refused {
            for name in &made {
                // What cannot be removed is the owner's, and seen by it.
                let _ = self.volume_call("DELETE", Some(name), Vec::new()).await;
            }
        }
        Ok(Course::Answer(masked(created?)))
    }

    async fn create(
        &self,
        view: &mut OwnerView<'_>,
        body: Value,
        made: &mut Vec<String>,
    ) -> Result<EngineReply, Halt> {
        let mut draft = CreateDraft {
            body,
            ghosts: Ghosts::default(),
            covered: Vec::new(),
            made,
            room: VolumeRoom::default(),
        };
        stamp(&mut draft.body["Labels"], view);
        self.joins(view, &mut draft).await?;
        self.networks(view, &mut draft).await?;
        self.grant(view, &mut draft).await?;
        let image = self.image(text(&draft.body, "Image")).await?;
        if let Some(image) = &image {
            draft.made_of(view, &image.id, image.config("Labels"));
        }
        let volumes = image.as_ref().and_then(|image| image.config("Volumes"));
        self.volumes(view, &mut draft, paths(volumes)).await?;
        // For another platform the engine may take another image than the one it told about, and a missing one may have come.
        let is_known = image.is_some() && self.query()?.get("platform").is_empty();
        for _ in 0..TRIES {
            let target = self.target("", &self.suffix());
            let body = draft.body.to_string().into_bytes();
            let reply = self.perform(target, body).await?;
            let is_done = reply.status != 201
                || is_known
                || self.is_as_drafted(view, &mut draft, &reply).await?;
            if is_done {
                if reply.status == 201 {
                    let id = parsed(&reply)?;
                    let owner = view.client.owner.label();
                    self.shared.made.learn(text(&id, "Id"), owner);
                }
                return Ok(draft.ghosts.put_back(reply));
            }
        }
        let message = "the image changed while the container was made; try again";
        Err(Halt::Refused(Status::Conflict, message.to_owned()))
    }

    /// Whether a container came to be of the image that the draft speaks about, with volumes of the owner's alone. One that did not is
    /// removed, and the draft speaks about the container's image from there on. So is one that cannot be looked at.
    async fn is_as_drafted(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
        reply: &EngineReply,
    ) -> Result<bool, Halt> {
        let id = text(&parsed(reply)?, "Id").to_owned();
        let path = format!("{}/containers/{}", self.version(), encoded(&id));
        let made = match self.inspected(&path).await {
            Ok(made) => made,
            Err(halt) => {
                // What came of this is told, and not whether the removal did.
                let _ = self.remove(&path).await;
                return Err(halt);
            }
        };
        let config = |key: &str| made.get("Config").and_then(|config| config.get(key));
        let before = draft.body.clone();
        draft.made_of(view, text(&made, "Image"), config("Labels"));
        let bare = paths(config("Volumes"));
        let is_covered = bare.iter().all(|path| draft.covers(path));
        if is_covered && draft.body == before {
            return Ok(true);
        }
        self.remove(&path).await?;
        self.unnamed(view, draft, bare).await?;
        Ok(false)
    }

    /// What the engine says of a container that it has just made.
    async fn inspected(&self, path: &str) -> Result<Value, Halt> {
        let call = EngineCall {
            method: "GET".into(),
            target: format!("{path}/json"),
            ..EngineCall::default()
        };
        match self.call(call).await? {
            reply if reply.status == 200 => parsed(&reply),
            reply => Err(Halt::Answer(reply)),
        }
    }

    /// Removes a container that was made for a draft which it does not fit.
    async fn remove(&self, path: &str) -> Result<(), Halt> {
        let call = EngineCall {
            method: "DELETE".into(),
            target: format!("{path}?v=1&force=1"),
            ..EngineCall::default()
        };
        match self.call(call).await? {
            reply if reply.status < 300 || reply.status == 404 => Ok(()),
            reply => Err(Halt::Answer(reply)),
        }
    }

    /// Containers that are joined: the owner's, by their ids.
    async fn joins(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
    ) -> Result<(), Halt> {
        for key in ["NetworkMode", "PidMode", "IpcMode", "Cgroup"] {
            let host = draft.host();
            let mode = host.get(key).and_then(Value::as_str).unwrap_or_default();
            let Some(name) = mode.strip_prefix("container:").map(str::to_owned) else {
                continue;
            };
            let id = match view.container_id(&name).await? {
                Some(id) => id,
                None => draft.ghosts.of(&name)?,
            };
            let mode = format!("container:{id}");
            draft.host().insert(key.into(), json!(mode));
        }
        let (donors, links) = (
            texts(draft.host().get("VolumesFrom")),
            texts(draft.host().get("Links")),
        );
        few("VolumesFrom and Links", donors.len() + links.len())?;
        for (at, spec) in donors.into_iter().enumerate() {
            let (name, mode) = match spec.split_once(':') {
                Some((name, mode)) => (name, format!(":{mode}")),
                None => (spec.as_str(), String::new()),
            };
            let id = match view.container(name.trim_start_matches('/')).await? {
                Some(donor) => {
                    let mounts = donor.tree.get("Mounts").and_then(Value::as_array);
                    let mounts = mounts.into_iter().flatten();
                    let destinations = mounts.map(|mount| text(mount, "Destination").to_owned());
                    draft.covered.extend(destinations);
                    donor.id
                }
                None => draft.ghosts.of(name)?,
            };
            draft.host()["VolumesFrom"][at] = json!(format!("{id}{mode}"));
        }
        for (at, link) in links.into_iter().enumerate() {
            let (name, alias) = link.split_once(':').unwrap_or((&link, &link));
            let id = match view.container_id(name.trim_start_matches('/')).await? {
                Some(id) => id,
                None => draft.ghosts.of(name)?,
            };
            // `/name:/other/alias` is how an inspected container says it.
            let alias = alias.rsplit('/').next().unwrap_or_default();
            draft.host()["Links"][at] = json!(format!("{id}:{alias}"));
        }
        Ok(())
    }

    /// A new volume. The engine answers 201 for a taken name, with the other's labels: that is a conflict here.
    pub(super) async fn create_volume(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut body = self.tree()?;
        stamp(&mut body["Labels"], view);
        let _lock = self.lock(view).await;
        let name = text(&body, "Name");
        let mut room = VolumeRoom::default();
        let is_new = name.is_empty() || !room.has(view, name).await?;
        if is_new && let Err(full) = room.fits(view).await {
            // One that exists costs nothing, and the engine's answer says whose it is.
            let exists =
                !name.is_empty() && !matches!(view.volume(name).await?, VolumeSight::Missing);
            if !exists {
                return Err(full);
            }
        }
        let target = self.target("", &self.suffix());
        let reply = self.perform(target, body.to_string().into_bytes()).await?;
        if reply.status == 201 {
            let found = parsed(&reply)?;
            let name = text(&found, "Name");
            if !view.is_own(found.get("Labels")) && !view.client.scope.shares_volume(name) {
                return Err(taken(name));
            }
        }
        Ok(Course::Answer(reply))
    }

    async fn volume_call(
        &self,
        method: &str,
        name: Option<&str>,
        body: Vec<u8>,
    ) -> Result<EngineReply, Halt> {
        let path = name.map_or("create", |name| name);
        let call = EngineCall {
            method: method.into(),
            target: format!("{}/volumes/{path}", self.version()),
            content_type: Some("application/json".into()),
            body,
        };
        self.call(call).await
    }
}

/// The refusal of a volume's name that somebody else has.
fn taken(name: &str) -> Halt {
    let message = format!("volume name \"{name}\" is already in use by somebody else");
    Halt::Refused(Status::Conflict, message)
}

/// A value as an object; any other kind of value becomes an empty object.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("an object, as was just seen")
}

/// The strings of an array.
fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

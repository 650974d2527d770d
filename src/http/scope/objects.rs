//! Requests that name one object in their path.

use serde_json::Value;

use super::ghost::{Ghosts, masked};
use super::view::{OwnerView, SeenObject, VolumeSight};
use super::{Course, Halt, ScopedRequest};
use crate::engine::lookup::EngineReply;
use docker_api::Operation;
use policy::scope::parameters::encoded;
use policy::scope::redact::redacted;

impl ScopedRequest<'_> {
    /// A container is addressed by its full id.
    pub(super) async fn on_container(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        if self.classified.operation == Operation::ContainerUpdate {
            return self.update(view).await;
        }
        match view.container_id(self.name()).await? {
            Some(id) => {
                let target = self.target(&id, &self.suffix());
                self.inspect(view, target).await
            }
            None => self.missing().await,
        }
    }

    /// Inspect's answer has the values of some variables masked; what cannot be read is not shown. Anything else goes on.
    pub(super) async fn inspect(
        &self,
        view: &OwnerView<'_>,
        target: String,
    ) -> Result<Course, Halt> {
        let patterns = &view.client.scope.redact;
        let inspects = matches!(
            self.classified.operation,
            Operation::ContainerInspect | Operation::ImageInspect
        );
        if patterns.is_empty() || !inspects {
            return Ok(Course::Retarget(target));
        }
        let mut reply = self.perform(target, Vec::new()).await?;
        if reply.status == 200 {
            let text = std::str::from_utf8(&reply.body).unwrap_or_default();
            let masked = redacted(text, patterns).map_err(|e| {
                let message = format!("the engine's answer cannot be redacted: {e}");
                Halt::Refused(super::Status::BadGateway, message)
            })?;
            reply.body = masked.into_bytes();
        }
        Ok(Course::Answer(reply))
    }

    /// The labels of a container say what it was granted.
    async fn update(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let Some(container) = view.container(self.name()).await? else {
            return self.missing().await;
        };
        self.lower(view, &container.tree)?;
        Ok(Course::Retarget(self.target(&container.id, &self.suffix())))
    }

    /// An exec instance belongs to its container.
    pub(super) async fn on_exec(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        match view.exec(self.name()).await? {
            Some(_) => Ok(Course::Forward),
            None => self.missing().await,
        }
    }

    /// A network's answer shows the containers in it; only the owner's are left.
    pub(super) async fn on_network(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let Some(network) = view.network(self.name()).await? else {
            return self.missing().await;
        };
        let target = self.target(&network.id, &self.suffix());
        let mut reply = self.perform(target, Vec::new()).await?;
        if reply.status == 200 {
            let mut tree = parsed(&reply)?;
            reduce(view, std::slice::from_mut(&mut tree)).await?;
            reply.body = written(&tree);
        }
        Ok(Course::Answer(reply))
    }

    /// A volume has no id.
    pub(super) async fn on_volume(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        // It could be another's by the time of a second look, so the answer itself says whose it is.
        let target = self.target(self.name(), &self.suffix());
        let reply = self.perform(target, Vec::new()).await?;
        if reply.status == 200 {
            let found = parsed(&reply)?;
            let is_shared = view.client.scope.shares_volume(self.name());
            if is_shared || view.is_own(found.get("Labels")) {
                return Ok(Course::Answer(reply));
            }
        }
        self.missing().await
    }

    /// The other's id in the answer about a taken name is masked.
    pub(super) async fn rename(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let Some(id) = view.container_id(self.name()).await? else {
            return self.missing().await;
        };
        let target = self.target(&id, &self.suffix());
        let reply = self.perform(target, Vec::new()).await?;
        Ok(Course::Answer(masked(reply)))
    }

    /// Under the owner's lock, since what the owner has is counted there.
    pub(super) async fn remove_container(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let _lock = self.lock(view).await;
        let Some(id) = view.container_id(self.name()).await? else {
            return self.missing().await;
        };
        let target = self.target(&id, &self.suffix());
        Ok(Course::Answer(self.perform(target, Vec::new()).await?))
    }

    pub(super) async fn remove_network(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let _lock = self.lock(view).await;
        let Some(network) = view.network(self.name()).await? else {
            return self.missing().await;
        };
        not_shared(&network, "network")?;
        let target = self.target(&network.id, &self.suffix());
        let mut reply = self.perform(target, Vec::new()).await?;
        if reply.status >= 400 {
            mask_endpoints(&mut reply.body);
        }
        Ok(Course::Answer(reply))
    }

    /// Under the owner's lock, so that between the look-up and the removal the owner cannot give the name away.
    pub(super) async fn remove_volume(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let _lock = self.lock(view).await;
        let VolumeSight::Seen(volume) = view.volume(self.name()).await? else {
            return self.missing().await;
        };
        not_shared(&volume, "volume")?;
        let target = self.target(self.name(), &self.suffix());
        // Another owner may use it where it is shared, and its containers are not told.
        Ok(Course::Answer(masked(
            self.perform(target, Vec::new()).await?,
        )))
    }

    /// What the engine answers about something that does not exist, with the name that the client used.
    pub(super) async fn missing(&self) -> Result<Course, Halt> {
        let mut ghosts = Ghosts::default();
        let target = self.target(&ghosts.of(self.name())?, &self.suffix());
        let reply = self.perform(target, self.content.to_vec()).await?;
        let hijacked = reply.status < 300
            && matches!(
                self.classified.operation,
                Operation::ContainerAttach
                    | Operation::ContainerAttachWs
                    | Operation::ExecStart
                    | Operation::ContainerArchivePut
            );
        if hijacked {
            return Err(Halt::Refused(
                super::Status::BadGateway,
                "the engine found what does not exist".into(),
            ));
        }
        Ok(Course::Answer(ghosts.put_back(reply)))
    }
}

impl ScopedRequest<'_> {
    /// An image that others use cannot be removed; the engine names the container, which is not the owner's to know.
    pub(super) async fn remove_image(&self) -> Result<Course, Halt> {
        let parts: Vec<String> = self.name().split('/').map(encoded).collect();
        let path = format!("{}/images/{}", self.version(), parts.join("/"));
        let mut reply = self
            .perform(format!("{path}{}", self.suffix()), Vec::new())
            .await?;
        if reply.status == 409 {
            mask_short_ids(&mut reply.body);
        }
        Ok(Course::Answer(reply))
    }
}

/// Masks ids of 12 digits behind the word that says whose they are.
fn mask_short_ids(body: &mut [u8]) {
    const WORD: &[u8] = b"container ";
    const ID: usize = 12;
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&body[at..], WORD) {
        at += found + WORD.len();
        if let Some(id) = body
            .get_mut(at..at + ID)
            .filter(|id| id.iter().all(u8::is_ascii_hexdigit))
        {
            id.fill(b'*');
        }
    }
}

/// Masks the names and ids of containers in the answer about a network that has some: others' may be among them, where it is shared.
fn mask_endpoints(body: &mut [u8]) {
    const WORDS: &[u8] = b"active endpoints";
    let Some(found) = memchr::memmem::find(body, WORDS) else {
        return;
    };
    let behind = body.get_mut(found + WORDS.len()..).unwrap_or_default();
    let end = behind.iter().rposition(|b| *b == b')').unwrap_or(0);
    if let Some(start) = behind[..end].iter().position(|b| *b == b'(') {
        let shown = behind.get_mut(start + 1..end).unwrap_or_default();
        shown.fill(b'*');
    }
}

/// What is only shared may be used, and neither changed nor removed.
fn not_shared(seen: &SeenObject, kind: &str) -> Result<(), Halt> {
    match seen.is_own {
        true => Ok(()),
        false => Err(Halt::Denied(format!(
            "{kind} {}: it is shared, and only its owner may remove it",
            seen.name
        ))),
    }
}

/// The body of an answer.
pub(super) fn parsed(reply: &EngineReply) -> Result<Value, Halt> {
    serde_json::from_slice(&reply.body).map_err(|e| {
        Halt::Refused(
            super::Status::BadGateway,
            format!("the engine's answer: {e}"),
        )
    })
}

/// A body as the engine writes it.
pub(super) fn written(tree: &Value) -> Vec<u8> {
    let mut text = tree.to_string();
    text.push('\n');
    text.into_bytes()
}

/// Leaves of the containers in networks only the owner's, and nothing of what a swarm tells about them.
pub(super) async fn reduce(view: &OwnerView<'_>, networks: &mut [Value]) -> Result<(), Halt> {
    let tells = |network: &Value| {
        let containers = network.get("Containers").and_then(Value::as_object);
        containers.is_some_and(|containers| !containers.is_empty())
    };
    let own = match networks.iter().any(tells) {
        true => view.own_containers().await?,
        false => Vec::new(),
    };
    for network in networks {
        let Some(network) = network.as_object_mut() else {
            continue;
        };
        network.remove("Services");
        if let Some(Value::Object(containers)) = network.get_mut("Containers") {
            containers.retain(|id, _| own.contains(id));
        }
    }
    Ok(())
}

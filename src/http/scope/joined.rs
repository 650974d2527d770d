//! Networks with containers in them, images made of containers, and builds.

use serde_json::{Value, json};

use super::ghost::{Ghosts, masked};
use super::view::{OwnerView, text};
use super::{Course, EngineCall, Halt, ScopedRequest};
use docker_api::Operation;
use policy::scope::budget::{RESOURCES, Resource};
use policy::scope::{DEFAULT_NETWORK, IMAGE_LABEL, OWNER_LABEL};

/// Most names that one request has looked up one after the other.
const MOST_NAMES: usize = 64;

/// Refuses a list of names that is too long: each of them is a question to the engine.
pub(super) fn few(field: &str, names: usize) -> Result<(), Halt> {
    match names <= MOST_NAMES {
        true => Ok(()),
        false => Err(Halt::Denied(format!(
            "{field}: {names} names, expected at most {MOST_NAMES}"
        ))),
    }
}

impl ScopedRequest<'_> {
    /// Connects or disconnects: both sides go on by their ids.
    pub(super) async fn join(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut ghosts = Ghosts::default();
        let network = match view.network(self.name()).await? {
            Some(network) => network.id,
            // A container that does not run is connected to any name, and the name is looked up when it starts.
            None if self.classified.operation == Operation::NetworkConnect => {
                return Err(self.nothing("/networks/", self.name(), "").await?);
            }
            None => ghosts.of(self.name())?,
        };
        let mut body = self.tree()?;
        let container = text(&body, "Container").to_owned();
        let id = match view.container_id(container.trim_start_matches('/')).await? {
            Some(id) => id,
            None => ghosts.of(&container)?,
        };
        body["Container"] = Value::String(id);
        if let Some(Value::Object(endpoint)) = body.get_mut("EndpointConfig") {
            self.own_links(view, endpoint).await?;
            if !endpoint.is_empty() {
                // It would win over the path.
                endpoint.insert("NetworkID".into(), json!(network));
            }
        }
        let target = self.target(&network, &self.suffix());
        let reply = self.perform(target, body.to_string().into_bytes()).await?;
        Ok(Course::Answer(ghosts.put_back(reply)))
    }

    /// The links of an endpoint give other names to containers; they have to be the owner's.
    pub(super) async fn own_links(
        &self,
        view: &mut OwnerView<'_>,
        endpoint: &serde_json::Map<String, Value>,
    ) -> Result<(), Halt> {
        let links = endpoint.get("Links").and_then(Value::as_array);
        few("Links", links.map_or(0, Vec::len))?;
        for link in links.into_iter().flatten().filter_map(Value::as_str) {
            let name = link.split(':').next().unwrap_or_default();
            let name = name.trim_start_matches('/');
            if view.container_id(name).await?.is_none() {
                return Err(Halt::Denied(format!("Links={link}: no container of yours")));
            }
        }
        Ok(())
    }

    /// The image of a container must not carry the label of its owner: a client that runs it would make containers of that owner.
    pub(super) async fn commit(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut query = self.query()?;
        let mut ghosts = Ghosts::default();
        let name = query.get("container").to_owned();
        let found = view.container_id(&name).await?;
        let container = match &found {
            Some(id) => id.clone(),
            None => ghosts.of(&name)?,
        };
        query.set("container", &container);
        // The last one wins, over the body's labels too.
        let labels = RESOURCES.map(Resource::label);
        let labels = labels
            .iter()
            .map(String::as_str)
            .chain([OWNER_LABEL, IMAGE_LABEL]);
        let labels: Vec<_> = labels.map(|label| format!("{label}=\"\"")).collect();
        query.add("changes", &format!("LABEL {}", labels.join(" ")));
        let target = self.target("", &query.to_suffix());
        match found {
            Some(_) => Ok(Course::Retarget(target)),
            None => {
                let reply = self.perform(target, self.content.to_vec()).await?;
                Ok(Course::Answer(ghosts.put_back(reply)))
            }
        }
    }

    /// The steps of a classic build run in containers, on a network like any other's.
    pub(super) async fn build(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut query = self.query()?;
        let mode = query.get("networkmode").to_owned();
        let pinned = match mode.as_str() {
            "" | "default" | DEFAULT_NETWORK => {
                shares_default(view, "?networkmode")?;
                return Ok(Course::Forward);
            }
            "none" => return Ok(Course::Forward),
            mode => match mode.strip_prefix("container:") {
                Some(name) => match view.container_id(name).await? {
                    Some(id) => format!("container:{id}"),
                    None => return Err(self.nothing("/containers/", name, "/json").await?),
                },
                None => match view.network(mode).await? {
                    Some(network) => network.id,
                    None => return Err(self.nothing("/networks/", mode, "").await?),
                },
            },
        };
        query.set("networkmode", &pinned);
        Ok(Course::Retarget(self.target("", &query.to_suffix())))
    }

    /// A new network is stamped.
    pub(super) async fn create_network(&self, view: &mut OwnerView<'_>) -> Result<Course, Halt> {
        let mut body = self.tree()?;
        stamp(&mut body["Labels"], view);
        let _lock = self.lock(view).await;
        self.network_fits(view).await?;
        let target = self.target("", &self.suffix());
        let reply = self.perform(target, body.to_string().into_bytes()).await?;
        Ok(Course::Answer(masked(reply)))
    }

    /// The engine's answer that an object does not exist.
    pub(super) async fn nothing(
        &self,
        before: &str,
        name: &str,
        after: &str,
    ) -> Result<Halt, Halt> {
        let mut ghosts = Ghosts::default();
        let call = EngineCall {
            method: "GET".into(),
            target: format!("{}{before}{}{after}", self.version(), ghosts.of(name)?),
            ..EngineCall::default()
        };
        let reply = self.call(call).await?;
        Ok(Halt::Answer(ghosts.put_back(reply)))
    }
}

/// Puts the owner's label among others.
pub(super) fn stamp(labels: &mut Value, view: &OwnerView<'_>) {
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[OWNER_LABEL] = json!(view.client.owner.label());
}

/// Fails where the network that containers join by default is not shared.
pub(super) fn shares_default(view: &OwnerView<'_>, field: &str) -> Result<(), Halt> {
    match view.client.scope.shares_network(DEFAULT_NETWORK) {
        true => Ok(()),
        false => Err(Halt::Denied(format!(
            "{field}: the network \"{DEFAULT_NETWORK}\" is not among the role's shared.networks; name a network of yours, or \"none\""
        ))),
    }
}

//! The networks of a new container, pinned to their ids: the engine looks a name up again at every start.

use serde_json::{Map, Value, json};

use super::super::joined::shares_default;
use super::super::view::OwnerView;
use super::super::{Halt, ScopedRequest};
use super::{CreateDraft, object};
use policy::scope::DEFAULT_NETWORK;

/// A network that a body names.
enum NamedNetwork {
    /// One of the engine's own, which keeps its name: no other can have it.
    Predefined(&'static str),
    /// Any other, by its id.
    Pinned(String),
}

impl ScopedRequest<'_> {
    pub(super) async fn networks(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
    ) -> Result<(), Halt> {
        let endpoints = draft.body.get("NetworkingConfig");
        let endpoints = endpoints.and_then(|config| config.get("EndpointsConfig"));
        let endpoints = endpoints.and_then(Value::as_object).cloned();
        let endpoints = endpoints.unwrap_or_default();
        let host = draft.host();
        let mode = host.get("NetworkMode").and_then(Value::as_str);
        let mode = mode.unwrap_or_default().to_owned();
        let joins = mode.starts_with("container:");
        let mut primary = None;
        if !joins {
            // Without a mode the first endpoint is what the container joins.
            let named = match (mode.as_str(), endpoints.keys().next()) {
                ("" | "default", Some(first)) => first.clone(),
                _ => mode,
            };
            let found = self.named(view, &named, "HostConfig.NetworkMode").await?;
            let mode = match &found {
                NamedNetwork::Predefined(name) => (*name).to_owned(),
                NamedNetwork::Pinned(id) => id.clone(),
            };
            draft.host().insert("NetworkMode".into(), json!(mode));
            primary = Some(mode);
        }
        if endpoints.is_empty() {
            return Ok(());
        }
        let mut pinned = Map::new();
        for (name, endpoint) in endpoints {
            let field = format!("NetworkingConfig.EndpointsConfig.{name}");
            let found = self.named(view, &name, &field).await?;
            let mut endpoint = match endpoint {
                Value::Object(endpoint) => endpoint,
                _ => Map::new(),
            };
            self.own_links(view, &endpoint).await?;
            let (key, id) = match found {
                NamedNetwork::Predefined(known) => (known.to_owned(), String::new()),
                NamedNetwork::Pinned(id) if primary.as_ref() == Some(&id) => (id.clone(), id),
                NamedNetwork::Pinned(id) => (name, id),
            };
            // It would win over the key.
            endpoint.insert("NetworkID".into(), json!(id));
            if pinned.insert(key, Value::Object(endpoint)).is_some() {
                return Err(Halt::Denied(format!("{field}: the same network twice")));
            }
        }
        let config = object(&mut draft.body["NetworkingConfig"]);
        config.insert("EndpointsConfig".into(), Value::Object(pinned));
        Ok(())
    }

    async fn named(
        &self,
        view: &mut OwnerView<'_>,
        name: &str,
        field: &str,
    ) -> Result<NamedNetwork, Halt> {
        match name {
            "" | "default" | DEFAULT_NETWORK => {
                shares_default(view, field)?;
                return Ok(NamedNetwork::Predefined(DEFAULT_NETWORK));
            }
            "none" => return Ok(NamedNetwork::Predefined("none")),
            _ => {}
        }
        let Some(network) = view.network(name).await? else {
            let mut nothing = self.nothing("/networks/", name, "").await?;
            // With 404 the docker CLI would pull the image and ask once more.
            if let Halt::Answer(reply) = &mut nothing {
                reply.status = 400;
            }
            return Err(nothing);
        };
        match network.name.as_str() {
            "host" => Err(Halt::Denied(format!("{field}: the host's own network"))),
            DEFAULT_NETWORK => Ok(NamedNetwork::Predefined(DEFAULT_NETWORK)),
            "none" => Ok(NamedNetwork::Predefined("none")),
            _ => Ok(NamedNetwork::Pinned(network.id)),
        }
    }
}

//! Lists of containers: which of them an owner made, found without reading more of each than that.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::view::OwnerView;
use crate::engine::lookup::LookupError;
use policy::scope::MadeBy;
use policy::scope::budget::Amounts;
use policy::scope::budget::{RESOURCES, Resource};

/// A text, borrowed where nothing in it is escaped.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

fn shown<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|text| &*text.0)
}

/// The gate's own labels of a container.
#[derive(Debug, Default, Deserialize)]
struct OwnLabels<'l> {
    #[serde(rename = "dockgate.owner", borrow)]
    owner: Option<Text<'l>>,
    #[serde(rename = "dockgate.image", borrow)]
    of_image: Option<Text<'l>>,
    #[serde(rename = "dockgate.memory", borrow)]
    memory: Option<Text<'l>>,
    #[serde(rename = "dockgate.cpus", borrow)]
    cpus: Option<Text<'l>>,
    #[serde(rename = "dockgate.pids", borrow)]
    pids: Option<Text<'l>>,
}

/// What is read of a container in a list.
#[derive(Debug, Deserialize)]
pub(super) struct ListedContainer<'l> {
    #[serde(rename = "Id", borrow)]
    id: Option<Text<'l>>,
    #[serde(rename = "ImageID", borrow)]
    image: Option<Text<'l>>,
    #[serde(rename = "Labels", borrow)]
    labels: Option<OwnLabels<'l>>,
}

impl ListedContainer<'_> {
    /// Its full id.
    pub(super) fn id(&self) -> &str {
        shown(self.id.as_ref()).unwrap_or_default()
    }

    /// What its labels say of its owner.
    pub(super) fn owner(&self) -> Option<&str> {
        shown(self.labels.as_ref()?.owner.as_ref())
    }

    /// What they say of its image.
    pub(super) fn of_image(&self) -> Option<&str> {
        shown(self.labels.as_ref()?.of_image.as_ref())
    }

    /// The id of its image.
    pub(super) fn image(&self) -> &str {
        shown(self.image.as_ref()).unwrap_or_default()
    }

    /// Whether it is one that the owner made, and not one that has the owner's label of its image.
    pub(super) fn is_made(&self, by: &mut MadeBy<'_>) -> bool {
        by.made(self.owner(), self.of_image(), self.image())
    }

    /// What it was granted: what a create stamps.
    pub(super) fn granted(&self) -> Amounts {
        let mut amounts = Amounts::default();
        let Some(labels) = &self.labels else {
            return amounts;
        };
        for resource in RESOURCES {
            let label = match resource {
                Resource::Memory => &labels.memory,
                Resource::Cpus => &labels.cpus,
                Resource::Pids => &labels.pids,
            };
            let amount = shown(label.as_ref()).and_then(|text| text.parse().ok());
            amounts.set(resource, amount);
        }
        amounts
    }
}

/// The containers in an engine's answer.
pub(super) fn containers(body: &[u8]) -> Result<Vec<ListedContainer<'_>>, serde_json::Error> {
    match std::str::from_utf8(body) {
        // Found to be text in one go, which is faster than text by text.
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    }
}

/// A list of containers without those that have the owner's label of their image, at most so many; `None` where all stay. Those that
/// do are as the engine wrote them.
pub(super) fn made_alone(
    view: &OwnerView<'_>,
    body: &[u8],
    most: usize,
) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let mut by = MadeBy::new(&view.client.owner);
    let made: Vec<bool> = containers(body)?
        .iter()
        .map(|container| container.is_made(&mut by))
        .collect();
    if made.len() <= most && made.iter().all(|made| *made) {
        return Ok(None);
    }
    let items: Vec<&RawValue> = serde_json::from_slice(body)?;
    let kept = items.iter().zip(&made).filter(|(_, made)| **made);
    let kept: Vec<&str> = kept.map(|(item, _)| item.get()).take(most).collect();
    Ok(Some(format!("[{}]\n", kept.join(",")).into_bytes()))
}

impl OwnerView<'_> {
    /// The full ids of all containers of the owner's.
    pub(super) async fn own_containers(&self) -> Result<Vec<String>, LookupError> {
        let own = |list: &[ListedContainer<'_>]| list.iter().map(|c| c.id().to_owned()).collect();
        self.of_made(own).await
    }

    /// Something about all containers that the owner made.
    pub(super) async fn of_made<T>(
        &self,
        told: impl FnOnce(&[ListedContainer<'_>]) -> T,
    ) -> Result<T, LookupError> {
        let (status, body) = self.asked_for("/containers/json", &[("all", "1")]).await?;
        let mut list = containers(&body).map_err(|_| LookupError::Answer(status))?;
        let mut by = MadeBy::new(&self.client.owner);
        list.retain(|container| container.is_made(&mut by));
        Ok(told(&list))
    }
}

//! The volumes of a new container. Those it makes are made with the owner's label: named ones first, so that they can be looked at,
//! and those without a name as mounts with labels.

use serde_json::{Value, json};

use super::super::joined::stamp;
use super::super::objects::parsed;
use super::super::view::{OwnerView, VolumeSight, text};
use super::super::{Halt, ScopedRequest, Status};
use super::{CreateDraft, object, taken, texts};
use policy::scope::parameters::encoded;

impl ScopedRequest<'_> {
    pub(super) async fn volumes(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
        of_image: Vec<String>,
    ) -> Result<(), Halt> {
        let mut unnamed = self.binds(view, draft).await?;
        self.mounts(view, draft).await?;
        let tmpfs = draft.host().get("Tmpfs").and_then(Value::as_object);
        let tmpfs = tmpfs.into_iter().flat_map(|map| map.keys());
        // The engine compares these as they are written: `/a/` keeps no volume from `/a`.
        let tmpfs: Vec<String> = tmpfs.filter(|path| is_clean(path)).cloned().collect();
        draft.covered.extend(tmpfs);
        unnamed.extend(paths(draft.body.get("Volumes")));
        unnamed.extend(of_image);
        self.unnamed(view, draft, unnamed).await
    }

    /// A volume without a name, with the owner's label, at each path that nothing is mounted on.
    pub(super) async fn unnamed(
        &self,
        view: &OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
        paths: Vec<String>,
    ) -> Result<(), Halt> {
        for path in paths {
            if draft.covers(&path) {
                continue;
            }
            draft.room.take(view).await?;
            let mut mount = json!({"Type": "volume", "Target": path});
            stamp(&mut mount["VolumeOptions"]["Labels"], view);
            draft.covered.push(path);
            let mounts = draft.host().entry("Mounts").or_insert(Value::Null);
            if !mounts.is_array() {
                *mounts = json!([]);
            }
            mounts
                .as_array_mut()
                .into_iter()
                .for_each(|list| list.push(mount.clone()));
        }
        Ok(())
    }

    /// `Binds`: volumes by name exist from here on; destinations alone are given back.
    async fn binds(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
    ) -> Result<Vec<String>, Halt> {
        let (mut kept, mut unnamed) = (Vec::new(), Vec::new());
        for spec in texts(draft.host().get("Binds")) {
            let parts: Vec<&str> = spec.split(':').collect();
            match parts[..] {
                [destination] => {
                    unnamed.push(destination.to_owned());
                    continue;
                }
                // The engine reads `/a:ro` as a volume without a name on /a, where others would see a host path.
                [source, other] if source.starts_with('/') && !other.starts_with('/') => {
                    let message = format!("HostConfig.Binds={spec}: expected a destination");
                    return Err(Halt::Denied(message));
                }
                [source, destination, ..] => {
                    if !source.starts_with('/') {
                        self.ensure(view, draft, source, json!({})).await?;
                    }
                    draft.covered.push(destination.to_owned());
                }
                [] => {}
            }
            kept.push(spec);
        }
        if draft.host().contains_key("Binds") {
            draft.host().insert("Binds".into(), json!(kept));
        }
        Ok(unnamed)
    }

    async fn mounts(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
    ) -> Result<(), Halt> {
        let Some(Value::Array(mut mounts)) = draft.host().remove("Mounts") else {
            return Ok(());
        };
        for mount in &mut mounts {
            draft.covered.push(text(mount, "Target").to_owned());
            if text(mount, "Type") != "volume" {
                continue;
            }
            let source = text(mount, "Source").to_owned();
            let options = object(&mut mount["VolumeOptions"]);
            let labels = options.entry("Labels").or_insert(Value::Null);
            stamp(labels, view);
            if source.is_empty() {
                draft.room.take(view).await?;
                continue;
            }
            let driver = options.get("DriverConfig");
            let part = |key: &str| driver.and_then(|driver| driver.get(key)).cloned();
            let volume = json!({
                "Driver": part("Name").unwrap_or_default(),
                "DriverOpts": part("Options").unwrap_or_default(),
                "Labels": options.get("Labels"),
            });
            self.ensure(view, draft, &source, volume).await?;
        }
        draft.host().insert("Mounts".into(), Value::Array(mounts));
        Ok(())
    }

    /// Sees to it that a volume exists which the owner may use. One that is nobody's is made, and looked at: another tool may
    /// have been faster.
    async fn ensure(
        &self,
        view: &mut OwnerView<'_>,
        draft: &mut CreateDraft<'_>,
        name: &str,
        mut volume: Value,
    ) -> Result<(), Halt> {
        if draft.room.has(view, name).await? {
            return Ok(());
        }
        // Where the list says that it is not the owner's, making it says whose it is.
        let is_listed = view.client.scope.budget.volumes.is_some();
        let fits = draft.room.fits(view).await;
        if !is_listed || fits.is_err() || view.client.scope.shares_volume(name) {
            match view.volume(name).await? {
                VolumeSight::Seen(_) => return Ok(()),
                VolumeSight::Taken => return Err(taken(name)),
                VolumeSight::Missing => {}
            }
        }
        fits?;
        volume["Name"] = json!(name);
        stamp(&mut volume["Labels"], view);
        let reply = self
            .volume_call("POST", None, volume.to_string().into_bytes())
            .await?;
        match reply.status {
            201 => {}
            // Somebody else's, of another driver.
            409 => return Err(taken(name)),
            _ => return Err(Halt::Answer(reply)),
        }
        if !view.is_own(parsed(&reply)?.get("Labels")) {
            return Err(taken(name));
        }
        draft.room.made(name);
        draft.made.push(name.to_owned());
        Ok(())
    }

    /// The image of a new container; `None` for one that is not there, with which the create will fail.
    pub(super) async fn image(&self, image: &str) -> Result<Option<SeenImage>, Halt> {
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        if image.split('/').any(is_odd) {
            return Err(Halt::Denied(format!(
                "Image={image}: expected an image's name"
            )));
        }
        let parts: Vec<String> = image.split('/').map(encoded).collect();
        let target = format!("/images/{}/json", parts.join("/"));
        let mut room = crate::limits::Reservation::new(self.shared.pending_bodies.all());
        let (status, body) = self.shared.upstream.get(&target, Some(&mut room)).await?;
        match status {
            200 => {}
            400 | 404 => return Ok(None),
            status => {
                let message = format!("the engine answered {status} about image {image}");
                return Err(Halt::Refused(Status::BadGateway, message));
            }
        }
        let wrong = |e: serde_json::Error| {
            Halt::Refused(Status::BadGateway, format!("the engine's answer: {e}"))
        };
        let tree: Value = serde_json::from_slice(&body).map_err(wrong)?;
        let id = text(&tree, "Id").to_owned();
        Ok(Some(SeenImage { id, tree }))
    }
}

/// An image, as the engine tells about it.
pub(super) struct SeenImage {
    pub(super) id: String,
    tree: Value,
}

impl SeenImage {
    /// What containers of it get by default.
    pub(super) fn config(&self, key: &str) -> Option<&Value> {
        self.tree.get("Config").and_then(|config| config.get(key))
    }
}

impl CreateDraft<'_> {
    /// Whether something is mounted on a path.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.covered.iter().any(|other| same_path(other, path))
    }
}

/// Whether a body names volumes to mount. They exist before the container does that uses them.
pub(super) fn names_volumes(body: &Value) -> bool {
    let host = body.get("HostConfig");
    let binds = texts(host.and_then(|host| host.get("Binds")));
    let is_named = |spec: &String| spec.contains(':') && !spec.starts_with('/');
    let mounts = host.and_then(|host| host.get("Mounts"));
    let mut mounts = mounts.and_then(Value::as_array).into_iter().flatten();
    let has_source =
        |mount: &Value| text(mount, "Type") == "volume" && !text(mount, "Source").is_empty();
    binds.iter().any(is_named) || mounts.any(has_source)
}

/// The paths of a configuration's `Volumes`.
pub(super) fn paths(volumes: Option<&Value>) -> Vec<String> {
    let volumes = volumes.and_then(Value::as_object).into_iter().flatten();
    volumes.map(|(path, _)| path.clone()).collect()
}

/// Whether two destinations are the same directory, as the engine cleans them.
fn same_path(a: &str, b: &str) -> bool {
    parts(a) == parts(b)
}

/// Whether cleaning changes nothing of a destination.
fn is_clean(path: &str) -> bool {
    path.strip_prefix('/') == Some(&*parts(path).join("/"))
}

fn parts(path: &str) -> Vec<&str> {
    let mut clean = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = clean.pop(),
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::{is_clean, same_path};

    #[test]
    fn a_tmpfs_counts_only_as_the_engine_compares_it() {
        for clean in ["/", "/a", "/a/b", "/a b"] {
            assert!(is_clean(clean), "{clean}");
        }
        for odd in ["", "a", "/a/", "//a", "/a/./b", "/a/../b", "/a//b"] {
            assert!(!is_clean(odd), "{odd}");
        }
        assert!(same_path("/a/", "//b/../a") && !same_path("/a", "/b"));
    }
}

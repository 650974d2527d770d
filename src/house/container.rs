//! The container the gate runs in: recognised by its mounts, and described by the engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::published::{self, AskedNetwork, PortsInUse, ServicePorts};
use super::said;
use crate::engine::Upstream;
use policy::OwnService;

/// Most containers that are looked at where the mounts name another one's network files.
const MOST: usize = 256;

/// What the engine mounts into every container from its own directory.
const NETWORK_FILES: &[&str] = &["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// What the gate can see of where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    entries: Vec<MountEntry>,
    marked: bool,
}

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
struct MountEntry {
    /// The path in the mounted file system.
    root: PathBuf,
    point: PathBuf,
    kind: String,
    upper: Option<String>,
}

/// A mount of the gate's container: where, what of the host, and the volume's name if it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    source: PathBuf,
    volume: Option<String>,
}

/// The mounts of the gate's container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

/// The gate's own container, as the engine describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its full id.
    pub id: String,
    /// Its image's id.
    pub image: String,
    /// The names of its image.
    pub names: Vec<String>,
    /// Its mounts.
    pub mounts: Mounts,
    /// Where the host keeps the files of the container itself.
    pub layers: Vec<String>,
    /// The swarm service whose task it is.
    pub service: Option<OwnService>,
    /// The TCP ports of the host that lead to it; `None` if it has the host's network, or they are not known.
    pub published: Option<Vec<u16>>,
}

impl Surroundings {
    /// Looks around.
    #[must_use]
    pub fn look() -> Self {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let marked = ["/.dockerenv", "/run/.containerenv"]
            .iter()
            .any(|mark| Path::new(mark).exists());
        Self::read(&text, marked)
    }

    /// What `mountinfo` says; `marked` says that a container engine has left its mark.
    #[must_use]
    pub fn read(mountinfo: &str, marked: bool) -> Self {
        Self {
            entries: mountinfo.lines().filter_map(MountEntry::read).collect(),
            marked,
        }
    }

    /// Whether the gate sees other files than the engine does.
    #[must_use]
    pub fn in_container(&self) -> bool {
        self.candidate().is_some() || (self.marked && self.upper().is_some())
    }

    /// The mounts as the kernel shows them: the host's path where its file system is mounted at the host's root.
    #[must_use]
    pub fn mounts(&self) -> Mounts {
        let mounts = self.entries.iter().filter(|entry| entry.is_bind());
        Mounts(
            mounts
                .map(|entry| Mount {
                    point: entry.point.clone(),
                    source: entry.root.clone(),
                    volume: None,
                })
                .collect(),
        )
    }

    /// The container whose network files are mounted: the gate's own, unless it shares another's network.
    fn candidate(&self) -> Option<String> {
        let entries = self.entries.iter().filter(|entry| {
            NETWORK_FILES
                .iter()
                .any(|file| entry.point == Path::new(file))
        });
        entries
            .filter_map(|entry| {
                let text = entry.root.to_str()?;
                let (_, rest) = text.rsplit_once("/containers/")?;
                let id = rest.split('/').next()?;
                is_id(id).then(|| id.to_owned())
            })
            .next()
    }

    fn upper(&self) -> Option<&str> {
        let root = self
            .entries
            .iter()
            .rfind(|entry| entry.point == Path::new("/"))?;
        root.upper.as_deref()
    }

    /// Whether an inspected container is this one: it has the same writable layer, or where the engine does not say, the same
    /// mounts.
    fn fits(&self, found: &Inspected) -> bool {
        let upper = found.graph_driver.as_ref().and_then(Driver::upper);
        if let (Some(own), Some(its)) = (self.upper(), upper) {
            return own == its;
        }
        let its: Vec<&Path> = found
            .mounts
            .iter()
            .flatten()
            .map(|mount| Path::new(&mount.destination))
            .collect();
        let own = |point: &&Path| self.entries.iter().any(|entry| entry.point == **point);
        let mut bound = self.entries.iter().filter(|entry| entry.is_bind());
        its.iter().all(own)
            && bound.all(|entry| {
                its.contains(&entry.point.as_path())
                    || NETWORK_FILES
                        .iter()
                        .any(|file| entry.point == Path::new(file))
            })
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl MountEntry {
    fn read(line: &str) -> Option<Self> {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut rest = rest.splitn(3, ' ');
        let kind = rest.next()?;
        let options = rest.nth(1).unwrap_or_default();
        let upper = options
            .split(',')
            .find_map(|option| option.strip_prefix("upperdir="));
        Some(Self {
            root: unescaped(root),
            point: unescaped(point),
            kind: kind.to_owned(),
            upper: upper.map(str::to_owned),
        })
    }

    fn is_bind(&self) -> bool {
        let virtual_kinds = [
            "overlay", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue",
        ];
        !virtual_kinds.contains(&self.kind.as_str())
    }
}

/// The kernel writes space, tab, line feed and backslash as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

impl Mounts {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn covering(&self, path: &Path) -> Option<&Mount> {
        let mounts = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        mounts.max_by_key(|mount| mount.point.components().count())
    }

    /// The host's path of a path in the container, if it is mounted from there.
    pub(super) fn on_host(&self, path: &Path) -> Option<PathBuf> {
        let mount = self.covering(path)?;
        let rest = path.strip_prefix(&mount.point).ok()?;
        Some(match rest.as_os_str().is_empty() {
            true => mount.source.clone(),
            false => mount.source.join(rest),
        })
    }

    /// What of the host is mounted below a directory of the container.
    pub(super) fn below<'m>(&'m self, directory: &'m Path) -> impl Iterator<Item = PathBuf> + 'm {
        let mounts = self.0.iter();
        mounts
            .filter(move |mount| mount.point.starts_with(directory))
            .map(|mount| mount.source.clone())
    }

    /// The volume that a path of the container lies in.
    pub(super) fn volume_of(&self, path: &Path) -> Option<&str> {
        self.covering(path)?.volume.as_deref()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    image: String,
    config: Option<InspectedConfig>,
    mounts: Option<Vec<InspectedMount>>,
    graph_driver: Option<Driver>,
    host_config: Option<AskedNetwork>,
    network_settings: Option<PortsInUse>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

impl InspectedConfig {
    /// What swarm wrote on the container of a task.
    fn service(&self) -> Option<OwnService> {
        let label = |name: &str| {
            let labels = self.labels.as_ref()?;
            labels.get(&format!("com.docker.swarm.{name}")).cloned()
        };
        Some(OwnService {
            id: label("service.id").filter(|id| !id.is_empty())?,
            name: label("service.name").unwrap_or_default(),
            task: label("task.id").unwrap_or_default(),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedMount {
    r#type: String,
    name: String,
    source: String,
    destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Driver {
    data: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Driver {
    fn dir(&self, name: &str) -> Option<&str> {
        self.data.as_ref()?.get(name)?.as_str()
    }

    fn upper(&self) -> Option<&str> {
        self.dir("UpperDir")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Info {
    docker_root_dir: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    id: String,
    repo_tags: Option<Vec<String>>,
}

/// Asks the engine which container this is; `None` if it is not one of this engine's.
pub(super) async fn find(
    surroundings: &Surroundings,
    upstream: &Upstream,
) -> Result<Option<Own>, String> {
    if let Some(id) = surroundings.candidate()
        && let Some(found) = inspect(upstream, &id).await?
        && surroundings.fits(&found)
    {
        return own(found, upstream).await.map(Some);
    }
    // With another's network (`network_mode: container:…`) the files above are the other's.
    let listed: Option<Vec<Listed>> = get(upstream, "/containers/json").await?;
    let listed = listed.unwrap_or_default();
    if listed.len() > MOST {
        return Err(format!(
            "the engine has more than {MOST} containers to look at"
        ));
    }
    for entry in listed.iter().filter(|entry| is_id(&entry.id)) {
        if let Some(found) = inspect(upstream, &entry.id).await?
            && surroundings.fits(&found)
        {
            return own(found, upstream).await.map(Some);
        }
    }
    Ok(None)
}

async fn own(found: Inspected, upstream: &Upstream) -> Result<Own, String> {
    let service = found.config.as_ref().and_then(InspectedConfig::service);
    let published = published(&found, service.as_ref(), upstream).await;
    let mut names: Vec<String> = found
        .config
        .into_iter()
        .map(|config| config.image)
        .collect();
    // A service's image has its digest behind the name.
    for name in &mut names {
        if let Some((tagged, _)) = name.split_once('@') {
            *name = tagged.to_owned();
        }
    }
    if is_id(found.image.strip_prefix("sha256:").unwrap_or_default()) {
        let target = format!("/images/{}/json", found.image);
        let image: Option<Listed> = get(upstream, &target).await?;
        names.extend(
            image
                .and_then(|image| image.repo_tags)
                .into_iter()
                .flatten(),
        );
    }
    let driver = found.graph_driver.unwrap_or_default();
    // The image's own layers are what the gate's program lies in.
    let layers = ["MergedDir", "UpperDir", "WorkDir", "LowerDir", "RootDir"]
        .iter()
        .filter_map(|name| driver.dir(name))
        .flat_map(|dirs| dirs.split(':'))
        .filter(|dir| dir.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let mounts = found.mounts.into_iter().flatten();
    let mounts = mounts
        .filter(|mount| mount.source.starts_with('/'))
        .map(|mount| Mount {
            point: mount.destination.into(),
            source: mount.source.into(),
            volume: Some(mount.name).filter(|name| mount.r#type == "volume" && !name.is_empty()),
        })
        .collect();
    Ok(Own {
        id: found.id,
        image: found.image,
        names,
        mounts: Mounts(mounts),
        layers,
        service,
        published,
    })
}

/// The ports of the host that lead to a container.
async fn published(
    found: &Inspected,
    service: Option<&OwnService>,
    upstream: &Upstream,
) -> Option<Vec<u16>> {
    let other = found.host_config.as_ref().and_then(AskedNetwork::joined);
    let joined = match other {
        Some(id) => inspect(upstream, id).await.ok()?,
        None => None,
    };
    let from = joined.as_ref().unwrap_or(found);
    let mut ports = published::ports(from.host_config.as_ref()?, from.network_settings.as_ref())?;
    if let Some(service) = service {
        // Only managers know it.
        let target = format!("/services/{}", service.id);
        let service: ServicePorts = get(upstream, &target).await.ok()??;
        ports.extend(service.ports());
    }
    Some(ports)
}

/// Asks the engine where it keeps its data; `None` if it answers without saying.
pub(super) async fn data_root(upstream: &Upstream) -> Result<Option<String>, String> {
    let (_, body) = upstream.get("/info", None).await.map_err(|e| said(&e))?;
    let info: Info = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Some(info.docker_root_dir).filter(|root| root.starts_with('/')))
}

async fn inspect(upstream: &Upstream, id: &str) -> Result<Option<Inspected>, String> {
    let found: Option<Inspected> = get(upstream, &format!("/containers/{id}/json")).await?;
    Ok(found.filter(|found| found.id == id))
}

/// `GET target` as JSON; `None` for a 404.
async fn get<T: for<'de> Deserialize<'de>>(
    upstream: &Upstream,
    target: &str,
) -> Result<Option<T>, String> {
    let (status, body) = upstream.get(target, None).await.map_err(|e| said(&e))?;
    match status {
        200 => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| format!("GET {target}: the engine's answer is not what was expected")),
        404 => Ok(None),
        status => Err(format!("GET {target}: the engine answered {status}")),
    }
}

#[cfg(test)]
mod tests;

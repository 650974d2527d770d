//! The files of a configuration, and what of the file system around them counts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::listen::Listen;
use crate::config::{AuditSink, Config};
use policy::ImagePattern;

use super::container::Mounts;

/// Directories that many things share: of a file that lies in one of them the file counts, not the directory.
const SHARED: &[&str] = &[
    "/", "/etc", "/run", "/tmp", "/var", "/var/lib", "/var/log", "/var/run", "/var/tmp", "/usr",
    "/home", "/root", "/opt",
];

/// How far around a path the house reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// A file with the directory it lies in.
    File,
    /// A directory.
    Directory,
    /// A file alone: others have their files beside it.
    Alone,
}

/// Everything the configuration names that limited roles must not reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    places: Vec<(PathBuf, Extent)>,
    homes: Vec<PathBuf>,
    /// Host paths the operator added.
    pub named_paths: Vec<String>,
    /// Volumes the operator added.
    pub named_volumes: Vec<String>,
    /// Images the operator added.
    pub named_images: Vec<ImagePattern>,
    /// TCP ports that are listened on.
    pub ports: Vec<u16>,
}

impl Survey {
    /// The files of a configuration. Follows links, so that it blocks on the file system.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut survey = Self {
            homes: std::env::var_os("HOME")
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            named_volumes: config.protected.volumes.clone(),
            named_images: config.protected.images.clone(),
            ..Self::default()
        };
        for path in &config.protected.paths {
            survey
                .named_paths
                .extend(spellings(path).iter().map(|path| text(path)));
        }
        let tls = config.tls_paths();
        for file in [&tls.ca, &tls.cert, &tls.key] {
            survey.add(file, Extent::File);
        }
        for crl in tls.crl.iter().chain(&tls.crl_if_present) {
            let extent = match crl.is_dir() {
                true => Extent::Directory,
                false => Extent::File,
            };
            survey.add(crl, extent);
        }
        if let Some(auto) = &config.auto_certs {
            survey.add(&auto.dir, Extent::Directory);
        }
        let enroll = config.enroll.iter().map(|enroll| &enroll.dir);
        for dir in enroll.chain(config.enrolled.iter().map(|gate| &gate.dir)) {
            survey.add(dir, Extent::Directory);
        }
        let rules = config.enroll.iter().filter_map(|it| it.config.as_ref());
        for file in config.files.iter().chain(rules) {
            survey.add(file, Extent::File);
        }
        if let Some(AuditSink::File(file)) = &config.audit {
            survey.add(file, Extent::File);
        }
        for socket in config.control_socket.iter().chain(&config.authz_plugin) {
            survey.add(socket, Extent::File);
        }
        survey.add(&config.upstream, Extent::Alone);
        let signer = config.enroll.iter().map(|enroll| enroll.listen.port());
        let metrics = config.metrics.iter().map(SocketAddr::port);
        let hosts = config.listen.iter().filter_map(Listen::port);
        survey.listening(hosts.chain(signer).chain(metrics))
    }

    /// Adds ports of sockets that are bound, which the configuration may leave to the kernel or to the service manager.
    #[must_use]
    pub fn listening(mut self, ports: impl Iterator<Item = u16>) -> Self {
        self.ports.extend(ports.filter(|port| *port != 0));
        self
    }

    fn add(&mut self, path: &Path, extent: Extent) {
        for path in spellings(path) {
            if !self.places.contains(&(path.clone(), extent)) {
                self.places.push((path, extent));
            }
        }
    }

    /// The paths that count where the gate sees the same files as the engine.
    pub(super) fn on_host(&self) -> Vec<String> {
        let places = self.places.iter();
        places
            .flat_map(|(path, extent)| self.around(path, *extent))
            .collect()
    }

    /// The paths on the engine's host that lie behind the mounts of the gate's container.
    pub(super) fn through(&self, mounts: &Mounts) -> Vec<String> {
        let mut found = Vec::new();
        for (path, extent) in &self.places {
            if let Some(host) = mounts.on_host(path) {
                found.extend(self.around(&host, *extent));
            }
            // The directory may come from somewhere else than the file that is mounted into it.
            if let (Extent::File, Some(parent)) = (extent, path.parent())
                && !self.is_shared(parent)
                && let Some(host) = mounts.on_host(parent)
            {
                found.push(text(&host));
            }
            if *extent == Extent::Directory {
                found.extend(mounts.below(path).map(|host| text(&host)));
            }
        }
        found
    }

    /// The volumes among the mounts that hold a part of the house.
    pub(super) fn volumes(&self, mounts: &Mounts) -> Vec<String> {
        let places = self.places.iter();
        places
            .filter_map(|(path, _)| mounts.volume_of(path))
            .map(str::to_owned)
            .collect()
    }

    fn around(&self, path: &Path, extent: Extent) -> Vec<String> {
        match (extent, path.parent()) {
            (Extent::File, Some(parent)) if !self.is_shared(parent) => {
                vec![text(parent), text(path)]
            }
            _ => vec![text(path)],
        }
    }

    fn is_shared(&self, directory: &Path) -> bool {
        is_shared(directory) || self.homes.iter().any(|home| directory == home)
    }
}

/// Whether many things have their files in a directory, the homes of users among them.
#[must_use]
pub fn is_shared(directory: &Path) -> bool {
    SHARED.iter().any(|shared| directory == Path::new(shared))
        || directory.parent() == Some(Path::new("/home"))
}

/// A path as it is written and as it is, links followed.
fn spellings(path: &Path) -> Vec<PathBuf> {
    let written = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut spellings = vec![written.clone()];
    // What does not exist yet (an audit file) has a directory that may be a link.
    let real = std::fs::canonicalize(&written).ok().or_else(|| {
        let parent = std::fs::canonicalize(written.parent()?).ok()?;
        Some(parent.join(written.file_name()?))
    });
    spellings.extend(real.filter(|real| *real != written));
    spellings
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;

    fn survey(places: &[(&str, Extent)]) -> Survey {
        Survey {
            places: places
                .iter()
                .map(|(path, extent)| (PathBuf::from(path), *extent))
                .collect(),
            homes: vec!["/home/ada".into(), "/srv/home".into()],
            ..Survey::default()
        }
    }

    #[test]
    fn a_file_counts_with_its_directory_unless_many_share_that() {
        for (file, found) in [
            ("/etc/dockgate/ca.pem", "/etc/dockgate"),
            ("/srv/gate/key.pem", "/srv/gate"),
            ("/home/ada/certs/key.pem", "/home/ada/certs"),
        ] {
            let paths = survey(&[(file, Extent::File)]).on_host();
            assert_eq!(paths, [found, file], "{file}");
        }
        for file in [
            "/ca.pem",
            "/etc/ca.pem",
            "/run/control.sock",
            "/var/run/control.sock",
            "/tmp/policy.toml",
            "/var/log/audit.jsonl",
            "/root/key.pem",
            "/home/ada/key.pem",
            "/home/bob/key.pem",
            "/srv/home/key.pem",
        ] {
            assert_eq!(survey(&[(file, Extent::File)]).on_host(), [file]);
        }
        assert_eq!(
            survey(&[("/data/engine/docker.sock", Extent::Alone)]).on_host(),
            ["/data/engine/docker.sock"]
        );
        assert_eq!(survey(&[("/etc", Extent::Directory)]).on_host(), ["/etc"]);
    }

    #[test]
    fn in_a_container_the_paths_of_the_host_behind_the_mounts_count() {
        let mountinfo = "1 0 8:1 /srv/gate/ca.pem /certs/ca.pem ro - ext4 /dev/sda1 rw\n\
                         2 0 8:1 /srv/lists /certs/crl ro - ext4 /dev/sda1 rw\n\
                         3 0 8:1 /run/docker.sock /var/run/docker.sock ro - ext4 /dev/sda1 rw\n";
        let mounts = Surroundings::read(mountinfo, false).mounts();
        let found = survey(&[
            ("/certs/ca.pem", Extent::File),
            ("/certs", Extent::Directory),
            ("/var/run/docker.sock", Extent::Alone),
            ("/inside/only.pem", Extent::File),
        ])
        .through(&mounts);
        // The CA's key may lie beside the certificate that is mounted alone.
        for path in [
            "/srv/gate",
            "/srv/gate/ca.pem",
            "/srv/lists",
            "/run/docker.sock",
        ] {
            assert!(found.contains(&path.to_owned()), "{path}: {found:?}");
        }
        assert!(!found.iter().any(|path| path.starts_with("/inside")));
    }
}

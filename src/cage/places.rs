//! What the gate still has in its cage: the files that its configuration names, and the few of the system that it reads.
//!
//! A file is mostly replaced by another of its name (renewal, `mv`, Kubernetes' links), and Landlock knows files by what they
//! are, not by name. So the directory of a file is granted, by its name and where links lead; a directory that many share
//! is not, and there the file alone is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags};

use crate::config::{AuditSink, Config};
use crate::house;

/// What a place is kept open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceRight {
    /// Files are read, directories listed.
    Read,
    /// Files are made and written to.
    Write,
    /// Files are read, made, replaced and removed.
    Keep,
    /// Files are removed.
    Remove,
}

impl PlaceRight {
    pub(super) fn rights(self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::WriteFile | AccessFs::MakeReg;
        match self {
            Self::Read => read,
            Self::Write => write,
            Self::Keep => {
                read | write
                    | AccessFs::Truncate
                    | AccessFs::RemoveFile
                    | AccessFs::RemoveDir
                    | AccessFs::MakeDir
                    | AccessFs::MakeSym
                    | AccessFs::Refer
            }
            Self::Remove => AccessFs::RemoveFile.into(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Keep => "writes and deletes in",
            Self::Remove => "may delete in",
        }
    }
}

/// The places that stay open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPlaces {
    places: Vec<(PathBuf, PlaceRight)>,
    /// Device and inode of what may be read, as it was when the cage was made.
    readable: Vec<(u64, u64)>,
    /// The addresses of this host's interfaces are looked at.
    pub(super) interfaces: bool,
    /// Certificates are written, whose modes are set as they are made.
    pub(super) keeps: bool,
}

/// What tells of interfaces, besides the process's own directory.
const INTERFACES: &[&str] = &["/sys/class/net", "/sys/devices"];

/// What the metrics and the explanation of a broken socket read.
const SYSTEM: &[&str] = &["/proc/self", "/proc/uptime"];

impl KeptPlaces {
    /// What a configuration needs. Follows links, so that it blocks on the file system.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut kept = Self {
            interfaces: config.auto_certs.is_some(),
            keeps: config.auto_certs.is_some(),
            ..Self::default()
        };
        for path in SYSTEM {
            kept.grant(Path::new(path), PlaceRight::Read);
        }
        if kept.interfaces {
            for path in INTERFACES {
                kept.grant(Path::new(path), PlaceRight::Read);
            }
        }
        // Read as soon as it exists, where no other is named.
        if config.config_file.is_none() {
            kept.grant(Path::new("/etc/dockgate"), PlaceRight::Read);
        }
        for file in files(config) {
            kept.read(&file);
        }
        if let Some(auto) = &config.auto_certs {
            kept.grant(&auto.dir, PlaceRight::Keep);
        }
        // Its directories are replaced as a whole, by another process.
        if let Some(gate) = &config.enrolled {
            kept.grant(&gate.dir, PlaceRight::Read);
        }
        if let Some(AuditSink::File(file)) = &config.audit {
            // The whole directory even where it is shared: a rotated file is made again.
            for dir in spellings(file).iter().filter_map(|path| path.parent()) {
                kept.grant(dir, PlaceRight::Write);
            }
        }
        if let Some(dir) = config.control_socket.as_deref().and_then(Path::parent)
            && !house::is_shared(dir)
        {
            kept.grant(dir, PlaceRight::Remove);
        }
        kept
    }

    /// The places, for rules.
    pub fn all(&self) -> impl Iterator<Item = (&Path, PlaceRight)> {
        self.places
            .iter()
            .map(|(path, grant)| (path.as_path(), *grant))
    }

    /// The places of the configuration, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let own = |path: &Path| {
            let mut system = SYSTEM.iter().chain(INTERFACES).map(Path::new);
            !system.any(|other| other == path)
        };
        self.all()
            .filter(|(path, _)| own(path) && path.exists())
            .map(|(path, grant)| format!("{} {}", grant.word(), path.display()))
            .collect()
    }

    /// A file of `config` that lies elsewhere.
    pub(super) fn outside(&self, config: &Config) -> Option<PathBuf> {
        let is_kept = |dir: &PathBuf| self.places.contains(&(dir.clone(), PlaceRight::Keep));
        let auto = config.auto_certs.iter().map(|auto| auto.dir.clone());
        let moved = auto.filter(|dir| !is_kept(dir));
        let unread = files(config)
            .into_iter()
            .filter(|file| !self.is_readable(file));
        moved.chain(unread).next()
    }

    /// Whether a file, or the place where it would be, is one of those that were granted or lies below one.
    fn is_readable(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path).or_else(|_| fs::canonicalize(parent(path)));
        let Ok(real) = real else {
            // What cannot be told is not blamed on the cage.
            return true;
        };
        real.ancestors()
            .any(|place| identity(place).is_some_and(|identity| self.readable.contains(&identity)))
    }

    /// A file, with its directory where that is not shared.
    fn read(&mut self, file: &Path) {
        for path in spellings(file) {
            let dir = parent(&path);
            match house::is_shared(dir) || path.is_dir() {
                true => self.grant(&path, PlaceRight::Read),
                false => self.grant(dir, PlaceRight::Read),
            }
        }
    }

    fn grant(&mut self, path: &Path, grant: PlaceRight) {
        let place = (path.to_owned(), grant);
        if self.places.contains(&place) {
            return;
        }
        self.places.push(place);
        if matches!(grant, PlaceRight::Read | PlaceRight::Keep) {
            self.readable.extend(identity(path));
        }
    }
}

/// The files that a configuration reads, at the start and at each reload.
fn files(config: &Config) -> Vec<PathBuf> {
    let tls = config.tls_paths();
    let mut files = vec![tls.ca, tls.cert, tls.key];
    files.extend(tls.crl);
    files.extend(tls.crl_if_present);
    files.extend(config.travelled_deny_list());
    files.extend(config.files.iter().cloned());
    files
}

/// A path as it is written and as it is, links followed.
fn spellings(path: &Path) -> Vec<PathBuf> {
    let written = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = fs::canonicalize(&written).or_else(|_| {
        let name = written.file_name().unwrap_or_default();
        fs::canonicalize(parent(&written)).map(|dir| dir.join(name))
    });
    let mut spellings = vec![written];
    spellings.extend(real.ok().filter(|real| *real != spellings[0]));
    spellings
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

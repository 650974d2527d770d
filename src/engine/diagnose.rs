//! Why the engine's socket cannot be used, in words that end in a cure.
//!
//! [`diagnose`] looks at the file system once, after a failed connect, and never again: call it per failure that is reported,
//! not per request that fails. It does not connect. The texts are fit for a client's 502 as they are: they name the socket's
//! path, owner, group and mode, which is what the person who runs the gate needs, and nothing else.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What `/proc/self/mountinfo` is read up to.
const MAX_MOUNTINFO: u64 = 4 << 20;

/// The id that stands for everybody who has no id in this user namespace.
const OVERFLOW_ID: u32 = 65_534;

/// What keeps the engine's socket from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketProblem {
    /// The socket's path as configured.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub cause: Cause,
}

/// Why a socket cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is nothing by that name.
    Missing {
        /// The nearest directory above it that exists.
        nearest: PathBuf,
    },
    /// The socket's mode keeps this process out.
    Permission(Access),
    /// The mode would let this process in; something else (a security module, a read-only view) does not.
    Forbidden(Access),
    /// A directory on the way cannot be entered.
    Unreachable {
        /// That directory.
        dir: PathBuf,
    },
    /// It is something else, such as a directory (which Docker makes where the source of a bind mount is missing).
    NotASocket {
        /// In words.
        kind: &'static str,
    },
    /// It is a bind mount of a socket that has been removed since: the engine listens on a new one that is not visible here.
    Stale {
        /// The mount point.
        mount: PathBuf,
    },
    /// Nobody listens on it.
    Refused,
    /// Somebody listens, but does not accept: the backlog is full, or time ran out.
    Busy,
    /// Anything else.
    Other(String),
}

/// Who may use a socket, and who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The socket's owner.
    pub owner: u32,
    /// The socket's group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u32,
    /// The effective user of this process.
    pub user: u32,
}

/// Explains why connecting to `path` failed with `err`.
pub fn diagnose(path: &Path, err: &io::Error) -> SocketProblem {
    let mountinfo = || read_mountinfo().unwrap_or_default();
    SocketProblem {
        path: path.to_owned(),
        cause: cause(path, err, mountinfo),
    }
}

impl SocketProblem {
    /// What happened, in one line without advice.
    pub fn message(&self) -> String {
        let path = self.path.display();
        match &self.cause {
            Cause::Missing { .. } => format!("the engine's socket {path} does not exist"),
            Cause::Permission(a) | Cause::Forbidden(a) => format!(
                "no permission to open the engine's socket {path} (owner {}, group {}, mode {:04o}) as user {}",
                a.owner, a.group, a.mode, a.user
            ),
            Cause::Unreachable { dir } => {
                format!(
                    "the engine's socket {path} cannot be reached: no permission to enter {}",
                    dir.display()
                )
            }
            Cause::NotASocket { kind } => format!("{path} is {kind}, not the engine's socket"),
            Cause::Stale { .. } => {
                format!(
                    "the engine's socket {path} is a stale bind mount: the engine has made a new socket since it was mounted"
                )
            }
            Cause::Refused => format!("nobody listens on the engine's socket {path}"),
            Cause::Busy => format!("the engine does not accept connections on its socket {path}"),
            Cause::Other(what) => format!("cannot connect to the engine's socket {path}: {what}"),
        }
    }

    /// The cure, when there is one.
    pub fn hint(&self) -> Option<String> {
        self.hint_where(in_container())
    }

    /// The cure where the gate runs in a container, or outside of one: nobody outside is told about mounts.
    fn hint_where(&self, in_container: bool) -> Option<String> {
        let path = self.path.display();
        Some(match &self.cause {
            Cause::Missing { .. } if in_container => format!(
                "is the engine running, and its socket mounted: `volumes: [\"/var/run/docker.sock:{path}:ro\"]`?"
            ),
            Cause::Missing { nearest } if Some(nearest.as_path()) == self.path.parent() => {
                "is the engine running (`systemctl status docker`)? name another socket with --upstream unix:///PATH".into()
            }
            Cause::Missing { nearest } => {
                format!("{} exists, nothing below it; name the socket with --upstream unix:///PATH", nearest.display())
            }
            Cause::Permission(a) if a.group == OVERFLOW_ID => {
                "the socket's group has no name in this user namespace (rootless or remapped): run dockgate outside of it, or as the socket's owner".into()
            }
            // Group 0 would do more than open a socket, but it is what the mode says; the cure stays the same.
            Cause::Permission(a) if a.mode & 0o060 == 0o060 => format!(
                "let it into the socket's group: `group_add: [\"{0}\"]` in compose, `--group-add {0}` with docker run, `SupplementaryGroups={0}` with systemd; on this host, run it as root, or join that group and log in again",
                a.group
            ),
            Cause::Permission(a) => {
                format!("its mode {:04o} lets no group in: run dockgate as user {}, or `chmod 660 {path}`", a.mode, a.owner)
            }
            Cause::Forbidden(_) => {
                "its mode would allow it: look for SELinux or AppArmor denials (in compose: `security_opt: [\"label=disable\"]`)".into()
            }
            Cause::Unreachable { dir } => format!("`chmod o+x {}`, or run dockgate as its owner", dir.display()),
            Cause::NotASocket { kind: "a directory" } => {
                String::from("Docker makes a directory where the source of a bind mount is missing: remove it on the host, start the engine, and mount the socket again")
            }
            Cause::NotASocket { .. } => "name the socket with --upstream unix:///PATH".into(),
            Cause::Stale { .. } => {
                "restart dockgate; with --exit-on-stale-socket 30s and a restart policy it does so by itself".into()
            }
            Cause::Refused => "start the engine: `systemctl start docker`; its last words are in `journalctl -u docker`".into(),
            Cause::Busy => "is the engine stuck or overloaded? `journalctl -u docker` may say".into(),
            Cause::Other(_) => return None,
        })
    }
}

impl fmt::Display for SocketProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match self.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SocketProblem {}

fn cause(path: &Path, err: &io::Error, mountinfo: impl Fn() -> String) -> Cause {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
            return Cause::Unreachable {
                dir: first_closed(path),
            };
        }
        Err(err)
            if matches!(
                err.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Cause::Missing {
                nearest: nearest(path),
            };
        }
        Err(err) => return Cause::Other(err.to_string()),
    };
    if !metadata.file_type().is_socket() {
        return Cause::NotASocket {
            kind: kind(&metadata),
        };
    }
    match err.kind() {
        io::ErrorKind::PermissionDenied => {
            let access = access(&metadata);
            if allows(access, &groups()) {
                Cause::Forbidden(access)
            } else {
                Cause::Permission(access)
            }
        }
        io::ErrorKind::ConnectionRefused => {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            match stale_mount(&mountinfo(), &real) {
                Some(mount) => Cause::Stale { mount },
                None => Cause::Refused,
            }
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cause::Busy,
        // It was there a moment ago when connecting found nothing, or the other way round: the engine is restarting.
        io::ErrorKind::NotFound => Cause::Refused,
        _ => Cause::Other(err.to_string()),
    }
}

/// The mount point at `path` whose root has been unlinked. The kernel marks such a root with `//deleted` (fs/seq_file.c,
/// `seq_dentry`); a file's name cannot contain two slashes, so there is no second reading.
fn stale_mount(mountinfo: &str, path: &Path) -> Option<PathBuf> {
    // Fields (proc_pid_mountinfo(5)): id, parent, device, root, mount point, … The last mount on a point is the one seen.
    let mount = mountinfo.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (Path::new(&unescape(point)) == path).then(|| root.to_owned())
    })?;
    mount.ends_with("//deleted").then(|| path.to_owned())
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        match tail {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if *first == b'\\' => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn read_mountinfo() -> io::Result<String> {
    use std::io::Read;
    let mut text = Vec::new();
    fs::File::open("/proc/self/mountinfo")?
        .take(MAX_MOUNTINFO)
        .read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn access(metadata: &Metadata) -> Access {
    Access {
        owner: metadata.uid(),
        group: metadata.gid(),
        mode: metadata.mode() & 0o7777,
        user: rustix::process::geteuid().as_raw(),
    }
}

fn groups() -> Vec<u32> {
    let mut groups: Vec<u32> = rustix::process::getgroups()
        .unwrap_or_default()
        .into_iter()
        .map(rustix::process::Gid::as_raw)
        .collect();
    groups.push(rustix::process::getegid().as_raw());
    groups
}

/// Whether the mode lets the process write, which is what connecting takes (unix(7)). The first class that fits decides.
fn allows(access: Access, groups: &[u32]) -> bool {
    if access.user == 0 {
        return true;
    }
    let bit = if access.user == access.owner {
        0o200
    } else if groups.contains(&access.group) {
        0o020
    } else {
        0o002
    };
    access.mode & bit != 0
}

/// Whether this process runs in a container of Docker or Podman, by the file that each puts there.
fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists())
}

fn nearest(path: &Path) -> PathBuf {
    path.ancestors()
        .skip(1)
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// The outermost directory whose contents cannot be looked at.
fn first_closed(path: &Path) -> PathBuf {
    let mut dirs: Vec<&Path> = path.ancestors().skip(1).collect();
    dirs.reverse();
    let closed = dirs
        .windows(2)
        .find(|pair| fs::metadata(pair[1]).is_err())
        .map(|pair| pair[0]);
    closed
        .unwrap_or(dirs.last().unwrap_or(&Path::new("/")))
        .to_owned()
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a regular file"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests;

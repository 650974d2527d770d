//! Files: bounded reads, write-then-rename, modes from birth, and the directory lock.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use zeroize::Zeroizing;

use super::CertsError;

/// The largest certificate, key, CRL or index file that is read: far above any real one, far below harm.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// How long a process waits for another one that holds the directory.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Who may read a file once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// A private key: 0600 from the moment the file exists.
    Secret,
    /// A certificate, CRL or index: 0644.
    Public,
}

/// What to do with a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep it and fail with [`CertsError::Exists`].
    Keep,
    /// Replace it atomically.
    Replace,
}

impl Existing {
    /// `--force` as a choice.
    pub fn from_force(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }
}

/// Writes `bytes` to `path`: a temporary file beside it, created exclusively with its final mode, fsync, rename,
/// fsync of the directory. A crash leaves the old file or the new one, never a part.
pub fn write(
    path: &Path,
    bytes: &[u8],
    access: FileMode,
    existing: Existing,
) -> Result<(), CertsError> {
    let temporary = Temporary::create(path, access)?;
    let mut file = &temporary.file;
    file.write_all(bytes)
        .and_then(|()| match access {
            // Certificates are meant to be read, whatever the umask; a key's mode is never widened.
            FileMode::Public => temporary
                .file
                .set_permissions(fs::Permissions::from_mode(0o644)),
            FileMode::Secret => Ok(()),
        })
        .and_then(|()| temporary.file.sync_all())
        .map_err(|source| CertsError::io("write", path, source))?;
    temporary.publish(path, existing)?;
    sync_directory(path)
}

/// Fails with [`CertsError::Exists`] when `path` exists and may not be replaced: asked before any work is done, so
/// that a command either makes all its files or none. [`write()`] checks again, atomically.
pub fn refuse_existing(path: &Path, existing: Existing, hint: &str) -> Result<(), CertsError> {
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(CertsError::Exists {
            path: path.into(),
            hint: hint.into(),
        });
    }
    Ok(())
}

/// Reads a whole file of at most [`MAX_FILE_BYTES`]; the buffer is wiped on drop because it may hold a key.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertsError> {
    read_at_most(path, MAX_FILE_BYTES)
}

/// [`read`] with a bound of the caller's.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, CertsError> {
    let file = File::open(path).map_err(|source| CertsError::io("read", path, source))?;
    let metadata = file
        .metadata()
        .map_err(|source| CertsError::io("read", path, source))?;
    if metadata.is_dir() {
        return Err(CertsError::io(
            "read",
            path,
            io::Error::from(io::ErrorKind::IsADirectory),
        ));
    }
    // Room for everything at once: growing would leave copies of a key behind in freed memory.
    let room = usize::try_from(metadata.len().min(limit)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| CertsError::io("read", path, source))?;
    if bytes.len() as u64 > limit {
        return Err(CertsError::TooLarge {
            path: path.into(),
            limit,
        });
    }
    Ok(bytes)
}

/// Creates a directory that will hold keys: 0700, with its parents. An existing one keeps its mode.
pub fn create_private_dir(path: &Path) -> Result<(), CertsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| CertsError::io("create the directory", path, source))
}

/// Appends one line to a file and syncs it. The caller holds the [`Lock`].
pub fn append_line(path: &Path, line: &str) -> Result<(), CertsError> {
    let failed = |source| CertsError::io("append to", path, source);
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
        .map_err(failed)?;
    file.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// An exclusive lock on a directory of certificates, held until dropped (or until the process ends).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits up to 30 seconds for the lock of `dir`, which must exist.
    pub fn acquire(dir: &Path) -> Result<Self, CertsError> {
        let path = dir.join(".lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| CertsError::io("lock", &path, source))?;
        let started = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                // flock has no deadline of its own, and a signal would need unsafe code: ask again shortly.
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
                    if started.elapsed() < LOCK_WAIT =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(CertsError::Locked {
                        path,
                        waited_secs: LOCK_WAIT.as_secs(),
                    });
                }
                Err(errno) => return Err(CertsError::io("lock", path, errno.into())),
            }
        }
    }
}

/// A file under a name of its own, removed on drop unless it was published.
struct Temporary {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Temporary {
    fn create(target: &Path, access: FileMode) -> Result<Self, CertsError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = target.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()));
        let open = || {
            let mode = if access == FileMode::Secret {
                0o600
            } else {
                0o644
            };
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)
        };
        let file = match open() {
            // Left by a process that died and whose id came round again; the caller's lock says nobody uses it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).and_then(|()| open())
            }
            other => other,
        }
        .map_err(|source| CertsError::io("create", target, source))?;
        Ok(Self {
            file,
            path,
            published: false,
        })
    }

    fn publish(mut self, target: &Path, existing: Existing) -> Result<(), CertsError> {
        let renamed = match existing {
            Existing::Replace => fs::rename(&self.path, target),
            Existing::Keep => rename_to_free_name(&self.path, target),
        };
        match renamed {
            Ok(()) => {
                self.published = true;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CertsError::Exists {
                path: target.into(),
                hint: "give --force to replace it".into(),
            }),
            Err(source) => Err(CertsError::io("rename into place", target, source)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the file has a name that nothing reads.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames only when `target` does not exist, in one step where the file system can do that.
fn rename_to_free_name(from: &Path, target: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Old kernels and some network file systems: a hard link fails on an existing name just as atomically.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, target)?;
            fs::remove_file(from)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Puts the directory `from` in the place of `to` in one step; what was there before is then at `from`.
///
/// # Errors
/// When the system refuses.
pub fn exchange(from: &Path, to: &Path) -> Result<(), CertsError> {
    use rustix::io::Errno;
    let failed = |source: io::Error| CertsError::io("put into place", to, source);
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::NOENT) if !to.exists() => {
            fs::rename(from, to).map_err(failed)?;
        }
        // A file system that cannot exchange: a reader may find nothing for a moment, but never a wrong pair.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let aside = from.with_extension("aside");
            fs::rename(to, &aside)
                .and_then(|()| fs::rename(from, to))
                .and_then(|()| fs::rename(&aside, from))
                .map_err(failed)?;
        }
        Err(errno) => return Err(failed(errno.into())),
    }
    sync_directory(to)
}

fn sync_directory(path: &Path) -> Result<(), CertsError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| CertsError::io("sync", parent, source))
}

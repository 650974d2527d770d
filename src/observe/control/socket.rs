//! Makes the control socket: never readable by others, never in the place of one that is in use.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use socket2::{Domain, SockAddr, Socket, Type};

/// Only the gate's own user, and root.
const MODE: u32 = 0o600;

/// Connections the kernel keeps for us between two accepts.
const BACKLOG: i32 = 64;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another gate answers on it.
    #[error("another process listens on the control socket {}", .0.display())]
    InUse(PathBuf),
    /// Something else is in its place.
    #[error("{} is not a socket; the control socket does not replace it", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot make the control socket {}", path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BindError {
    /// What to do where nobody has named a place for it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(
                    "name a place of yours for `serve` and the commands alike: `export DOCKGATE_CONTROL_SOCKET=\"$XDG_RUNTIME_DIR/dockgate.sock\"`",
                )
            }
            _ => None,
        }
    }
}

/// A bound control socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// Device and inode, so that a successor's file is left alone.
    made: (u64, u64),
    listener: Option<UnixListener>,
}

impl ControlSocket {
    /// Binds it. A stale file in its place (nobody listens) is removed.
    ///
    /// # Errors
    /// When it is in use, is no socket, or cannot be made.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let fail = |source| BindError::System {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(fail)?;
        }
        clear(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fail)?;
        socket
            .bind(&SockAddr::unix(path).map_err(fail)?)
            .map_err(fail)?;
        // Nobody can connect before it listens, so there is no moment at which it is open to others.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(fail)?;
        let file = fs::symlink_metadata(path).map_err(fail)?;
        if !file.file_type().is_socket() || file.mode() & 0o777 != MODE {
            return Err(fail(io::Error::other("its permissions cannot be set")));
        }
        socket.listen(BACKLOG).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            made: (file.dev(), file.ino()),
            listener: Some(socket.into()),
        })
    }

    /// Whether [`Self::bind`] would find a place for it, without making anything. One that is in use is most likely the
    /// running gate's, and is told apart.
    ///
    /// # Errors
    /// As [`Self::bind`], as far as it can be told.
    pub fn probe(path: &Path) -> Result<(), BindError> {
        let fail = |source| BindError::System {
            path: path.to_owned(),
            source,
        };
        SockAddr::unix(path).map_err(fail)?;
        is_free(path)?;
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let there = parent.ancestors().find(|dir| dir.exists());
        let there = there.unwrap_or(Path::new("."));
        if !there.is_dir() {
            return Err(fail(io::ErrorKind::NotADirectory.into()));
        }
        access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| fail(e.into()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, for the runtime that will serve it.
    pub(super) fn take(&mut self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.take();
        tokio::net::UnixListener::from_std(
            listener.ok_or_else(|| io::Error::other("the control socket is served already"))?,
        )
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.made);
        if ours {
            // What cannot be removed is found stale at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is in the socket's place, where it is not taken.
enum SocketPlace {
    Empty,
    /// A socket on which nobody listens.
    Stale,
}

/// Makes room for the socket, if nobody uses what is there.
fn clear(path: &Path) -> Result<(), BindError> {
    match is_free(path)? {
        SocketPlace::Empty => Ok(()),
        SocketPlace::Stale => fs::remove_file(path).map_err(|source| BindError::System {
            path: path.to_owned(),
            source,
        }),
    }
}

fn is_free(path: &Path) -> Result<SocketPlace, BindError> {
    let fail = |source| BindError::System {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SocketPlace::Empty),
        Err(e) => return Err(fail(e)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(SocketPlace::Stale),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(SocketPlace::Empty),
        // A full queue or a refused permission is somebody's, too.
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sub/control.sock");
        (dir, path)
    }

    #[test]
    fn it_is_only_for_its_owner_and_goes_with_the_gate() {
        let (_dir, path) = place();
        let socket = ControlSocket::bind(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn one_in_use_is_left_alone_and_a_stale_one_is_replaced() {
        let (_dir, path) = place();
        let first = ControlSocket::bind(&path).expect("bound");
        let second = ControlSocket::bind(&path);
        assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        drop(UnixListener::bind(&path).expect("left behind"));
        let third = ControlSocket::bind(&path).expect("replaces the stale one");
        assert!(UnixStream::connect(&path).is_ok());
        fs::remove_file(&path).expect("removed");
        let _successor = UnixListener::bind(&path).expect("bound");
        drop(third);
        assert!(path.exists(), "a successor's socket is not ours to remove");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let (_dir, path) = place();
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(
            ControlSocket::bind(&path),
            Err(BindError::NotASocket(_))
        ));
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
    }
}

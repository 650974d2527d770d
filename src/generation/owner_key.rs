//! The file of the key that makes owners' labels unguessable: made once with mode 0600, and shared by the gates of one engine.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::writable_beside;
use crate::config::Config;
use crate::error::{FileUse, chmod, file_hint};
use crate::finding::Finding;
use pki::write::{self, Existing, FileMode};
use policy::Policy;
use policy::scope::OwnerKey;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum OwnerKeyError {
    /// A role has a scope, and no file is configured.
    #[error("role {0:?} has a scope, and owner-key is not set")]
    Unset(String),
    /// The file cannot be read or written.
    #[error("owner key file")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<pki::CertsError>,
    },
    /// Others can read it.
    #[error("owner key file {path:?} has mode {mode:04o}, expected 0600")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A pipe or a device keeps nothing.
    #[error("owner key file {0:?} is not a regular file")]
    Special(PathBuf),
    /// It holds something else.
    #[error("owner key file {0:?}: expected 64 hexadecimal digits")]
    Content(PathBuf),
}

impl OwnerKeyError {
    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unset(_) | Self::Special(_) => Some(
                "name a file for it, with --owner-key FILE or owner-key = \"/var/lib/dockgate/owner.key\"; it is made at the first start"
                    .into(),
            ),
            Self::Open { path, .. } => chmod("600", path),
            Self::Content(_) => Some(
                "take the file from a backup: with another key nobody owns what was made before".into(),
            ),
            Self::File { path, source } => {
                let refused = source.source()?.downcast_ref()?;
                file_hint(path, refused, FileUse::Write)
            }
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(pki::CertsError) -> OwnerKeyError {
    move |error| OwnerKeyError::File {
        path: path.to_owned(),
        source: Box::new(error),
    }
}

/// Makes the file where it is configured and missing.
///
/// # Errors
/// When it cannot be written.
pub fn ensure(config: &Config) -> Result<(), OwnerKeyError> {
    let Some(path) = &config.owner_key else {
        return Ok(());
    };
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let mut bytes = [0; 32];
    pki::key::random(&mut bytes).map_err(failed(path))?;
    let text = OwnerKey::new(bytes).to_text();
    match write::write(path, text.as_bytes(), FileMode::Secret, Existing::Keep) {
        // Another gate of the same engine was faster.
        Err(pki::CertsError::Exists { .. }) => Ok(()),
        written => written.map_err(failed(path)),
    }
}

/// Reads the key; `None` where none is configured, which no policy with a scope may have.
pub(super) fn read(config: &Config, policy: &Policy) -> Result<Option<OwnerKey>, OwnerKeyError> {
    let Some(path) = &config.owner_key else {
        return match policy.scoped_role() {
            Some(role) => Err(OwnerKeyError::Unset(role.name.clone())),
            None => Ok(None),
        };
    };
    let metadata = fs::metadata(path)
        .map_err(|error| failed(path)(pki::CertsError::io("read", path, error)))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(OwnerKeyError::Special(path.clone()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.clone();
        return Err(OwnerKeyError::Open { path, mode });
    }
    let bytes = write::read(path).map_err(failed(path))?;
    let key = std::str::from_utf8(&bytes).ok().and_then(OwnerKey::parse);
    key.map(Some)
        .ok_or_else(|| OwnerKeyError::Content(path.clone()))
}

/// What [`read`] will come to.
pub(super) fn findings(config: &Config, policy: &Policy) -> Vec<Finding> {
    if let Some(path) = &config.owner_key
        && path.symlink_metadata().is_err()
    {
        return vec![match writable_beside(path) {
            Ok(()) => Finding {
                hint: ["/etc", "/usr"]
                    .iter()
                    .any(|dir| path.starts_with(dir))
                    .then(|| {
                        "the packaged service cannot write there: name /var/lib/dockgate/owner.key"
                            .to_owned()
                    }),
                ..Finding::ok(format!(
                    "owner key {path:?} will be made at the first start"
                ))
            },
            Err(err) => Finding {
                hint: file_hint(path, &err, FileUse::Write),
                ..Finding::fatal(format!("owner key {path:?} cannot be made: {err}"))
            },
        }];
    }
    match read(config, policy) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let hint = error.hint();
            vec![Finding {
                hint,
                ..Finding::fatal(crate::error::report(&error))
            }]
        }
    }
}

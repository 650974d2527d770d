//! What the signer puts down for a gate on the same host, so that the gate reads nothing else of the CA's directory: its own
//! certificate and key, whom it trusts, and the revocation list.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pki::CertsError;
use pki::denied;
use pki::store::Paths;
use pki::write::{self, Existing, FileMode};

/// The copies for a gate.
#[derive(Debug)]
pub struct Mirror {
    dir: PathBuf,
    gate: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Mirror {
    /// Of a CA's directory, for a gate that runs as `owner` or as this very user.
    #[must_use]
    pub fn new(dir: &Path, owner: Option<(u32, u32)>) -> Self {
        Self {
            dir: dir.into(),
            gate: dir.join("gate"),
            owner,
        }
    }

    /// Copies what has changed; whether anything had.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn look(&mut self) -> Result<bool, CertsError> {
        let paths = Paths::of(&self.dir);
        write::create_private_dir(&self.gate)?;
        if let Some((user, group)) = self.owner {
            own(&self.gate, user, group)?;
            // Every user may pass through by name; the CA's key stays its owner's.
            let mode = fs::Permissions::from_mode(0o711);
            fs::set_permissions(&self.dir, mode)
                .map_err(|source| CertsError::io("open the way through", &self.dir, source))?;
        }
        let mut changed = false;
        // The key comes first: the pair is whole once the certificate is there too.
        for (from, name, mode) in [
            (&paths.server_key, "key.pem", FileMode::Secret),
            (&paths.server_cert, "cert.pem", FileMode::Public),
            (&paths.ca, "ca.pem", FileMode::Public),
            (&paths.crl, "crl.pem", FileMode::Public),
            (&denied::path(&paths), "denied.json", FileMode::Public),
        ] {
            if from.is_file() {
                changed |= self.copy(from, &self.gate.join(name), mode)?;
            }
        }
        Ok(changed)
    }

    fn copy(&self, from: &Path, to: &Path, mode: FileMode) -> Result<bool, CertsError> {
        let bytes = write::read(from)?;
        if to.is_file() && write::read(to)? == bytes {
            return Ok(false);
        }
        write::write(to, &bytes, mode, Existing::Replace)?;
        if let Some((user, group)) = self.owner {
            own(to, user, group)?;
        }
        Ok(true)
    }
}

fn own(path: &Path, user: u32, group: u32) -> Result<(), CertsError> {
    chown(path, Some(user), Some(group)).map_err(|source| CertsError::io("hand over", path, source))
}

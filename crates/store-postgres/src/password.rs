//! The password of the database's user: in a file, and in nothing that others of the host can see.

use std::path::PathBuf;

use pki::{CertsError, write};
use zeroize::Zeroizing;

/// A file with the database's password in its first line, read for each connection.
#[derive(Clone, Debug)]
pub struct PasswordFile(pub PathBuf);

impl PasswordFile {
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, CertsError> {
        let bytes = write::read(&self.0).map_err(|fault| {
            let why = std::error::Error::source(&fault).map_or(String::new(), |it| format!(": {it}"));
            CertsError::refused(
                format!("{fault}, the file of the store's password{why}"),
                "write the password of the database's user into its first line, readable for the signer's user",
            )
        })?;
        let line = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.is_empty() {
            false => Ok(Zeroizing::new(line.to_vec())),
            true => Err(CertsError::refused(
                format!("{:?} has no password in its first line", self.0),
                "write the password of the database's user there",
            )),
        }
    }
}

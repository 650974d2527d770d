//! The directory in which what joined keeps its key, its certificate and its CA.
//!
//! The three files are in a directory below it, which is replaced as a whole: `docker/` of a person, as Docker's contexts
//! have it, and `gate/` of a gate.

use std::fs;
use std::path::{Path, PathBuf};

use pki::event::IssuedKind;
use pki::key::PrivateKey;
use pki::store::inspect_file;
use pki::write::{self, Existing, FileMode, Lock};
use pki::{Certificate, CertsError, Passphrase, pem};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{EnrolError, chain_pem, trusted};

const STATE: &str = pki::layout::JOINED;
const PENDING: &str = "next-key.pem";
const NEXT: &str = "next";

/// What is kept beside the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledState {
    /// The form of this file.
    pub version: u32,
    /// Whom to ask: `HOST:PORT`.
    pub signer: String,
    /// What the certificate is for.
    pub kind: IssuedKind,
    /// The docker context that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// The directory of one that joined.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    kind: IssuedKind,
}

impl Home {
    /// The directory of a person or a gate, which need not be there.
    #[must_use]
    pub fn new(dir: &Path, kind: IssuedKind) -> Self {
        Self {
            dir: dir.into(),
            kind,
        }
    }

    /// A directory that is there.
    ///
    /// # Errors
    /// When nothing that joined is in it.
    pub fn open(dir: &Path) -> Result<Self, EnrolError> {
        let state = read_state(dir)?;
        Ok(Self::new(dir, state.kind))
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its certificate is for.
    #[must_use]
    pub fn kind(&self) -> IssuedKind {
        self.kind
    }

    /// Where the three files are: good as `DOCKER_CERT_PATH`.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.dir.join(match self.kind {
            IssuedKind::Server => "gate",
            _ => "docker",
        })
    }

    /// Holds the directory for this process alone, and makes it if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or another process holds it.
    pub fn lock(&self) -> Result<Lock, CertsError> {
        write::create_private_dir(&self.dir)?;
        Lock::acquire(&self.dir)
    }

    /// What is kept beside the certificate.
    ///
    /// # Errors
    /// When nothing that joined is here.
    pub fn state(&self) -> Result<EnrolledState, EnrolError> {
        read_state(&self.dir)
    }

    /// The certificate in force.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn certificate(&self) -> Result<Certificate, CertsError> {
        Ok(inspect_file(&self.files().join("cert.pem"))?.1)
    }

    /// The chain, the key and the CAs in force.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn current(
        &self,
    ) -> Result<
        (
            Vec<CertificateDer<'static>>,
            PrivateKey,
            Vec<CertificateDer<'static>>,
        ),
        CertsError,
    > {
        let files = self.files();
        let chain = pem::certificates(&files.join("cert.pem"))?;
        let key = PrivateKey::load(&files.join("key.pem"), &Passphrase::Absent)?;
        let cas = pem::certificates(&files.join("ca.pem"))?;
        Ok((chain, key, cas))
    }

    /// The key of the next certificate: the one that was asked for before and got no answer, or a new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pending(&self, held: &PrivateKey) -> Result<PrivateKey, CertsError> {
        let path = self.dir.join(PENDING);
        if path.is_file()
            && let Ok(kept) = PrivateKey::load(&path, &Passphrase::Absent)
            && kept.spki() != held.spki()
        {
            return Ok(kept);
        }
        let key = PrivateKey::generate(held.kind())?;
        self.put_pending(&key)?;
        Ok(key)
    }

    /// Keeps the key of the next certificate.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_pending(&self, key: &PrivateKey) -> Result<(), CertsError> {
        let path = self.dir.join(PENDING);
        write::write(
            &path,
            key.to_pem()?.as_bytes(),
            FileMode::Secret,
            Existing::Replace,
        )
    }

    /// Puts a certificate into force with the key that was kept for it, and both in one step.
    ///
    /// # Errors
    /// When the files cannot be written; what was in force stays.
    pub fn install(
        &self,
        leaf: &CertificateDer<'static>,
        cas: &[CertificateDer<'static>],
        state: &EnrolledState,
    ) -> Result<(), EnrolError> {
        let next = self.dir.join(NEXT);
        remove(&next)?;
        write::create_private_dir(&next)?;
        let key = write::read(&self.dir.join(PENDING))?;
        let put = |name: &str, bytes: &[u8], mode| {
            write::write(&next.join(name), bytes, mode, Existing::Replace)
        };
        put("key.pem", &key, FileMode::Secret)?;
        put(
            "ca.pem",
            pem::encode_certificates(trusted(cas)).as_bytes(),
            FileMode::Public,
        )?;
        put(
            "cert.pem",
            chain_pem(leaf, cas).as_bytes(),
            FileMode::Public,
        )?;
        let text = serde_json::to_vec_pretty(state)
            .map_err(|source| CertsError::crypto("encode what was joined", source))?;
        write::write(
            &self.dir.join(STATE),
            &text,
            FileMode::Public,
            Existing::Replace,
        )?;
        write::exchange(&next, &self.files())?;
        remove(&next)?;
        let _ = fs::remove_file(self.dir.join(PENDING));
        Ok(())
    }
}

fn read_state(dir: &Path) -> Result<EnrolledState, EnrolError> {
    let path = dir.join(STATE);
    let not_joined = || EnrolError::NotJoined(dir.into());
    if !path.is_file() {
        return Err(not_joined());
    }
    let state: EnrolledState =
        serde_json::from_slice(&write::read(&path)?).map_err(|_| not_joined())?;
    match state.version {
        1 => Ok(state),
        _ => Err(not_joined()),
    }
}

fn remove(dir: &Path) -> Result<(), CertsError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CertsError::io("remove", dir, error))
        }
        _ => Ok(()),
    }
}

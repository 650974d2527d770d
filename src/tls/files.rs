//! The files of TLS: read, bounded, decoded and checked against each other before anything uses them.
//!
//! [`load`] fails on what would make the server unable to start or let the wrong people in. What merely makes clients fail
//! (expiry, missing SANs) is left to `inspect`: a reload that brings a fresh CRL must not be refused because the server
//! certificate expired an hour ago. Nothing here panics on any bytes. Blocks on the file system only.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use crate::config::TlsPaths;
use crate::tls::words;
use pki::denied::TravelledDenyList;
use pki::pem::{self, Block};
use pki::{Certificate, DenyList, RevocationList};

mod error;
mod inspect;
mod origin;

pub use error::{FileError, FileRole, TlsProblem};
pub use inspect::{inspect, inspect_client};
pub(crate) use origin::CertificateOrigin;

/// Certificates and keys are not larger.
pub const MAX_BYTES: usize = 1 << 20;

/// A revocation list may name hundreds of thousands.
pub const MAX_CRL_BYTES: usize = 16 << 20;

/// Files read from one CRL directory.
const MAX_CRL_FILES: usize = 1_000;

/// What a TLS server that verifies its clients is made of. Its parts fit each other.
#[derive(Debug)]
pub struct TlsMaterial {
    /// The server's chain, leaf first; never empty.
    pub cert_chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// Trust anchors for clients; never empty, each a CA.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Revocation lists, possibly none.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Reads and cross-checks all files.
pub fn load(paths: &TlsPaths) -> Result<TlsMaterial, FileError> {
    let (client_ca, crls) = load_clients_trust(paths)?;
    let cert_chain = certificates(FileRole::ServerCert, &paths.cert)?;
    let key = private_key(FileRole::ServerKey, &paths.key)?;
    check_pair(
        (FileRole::ServerCert, &paths.cert),
        (FileRole::ServerKey, &paths.key),
        &cert_chain,
        &key,
    )?;
    Ok(TlsMaterial {
        cert_chain,
        key,
        client_ca,
        crls,
    })
}

/// Reads what decides about clients alone: the CAs, and the revocation lists.
pub fn load_clients_trust(
    paths: &TlsPaths,
) -> Result<
    (
        Vec<CertificateDer<'static>>,
        Vec<CertificateRevocationListDer<'static>>,
    ),
    FileError,
> {
    let client_ca = certificates(FileRole::ClientCa, &paths.ca)?;
    trust_anchors(FileRole::ClientCa, &paths.ca, &client_ca)?;
    Ok((client_ca, revocation_lists(paths)?))
}

/// Reads the deny list that came from the signer, if there is one.
///
/// # Errors
/// When it is there and cannot be read: what it denies must not come back.
pub fn load_travelled(path: &Path) -> Result<DenyList, FileError> {
    let fail = |problem| FileError {
        role: FileRole::DenyList,
        path: path.to_owned(),
        problem,
    };
    let is_there = path.try_exists();
    if !is_there.map_err(|err| fail(TlsProblem::Unreadable(err)))? {
        return Ok(DenyList::default());
    }
    let bytes = read(path, MAX_CRL_BYTES).map_err(fail)?;
    let list = TravelledDenyList::read(&bytes);
    list.map(|it| it.denied)
        .map_err(|what| fail(TlsProblem::Malformed(what.to_owned())))
}

/// What a client brings: its CA for the server, its chain and its key.
#[derive(Debug)]
pub struct ClientMaterial {
    /// Trust anchors for the server; never empty.
    pub server_ca: RootCertStore,
    /// The client's chain, leaf first; never empty.
    pub cert_chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// Reads and cross-checks a client's files; `paths` are the client's, its CRLs are not looked at.
pub fn load_client(paths: &TlsPaths) -> Result<ClientMaterial, FileError> {
    let certs = certificates(FileRole::ServerCa, &paths.ca)?;
    let server_ca = trust_anchors(FileRole::ServerCa, &paths.ca, &certs)?;
    let cert_chain = certificates(FileRole::ClientCert, &paths.cert)?;
    let key = private_key(FileRole::ClientKey, &paths.key)?;
    check_pair(
        (FileRole::ClientCert, &paths.cert),
        (FileRole::ClientKey, &paths.key),
        &cert_chain,
        &key,
    )?;
    Ok(ClientMaterial {
        server_ca,
        cert_chain,
        key,
    })
}

/// A digest of paths and contents: equal digests mean there is nothing to reload. Unreadable files count by their error, so
/// that a file which comes back is noticed.
pub fn snapshot(paths: &TlsPaths) -> [u8; 32] {
    let mut files = vec![paths.ca.clone(), paths.cert.clone(), paths.key.clone()];
    for path in paths.crl.iter().chain(&paths.crl_if_present) {
        match expand(path) {
            Ok(found) => files.extend(found),
            Err(_) => files.push(path.clone()),
        }
    }
    digest(&files)
}

/// SHA-256 over the names and contents of files; see [`snapshot`].
pub fn digest<P: AsRef<Path>>(files: &[P]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for file in files {
        let file = file.as_ref();
        let name = file.as_os_str().as_encoded_bytes();
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name);
        match read(file, MAX_CRL_BYTES) {
            Ok(bytes) => {
                context.update(&(bytes.len() as u64).to_be_bytes());
                context.update(&bytes);
            }
            Err(problem) => context.update(format!("{problem:?}").as_bytes()),
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn certificates(role: FileRole, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let fail = |problem| FileError {
        role,
        path: path.to_owned(),
        problem,
    };
    let sections = read_pem(role, path)?;
    let certs: Vec<CertificateDer<'static>> = sections
        .iter()
        .filter(|section| matches!(section.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE"))
        .map(|section| CertificateDer::from(section.der.to_vec()))
        .collect();
    if certs.is_empty() {
        return Err(fail(wrong_label(&sections)));
    }
    for (index, cert) in certs.iter().enumerate() {
        Certificate::read(cert).map_err(|what| {
            fail(TlsProblem::Malformed(format!(
                "certificate {}: {what}",
                index + 1
            )))
        })?;
    }
    Ok(certs)
}

/// A leaf among the anchors would make its owner a CA of one, and is nearly always the wrong file.
fn trust_anchors(
    role: FileRole,
    path: &Path,
    certs: &[CertificateDer<'static>],
) -> Result<RootCertStore, FileError> {
    let fail = |problem| FileError {
        role,
        path: path.to_owned(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for cert in certs {
        let read = Certificate::read(cert).map_err(|what| fail(TlsProblem::Malformed(what)))?;
        // X.509 v1 has no extensions; such a root is a CA by being self-issued.
        if !read.is_ca && (read.details.version != 1 || !read.self_issued) {
            return Err(fail(TlsProblem::NotCa(read.subject)));
        }
        roots
            .add(cert.clone())
            .map_err(|_| fail(TlsProblem::Malformed("its encoding is damaged".to_owned())))?;
    }
    Ok(roots)
}

fn private_key(role: FileRole, path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let fail = |problem| FileError {
        role,
        path: path.to_owned(),
        problem,
    };
    let sections = read_pem(role, path)?;
    if sections
        .iter()
        .any(|section| section.old_encryption || section.label == "ENCRYPTED PRIVATE KEY")
    {
        return Err(fail(TlsProblem::Encrypted));
    }
    let mut keys: Vec<PrivateKeyDer<'static>> = Vec::new();
    for section in &sections {
        let der = section.der.to_vec();
        match section.label.as_str() {
            "PRIVATE KEY" => keys.push(PrivatePkcs8KeyDer::from(der).into()),
            "RSA PRIVATE KEY" => keys.push(PrivatePkcs1KeyDer::from(der).into()),
            "EC PRIVATE KEY" => keys.push(PrivateSec1KeyDer::from(der).into()),
            _ => {}
        }
    }
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (Some(_), others) => Err(fail(TlsProblem::SeveralKeys(others + 1))),
        (None, _) => Err(fail(wrong_label(&sections))),
    }
}

fn check_pair(
    cert: (FileRole, &Path),
    key: (FileRole, &Path),
    chain: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'static>,
) -> Result<(), FileError> {
    let fail = |(role, path): (FileRole, &Path), problem| FileError {
        role,
        path: path.to_owned(),
        problem,
    };
    let signer = aws_lc_rs::sign::any_supported_type(private)
        .map_err(|err| fail(key, TlsProblem::UnsupportedKey(words::tls_error(&err))))?;
    let belongs = |to: &[CertificateDer<'static>]| {
        CertifiedKey::new(to.to_vec(), signer.clone()).keys_match()
    };
    match belongs(chain) {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let path = cert.1.to_owned();
            let other = chain
                .iter()
                .position(|der| belongs(std::slice::from_ref(der)).is_ok());
            Err(fail(
                key,
                match other {
                    Some(place) => TlsProblem::NotFirst(path, place + 1),
                    None => TlsProblem::KeyMismatch(path),
                },
            ))
        }
        Err(err) => {
            let leaf = chain.first().and_then(|leaf| Certificate::read(leaf).ok());
            let version = leaf.map(|leaf| leaf.details.version);
            let problem = match version.filter(|version| *version != 3) {
                Some(version) => TlsProblem::Version(version),
                None => TlsProblem::Malformed(words::tls_error(&err)),
            };
            Err(fail(cert, problem))
        }
    }
}

fn revocation_lists(
    paths: &TlsPaths,
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let fail = |path: &Path, problem| FileError {
        role: FileRole::Crl,
        path: path.to_owned(),
        problem,
    };
    let mut files = Vec::new();
    for path in &paths.crl {
        files.extend(expand(path).map_err(|err| fail(path, TlsProblem::Unreadable(err)))?);
    }
    // Present or not is asked once, here: what cannot be looked at is an error, as a named list would be.
    if let Some(path) = &paths.crl_if_present
        && path
            .try_exists()
            .map_err(|err| fail(path, TlsProblem::Unreadable(err)))?
    {
        files.push(path.clone());
    }
    let mut lists = Vec::new();
    for file in files {
        for list in revocation_lists_in(&file)? {
            RevocationList::read(&list).map_err(|what| fail(&file, TlsProblem::Malformed(what)))?;
            lists.push(list);
        }
    }
    Ok(lists)
}

fn revocation_lists_in(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    let fail = |problem| FileError {
        role: FileRole::Crl,
        path: path.to_owned(),
        problem,
    };
    let bytes = read(path, MAX_CRL_BYTES).map_err(fail)?;
    if is_der(&bytes) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let sections = pem::read(&bytes).map_err(|damage| fail(TlsProblem::NotReadable(damage)))?;
    let lists: Vec<_> = sections
        .iter()
        .filter(|section| section.label == "X509 CRL")
        .map(|section| CertificateRevocationListDer::from(section.der.to_vec()))
        .collect();
    if lists.is_empty() {
        Err(fail(wrong_label(&sections)))
    } else {
        Ok(lists)
    }
}

/// A file as itself, a directory as its files in order. Dot files are left out: Kubernetes keeps its swapped versions there.
fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path())?.is_file() {
            files.push(entry.path());
        }
        if files.len() > MAX_CRL_FILES {
            return Err(io::Error::other(format!(
                "more than {MAX_CRL_FILES} files in the directory"
            )));
        }
    }
    files.sort();
    Ok(files)
}

fn read_pem(role: FileRole, path: &Path) -> Result<Vec<Block>, FileError> {
    let fail = |problem| FileError {
        role,
        path: path.to_owned(),
        problem,
    };
    let bytes = read(path, MAX_BYTES).map_err(fail)?;
    let blocks = pem::read(&bytes).map_err(|damage| fail(TlsProblem::NotReadable(damage)))?;
    if blocks.is_empty() && is_der(&bytes) {
        return Err(fail(TlsProblem::Der));
    }
    Ok(blocks)
}

fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, TlsProblem> {
    let file = File::open(path).map_err(TlsProblem::Unreadable)?;
    let metadata = file.metadata().map_err(TlsProblem::Unreadable)?;
    if metadata.is_dir() {
        return Err(TlsProblem::Directory);
    }
    // Room for all at once: a growing buffer would leave copies of a key behind.
    let room = usize::try_from(metadata.len()).unwrap_or(limit).min(limit) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(TlsProblem::Unreadable)?;
    if bytes.len() > limit {
        return Err(TlsProblem::TooLarge(limit));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(TlsProblem::Empty);
    }
    Ok(bytes)
}

fn wrong_label(sections: &[Block]) -> TlsProblem {
    sections.first().map_or(TlsProblem::NotPem, |section| {
        TlsProblem::WrongLabel(section.label.clone())
    })
}

/// A DER SEQUENCE with a length of two or three octets, as every certificate, key and list has. No text begins like that.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}

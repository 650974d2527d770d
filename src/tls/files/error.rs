//! What can be wrong with a file of certificates or keys.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::{BIND_MOUNT, FileUse, file_hint, is_device};
use pki::pem::Damage;

/// What a file was named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRole {
    /// `--tlscacert`.
    ClientCa,
    /// `--tlscert`.
    ServerCert,
    /// `--tlskey`.
    ServerKey,
    /// `--tlscrl`.
    Crl,
    /// The deny list that came from the signer.
    DenyList,
    /// A client's CA for the server, `ca.pem`.
    ServerCa,
    /// A client's certificate, `cert.pem`.
    ClientCert,
    /// A client's key, `key.pem`.
    ClientKey,
}

impl FileRole {
    fn is_key(self) -> bool {
        matches!(self, Self::ServerKey | Self::ClientKey)
    }

    fn is_clients(self) -> bool {
        matches!(self, Self::ServerCa | Self::ClientCert | Self::ClientKey)
    }
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientCa => "client CA file",
            Self::ServerCert => "server certificate file",
            Self::ServerKey => "server key file",
            Self::Crl => "CRL file",
            Self::DenyList => "deny list file",
            Self::ServerCa => "CA file",
            Self::ClientCert => "client certificate file",
            Self::ClientKey => "client key file",
        })
    }
}

/// A file that cannot be used, and why.
#[derive(Debug)]
pub struct FileError {
    /// What it was named for.
    pub role: FileRole,
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub problem: TlsProblem,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum TlsProblem {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is a directory; Docker makes one where the source of a bind mount is missing.
    Directory,
    /// It is larger than the limit in bytes.
    TooLarge(usize),
    /// It has no bytes.
    Empty,
    /// It has no section of the expected kind, but this one.
    WrongLabel(String),
    /// It has no section at all.
    NotPem,
    /// It is DER where PEM was expected.
    Der,
    /// The key is encrypted.
    Encrypted,
    /// More than one key where one is meant.
    SeveralKeys(usize),
    /// It cannot be decoded.
    Malformed(String),
    /// It is of an earlier version of X.509, which has no extensions.
    Version(u32),
    /// It is not PEM that can be read.
    NotReadable(Damage),
    /// This certificate (subject) is not a CA.
    NotCa(String),
    /// The key belongs to another certificate than this file's.
    KeyMismatch(PathBuf),
    /// The key belongs to a certificate of this file that is not the first but this one.
    NotFirst(PathBuf, usize),
    /// A kind of key that TLS libraries do not support, or one that is too weak.
    UnsupportedKey(String),
}

impl FileError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let path = self.path.display();
        Some(match (&self.problem, self.role) {
            (TlsProblem::Unreadable(err), _) if err.kind() == io::ErrorKind::PermissionDenied => {
                return file_hint(&self.path, err, FileUse::Read);
            }
            (TlsProblem::Unreadable(_), role) if role.is_clients() => {
                "name --tlscacert, --tlscert and --tlskey, or set DOCKER_CERT_PATH; `dockgate certs client NAME` on the server makes them".into()
            }
            (TlsProblem::Unreadable(_), FileRole::Crl) => "make one with `dockgate certs crl`".into(),
            (TlsProblem::Unreadable(_), _) => "make certificates with `dockgate certs init`, or name the file".into(),
            (TlsProblem::Directory, _) => BIND_MOUNT.into(),
            (TlsProblem::Empty, _) if is_device(&self.path) => {
                "a device keeps nothing: name a file, or leave the option out".into()
            }
            (TlsProblem::Empty | TlsProblem::NotPem, FileRole::Crl) => {
                "move it away; `dockgate certs crl` signs it again".into()
            }
            (TlsProblem::Empty | TlsProblem::NotPem, FileRole::ClientCa) => {
                "take it from a backup; `dockgate certs init --force` makes a new CA in its place, and no client's certificate is good any more".into()
            }
            (TlsProblem::Der, role) if role.is_key() => format!("convert it: `openssl pkey -inform der -in {path} -out key.pem`"),
            (TlsProblem::Der, _) => format!("convert it: `openssl x509 -inform der -in {path} -out cert.pem`"),
            (TlsProblem::Encrypted, _) => format!(
                "a server starts without anybody to ask; decrypt it with `openssl pkey -in {path} -out server-key.pem` and keep it mode 0600"
            ),
            (TlsProblem::NotCa(_), _) => {
                "name the certificate that issued your clients' certificates (ca.pem), not one of those".into()
            }
            (TlsProblem::NotFirst(..), _) => {
                "put the certificate of the key first, then each one's issuer, and leave others out".into()
            }
            (TlsProblem::KeyMismatch(_), FileRole::ClientKey) => {
                "the two come from different runs: take cert.pem and key.pem from the same bundle".into()
            }
            (TlsProblem::KeyMismatch(_), _) => {
                "the two come from different runs: name the pair that was made together, or make both again with `dockgate certs renew server --new-key`".into()
            }
            (TlsProblem::WrongLabel(label), role) if label.contains("PRIVATE KEY") && !role.is_key() => {
                "were two files swapped? keep keys out of reach of clients".into()
            }
            (TlsProblem::WrongLabel(label), role) if role.is_key() && label == "CERTIFICATE" => "were tlscert and tlskey swapped?".into(),
            (TlsProblem::WrongLabel(label), _) if label == "TRUSTED CERTIFICATE" => {
                format!("convert it: `openssl x509 -in {path} -out cert.pem`")
            }
            (TlsProblem::WrongLabel(label), _) if label == "PKCS7" => {
                format!("convert it: `openssl pkcs7 -print_certs -in {path} -out chain.pem`")
            }
            (TlsProblem::NotReadable(damage), _) => damage.remedy.to_owned(),
            (TlsProblem::Version(_), role) if role.is_clients() => {
                "sign it with extensions: `openssl x509 -req -extfile FILE`, or `dockgate certs sign --client`".into()
            }
            (TlsProblem::Version(_), _) => {
                "sign it with extensions: `openssl x509 -req -extfile FILE`, or `dockgate certs server`".into()
            }
            (TlsProblem::SeveralKeys(_), _) => "keep the one that belongs to the certificate".into(),
            (TlsProblem::UnsupportedKey(_), _) => "use ECDSA P-256, P-384, Ed25519 or RSA of at least 2048 bits".into(),
            _ => return None,
        })
    }

    fn expected(&self) -> &'static str {
        match self.role {
            FileRole::ClientCa
            | FileRole::ServerCert
            | FileRole::ServerCa
            | FileRole::ClientCert => "a certificate",
            FileRole::ServerKey | FileRole::ClientKey => "a private key",
            FileRole::Crl => "a certificate revocation list",
            FileRole::DenyList => "a deny list",
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} ", self.role, self.path)?;
        match &self.problem {
            TlsProblem::Unreadable(err) => write!(f, "cannot be read: {err}"),
            TlsProblem::Directory => f.write_str("is a directory"),
            TlsProblem::TooLarge(limit) => write!(f, "is larger than {limit} bytes"),
            TlsProblem::Empty => f.write_str("is empty"),
            TlsProblem::WrongLabel(label) => write!(
                f,
                "is {} where {} was expected",
                name(label),
                self.expected()
            ),
            TlsProblem::NotPem => match self.role {
                FileRole::ClientCa | FileRole::ServerCa => f.write_str("contains no certificates"),
                _ => write!(f, "is not PEM; expected {}", self.expected()),
            },
            TlsProblem::Der => f.write_str("is DER; expected PEM"),
            TlsProblem::Encrypted => f.write_str("is encrypted, which is not supported"),
            TlsProblem::SeveralKeys(count) => {
                write!(f, "contains {count} private keys; expected one")
            }
            TlsProblem::NotReadable(damage) => write!(f, "cannot be decoded: {}", damage.what),
            TlsProblem::Version(version) => write!(
                f,
                "is of X.509 version {version}; expected version 3, which says what a certificate may be used for"
            ),
            TlsProblem::Malformed(what) => write!(f, "cannot be decoded: {what}"),
            TlsProblem::NotCa(subject) => write!(f, "contains {subject:?}, which is not a CA"),
            TlsProblem::KeyMismatch(cert) => {
                write!(f, "does not belong to the certificate in {cert:?}")
            }
            TlsProblem::NotFirst(cert, place) => write!(
                f,
                "does not belong to the first certificate in {cert:?}, but to number {place}"
            ),
            TlsProblem::UnsupportedKey(what) => write!(f, "has a key that cannot be used: {what}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            TlsProblem::Unreadable(err) => Some(err),
            _ => None,
        }
    }
}

/// A PEM label in words.
fn name(label: &str) -> String {
    match label {
        "CERTIFICATE" | "X509 CERTIFICATE" => "a certificate".into(),
        "TRUSTED CERTIFICATE" => "a certificate with OpenSSL's trust settings".into(),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "a certificate request (CSR)".into(),
        "X509 CRL" => "a certificate revocation list".into(),
        "PUBLIC KEY" => "a public key".into(),
        "DSA PRIVATE KEY" => "a DSA key".into(),
        "OPENSSH PRIVATE KEY" => "an OpenSSH key".into(),
        label if label.ends_with("PRIVATE KEY") => "a private key".into(),
        label => format!("{label:?}"),
    }
}

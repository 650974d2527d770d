//! A directory of certificates: where its files are, its lock, and the steps that put a certificate on disk.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;

use super::{
    Certificate, CertsError, Passphrase, Purpose,
    event::{Enrolled, Issued, IssuedKind},
    index::Index,
    issue::{Authority, Days, Leaf, Sans, SubjectName},
    key::{KeyType, PrivateKey},
    layout::{self, FoundLayout},
    name, pem,
    requester::Requester,
    san::San,
    shared::SharedDocument,
    write::{self, Existing, FileMode, Lock},
};
use text::escape::shell_word;

/// Names of the files in a directory, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The directory.
    pub dir: PathBuf,
    /// The CA certificate (or bundle).
    pub ca: PathBuf,
    /// The CA key.
    pub ca_key: PathBuf,
    /// The server certificate, with its chain.
    pub server_cert: PathBuf,
    /// The server key.
    pub server_key: PathBuf,
    /// The revocation list.
    pub crl: PathBuf,
    /// The issuance index.
    pub index: PathBuf,
    /// One directory per client below this one, each a `DOCKER_CERT_PATH`.
    pub clients: PathBuf,
}

impl Paths {
    /// dockgate's own layout, unless the directory already follows another one (see [`layout`]).
    pub fn of(dir: &Path) -> Self {
        let found = layout::find(dir);
        let own = |name: &str| dir.join(name);
        let mut paths = Self {
            dir: dir.into(),
            ca: own("ca.pem"),
            ca_key: own("ca-key.pem"),
            server_cert: own("server-cert.pem"),
            server_key: own("server-key.pem"),
            crl: own("crl.pem"),
            index: own("index.jsonl"),
            clients: own("clients"),
        };
        if let Some(FoundLayout {
            ca,
            ca_key,
            server_cert,
            server_key,
            crl,
            ..
        }) = found
        {
            (paths.ca, paths.server_cert, paths.server_key) = (ca, server_cert, server_key);
            paths.ca_key = ca_key.unwrap_or(paths.ca_key);
            paths.crl = crl.unwrap_or(paths.crl);
        } else if own("ca-cert.pem").is_file() {
            paths.ca = own("ca-cert.pem");
        }
        paths
    }

    /// `--dir` as later commands need it: left out where it is the default.
    #[must_use]
    pub fn option(&self) -> String {
        if self.dir == Path::new("certs") {
            String::new()
        } else {
            format!(" --dir {}", shell_word(&self.dir.to_string_lossy()))
        }
    }

    /// The directory of one client.
    pub fn client(&self, name: &str) -> PathBuf {
        self.clients.join(name)
    }

    /// Loads the CA that lies here.
    pub fn authority(&self, passphrase: &Passphrase) -> Result<Authority, CertsError> {
        if self.ca.is_file() && !self.ca_key.is_file() {
            return Err(CertsError::refused(
                format!("{:?} is not here, so nothing can be signed", self.ca_key),
                "run this where the CA key is kept, or name it with --ca-cert FILE --ca-key FILE",
            ));
        }
        Authority::load(&self.ca, &self.ca_key, passphrase)
    }
}

/// A directory held by this process alone.
#[derive(Debug)]
pub struct Store {
    /// Where things are.
    pub paths: Paths,
    /// What was issued from it and revoked.
    pub index: Index,
    _lock: Lock,
}

/// What is asked of a new client certificate.
#[derive(Clone, Debug)]
pub struct ClientRequest<'a> {
    /// `O`
    pub organization: Option<&'a str>,
    /// `OU`
    pub organizational_unit: Option<&'a str>,
    /// URI subject alternative names.
    pub uris: &'a [San],
    /// Life span.
    pub days: Days,
    /// IssuedKind of key.
    pub key_type: KeyType,
}

/// A certificate that was just signed.
#[derive(Debug)]
pub struct Made {
    /// The leaf.
    pub der: CertificateDer<'static>,
    /// What it says.
    pub info: Certificate,
    /// The leaf and any intermediates, in PEM.
    pub chain_pem: String,
}

/// A name that may be given to a certificate of a kind. [`Store::sign`] takes nothing else, so that no command can give a
/// reserved name, an odd one, or one that somebody has already, without being asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    kind: IssuedKind,
    name: String,
    chosen: Vec<String>,
    enrolled: Option<Enrolment>,
}

/// How a certificate that is about to be signed was asked for over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The invitation that the line began with.
    pub invitation: String,
    /// The serial number of the certificate it renews.
    pub predecessor: Option<String>,
    /// 1 for the first of its line.
    pub generation: u32,
    /// Its life in seconds.
    pub life_secs: u64,
}

/// The name in the index of the signer's own certificate.
pub const SIGNER: &str = "signer";

impl Grant {
    /// The one name of every server certificate.
    #[must_use]
    pub fn server() -> Self {
        Self {
            kind: IssuedKind::Server,
            name: "server".into(),
            chosen: Vec::new(),
            enrolled: None,
        }
    }

    /// The name that the holder of a client certificate has already, for a renewal.
    pub fn held(name: &str) -> Result<Self, CertsError> {
        if name::is_reserved(name) {
            return Err(CertsError::refused(
                format!("{name:?} is the name of one of dockgate's own certificates"),
                "make a certificate of another name with `dockgate certs client NAME`",
            ));
        }
        Ok(Self {
            kind: IssuedKind::Client,
            name: name.into(),
            chosen: Vec::new(),
            enrolled: None,
        })
    }

    /// The one name of the signer's certificate.
    #[must_use]
    pub fn signer() -> Self {
        Self {
            kind: IssuedKind::Server,
            name: SIGNER.into(),
            chosen: Vec::new(),
            enrolled: None,
        }
    }

    /// The name that an invitation gives, or that the certificate has which is renewed.
    #[must_use]
    pub fn enrolled(kind: IssuedKind, name: &str, enrolment: Enrolment) -> Self {
        Self {
            kind,
            name: name.into(),
            chosen: Vec::new(),
            enrolled: Some(enrolment),
        }
    }

    /// Notes which of the names in the certificate nobody asked for: they go when the host loses them.
    #[must_use]
    pub fn choosing(mut self, names: impl IntoIterator<Item = impl ToString>) -> Self {
        self.chosen = names.into_iter().map(|name| name.to_string()).collect();
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// A new client's name: well formed, and nobody's who could still come in with it, unless `existing` says so.
    pub fn grant_client(&self, name: &str, existing: Existing) -> Result<Grant, CertsError> {
        name::check(name)?;
        let now = crate::issue::now();
        let holder = self.holders(IssuedKind::Client, now).find_map(|issued| {
            name::are_alike(&issued.name, name).then(|| {
                (
                    issued.name.clone(),
                    issued.serial.clone(),
                    issued.not_after.clone(),
                )
            })
        });
        if let Some((held, serial, until)) = holder.filter(|_| existing == Existing::Keep) {
            return Err(CertsError::refused(
                format!("the name {held:?} is given: serial {serial} has it until {until}"),
                format!(
                    "`dockgate certs revoke {}{}` takes that one back; --force gives the name to a second certificate",
                    shell_word(&held),
                    self.paths.option()
                ),
            ));
        }
        Ok(Grant {
            kind: IssuedKind::Client,
            name: name.into(),
            chosen: Vec::new(),
            enrolled: None,
        })
    }

    /// The server's name for a certificate whose key is elsewhere: a second one is a second gate, for all that clients can see.
    pub fn grant_server(&self, existing: Existing) -> Result<Grant, CertsError> {
        let now = crate::issue::now();
        let holder = self
            .holders(IssuedKind::Server, now)
            .find(|issued| issued.name == "server");
        if let Some(issued) = holder.filter(|_| existing == Existing::Keep) {
            return Err(CertsError::refused(
                format!(
                    "there is a server certificate: serial {} is good until {}",
                    issued.serial, issued.not_after
                ),
                format!(
                    "`dockgate certs renew server{}` renews it; --force makes a second one",
                    self.paths.option()
                ),
            ));
        }
        Ok(Grant::server())
    }

    /// The certificates of a kind that are still good by the index.
    fn holders(
        &self,
        kind: IssuedKind,
        now: time::OffsetDateTime,
    ) -> impl Iterator<Item = &Issued> {
        let judged = self.index.judged();
        self.index.issued().filter(move |it| {
            it.kind == kind && it.is_alive(now) && judged.revocation(&it.serial).is_none()
        })
    }

    pub(crate) fn new(paths: Paths, index: Index, lock: Lock) -> Self {
        Self {
            paths,
            index,
            _lock: lock,
        }
    }

    /// Writes the CA's certificate, and its key if it was made here.
    pub fn put_ca(
        &mut self,
        authority: &Authority,
        key_pem: Option<&str>,
        existing: Existing,
    ) -> Result<(), CertsError> {
        if self.index.shares_a_ca() {
            return Err(CertsError::refused(
                "the store has a CA, and another one would take its place at all signers",
                "`dockgate certs rollover` replaces it without a gap; another CA needs a store of its own",
            ));
        }
        if let Some(key_pem) = key_pem {
            write::write(
                &self.paths.ca_key,
                key_pem.as_bytes(),
                FileMode::Secret,
                existing,
            )?;
        }
        let event = Index::issue(IssuedKind::Ca, "ca", authority.info(), &[], None);
        let (document, text) = (SharedDocument::Ca, authority.trust_pem());
        self.index
            .put(document, &self.paths.ca, &text, existing, [event])
    }

    /// Signs and writes a server certificate with a new key.
    pub fn make_server(
        &mut self,
        authority: &Authority,
        grant: &Grant,
        sans: &[San],
        days: Days,
        kind: KeyType,
        existing: Existing,
    ) -> Result<Made, CertsError> {
        if sans.is_empty() {
            return Err(CertsError::refused(
                "a server certificate without a subject alternative name matches no host",
                "write --san docker.example or --san 192.0.2.10, repeated for each name and address clients use",
            ));
        }
        let key = PrivateKey::generate(kind)?;
        let leaf = Leaf {
            role: Purpose::Server,
            subject: SubjectName::New {
                common_name: server_name(sans),
                organization: None,
                organizational_unit: None,
            },
            sans: Sans::New(sans),
            days,
            rsa: key.is_rsa(),
        };
        let made = self.sign(authority, &leaf, &key, grant)?;
        write::write(
            &self.paths.server_key,
            key.to_pem()?.as_bytes(),
            FileMode::Secret,
            existing,
        )?;
        write::write(
            &self.paths.server_cert,
            made.chain_pem.as_bytes(),
            FileMode::Public,
            existing,
        )?;
        Ok(made)
    }

    /// Signs a client certificate with a new key; the caller decides where both go.
    pub fn sign_client(
        &mut self,
        authority: &Authority,
        grant: &Grant,
        request: &ClientRequest<'_>,
    ) -> Result<(Made, PrivateKey), CertsError> {
        let key = PrivateKey::generate(request.key_type)?;
        let leaf = Leaf {
            role: Purpose::Client,
            subject: SubjectName::New {
                common_name: &grant.name,
                organization: request.organization,
                organizational_unit: request.organizational_unit,
            },
            sans: Sans::New(request.uris),
            days: request.days,
            rsa: key.is_rsa(),
        };
        let made = self.sign(authority, &leaf, &key, grant)?;
        Ok((made, key))
    }

    /// Writes a `DOCKER_CERT_PATH`. Without a key only the certificates are kept.
    pub fn put_client(
        &self,
        dir: &Path,
        authority: &Authority,
        chain_pem: &str,
        key: Option<&PrivateKey>,
        existing: Existing,
    ) -> Result<(), CertsError> {
        write::create_private_dir(dir)?;
        if let Some(key) = key {
            write::write(
                &dir.join("key.pem"),
                key.to_pem()?.as_bytes(),
                FileMode::Secret,
                existing,
            )?;
        }
        write::write(
            &dir.join("ca.pem"),
            authority.trust_pem().as_bytes(),
            FileMode::Public,
            existing,
        )?;
        write::write(
            &dir.join("cert.pem"),
            chain_pem.as_bytes(),
            FileMode::Public,
            existing,
        )
    }

    /// Signs a leaf and records it. The record comes first: a certificate that exists can then always be revoked.
    pub fn sign(
        &mut self,
        authority: &Authority,
        leaf: &Leaf<'_>,
        public: &impl Requester,
        grant: &Grant,
    ) -> Result<Made, CertsError> {
        self.index
            .has_room_for(grant.kind, grant.enrolled.is_some())?;
        let der = authority.sign(leaf, public)?;
        let info = Certificate::read(&der)
            .map_err(|why| CertsError::crypto("read back a certificate just signed", why))?;
        if self.index.issued().any(|it| it.serial == info.serial) {
            return Err(CertsError::refused(
                format!("the serial number {} was given twice", info.serial),
                "a certificate is revoked by its serial number: let the CA draw it at random",
            ));
        }
        let enrolled = grant.enrolled.as_ref().map(|it| {
            let mut enrolled = Enrolled {
                invitation: it.invitation.clone(),
                predecessor: it.predecessor.clone(),
                generation: it.generation,
                life_secs: it.life_secs,
                der: String::new(),
            };
            if !enrolled.is_by_token() {
                enrolled.der = data_encoding::BASE64.encode(&der);
            }
            enrolled
        });
        self.index
            .record(grant.kind, &grant.name, &info, &grant.chosen, enrolled)?;
        Ok(Made {
            chain_pem: authority.chain_pem(&der),
            der,
            info,
        })
    }
}

/// The first certificate of a file, read.
pub fn inspect_file(path: &Path) -> Result<(CertificateDer<'static>, Certificate), CertsError> {
    let first = pem::certificates(path)?.swap_remove(0);
    let info = Certificate::read(&first).map_err(|found| CertsError::Unexpected {
        path: path.into(),
        expected: "an X.509 certificate",
        found,
        hint: None,
    })?;
    Ok((first, info))
}

/// A server's common name: its first name, for people who read certificates; clients look at the names only.
#[must_use]
pub fn server_name(sans: &[San]) -> &str {
    sans.iter()
        .find_map(|san| match san {
            San::Dns(name) if name != "localhost" && name.len() <= name::MAX_NAME_CHARS => {
                Some(name.as_str())
            }
            _ => None,
        })
        .unwrap_or("dockgate")
}

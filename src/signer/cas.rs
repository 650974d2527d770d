//! The CAs of a signer: what they sign and judge by, and the signer's own certificate, by which clients know it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use pki::issue::{Days, Leaf, Sans, SubjectName, now};
use pki::key::{KeyType, PrivateKey};
use pki::place::StorePlace;
use pki::rollover::Authorities;
use pki::san::San;
use pki::store::{Grant, Paths, inspect_file, server_name};
use pki::write::{self, Existing, FileMode};
use pki::{Certificate, CertsError, Passphrase, Purpose, TrustStore, timestamp};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tracing::info;

use super::external::{self, ExternalCa};
use super::{SignerError, tls};
use crate::tls::config;

/// What tells one state of a file from another.
pub(super) type FileStamp = (u64, u64, i64, i64);

/// Those of the files of the CAs.
pub(super) type CaStamps = [FileStamp; 3];

/// Life of the signer's own certificate.
const SIGNER_DAYS: u32 = 90;

/// The CAs, and what judges by them.
pub(super) struct TrustedCas {
    pub(super) authorities: Authorities,
    pub(super) clients: TrustStore,
    pub(super) gates: TrustStore,
}

impl TrustedCas {
    pub(super) fn load(
        paths: &Paths,
        passphrase: &Passphrase,
        external: Option<&ExternalCa>,
    ) -> Result<Self, SignerError> {
        let authorities = match external {
            None => Authorities::load(paths, passphrase)?,
            Some(external) => Authorities::alone(external::authority(external)?),
        };
        let cas: Vec<_> = authorities
            .iter()
            .map(|it| it.certificate().clone())
            .collect();
        let trust = |purpose| {
            config::trust_store(&cas, Vec::new(), pki::DenyList::default())
                .map(|store| store.judging(purpose))
                .map_err(SignerError::Ca)
        };
        let (clients, gates) = (trust(Purpose::Client)?, trust(Purpose::Server)?);
        Ok(Self {
            authorities,
            clients,
            gates,
        })
    }
}

/// The signer's own certificate in the CA's directory.
const CERT: &str = "signer-cert.pem";
const KEY: &str = "signer-key.pem";

/// The signer's own certificate as it lies there, unless it is missing, due, by another CA or for other names.
pub(super) fn fitting(
    paths: &Paths,
    authorities: &Authorities,
    names: &[San],
) -> Result<Option<CertificateDer<'static>>, CertsError> {
    let (cert, key) = (paths.dir.join(CERT), paths.dir.join(KEY));
    if !(cert.is_file() && key.is_file()) {
        return Ok(None);
    }
    let (der, info) = inspect_file(&cert)?;
    let fits = info.uncovered(names).is_empty()
        && info.sans.iter().all(|san| names.contains(san))
        && authorities.own().issued(&info)
        && now() < info.renewal_due();
    Ok(fits.then_some(der))
}

/// The signer's own certificate, made if it is missing, due, by another CA or for other names.
pub(super) fn own_certificate(
    place: &StorePlace,
    authorities: &Authorities,
    names: &[San],
) -> Result<Arc<ServerConfig>, SignerError> {
    let paths = &Paths::of(place.dir());
    let authority = authorities.own();
    let (cert, key) = (paths.dir.join(CERT), paths.dir.join(KEY));
    let pair = match fitting(paths, authorities, names)? {
        Some(der) => (der, PrivateKey::load(&key, &pki::Passphrase::Absent)?),
        None => {
            let new = PrivateKey::generate(KeyType::P256)?;
            let leaf = Leaf {
                role: Purpose::Server,
                subject: SubjectName::New {
                    common_name: server_name(names),
                    organization: None,
                    organizational_unit: None,
                },
                sans: Sans::New(names),
                days: Days::UpTo(SIGNER_DAYS),
                rsa: false,
            };
            let mut store = place.open()?;
            let made = store.sign(authority, &leaf, &new, &Grant::signer())?;
            let pem = new.to_pem()?;
            write::write(&key, pem.as_bytes(), FileMode::Secret, Existing::Replace)?;
            write::write(
                &cert,
                made.chain_pem.as_bytes(),
                FileMode::Public,
                Existing::Replace,
            )?;
            info!(
                until = timestamp(made.info.not_after),
                "Made the signer's own certificate"
            );
            (made.der, new)
        }
    };
    // OpenSSL goes on with the first issuer that fits, and not from a root to what another CA certified of it.
    let mut cas = authorities.certificates();
    cas.sort_by_key(|ca| Certificate::read(ca).is_ok_and(|it| it.self_issued));
    let chain = std::iter::once(pair.0).chain(cas);
    Ok(tls::server(chain.collect(), &pair.1)?)
}

/// What tells one state of the CAs' files from another.
pub(super) fn ca_stamps(paths: &Paths) -> CaStamps {
    let previous = paths.dir.join("previous-ca.pem");
    [&paths.ca, &paths.ca_key, &previous].map(|path| stamp(path))
}

pub(super) fn stamp(path: &Path) -> FileStamp {
    let of = |it: Metadata| (it.ino(), it.len(), it.mtime(), it.mtime_nsec());
    std::fs::metadata(path).map_or((0, 0, 0, 0), of)
}

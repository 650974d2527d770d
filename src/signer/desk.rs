//! The directory of the CA as the signer works on it: what is asked often is kept and read again when the file has changed;
//! what is written is written under the directory's lock, one request at a time.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use enroll::oidc::ApprovedToken;
use enroll::rules;
use enroll::{EnrollRefusal, Secret, SigningRules};
use pki::crl::{self, IssuedList};
use pki::denied;
use pki::identity::sha256;
use pki::index::{Index, Issued, IssuedKind};
use pki::issue::{Authority, Days, Leaf, Sans, SubjectName, now};
use pki::key::{KeyType, PrivateKey};
use pki::request::SigningRequest;
use pki::san::San;
use pki::store::{Grant, Paths, Store, inspect_file, server_name};
use pki::write::{self, Existing, FileMode};
use pki::{Certificate, CertsError, Purpose, TrustStore, timestamp};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::throttle::Throttle;
use super::{SignerError, SignerOptions, TrustedIssuers, tls};
use crate::error;
use crate::tls::config;

/// Life of the signer's own certificate.
const SIGNER_DAYS: u32 = 90;

/// How many days a revocation list is good for: so long a gate works without the signer.
const LIST_DAYS: u32 = 7;

/// How often it is signed again.
const LIST_AGE: time::Duration = time::Duration::days(1);

/// What tells one state of a file from another.
type FileStamp = (u64, u64, i64, i64);

/// The directory at work.
pub(super) struct Desk {
    paths: Paths,
    authority: Authority,
    rules: SigningRules,
    /// Whose tokens of CI are taken.
    pub(super) issuers: TrustedIssuers,
    /// The names of the signer's own certificate.
    names: Vec<San>,
    /// Where the gate is, if the signer was told.
    pub(super) gate: Option<String>,
    index: Mutex<Option<(FileStamp, Arc<Index>)>>,
    serving: RwLock<Arc<ServerConfig>>,
    clients: TrustStore,
    gates: TrustStore,
    writing: Mutex<()>,
    /// What gates are told, as one document; sent whenever it changes.
    pub(super) trust: watch::Sender<Arc<TrustDocument>>,
    pub(super) throttle: Throttle,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("dir", &self.paths.dir)
            .finish_non_exhaustive()
    }
}

/// What gates are told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TrustDocument {
    pub(super) ca: String,
    pub(super) crl: Option<String>,
    pub(super) denied: Option<String>,
}

impl TrustDocument {
    /// A strong entity tag (RFC 9110 §8.8.3).
    pub(super) fn tag(&self) -> String {
        let mut parts = sha256(self.ca.as_bytes()).to_vec();
        for part in [&self.crl, &self.denied] {
            // One that is missing counts too.
            parts.extend(sha256(part.as_deref().unwrap_or_default().as_bytes()));
        }
        format!(
            "\"{}\"",
            data_encoding::HEXLOWER.encode(&sha256(&parts)[..16])
        )
    }
}

impl Desk {
    pub(super) fn open(options: SignerOptions, names: Vec<San>) -> Result<Self, SignerError> {
        let SignerOptions {
            dir,
            gate,
            rules,
            issuers,
            passphrase,
            ..
        } = options;
        let paths = Paths::of(&dir);
        if !paths.ca.is_file() {
            let option = paths.option();
            return Err(CertsError::refused(
                format!("there is no CA in {dir:?}"),
                format!("make one with `dockgate certs init{option}`"),
            )
            .into());
        }
        let authority = paths.authority(&passphrase)?;
        let trust = |purpose| {
            let cas = [authority.certificate().clone()];
            config::trust_store(&cas, Vec::new(), pki::DenyList::default())
                .map(|store| store.judging(purpose))
                .map_err(SignerError::Ca)
        };
        let (clients, gates) = (trust(Purpose::Client)?, trust(Purpose::Server)?);
        let serving = own_certificate(&paths, &authority, &names)?;
        let desk = Self {
            index: Mutex::default(),
            serving: RwLock::new(serving),
            clients,
            gates,
            writing: Mutex::default(),
            trust: watch::Sender::default(),
            throttle: Throttle::default(),
            paths,
            authority,
            rules,
            issuers,
            names,
            gate,
        };
        desk.look()?;
        Ok(desk)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.paths.dir
    }

    /// The server's side of a handshake.
    pub(super) fn serving(&self) -> Arc<ServerConfig> {
        self.serving
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The CA and what came with it, for `cacerts`.
    pub(super) fn cas(&self) -> impl Iterator<Item = &[u8]> {
        self.authority.trusted().map(AsRef::as_ref)
    }

    /// The index as it is now.
    pub(super) fn index(&self) -> Result<Arc<Index>, CertsError> {
        let mut kept = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.paths.index);
        if let Some((of, index)) = kept.as_ref()
            && *of == stamp
        {
            return Ok(index.clone());
        }
        let index = Arc::new(Index::read(&self.paths.index)?);
        *kept = Some((stamp, index.clone()));
        Ok(index)
    }

    /// What an invitation is for, if it can be used, told by what is kept.
    pub(super) fn knows(
        &self,
        id: &str,
        secret: &Secret,
    ) -> Result<Option<IssuedKind>, CertsError> {
        let index = self.index()?;
        let found = rules::authenticate(&index, id, secret, now());
        Ok(found.map(|invitation| invitation.kind))
    }

    /// The certificate in the index that a peer has proved to hold, if it is good for asking as one that joined.
    pub(super) fn holder(&self, leaf: &CertificateDer<'_>) -> Result<Issued, EnrollRefusal> {
        let index = self.index()?;
        let digest = pki::fingerprint(leaf);
        let forbidden = |why: String| EnrollRefusal::Forbidden(why);
        let issued = rules::find(&index, &digest).ok_or_else(|| {
            forbidden("this certificate did not come by an invitation of this signer".into())
        })?;
        let store = match issued.kind {
            IssuedKind::Server => &self.gates,
            _ => &self.clients,
        };
        // The index decides about the end, since it may be forgiven; the chain is judged within the certificate's dates.
        let ends = issued
            .ends()
            .map_or(i64::MAX, time::OffsetDateTime::unix_timestamp);
        let at = now().unix_timestamp().min(ends);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.unsigned_abs()));
        let chain = [CertificateDer::from(leaf.as_ref())];
        store
            .admit(&chain, at)
            .map_err(|refusal| forbidden(refusal.why()))?;
        if index.revocation(&issued.serial).is_some() {
            return Err(forbidden("this certificate is revoked".into()));
        }
        if denied::denies(&index, &issued.serial, &issued.spki_sha256) {
            return Err(forbidden("this certificate is on the deny list".into()));
        }
        Ok(issued.clone())
    }

    /// Signs the first certificate of a line. Blocks on the directory's lock.
    pub(super) fn enrol(
        &self,
        id: &str,
        secret: &Secret,
        request: &SigningRequest,
    ) -> Result<Vec<u8>, EnrollRefusal> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = Store::open(&self.paths.dir)?;
        let der = rules::redeem(
            &mut store,
            &self.authority,
            &self.rules,
            (id, secret),
            request,
            now(),
        )?;
        Ok(der)
    }

    /// Signs the one certificate that a token of CI is good for. Blocks on the directory's lock.
    pub(super) fn enrol_by_token(
        &self,
        token: &ApprovedToken,
        request: &SigningRequest,
    ) -> Result<Vec<u8>, EnrollRefusal> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = Store::open(&self.paths.dir)?;
        rules::redeem_token(&mut store, &self.authority, token, request)
    }

    /// Signs the certificate after another. Blocks on the directory's lock.
    pub(super) fn renew(
        &self,
        leaf: &CertificateDer<'_>,
        request: &SigningRequest,
    ) -> Result<Vec<u8>, EnrollRefusal> {
        self.holder(leaf)?;
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = Store::open(&self.paths.dir)?;
        let digest = pki::fingerprint(leaf);
        let renewed = rules::renew(
            &mut store,
            &self.authority,
            &self.rules,
            &digest,
            request,
            now(),
        );
        if let Err(EnrollRefusal::Copy { name, serials }) = &renewed {
            warn!(
                client.id = name,
                serials = serials.join(","),
                "A certificate was renewed with two keys: somebody has a copy, or a backup was restored; its line is on hold until `dockgate certs allow` or a new invitation"
            );
            // The index has it; what fails here is tried again by the upkeep.
            if let Err(fault) = crl::publish(&mut store, &self.authority, LIST_DAYS) {
                error!(error = %error::report(&fault), "The revocation list cannot be signed");
            }
            drop(store);
            self.tell_gates();
        }
        renewed
    }

    /// What has to be done from time to time: the list, the signer's own certificate. Blocks.
    pub(super) fn look(&self) -> Result<(), CertsError> {
        self.renew_own()?;
        if self.list_is_due()? {
            let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut store = Store::open(&self.paths.dir)?;
            let list = crl::publish(&mut store, &self.authority, LIST_DAYS)?;
            info!(
                number = list.number_text,
                revoked = list.entries.len(),
                "Signed the revocation list"
            );
        }
        {
            let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            denied::publish(&*self.index()?, &self.paths, &self.authority)?;
        }
        self.tell_gates();
        Ok(())
    }

    /// A change that others made, such as `certs revoke`.
    pub(super) fn stamps(&self) -> [FileStamp; 3] {
        [&self.paths.index, &self.paths.crl, &self.paths.ca].map(|path| stamp(path))
    }

    fn list_is_due(&self) -> Result<bool, CertsError> {
        let index = self.index()?;
        if !self.paths.crl.is_file() {
            // Where further CAs are trusted, a first list would leave out those that have none.
            let alone = self.authority.trusted().count() == 1 && self.authority.info().self_issued;
            return Ok(alone || index.revoked().next().is_some());
        }
        let list = IssuedList::read(&self.paths.crl)?;
        let listed = |serial: &str| list.entries.iter().any(|entry| entry.serial == serial);
        let ours = self.authority.info().subject_key_id.as_ref();
        let missing = index
            .revoked()
            .filter(|it| it.issuer_key_id.is_none() || it.issuer_key_id.as_ref() == ours)
            .any(|it| index.revocation(&it.serial).is_some() && !listed(&it.serial));
        let lifted = list
            .entries
            .iter()
            .any(|entry| entry.is_on_hold() && index.is_allowed_again(&entry.serial));
        let now = now();
        let old = now - list.signed_at() >= LIST_AGE;
        let ends = list
            .next_update
            .is_none_or(|end| end - now < time::Duration::days(i64::from(LIST_DAYS) - 2));
        Ok(missing || lifted || old && ends)
    }

    fn tell_gates(&self) {
        let text = |path: &Path| {
            let bytes = write::read(path).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let document = TrustDocument {
            ca: self.authority.trust_pem(),
            crl: text(&self.paths.crl),
            denied: text(&denied::path(&self.paths)),
        };
        self.trust.send_if_modified(|known| {
            let changed = **known != document;
            if changed {
                *known = Arc::new(document);
            }
            changed
        });
    }

    fn renew_own(&self) -> Result<(), CertsError> {
        let path = self.paths.dir.join(CERT);
        if path.is_file() && now() < inspect_file(&path)?.1.renewal_due() {
            return Ok(());
        }
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = own_certificate(&self.paths, &self.authority, &self.names);
        let serving =
            serving.map_err(|error| CertsError::crypto("renew the signer's certificate", error))?;
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving;
        info!("Renewed the signer's own certificate");
        Ok(())
    }
}

const CERT: &str = "signer-cert.pem";
const KEY: &str = "signer-key.pem";

/// The signer's own certificate, made if it is missing, due, by another CA or for other names.
fn own_certificate(
    paths: &Paths,
    authority: &Authority,
    names: &[San],
) -> Result<Arc<ServerConfig>, SignerError> {
    let (cert, key) = (paths.dir.join(CERT), paths.dir.join(KEY));
    let fits = |info: &Certificate| {
        info.uncovered(names).is_empty()
            && info.sans.iter().all(|san| names.contains(san))
            && info.authority_key_id == authority.info().subject_key_id
            && now() < info.renewal_due()
    };
    let present = (cert.is_file() && key.is_file())
        .then(|| inspect_file(&cert))
        .transpose()?;
    let pair = match present {
        Some((der, info)) if fits(&info) => {
            (der, PrivateKey::load(&key, &pki::Passphrase::Absent)?)
        }
        _ => {
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
            let mut store = Store::open(&paths.dir)?;
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
    let chain = std::iter::once(pair.0).chain(authority.trusted().cloned());
    Ok(tls::server(chain.collect(), &pair.1)?)
}

fn stamp(path: &Path) -> FileStamp {
    let of = |it: Metadata| (it.ino(), it.len(), it.mtime(), it.mtime_nsec());
    std::fs::metadata(path).map_or((0, 0, 0, 0), of)
}

//! The directory of the CA as the signer works on it: what is asked often is kept and read again when the file has changed;
//! what is written is written under the directory's lock, one request at a time.

mod care;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use enroll::oidc::ApprovedToken;
use enroll::rules;
use enroll::{EnrollRefusal, Secret, SigningRules};
use pki::crl;
use pki::denied;
use pki::event::{Issued, IssuedKind};
use pki::identity::sha256;
use pki::index::Index;
use pki::issue::now;
use pki::place::{StorePlace, no_ca};
use pki::request::SigningRequest;
use pki::san::San;
use pki::store::{Paths, Store};
use pki::{CertsError, Passphrase, Purpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::cas::{CaStamps, FileStamp, TrustedCas, ca_stamps, own_certificate, stamp};
use super::external::ExternalCa;
use super::throttle::Throttle;
use super::turns::Turns;
use super::{SignerError, SignerOptions, TrustedIssuers};
use crate::error;

/// How many days a revocation list is good for: so long a gate works without the signer.
pub const LIST_DAYS: u32 = 7;

/// The directory at work.
pub(super) struct Desk {
    place: StorePlace,
    /// What was last heard of a store that others share.
    news: AtomicI64,
    paths: Paths,
    /// Whose certificates are signed here, and of which state of the files that is.
    trusted: RwLock<(CaStamps, Arc<TrustedCas>)>,
    /// What opens a CA's key that comes later. A running signer asks nobody.
    passphrase: Passphrase,
    rules: SigningRules,
    /// Whose tokens of CI are taken.
    pub(super) issuers: TrustedIssuers,
    /// Where the CA's list comes from, if its key is elsewhere.
    external: Option<ExternalCa>,
    /// The names of the signer's own certificate.
    names: Vec<San>,
    /// Where the gate is, if the signer was told.
    pub(super) gate: Option<String>,
    index: Mutex<Option<(FileStamp, Arc<Index>)>>,
    /// What the server's side of a handshake is, and the CAs it presents.
    serving: RwLock<(Arc<ServerConfig>, Vec<CertificateDer<'static>>)>,
    writing: Mutex<()>,
    /// Whose turn it is of the requests that write.
    pub(super) turns: Turns,
    /// What gates are told, as one document; sent whenever it changes.
    pub(super) trust: watch::Sender<Arc<TrustDocument>>,
    pub(super) throttle: Throttle,
    /// The file that gets the metrics.
    pub(super) metrics_file: Option<PathBuf>,
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
            place,
            gate,
            rules,
            issuers,
            passphrase,
            external,
            metrics_file,
            ..
        } = options;
        if let Some(external) = &external {
            external.take_over(&Paths::of(place.dir()))?;
        }
        let paths = place.paths()?;
        if !paths.ca.is_file() {
            return Err(no_ca(&paths.dir, "").into());
        }
        let stamps = ca_stamps(&paths);
        let trusted = TrustedCas::load(&paths, &passphrase, external.as_ref())?;
        let serving = own_certificate(&place, &trusted.authorities, &names)?;
        let desk = Self {
            index: Mutex::default(),
            serving: RwLock::new((serving, trusted.authorities.certificates())),
            trusted: RwLock::new((stamps, Arc::new(trusted))),
            passphrase: match passphrase {
                Passphrase::File(file) => Passphrase::File(file),
                _ => Passphrase::Absent,
            },
            writing: Mutex::default(),
            turns: Turns::default(),
            trust: watch::Sender::default(),
            throttle: Throttle::default(),
            metrics_file,
            paths,
            place,
            news: AtomicI64::new(0),
            rules,
            issuers,
            external,
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
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.0.clone()
    }

    /// The CAs as they were read last.
    fn trusted(&self) -> Arc<TrustedCas> {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        trusted.1.clone()
    }

    /// Whether the files of the CAs are still those that were read last.
    fn knows_cas(&self) -> bool {
        let known = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        known.0 == ca_stamps(&self.paths)
    }

    /// The CAs of a directory that is held: a rollover may have begun or ended since the last look.
    fn trusted_of(&self, store: &Store) -> Result<Arc<TrustedCas>, CertsError> {
        if self.knows_cas() {
            return Ok(self.trusted());
        }
        let read = TrustedCas::load(&store.paths, &self.passphrase, self.external.as_ref());
        let read = read.map_err(|error| CertsError::crypto("take over the CA", error))?;
        Ok(Arc::new(read))
    }

    /// Reads the CAs again where their files have changed: a rollover began or ended.
    fn look_at_cas(&self) -> Result<(), CertsError> {
        if self.knows_cas() {
            return Ok(());
        }
        // A process that writes them holds the lock, so what is read here belongs together.
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let store = self.place.open()?;
        let stamps = ca_stamps(&self.paths);
        let read = self.trusted_of(&store)?;
        let mut trusted = self.trusted.write().unwrap_or_else(PoisonError::into_inner);
        if read.authorities.certificates() != trusted.1.authorities.certificates() {
            info!(
                ca = read.authorities.current.info().subject,
                "The CA has changed"
            );
        }
        *trusted = (stamps, read);
        Ok(())
    }

    /// The CAs and what came with them, for `cacerts`.
    pub(super) fn cas(&self) -> Vec<CertificateDer<'static>> {
        self.trusted().authorities.certificates()
    }

    /// The index as it is now.
    pub(super) fn index(&self) -> Result<Arc<Index>, CertsError> {
        if self.place.store().is_some() {
            return self.place.index().map(Arc::new);
        }
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
        let trusted = self.trusted();
        let store = match issued.kind {
            IssuedKind::Server => &trusted.gates,
            _ => &trusted.clients,
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
        let mut store = self.place.open()?;
        let trusted = self.trusted_of(&store)?;
        let der = rules::redeem(
            &mut store,
            &trusted.authorities,
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
        let mut store = self.place.open()?;
        let trusted = self.trusted_of(&store)?;
        let cas = &trusted.authorities;
        let authority = cas.signs(Purpose::Client, &store.index, now());
        rules::redeem_token(&mut store, authority, token, request)
    }

    /// Signs the certificate after another. Blocks on the directory's lock.
    pub(super) fn renew(
        &self,
        leaf: &CertificateDer<'_>,
        request: &SigningRequest,
    ) -> Result<Vec<u8>, EnrollRefusal> {
        self.holder(leaf)?;
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = self.place.open()?;
        let digest = pki::fingerprint(leaf);
        let trusted = self.trusted_of(&store)?;
        let renewed = rules::renew(
            &mut store,
            &trusted.authorities,
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
            if self.external.is_some() {
                warn!(
                    serials = serials.join(","),
                    "The CA's key is elsewhere, so gates let these certificates in until they are revoked at the CA"
                );
                return renewed;
            }
            // The index has it; what fails here is tried again by the upkeep.
            for authority in trusted.authorities.iter() {
                if let Err(fault) = crl::publish(&mut store, authority, LIST_DAYS) {
                    error!(error = %error::report(&fault), "The revocation list cannot be signed");
                }
            }
            drop(store);
            self.tell_gates();
        }
        renewed
    }
}

//! What a reload publishes: the files read, built and cross-checked. Blocks on the file system.

use rustls::pki_types::CertificateDer;

use crate::cli::ServeArgs;
use crate::config::{self, Config, DenyList, TlsPaths};
use crate::finding;
use crate::house::Survey;
use crate::observe::expiry::{Date, Subject};
use crate::tls::config::{Material, Trust, TrustError};
use crate::tls::files::{self, FileError};
use pki::{Certificate, Denied, TrustStore, Use, identity};
use policy::{Policy, PolicyError, toggles};

/// What a look at the files found.
pub(super) enum Found {
    Unchanged,
    New(Box<Generation>),
    Fault(String),
}

/// All that a reload publishes.
pub(super) struct Generation {
    pub(super) config: Config,
    pub(super) trust: Trust,
    pub(super) policy: Policy,
    pub(super) survey: Survey,
    pub(super) dates: Vec<Date>,
    /// Of the files before they were read: a change in the meantime shows at the next look.
    pub(super) seen: [u8; 32],
}

/// Reads and builds everything anew. `listed` says that revocation lists are in force.
pub(super) fn read(args: &ServeArgs, old: &Config, listed: bool) -> Found {
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(e) => return Found::Fault(e.to_string()),
    };
    let seen = snapshot(&config);
    // Read again, now that what it names is on record: whatever changes from here on differs from the record.
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(e) => return Found::Fault(e.to_string()),
    };
    let policy = match policy(&config) {
        Ok(policy) => policy,
        Err(e) => return Found::Fault(finding::chain(&e)),
    };
    match trust(&config) {
        // A list that has merely gone must not bring revoked clients back; taking it out of the configuration may.
        Ok((_, dates)) if listed && !has_lists(&dates) && paths(old) == paths(&config) => {
            Found::Fault(
                "the revocation lists in force have gone: put them back, or change tlscrl"
                    .to_owned(),
            )
        }
        Ok((trust, dates)) => Found::New(Box::new(Generation {
            survey: Survey::of(&config),
            config,
            trust,
            policy,
            dates,
            seen,
        })),
        Err(e) => Found::Fault(finding::chain(&e)),
    }
}

pub(super) fn has_lists(dates: &[Date]) -> bool {
    dates.iter().any(|date| date.subject == Subject::Crl)
}

/// A digest of everything a reload would read.
pub(super) fn snapshot(config: &Config) -> [u8; 32] {
    let mut both = files::snapshot(&paths(config)).to_vec();
    both.extend(files::digest(&config.files));
    identity::sha256(&both)
}

/// Why there is no new generation of trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustFault {
    /// A TLS file is missing or wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files do not make a TLS server.
    #[error(transparent)]
    Build(#[from] TrustError),
}

/// Whom the gate of a configuration lets in, and how many revocation lists it reads; without the server's own files. Blocks
/// on the file system.
///
/// # Errors
/// When a file is missing or wrong.
pub fn trust_store(config: &Config) -> Result<(TrustStore, usize), TrustFault> {
    let (client_ca, crls) = files::load_clients_trust(&paths(config))?;
    let lists = crls.len();
    let store = crate::tls::config::trust_store(&client_ca, crls, denied(&config.deny));
    Ok((store.map_err(TrustError::of_clients)?, lists))
}

/// Reads the TLS files and builds a generation of trust, with the dates it ends on. Blocks on the file system.
///
/// # Errors
/// When a file is missing or wrong, or they do not go together.
pub fn trust(config: &Config) -> Result<(Trust, Vec<Date>), TrustFault> {
    let files = files::load(&paths(config))?;
    let server = files.cert_chain.first().cloned();
    let trust = Trust::build(Material {
        cert_chain: files.cert_chain,
        key: files.key,
        client_ca: files.client_ca,
        crls: files.crls,
        denied: denied(&config.deny),
    })?;
    let dates = dates(server.as_ref(), &trust.store);
    Ok((trust, dates))
}

/// Reads the policy: the configured file, else the environment's toggles, else full access.
///
/// # Errors
/// When the file is missing or wrong, or a toggle is.
pub fn policy(config: &Config) -> Result<Policy, PolicyError> {
    match &config.policy {
        Some(path) => Policy::read(path),
        None => {
            let variables = std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
            Ok(toggles::from_env(variables)?.unwrap_or_else(Policy::open))
        }
    }
}

/// The TLS files in force.
#[must_use]
pub fn paths(config: &Config) -> TlsPaths {
    config.tls_paths()
}

fn denied(list: &DenyList) -> Denied {
    Denied {
        serials: list.serials.iter().cloned().collect(),
        spki_sha256: list.spki_sha256.iter().copied().collect(),
    }
}

fn dates(server: Option<&CertificateDer<'_>>, store: &TrustStore) -> Vec<Date> {
    let certificate = |subject, it: &Certificate| Date {
        subject,
        name: it.subject.clone(),
        id: it.sha256.clone(),
        not_after: it.not_after,
    };
    let server = server.and_then(|der| Certificate::read(der).ok());
    let server = server.map(|it| certificate(Subject::Server, &it));
    let cas = store.cas().iter().map(|ca| certificate(Subject::Ca, ca));
    // A list that a newer one replaces may end without consequence.
    let lists = store.lists();
    let lists = lists.iter().filter(|(_, used)| *used != Use::Older);
    let lists = lists.map(|(list, _)| Date {
        subject: Subject::Crl,
        name: list.issuer.clone(),
        id: list.sha256.clone(),
        not_after: list.next_update,
    });
    server.into_iter().chain(cas).chain(lists).collect()
}

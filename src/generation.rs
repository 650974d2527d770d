//! A generation: what a configuration's files make, and what a reload publishes. Trust and policy lie behind one pointer, so that
//! no request sees the trust of one reload with the policy of another.
//!
//! [`Generation::build`] is the only way to one: start and reload call it, and [`certificates`] and [`policies`] give `check`
//! and `doctor` the findings of the same steps. Blocks on the file system.

pub mod owner_key;

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, access};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use crate::config::Config;
use crate::error::{FileUse, file_hint};
use crate::finding::Finding;
use crate::observe::expiry::{Date, Subject};
use crate::tls::config::{Material, Trust, TrustError};
use crate::tls::files::{self, FileError, TlsMaterial};
use owner_key::OwnerKeyError;
use pki::{Certificate, DenyList, TrustStore, Use, auto, identity};
use policy::scope::OwnerKey;
use policy::{Mode, Policy, PolicyError, Protected, toggles};
use text::counted;

/// What is said where there is no policy.
pub const OPEN: &str =
    "no policy: every certificate of the CA has full access, and no request is denied";

/// All that a reload publishes.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Who is let in.
    pub trust: Trust,
    /// What they may do.
    pub policy: Arc<Policy>,
    /// When the parts of its trust end.
    pub dates: Vec<Date>,
    /// The certificates in it, as people see them.
    pub certificates: Certificates,
    /// What makes the labels of roles with a scope.
    pub owner_key: Option<OwnerKey>,
    /// A digest of the policy's text.
    pub policy_digest: [u8; 32],
}

/// The certificates of a generation, for people.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// The server's own.
    pub server: Option<Certificate>,
    /// The CAs whose clients are let in.
    pub client_ca: Vec<Certificate>,
}

/// Why there is no generation.
#[derive(Debug, thiserror::Error)]
pub enum GenerationFault {
    /// A TLS file is missing or wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files do not make a TLS server.
    #[error(transparent)]
    Build(#[from] TrustError),
    /// The policy is missing or wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The key of roles with a scope is missing or wrong.
    #[error(transparent)]
    OwnerKey(#[from] OwnerKeyError),
}

impl GenerationFault {
    /// The advice, for a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::OwnerKey(error) => error.hint(),
            Self::Build(_) | Self::Policy(_) => None,
        }
    }

    /// Each thing that is wrong by itself, with its advice.
    #[must_use]
    pub fn told(&self) -> Vec<(String, Option<String>)> {
        match self {
            Self::Policy(error) => told(error),
            _ => vec![(crate::error::report(self), self.hint())],
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |(text, hint)| Finding {
            hint,
            ..Finding::fatal(text)
        };
        self.told().into_iter().map(finding).collect()
    }
}

/// Every fault of a policy by itself, with its advice.
#[must_use]
pub fn told(error: &PolicyError) -> Vec<(String, Option<String>)> {
    if let PolicyError::Invalid { file, faults } = error {
        let told = |fault: &policy::PolicyFault| {
            (
                format!("{file}:{}: {}", fault.line, fault.message),
                fault.hint.clone(),
            )
        };
        return faults.iter().map(told).collect();
    }
    let text = crate::error::report(error);
    if let PolicyError::Read { path, source, .. } = error {
        return vec![(text, file_hint(path, source, FileUse::Read))];
    }
    vec![match text.split_once("\nhint: ") {
        Some((text, hint)) => (text.to_owned(), Some(hint.to_owned())),
        None => (text, None),
    }]
}

impl Generation {
    /// Reads the files of a configuration, and builds and cross-checks everything before anything is used.
    ///
    /// # Errors
    /// When a file is missing or wrong, or they do not go together.
    pub fn build(config: &Config) -> Result<Self, GenerationFault> {
        let (trust, dates, certificates) = trust(config, |_| ())?;
        let policy = policy(config)?;
        Ok(Self {
            trust,
            owner_key: owner_key::read(config, &policy)?,
            policy: Arc::new(policy),
            dates,
            certificates,
            policy_digest: files::digest(config.policy.as_slice()),
        })
    }

    /// The same with a policy that keeps limited roles away from the gate's own house.
    #[must_use]
    pub fn protecting(&self, protected: Arc<Protected>) -> Self {
        Self {
            policy: Arc::new(Policy::clone(&self.policy).protecting(protected)),
            ..self.clone()
        }
    }

    /// Judges a chain, leaf first, that was let in by another generation.
    ///
    /// # Errors
    /// The reason, for the log, where this one would not let it in.
    pub fn judge(&self, chain: &[CertificateDer<'static>]) -> Result<(), String> {
        match self.trust.store.admit(chain, UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    /// What is in force, in one line for the service manager.
    #[must_use]
    pub fn status(&self) -> String {
        match unenforced(&self.policy) {
            Some(sentence) => format!("Serving; {sentence}"),
            None => "Serving; the policy is enforced".to_owned(),
        }
    }

    /// Whether its trust is the very one of `other`.
    #[must_use]
    pub fn has_trust_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.trust.store, &other.trust.store)
    }

    /// Whether revocation lists are in force.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        self.dates.iter().any(|date| date.subject == Subject::Crl)
    }
}

/// What [`Generation::build`] would find in the TLS files: its fault is fatal, the rest is what surprises people.
pub fn certificates(config: &Config, now: OffsetDateTime) -> Vec<Finding> {
    if let Some(enroll) = &config.enroll
        && !config.tls_paths().cert.is_file()
    {
        let dir = enroll.dir.display();
        return vec![match writable(&enroll.dir) {
            Ok(()) => Finding::ok(format!(
                "the signer will make certificates in {dir} at the first start"
            )),
            Err(err) => Finding::fatal(format!("certificates cannot be made in {dir}: {err}")),
        }];
    }
    if let Some(auto) = &config.auto_certs {
        let dir = auto.dir.display();
        match auto::foresee(&auto.dir, &auto.sans) {
            Ok(false) => {}
            Ok(true) => {
                return vec![match writable(&auto.dir) {
                    Ok(()) => Finding::ok(format!(
                        "certificates will be made in {dir} at the first start"
                    )),
                    Err(err) => {
                        Finding::fatal(format!("certificates cannot be made in {dir}: {err}"))
                    }
                }];
            }
            Err(err) => {
                let hint = err.hint().map(Into::into);
                let text = format!(
                    "certificates cannot be made: {}",
                    crate::error::report(&err)
                );
                return vec![Finding {
                    hint,
                    ..Finding::fatal(text)
                }];
            }
        }
    }
    let paths = config.tls_paths();
    let mut findings = Vec::new();
    let built = trust(config, |material| {
        findings = files::inspect(material, &paths, now);
    });
    if let Err(fault) = built {
        findings.extend(fault.findings());
    }
    findings.extend(paths.unread_list().map(|list| {
        let list = list.display();
        Finding::warning(format!(
            "{list} lies beside the CA and is not read: what it revokes is let in"
        ))
        .hint(format!("name it: --tlscrl {list}"))
    }));
    findings
}

/// Whether a directory could be written to, or made.
fn writable(dir: &Path) -> io::Result<()> {
    let there = dir.ancestors().find(|dir| dir.exists());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

/// Whether a file could be made at a path: its directory has to be there.
pub(crate) fn writable_beside(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

/// The findings on the policy; empty where there is none.
pub fn policies(config: &Config) -> Vec<Finding> {
    let policy = match policy(config) {
        Ok(policy) => policy,
        Err(fault) => return fault.findings(),
    };
    let own = policy.roles.iter().filter(|role| role.line > 0).count();
    let mut findings = match &config.policy {
        Some(path) => vec![Finding::ok(format!(
            "policy {path:?}: {}, {}; `dockgate policy check` says what each may do",
            counted(policy.clients.len(), "client"),
            counted(own, "role")
        ))],
        None if policy.is_open() => Vec::new(),
        None => {
            let tables: Vec<_> = policy.roles.iter().map(toggles::table).collect();
            let text = "the environment's toggles are the policy, and open";
            vec![Finding::ok(text).details(tables.iter().flat_map(|table| table.lines()))]
        }
    };
    if let Some(sentence) = unenforced(&policy)
        && !policy.is_open()
    {
        findings.push(Finding::warning(sentence).hint(
            "`dockgate policy learn` says what would be denied; then set mode = \"enforce\"",
        ));
    }
    findings.extend(owner_key::findings(config, &policy));
    let ignored = ignored_toggles(config);
    if !ignored.is_empty() {
        findings.push(Finding::warning(format!(
            "the environment's toggles ({ignored}) are ignored: the policy file is in force"
        )));
    }
    findings
}

/// The toggles that are set although a policy file is in force.
#[must_use]
pub fn ignored_toggles(config: &Config) -> String {
    match config.policy {
        Some(_) => toggles::set(environment()).join(" "),
        None => String::new(),
    }
}

/// What is said wherever somebody might believe that a policy protects them, when it does not; `None` when it does.
#[must_use]
pub fn unenforced(policy: &Policy) -> Option<String> {
    if policy.is_open() {
        return Some(OPEN.to_owned());
    }
    let in_report = |role: usize| policy.roles[role].mode == Mode::Report;
    let reported: Vec<_> = policy
        .clients
        .iter()
        .filter(|client| in_report(client.role))
        .map(|client| client.name.as_str())
        .collect();
    match (reported.len() == policy.clients.len(), policy.mode) {
        (true, Mode::Report) => Some("report only: everything is forwarded".to_owned()),
        (false, Mode::Report) => Some(format!(
            "report only: everything is forwarded of clients without an entry{}",
            and_of(&reported)
        )),
        (_, Mode::Enforce) if !reported.is_empty() => Some(format!(
            "report only: everything is forwarded of {}",
            listed(&reported)
        )),
        (_, Mode::Enforce) => None,
    }
}

fn and_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!(" and of {}", listed(names)),
    }
}

/// Names for a sentence, not more than a line holds.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|n| format!("{n:?}")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whom the gate of a configuration lets in, and how many revocation lists it reads; without the server's own files.
///
/// # Errors
/// When a file is missing or wrong.
pub fn trust_store(config: &Config) -> Result<(TrustStore, usize), GenerationFault> {
    let (client_ca, crls) = files::load_clients_trust(&config.tls_paths())?;
    let lists = crls.len();
    let store = crate::tls::config::trust_store(&client_ca, crls, denied(config)?);
    Ok((store.map_err(TrustError::of_clients)?, lists))
}

/// The policy: the configured file, else the environment's toggles, else full access.
///
/// # Errors
/// When the file is missing or wrong, or a toggle is.
pub fn policy(config: &Config) -> Result<Policy, GenerationFault> {
    Ok(match &config.policy {
        Some(path) => Policy::read(path)?,
        None => toggles::from_env(environment())?.unwrap_or_else(Policy::open),
    })
}

/// The environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

/// Reads the TLS files and builds trust; `look` sees what was read.
fn trust(
    config: &Config,
    look: impl FnOnce(&TlsMaterial),
) -> Result<(Trust, Vec<Date>, Certificates), GenerationFault> {
    let files = files::load(&config.tls_paths())?;
    look(&files);
    let server = files
        .cert_chain
        .first()
        .and_then(|der| Certificate::read(der).ok());
    let trust = Trust::build(Material {
        cert_chain: files.cert_chain,
        key: files.key,
        client_ca: files.client_ca,
        crls: files.crls,
        denied: denied(config)?,
    })?;
    let dates = dates(server.as_ref(), &trust.store);
    let certificates = Certificates {
        server,
        client_ca: trust.store.cas().iter().map(Certificate::clone).collect(),
    };
    Ok((trust, dates, certificates))
}

/// The deny list of the configuration, and that of the signer.
fn denied(config: &Config) -> Result<DenyList, FileError> {
    let mut denied = config.deny.clone();
    if let Some(path) = config.travelled_deny_list() {
        let further = files::load_travelled(&path)?;
        denied.serials.extend(further.serials);
        denied.spki_sha256.extend(further.spki_sha256);
    }
    Ok(denied)
}

fn dates(server: Option<&Certificate>, store: &TrustStore) -> Vec<Date> {
    let certificate = |subject, it: &Certificate| Date {
        subject,
        name: it.subject.clone(),
        id: it.sha256.clone(),
        validity: it.validity(),
    };
    let server = server.map(|it| certificate(Subject::Server, it));
    let cas = store.cas().iter().map(|ca| certificate(Subject::Ca, ca));
    // A list that a newer one replaces may end without consequence.
    let lists = store.lists();
    let lists = lists.iter().filter(|(_, used)| *used != Use::Older);
    let lists = lists.map(|(list, _)| Date {
        subject: Subject::Crl,
        name: list.issuer.clone(),
        id: list.sha256.clone(),
        validity: list.validity(),
    });
    server.into_iter().chain(cas).chain(lists).collect()
}

/// A digest of everything [`Generation::build`] and the configuration read.
#[must_use]
pub fn snapshot(config: &Config) -> [u8; 32] {
    let mut both = files::snapshot(&config.tls_paths()).to_vec();
    both.extend(files::digest(&config.files));
    both.extend(files::digest(config.travelled_deny_list().as_slice()));
    identity::sha256(&both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<String> {
        unenforced(&Policy::parse("p", text).expect("a policy"))
    }

    #[test]
    fn what_is_only_reported_is_named_and_what_is_enforced_is_not() {
        let entry = |name: &str, role: &str| {
            format!(
                "[[client]]\nname = \"{name}\"\nmatch = {{ cn = \"{name}\" }}\nrole = \"{role}\"\n"
            )
        };
        let (a, b) = (entry("a", "monitor"), entry("b", "soft"));
        let soft = "[role.soft]\nbase = \"monitor\"\nmode = \"report\"\n";
        assert_eq!(said(&format!("version = 1\n{a}")), None);
        assert_eq!(
            said(&format!("version = 1\nmode = \"report\"\n{a}")).as_deref(),
            Some("report only: everything is forwarded")
        );
        let some = said(&format!("version = 1\n{a}{b}{soft}")).expect("one entry is reported");
        assert_eq!(some, "report only: everything is forwarded of \"b\"");
        let open = unenforced(&Policy::open()).expect("no policy protects nobody");
        assert!(
            open.starts_with("no policy: ") && open.contains("no request is denied"),
            "{open}"
        );
    }
}

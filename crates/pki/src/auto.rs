//! `dockgate serve --auto-certs DIR`: a fresh machine gets a CA, a server certificate and a first client.
//!
//! Nothing that exists is replaced, with one exception: the server certificate is renewed, with the same key, when two
//! thirds of its life are over, when it does not name this host any more, or when it names addresses that went, if dockgate
//! made it. Names that a person gave stay. The CA, clients, and
//! certificates others put there are never touched. A gate has its CA's revocation list signed again besides.

mod list;

pub use list::ListCare;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rcgen::SubjectPublicKeyInfo;
use time::OffsetDateTime;

use super::{
    Certificate, CertsError, Passphrase, Purpose,
    index::Index,
    issue::{self, CLIENT_DAYS, Days, Leaf, SERVER_DAYS, Sans, SubjectName},
    key::KeyType,
    place::{JoinedStore, StorePlace},
    rollover::{self, Authorities},
    san::{self, MAX_SANS, San},
    store::{ClientRequest, Grant, Paths, inspect_file},
    timestamp,
    write::{self, Existing, FileMode},
};

/// The name of the first client.
pub const FIRST_CLIENT: &str = "admin";

/// What was done so that a gate can serve; [`Paths::of`] says where its files are.
#[derive(Clone, Debug)]
pub struct Ensured {
    /// A client's directory, good as `DOCKER_CERT_PATH`, if there is one.
    pub client_dir: Option<PathBuf>,
    /// What was done or left, in order; each is a line for the log. Empty when everything was found in order.
    pub actions: Vec<Action>,
}

/// Something [`ensure`] did, or would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A CA was made.
    MadeCa {
        /// Its subject.
        subject: String,
        /// SHA-256 of its certificate.
        sha256: String,
    },
    /// A server certificate was made.
    MadeServer {
        /// The names it answers to.
        sans: Vec<San>,
    },
    /// A first client was made.
    MadeClient {
        /// Its directory.
        dir: PathBuf,
    },
    /// The server certificate was renewed.
    RenewedServer {
        /// Why.
        reason: String,
    },
    /// The server certificate is due for renewal but was kept; worth a warning.
    KeptServer {
        /// Why it is due.
        reason: String,
        /// Why it was kept.
        because: String,
    },
    /// The revocation list was due.
    List(ListCare),
}

impl Action {
    /// Whether an operator has to do something about it.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::KeptServer { .. } => true,
            Self::List(care) => care.is_warning(),
            _ => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MadeCa { subject, sha256 } => write!(f, "made a CA, {subject}, SHA-256 {sha256}"),
            Self::MadeServer { sans } => write!(f, "made a server certificate for {}", join(sans)),
            Self::MadeClient { dir } => {
                write!(f, "made a first client certificate in {}", dir.display())
            }
            Self::RenewedServer { reason } => write!(f, "renewed the server certificate: {reason}"),
            Self::KeptServer { reason, because } => {
                write!(
                    f,
                    "kept the server certificate although {reason}: {because}"
                )
            }
            Self::List(care) => care.fmt(f),
        }
    }
}

/// Makes sure that `dir` holds what a gate on this host needs. `extra_sans` are the names given by `--san`.
///
/// May be called again at any time, such as once a day by a running gate. Blocking, a few milliseconds; takes the directory's lock only when something is to be written, so that a read-only
/// directory with certificates in order works.
pub fn ensure(dir: &Path, extra_sans: &[String]) -> Result<Ensured, CertsError> {
    ensure_for(
        dir,
        &san::of_this_host(),
        &san::parse_all(extra_sans)?,
        issue::now(),
    )
}

/// [`ensure`], and the revocation list signed again when it is due: for a gate that no signer serves, which signs lists itself.
///
/// # Errors
/// As [`ensure`]. A list that cannot be signed is told as a warning.
pub fn ensure_all(dir: &Path, extra_sans: &[String]) -> Result<Ensured, CertsError> {
    let mut ensured = ensure(dir, extra_sans)?;
    let care = list::ensure(&Paths::of(dir), issue::now());
    ensured.actions.extend(care.map(Action::List));
    Ok(ensured)
}

/// [`ensure`] for a host of given names, with the names that were asked for, at a given time.
fn ensure_for(
    dir: &Path,
    host: &[San],
    asked: &[San],
    now: OffsetDateTime,
) -> Result<Ensured, CertsError> {
    let paths = Paths::of(dir);
    let mut wanted = asked.to_vec();
    wanted.extend(host.iter().filter(|san| !asked.contains(san)).cloned());
    if !(paths.server_cert.is_file() && paths.server_key.is_file() && paths.ca.is_file()) {
        let actions = create(dir, &wanted, asked)?;
        return Ok(found(&Paths::of(dir), actions));
    }
    let info = inspect_file(&paths.server_cert)?.1;
    if JoinedStore::read(dir)?.is_some() {
        return Ok(found(&paths, kept_by_a_store(&paths, &info, asked, now)));
    }
    // A certificate that others put here is used as it is; the names it lacks are worth a word only if asked for.
    // (A damaged index must not keep the gate from serving: it makes every certificate count as another's.)
    let index = Index::read(&paths.index).ok();
    let index = index.filter(|index| index.issued().any(|issued| issued.serial == info.serial));
    let due = match &index {
        Some(index) => renewal_reason(&info, &wanted, now)
            .or_else(|| lost(&gone(&info, index.chosen(&info.serial), &wanted)))
            .or_else(|| leaving(&paths, index, &info, now)),
        None => renewal_reason(&info, asked, now),
    };
    let Some(reason) = due else {
        return Ok(found(&paths, Vec::new()));
    };
    let action = if index.is_some() {
        renew(&paths, &wanted, asked, now).unwrap_or_else(|error| Action::KeptServer {
            reason,
            because: list::explain(&error),
        })
    } else {
        Action::KeptServer {
            reason,
            because: format!(
                "it was not made by dockgate; `dockgate certs renew server{}` renews it",
                paths.option()
            ),
        }
    };
    Ok(found(&paths, vec![action]))
}

/// Where several signers share the index, the commands renew what is in the directory.
fn kept_by_a_store(
    paths: &Paths,
    info: &Certificate,
    asked: &[San],
    now: OffsetDateTime,
) -> Vec<Action> {
    let because = format!(
        "its index is in a store; `dockgate certs renew server{}` renews it",
        paths.option()
    );
    let reason = renewal_reason(info, asked, now);
    reason
        .map(|reason| Action::KeptServer { reason, because })
        .into_iter()
        .collect()
}

/// Why a server certificate should be renewed, if it should.
pub fn renewal_reason(info: &Certificate, wanted: &[San], now: OffsetDateTime) -> Option<String> {
    let missing = info.uncovered(wanted);
    if now >= info.not_after {
        Some(format!("it expired on {}", timestamp(info.not_after)))
    } else if now >= info.renewal_due() {
        Some(format!(
            "two thirds of its life are over, it ends on {}",
            timestamp(info.not_after)
        ))
    } else if !missing.is_empty() {
        Some(format!("it does not name {}", join(missing)))
    } else {
        None
    }
}

/// Whether [`ensure`] would make certificates, without making any.
///
/// # Errors
/// As [`ensure`], as far as it can be told without writing.
pub fn foresee(dir: &Path, extra_sans: &[String]) -> Result<bool, CertsError> {
    san::parse_all(extra_sans)?;
    let paths = Paths::of(dir);
    if paths.server_cert.is_file() && paths.server_key.is_file() && paths.ca.is_file() {
        inspect_file(&paths.server_cert)?;
        return Ok(false);
    }
    complete(&paths)?;
    if paths.ca.is_file() {
        paths.authority(&Passphrase::Absent)?;
    }
    Ok(true)
}

/// That no file lacks the one it belongs to: what others have put there is not completed.
fn complete(paths: &Paths) -> Result<(), CertsError> {
    let (ca, ca_key) = (paths.ca.is_file(), paths.ca_key.is_file());
    let server = [&paths.server_cert, &paths.server_key];
    if let Some(have) = server.iter().find(|path| path.is_file()) {
        let lack = server.iter().find(|path| !path.is_file()).filter(|_| ca);
        return Err(incomplete(have, lack.unwrap_or(&&paths.ca)));
    }
    match (ca, ca_key) {
        (false, true) => Err(incomplete(&paths.ca_key, &paths.ca)),
        _ => Ok(()),
    }
}

fn create(dir: &Path, wanted: &[San], asked: &[San]) -> Result<Vec<Action>, CertsError> {
    let mut store = StorePlace::directory(dir).open()?;
    let mut actions = Vec::new();
    let ca = store.paths.ca.is_file();
    let server = [&store.paths.server_cert, &store.paths.server_key];
    if ca && server.iter().all(|path| path.is_file()) {
        // Another process made them while this one waited for the lock.
        return Ok(actions);
    }
    complete(&store.paths)?;
    let authorities = match ca {
        true => Authorities::load(&store.paths, &Passphrase::Absent)?,
        false => {
            let authority = issue::default_authority(KeyType::P256)?;
            store.put_ca(&authority, Some(&authority.key().to_pem()?), Existing::Keep)?;
            let info = authority.info();
            actions.push(Action::MadeCa {
                subject: info.subject.clone(),
                sha256: info.sha256.clone(),
            });
            Authorities::alone(authority)
        }
    };
    let now = issue::now();
    // The server certificate comes last: as long as it is missing, the next start carries on from here.
    if !store.paths.clients.exists() {
        // A start that was cut short may have recorded a first client that nobody has.
        let grant = store.grant_client(FIRST_CLIENT, Existing::Replace)?;
        let request = ClientRequest {
            organization: None,
            organizational_unit: None,
            uris: &[],
            days: Days::UpTo(CLIENT_DAYS),
            key_type: KeyType::P256,
        };
        let dir = store.paths.client(FIRST_CLIENT);
        let authority = authorities.signs(Purpose::Client, &store.index, now);
        let (made, key) = store.sign_client(authority, &grant, &request)?;
        store.put_client(
            &dir,
            &authorities.current,
            &made.chain_pem,
            Some(&key),
            Existing::Keep,
        )?;
        actions.push(Action::MadeClient { dir });
    }
    let made = store.make_server(
        authorities.signs(Purpose::Server, &store.index, now),
        &Grant::server().choosing(unasked(wanted, asked)),
        wanted,
        Days::UpTo(SERVER_DAYS),
        KeyType::P256,
        Existing::Keep,
    )?;
    actions.push(Action::MadeServer {
        sans: made.info.sans,
    });
    Ok(actions)
}

/// The names that dockgate chose by itself and that are not this host's any more.
fn gone<'i>(info: &'i Certificate, chosen: &[String], wanted: &[San]) -> Vec<&'i San> {
    let sans = info.sans.iter();
    sans.filter(|san| chosen.contains(&san.to_string()) && !wanted.contains(san))
        .collect()
}

fn lost(gone: &[&San]) -> Option<String> {
    (!gone.is_empty()).then(|| {
        format!(
            "it names {}, which this host does not have any more",
            join(gone.iter().copied())
        )
    })
}

fn leaving(
    paths: &Paths,
    index: &Index,
    info: &Certificate,
    now: OffsetDateTime,
) -> Option<String> {
    rollover::should_leave(paths, index, info, now)
        .then(|| "another CA takes the place of the one that issued it".to_owned())
}

/// What is wanted and nobody asked for.
fn unasked<'s>(wanted: &'s [San], asked: &'s [San]) -> impl Iterator<Item = &'s San> {
    wanted.iter().filter(|san| !asked.contains(san))
}

fn renew(
    paths: &Paths,
    wanted: &[San],
    asked: &[San],
    now: OffsetDateTime,
) -> Result<Action, CertsError> {
    list::key_at_hand(paths)?;
    let mut store = StorePlace::directory(&paths.dir).open()?;
    let (old, info) = inspect_file(&paths.server_cert)?;
    // Another process may have renewed it while this one waited for the lock.
    let chosen = store.index.chosen(&info.serial).to_vec();
    let gone = gone(&info, &chosen, wanted);
    let reason = renewal_reason(&info, wanted, now)
        .or_else(|| lost(&gone))
        .or_else(|| leaving(paths, &store.index, &info, now));
    let Some(reason) = reason else {
        return Ok(Action::RenewedServer {
            reason: "by another process, just now".into(),
        });
    };
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent)?;
    if authorities.issuer_of(&info).is_none() {
        return Err(CertsError::refused(
            format!(
                "it was issued by {}, not by {}",
                info.issuer,
                authorities.current.info().subject
            ),
            "",
        ));
    }
    let authority = authorities.signs(Purpose::Server, &store.index, now);
    let public = public_key(&old)?;
    let sans = merged(&info.sans, wanted, &gone);
    let subject = info.details.subject.clone();
    let leaf = Leaf {
        role: Purpose::Server,
        subject: SubjectName::Exact(&subject),
        sans: Sans::New(&sans),
        days: Days::UpTo(SERVER_DAYS),
        rsa: info.key.starts_with("RSA"),
    };
    // A name stays chosen as long as nobody asks for it.
    let still = unasked(wanted, asked)
        .filter(|san| chosen.contains(&san.to_string()) || !info.sans.contains(san));
    let grant = Grant::server().choosing(still);
    let made = store.sign(authority, &leaf, &public, &grant)?;
    write::write(
        &paths.server_cert,
        made.chain_pem.as_bytes(),
        FileMode::Public,
        Existing::Replace,
    )?;
    Ok(Action::RenewedServer { reason })
}

/// The public key of a certificate, to sign it again.
pub fn public_key(der: &[u8]) -> Result<SubjectPublicKeyInfo, CertsError> {
    let failed =
        |why: &'static str| CertsError::crypto("read the public key of a certificate", why);
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|_| failed("it is not a certificate (X.509)"))?;
    SubjectPublicKeyInfo::from_der(certificate.public_key().raw)
        .map_err(|_| failed("its kind of key is not supported"))
}

/// What is wanted, then what the old certificate had besides: names that a person added stay, those that went go.
fn merged(old: &[San], wanted: &[San], gone: &[&San]) -> Vec<San> {
    let mut sans = wanted.to_vec();
    for san in old {
        let keep = matches!(san, San::Dns(_) | San::Ip(_) | San::Uri(_));
        if keep && !gone.contains(&san) && sans.len() < MAX_SANS && !sans.contains(san) {
            sans.push(san.clone());
        }
    }
    sans
}

fn found(paths: &Paths, actions: Vec<Action>) -> Ensured {
    let own = paths.client(FIRST_CLIENT);
    let client_dir = Some(own)
        .filter(|dir| dir.join("key.pem").is_file())
        .or_else(|| super::layout::find(&paths.dir).and_then(|layout| layout.client_dir));
    Ensured {
        client_dir,
        actions,
    }
}

fn incomplete(have: &Path, lack: &Path) -> CertsError {
    CertsError::refused(
        format!("{have:?} is there but {lack:?} is not, so the directory is incomplete"),
        format!(
            "put {} back, or point --auto-certs at an empty directory",
            lack.display()
        ),
    )
}

fn join<'a>(sans: impl IntoIterator<Item = &'a San>) -> String {
    sans.into_iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;

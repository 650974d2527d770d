//! What dockgate would say to a certificate: the gate's own computation, and its answer in plain words.

use std::path::Path;

use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use serde::Serialize;

use super::probe::provider;
use crate::cli::ServeArgs;
use crate::cli::certs::{DirArgs, Show};
use crate::command::output::Output;
use crate::signer::is_elsewhere;
use crate::tls::{config::trust_store, words};
use crate::{config, generation};
use pki::{
    Certificate, CertsError, DenyList, Purpose, Rejection, RejectionReason, San, TrustStore,
    identity::Identity, issue::now, pem, store::Paths, timestamp, write,
};
use policy::Policy;

/// A judgement, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ChainVerdict {
    /// It would be let in, or be good to serve with.
    pub(crate) accepted: bool,
    /// Why, as a sentence.
    pub(crate) text: String,
    /// What it was judged by.
    pub(crate) judged_by: String,
}

/// What certificates are judged by.
pub(crate) struct ChainJudge {
    store: TrustStore,
    policy: Option<Policy>,
    looked_at: String,
}

impl ChainJudge {
    /// What the arguments name: the configuration of a gate, a CA, or the directory with one and its list. `None` when there
    /// is no CA.
    pub(crate) fn of(args: &Show, output: &mut Output<'_>) -> Result<Option<Self>, CertsError> {
        let judge = match (&args.config_file, &args.ca_cert) {
            (Some(file), _) => Some(Self::of_gate(file)?),
            (None, Some(ca)) => Some(Self::of_files(ca, None)?),
            (None, None) => match Self::of_store(&args.dir, output)? {
                Some(judge) => Some(judge),
                None => Self::of_directory(&args.dir.dir)?,
            },
        };
        let Some(mut judge) = judge else {
            return Ok(None);
        };
        if let Some(file) = &args.policy {
            let policy = Policy::read(file).map_err(|error| {
                let text = crate::error::report(&error);
                CertsError::refused(text, "`dockgate policy check FILE` says more")
            })?;
            judge.policy = Some(policy);
            judge.looked_at += &format!(", the policy {}", file.display());
        }
        Ok(Some(judge))
    }

    fn of_gate(file: &Path) -> Result<Self, CertsError> {
        let failed = |text: String| {
            CertsError::refused(text, "`dockgate check --config-file FILE` says more")
        };
        let args = ServeArgs {
            config_file: Some(file.to_owned()),
            ..ServeArgs::default()
        };
        let config = config::load(&args, std::env::vars_os()).map_err(|e| failed(e.to_string()))?;
        let (store, lists) =
            generation::trust_store(&config).map_err(|e| failed(crate::error::report(&e)))?;
        let policy = generation::policy(&config).map_err(|e| failed(crate::error::report(&e)))?;
        let looked_at = format!(
            "the gate's configuration {}: its CAs, {lists} revocation lists, deny list and policy",
            file.display()
        );
        Ok(Self {
            store,
            policy: Some(policy),
            looked_at,
        })
    }

    /// The CA and the lists of the store that several signers share, as they are now; nothing where the store has no CA or does
    /// not answer. No lock is taken: a signer's check of health runs this again and again.
    fn of_store(dir: &DirArgs, output: &mut Output<'_>) -> Result<Option<Self>, CertsError> {
        let place = super::place(dir)?;
        let Some(store) = place.store() else {
            return Ok(None);
        };
        let condition = match store.examine() {
            Ok(condition) => condition,
            Err(fault) => {
                let text = crate::error::report(&fault);
                output.note(format!("{text}; judging by the copies in {:?}", dir.dir));
                return Ok(None);
            }
        };
        if is_elsewhere(&dir.dir)? {
            return Ok(None);
        }
        place.fits(&condition)?;
        let Some(ca) = &condition.ca else {
            return Ok(None);
        };
        let paths = Paths::of(&dir.dir);
        let cas = pem::certificates_of(&paths.ca, ca.as_bytes())?;
        let lists = match &condition.crl {
            Some(crl) => revocation_lists(&paths.crl, crl.as_bytes())?,
            None => Vec::new(),
        };
        let looked_at = match lists.is_empty() {
            false => "the CA and the revocation list of the store",
            true => "the CA of the store, no revocation list",
        };
        Self::of_parts(&paths.ca, &cas, lists, looked_at.into()).map(Some)
    }

    /// The CA and the list of a directory; nothing where there is no CA.
    fn of_directory(dir: &Path) -> Result<Option<Self>, CertsError> {
        let Paths { ca, crl, .. } = Paths::of(dir);
        if !ca.is_file() {
            return Ok(None);
        }
        let crl = Some(crl.as_path()).filter(|crl| crl.is_file());
        Self::of_files(&ca, crl).map(Some)
    }

    fn of_files(ca: &Path, crl: Option<&Path>) -> Result<Self, CertsError> {
        let cas = pem::certificates(ca)?;
        let lists = match crl {
            Some(crl) => revocation_lists(crl, &write::read(crl)?)?,
            None => Vec::new(),
        };
        let looked_at = match crl {
            Some(crl) => format!("{} and {}", ca.display(), crl.display()),
            None => format!("{}, no revocation list", ca.display()),
        };
        Self::of_parts(ca, &cas, lists, looked_at)
    }

    fn of_parts(
        ca: &Path,
        cas: &[CertificateDer<'_>],
        lists: Vec<CertificateRevocationListDer<'static>>,
        looked_at: String,
    ) -> Result<Self, CertsError> {
        let store = trust_store(cas, lists, DenyList::default()).map_err(|found| {
            CertsError::Unexpected {
                path: ca.into(),
                expected: "CAs that can be used",
                found,
                hint: None,
            }
        })?;
        Ok(Self {
            store,
            policy: None,
            looked_at: looked_at + ", no deny list and no policy",
        })
    }

    /// Judges a chain, leaf first, as a client's; and as a server's too where it was presented as one or is meant to be one.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'static>],
        leaf: &Certificate,
        asked_for: Option<&ServerName<'static>>,
    ) -> Result<ChainVerdict, CertsError> {
        let verdict = |(accepted, text)| ChainVerdict {
            accepted,
            text,
            judged_by: self.looked_at.clone(),
        };
        if asked_for.is_some() {
            return Ok(verdict(self.server(chain, leaf, asked_for)?));
        }
        let (let_in, said) = self.client(chain, leaf);
        let is_server = leaf.permits(Purpose::Server)
            && (!leaf.permits(Purpose::Client)
                || leaf.extended_key_usage.is_none() && !leaf.sans.is_empty());
        Ok(verdict(if leaf.is_ca {
            let trusted = self.store.cas().iter().any(|ca| ca.sha256 == leaf.sha256);
            let what = if trusted {
                "a CA this gate trusts: it lets in the clients this CA signs"
            } else {
                "a CA this gate does not trust"
            };
            (trusted, format!("{what}; as a client's, {said}"))
        } else if is_server {
            let (good, text) = self.server(chain, leaf, None)?;
            (good, format!("{text}; as a client's, {said}"))
        } else {
            (let_in, said)
        }))
    }

    fn client(&self, chain: &[CertificateDer<'static>], leaf: &Certificate) -> (bool, String) {
        match self.store.admit(chain, UnixTime::now()) {
            Ok(admitted) => {
                let mut text = format!("dockgate would let it in as {}", admitted.identity.label());
                if let Some(policy) = &self.policy {
                    text += &permitted(policy, &admitted.identity);
                }
                (true, text)
            }
            Err(refusal) => (
                false,
                format!("dockgate would refuse it: {}", why(&refusal, leaf)),
            ),
        }
    }

    fn server(
        &self,
        chain: &[CertificateDer<'static>],
        info: &Certificate,
        asked_for: Option<&ServerName<'static>>,
    ) -> Result<(bool, String), CertsError> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Ok((false, "there is no certificate".into()));
        };
        let Some(name) = asked_for.cloned().or_else(|| first_name(info)) else {
            let text = "a server certificate without names: no client would accept it";
            return Ok((false, text.into()));
        };
        let mut roots = RootCertStore::empty();
        let seconds = now().unix_timestamp();
        let current = self.store.cas().iter().filter(|ca| ca.is_in_force(seconds));
        roots.add_parsable_certificates(
            current.map(|ca| CertificateDer::from(ca.details.der.clone())),
        );
        if roots.is_empty() {
            return Ok((
                false,
                "clients would refuse it: its CA is outside its own validity".into(),
            ));
        }
        let judged = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|source| CertsError::crypto("judge a certificate", source))?
            .verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now());
        if let Err(error) = judged {
            return Ok((
                false,
                format!("clients would refuse it: {}", explain(&error, info)),
            ));
        }
        if info.passes_for_self_signed() {
            return Ok((
                false,
                "clients built on OpenSSL (docker-py, node, curl) would refuse it: it has the same subject as its CA and no key \
                 identifiers, so they take it for self-signed"
                    .into(),
            ));
        }
        let name = name.to_str();
        Ok((
            true,
            format!("good to serve with: clients that trust this CA accept it for {name}"),
        ))
    }
}

/// What the policy gives a client that is let in.
fn permitted(policy: &Policy, identity: &Identity) -> String {
    let client = policy.client_for(identity);
    let role = policy.role_name(client);
    match policy.client(client) {
        _ if policy.is_open() => ", with full access (no policy)".to_owned(),
        Some(entry) => format!(", with the role {role:?} of the entry {:?}", entry.name),
        None if policy.shuts_out(client) => {
            ", but no entry of the policy matches it, so every request is denied".to_owned()
        }
        None => format!(", with the role {role:?}, since no entry of the policy matches it"),
    }
}

/// Why a client's certificate is refused, in a sentence about it.
fn why(refusal: &Rejection, leaf: &Certificate) -> String {
    let detail = &refusal.detail;
    match refusal.reason {
        RejectionReason::Expired => format!("it expired on {}", timestamp(leaf.not_after)),
        RejectionReason::NotYetValid => format!(
            "it is not valid before {}; is the clock right?",
            timestamp(leaf.not_before)
        ),
        RejectionReason::UnknownIssuer if detail.is_empty() => {
            format!("it was not issued by this CA but by {}", leaf.issuer)
        }
        RejectionReason::Revoked if detail.is_empty() => "it is revoked".into(),
        RejectionReason::DenyListed if detail.is_empty() => "it is on the deny list".into(),
        RejectionReason::Revoked => format!("{detail} revoked"),
        RejectionReason::DenyListed => format!("{detail} on the deny list"),
        RejectionReason::WrongUsage => {
            let usages = leaf.extended_key_usage.as_deref().unwrap_or_default();
            let tail = if detail.is_empty() {
                String::new()
            } else {
                format!("; {detail}")
            };
            format!(
                "its extended key usage does not allow it ({}){tail}",
                usages.join(", ")
            )
        }
        RejectionReason::IssuerExpired => format!("its {detail}"),
        RejectionReason::UnknownIssuer
        | RejectionReason::RevocationUnknown
        | RejectionReason::Invalid => detail.clone(),
    }
}

fn revocation_lists(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, CertsError> {
    let blocks = pem::blocks(path, bytes)?;
    Ok(blocks
        .iter()
        .filter(|block| block.label == "X509 CRL")
        .map(|block| block.der.to_vec().into())
        .collect())
}

fn first_name(info: &Certificate) -> Option<ServerName<'static>> {
    info.sans.iter().find_map(|san| match san {
        San::Dns(name) => ServerName::try_from(name.replacen('*', "any", 1)).ok(),
        San::Ip(address) => Some(ServerName::from(*address)),
        _ => None,
    })
}

/// Why clients refuse a server's certificate.
fn explain(error: &rustls::Error, info: &Certificate) -> String {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return words::tls_error(error);
    };
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it expired on {}", timestamp(info.not_after))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "it is not valid before {}; is the clock right?",
            timestamp(info.not_before)
        ),
        CertificateError::UnknownIssuer => {
            format!("it was not issued by this CA but by {}", info.issuer)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            let usages = info.extended_key_usage.as_deref().unwrap_or_default();
            format!(
                "its extended key usage does not allow it ({})",
                usages.join(", ")
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names: Vec<_> = info.sans.iter().map(ToString::to_string).collect();
            let names = if names.is_empty() {
                "nothing".into()
            } else {
                names.join(", ")
            };
            format!("it does not name the host that was asked for, only {names}")
        }
        other => words::certificate(other).to_owned(),
    }
}

//! What dockgate would say to a certificate: the same rustls verifiers the gate uses, and their answer in plain words.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use serde::Serialize;

use super::{
    CertsError,
    inspect::{Inspected, Role, timestamp},
    pem,
    probe::provider,
    san::San,
    write,
};

/// A judgement, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// It would be let in, or be good to serve with.
    pub(crate) accepted: bool,
    /// Why, as a sentence.
    pub(crate) text: String,
}

/// Judges a chain by the CA in `ca` and, where there is one, its revocation list in `crl`.
pub(crate) fn judge(
    chain: &[CertificateDer<'static>],
    info: &Inspected,
    ca: &Path,
    crl: Option<&Path>,
    asked_for: Option<&ServerName<'static>>,
) -> Result<Verdict, CertsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(pem::certificates(ca)?);
    if added == 0 {
        return Ok(Verdict {
            accepted: false,
            text: format!("{} holds no CA that rustls can use", ca.display()),
        });
    }
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Ok(Verdict {
            accepted: false,
            text: "there is no certificate".into(),
        });
    };
    if info.is_ca {
        let trusted = pem::certificates(ca)?.contains(leaf);
        let text = if trusted {
            "a CA this gate trusts: it lets in the clients this CA signs"
        } else {
            "a CA this gate does not trust; add it to --tlscacert to let its clients in"
        };
        return Ok(Verdict {
            accepted: trusted,
            text: text.into(),
        });
    }
    let roots = Arc::new(roots);
    let server = asked_for.is_some()
        || info.permits(Role::Server) && !info.permits(Role::Client)
        || info.extended_key_usage.is_none() && !info.sans.is_empty();
    if server {
        let name = asked_for.cloned().or_else(|| first_name(info));
        let Some(name) = name else {
            return Ok(Verdict {
                accepted: false,
                text: "a server certificate without names: no client would accept it".into(),
            });
        };
        let outcome = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|source| CertsError::crypto("judge a certificate", source))?
            .verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now());
        return Ok(match outcome {
            Ok(_) => Verdict {
                accepted: true,
                text: format!(
                    "good to serve with: clients that trust this CA accept it for {}",
                    name.to_str()
                ),
            },
            Err(error) => Verdict {
                accepted: false,
                text: format!("clients would refuse it: {}", explain(&error, info)),
            },
        });
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(crl) = crl {
        builder = builder
            .with_crls(revocation_lists(crl)?)
            .enforce_revocation_expiration()
            .only_check_end_entity_revocation();
    }
    let outcome = builder
        .build()
        .map_err(|source| CertsError::crypto("judge a certificate", source))?
        .verify_client_cert(leaf, intermediates, UnixTime::now());
    Ok(match outcome {
        Ok(_) => Verdict {
            accepted: true,
            text: format!(
                "dockgate would let it in as {}",
                info.common_name.as_deref().unwrap_or(&info.subject)
            ),
        },
        Err(error) => Verdict {
            accepted: false,
            text: format!("dockgate would refuse it: {}", explain(&error, info)),
        },
    })
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, CertsError> {
    let bytes = write::read(path)?;
    let blocks = pem::blocks(path, &bytes)?;
    Ok(blocks
        .iter()
        .filter(|block| block.label == "X509 CRL")
        .map(|block| block.der.to_vec().into())
        .collect())
}

fn first_name(info: &Inspected) -> Option<ServerName<'static>> {
    info.sans.iter().find_map(|san| match san {
        San::Dns(name) => ServerName::try_from(name.replacen('*', "any", 1)).ok(),
        San::Ip(address) => Some(ServerName::from(*address)),
        _ => None,
    })
}

fn explain(error: &rustls::Error, info: &Inspected) -> String {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return error.to_string();
    };
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!("it expired on {}", timestamp(info.not_after)),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it is not valid before {}; is the clock right?", timestamp(info.not_before))
        }
        CertificateError::Revoked => "it is revoked".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list has lapsed; `dockgate certs crl` signs it again".into()
        }
        CertificateError::UnknownRevocationStatus => "no revocation list of its issuer is at hand".into(),
        CertificateError::UnknownIssuer => format!("it was not issued by this CA but by {}", info.issuer),
        CertificateError::BadSignature => "its signature does not fit this CA's key: a CA of the same name but another key signed it".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its extended key usage does not allow it ({})", info.extended_key_usage.as_ref().map_or_else(String::new, |usages| usages.join(", ")))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names: Vec<_> = info.sans.iter().map(ToString::to_string).collect();
            format!("it does not name the host that was asked for, only {}", if names.is_empty() { "nothing".into() } else { names.join(", ") })
        }
        other => other.to_string(),
    }
}

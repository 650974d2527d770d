//! What dockgate would say to a certificate: the same rustls verifiers the gate uses, and their answer in plain words.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use serde::Serialize;

use super::probe::provider;
use pki::{
    CertsError,
    inspect::{Inspected, Role, inspect, timestamp},
    issue::now,
    pem,
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
    let cas = pem::certificates(ca)?;
    let roots = of(&cas);
    if roots.is_empty() {
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
        let trusted = cas.contains(leaf);
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
        let judged = within(&cas, info, &|roots| {
            WebPkiServerVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|source| CertsError::crypto("judge a certificate", source))
                .map(|verifier| {
                    verifier
                        .verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now())
                        .map(drop)
                })
        })?;
        return Ok(match judged {
            Ok(()) => Verdict {
                accepted: true,
                text: format!(
                    "good to serve with: clients that trust this CA accept it for {}",
                    name.to_str()
                ),
            },
            Err(reason) => Verdict {
                accepted: false,
                text: format!("clients would refuse it: {reason}"),
            },
        });
    }
    let crls = crl.map(revocation_lists).transpose()?;
    let judged = within(&cas, info, &|roots| {
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if let Some(crls) = crls.clone().filter(|crls| !crls.is_empty()) {
            builder = builder.with_crls(crls).enforce_revocation_expiration();
        }
        builder
            .build()
            .map_err(|source| CertsError::crypto("judge a certificate", source))
            .map(|verifier| {
                verifier
                    .verify_client_cert(leaf, intermediates, UnixTime::now())
                    .map(drop)
            })
    })?;
    Ok(match judged {
        Ok(()) => Verdict {
            accepted: true,
            text: format!(
                "dockgate would let it in as {}",
                info.common_name.as_deref().unwrap_or(&info.subject)
            ),
        },
        Err(reason) => Verdict {
            accepted: false,
            text: format!("dockgate would refuse it: {reason}"),
        },
    })
}

fn of<'a>(cas: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(cas.into_iter().cloned());
    roots
}

/// What `verify` says with all CAs, and then with those that are themselves within their validity: the gate demands that
/// too, as Go does, and a trust anchor has no dates of its own.
fn within(
    cas: &[CertificateDer<'static>],
    info: &Inspected,
    verify: &dyn Fn(Arc<RootCertStore>) -> Result<Result<(), rustls::Error>, CertsError>,
) -> Result<Result<(), String>, CertsError> {
    if let Err(error) = verify(Arc::new(of(cas)))? {
        return Ok(Err(explain(&error, info)));
    }
    let now = now();
    let mut outside = Vec::new();
    let mut current = Vec::new();
    for ca in cas {
        match inspect(ca) {
            Ok(dates) if (dates.not_before..=dates.not_after).contains(&now) => current.push(ca),
            Ok(dates) => outside.push((ca, dates)),
            Err(_) => {}
        }
    }
    let current = of(current);
    if !current.is_empty() && verify(Arc::new(current))?.is_ok() {
        return Ok(Ok(()));
    }
    for (ca, dates) in outside {
        if verify(Arc::new(of([ca])))?.is_ok() {
            return Ok(Err(if dates.not_after < now {
                format!("its CA expired on {}", timestamp(dates.not_after))
            } else {
                format!("its CA is not valid before {}", timestamp(dates.not_before))
            }));
        }
    }
    Ok(Err("its CA cannot be read".into()))
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

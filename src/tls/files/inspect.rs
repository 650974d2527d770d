//! What loads but will surprise: expiry, names, usages, permissions. Said by `check` and `doctor`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::config::TlsPaths;
use crate::finding::Finding;
use crate::tls::files::{TlsMaterial, parse};
use pki::identity;

/// Warn this long before something lapses.
const SOON: Duration = Duration::days(30);

/// What people want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The subject's name, as `CN=…, O=…`.
    pub subject: String,
    /// The issuer's name.
    pub issuer: String,
    /// DNS names, IP addresses, mail addresses and URIs it is valid for.
    pub sans: Vec<String>,
    /// The serial number in lower-case hex.
    pub serial: String,
    /// SHA-256 of the DER in lower-case hex.
    pub sha256: String,
    /// SHA-256 of the SubjectPublicKeyInfo in lower-case hex.
    pub spki_sha256: String,
    /// First moment of validity.
    pub not_before: OffsetDateTime,
    /// Last moment of validity.
    pub not_after: OffsetDateTime,
}

impl Summary {
    /// Reads a certificate; the error says what is malformed.
    pub fn of(cert: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = parse(cert)?;
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            sans: sans(&parsed),
            serial: identity::hex_serial(parsed.raw_serial()),
            sha256: sha256_hex(cert),
            spki_sha256: sha256_hex(parsed.public_key().raw),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
        })
    }
}

/// Looks at a client's own certificate, at the moment `now`: lifetime and usage.
pub fn inspect_client(cert: &CertificateDer<'_>, path: &Path, now: OffsetDateTime) -> Vec<Finding> {
    let mut out = Vec::new();
    let (Ok(parsed), Ok(summary)) = (parse(cert), Summary::of(cert)) else {
        return out;
    };
    let what = format!(
        "client certificate {:?} ({})",
        path.display(),
        summary.subject
    );
    lifetime(
        &what,
        &summary,
        now,
        "the server refuses it",
        "ask for a new one: `dockgate certs renew NAME` on the server",
        &mut out,
    );
    if let Ok(Some(usage)) = parsed.extended_key_usage()
        && !usage.value.client_auth
        && !usage.value.any
    {
        out.push(
            Finding::error(format!(
                "{what} has an extendedKeyUsage without clientAuth: the server refuses it"
            ))
            .hint("is it a server certificate? ask for one made by `dockgate certs client NAME`"),
        );
    }
    if out.is_empty() {
        out.push(Finding::ok(format!(
            "{what} issued by {}, valid until {}",
            summary.issuer,
            date(summary.not_after)
        )));
    }
    out
}

/// Looks at what [`super::load`] let pass, at the moment `now`. One `ok` finding for each thing that is as it should be.
pub fn inspect(material: &TlsMaterial, paths: &TlsPaths, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    for cert in &material.client_ca {
        if let (Ok(parsed), Ok(summary)) = (parse(cert), Summary::of(cert)) {
            client_ca(&parsed, &summary, paths, now, &mut findings);
        }
    }
    if let Some(cert) = material.cert_chain.first()
        && let (Ok(parsed), Ok(summary)) = (parse(cert), Summary::of(cert))
    {
        server(&parsed, &summary, &paths.cert, now, &mut findings);
    }
    chain_order(material, &paths.cert, &mut findings);
    key_mode(&paths.key, &mut findings);
    for list in &material.crls {
        crl(list, material, now, &mut findings);
    }
    findings
}

fn client_ca(
    parsed: &X509Certificate<'_>,
    summary: &Summary,
    paths: &TlsPaths,
    now: OffsetDateTime,
    out: &mut Vec<Finding>,
) {
    let what = format!("client CA {:?}", summary.subject);
    let before = out.len();
    lifetime(
        &what,
        summary,
        now,
        "no client can connect",
        "renew it, and keep old and new in one file until the clients have changed",
        out,
    );
    if let Ok(Some(usage)) = parsed.key_usage()
        && !usage.value.key_cert_sign()
    {
        out.push(Finding::warning(format!(
            "{what} has a keyUsage without keyCertSign: some clients refuse what it issued"
        )));
    }
    if out.len() == before {
        let file = paths.ca.display();
        out.push(Finding::ok(format!(
            "{what} in {file}, SHA-256 {}, valid until {}",
            summary.sha256,
            date(summary.not_after)
        )));
    }
}

fn server(
    parsed: &X509Certificate<'_>,
    summary: &Summary,
    path: &Path,
    now: OffsetDateTime,
    out: &mut Vec<Finding>,
) {
    let what = format!(
        "server certificate {:?} ({})",
        path.display(),
        summary.subject
    );
    let before = out.len();
    lifetime(
        &what,
        summary,
        now,
        "every client refuses it",
        "renew it with `dockgate certs renew server`",
        out,
    );
    let is_host = |san: &&String| san.starts_with("DNS:") || san.starts_with("IP:");
    let sans: Vec<&str> = summary
        .sans
        .iter()
        .filter(is_host)
        .map(String::as_str)
        .collect();
    if sans.is_empty() {
        out.push(
            Finding::error(format!("{what} has no subject alternative name: docker and every other Go client refuse it"))
                .hint("clients no longer look at the common name: `dockgate certs server --san NAME` with the name in DOCKER_HOST"),
        );
    }
    if let Ok(Some(usage)) = parsed.extended_key_usage()
        && !usage.value.server_auth
        && !usage.value.any
    {
        out.push(
            Finding::error(format!(
                "{what} has an extendedKeyUsage without serverAuth: clients refuse it"
            ))
            .hint(
                "is it a client certificate? make one for the server with `dockgate certs server`",
            ),
        );
    }
    if let Ok(Some(constraints)) = parsed.basic_constraints()
        && constraints.value.ca
    {
        out.push(
            Finding::warning(format!("{what} is a CA: rustls-based clients refuse it, and its key is worth more than a server's"))
                .hint("make a server certificate with `dockgate certs server`"),
        );
    }
    if let Ok(PublicKey::RSA(key)) = parsed.public_key().parsed()
        && key.key_size() < 2048
    {
        out.push(Finding::error(format!(
            "{what} has an RSA key of {} bits: clients refuse less than 2048",
            key.key_size()
        )));
    }
    if parsed.signature_algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.5" {
        out.push(Finding::error(format!(
            "{what} is signed with SHA-1: clients refuse it"
        )));
    }
    if out.len() == before {
        out.push(Finding::ok(format!(
            "{what} for {}, valid until {}",
            sans.join(" "),
            date(summary.not_after)
        )));
    }
}

fn lifetime(
    what: &str,
    summary: &Summary,
    now: OffsetDateTime,
    effect: &str,
    cure: &str,
    out: &mut Vec<Finding>,
) {
    if now > summary.not_after {
        out.push(
            Finding::error(format!(
                "{what} expired on {}: {effect}",
                date(summary.not_after)
            ))
            .hint(cure),
        );
    } else if now < summary.not_before {
        let from = minute(summary.not_before);
        out.push(
            Finding::error(format!(
                "{what} is not valid before {from}, and it is {} here: {effect}",
                minute(now)
            ))
            .hint("set the clock of the machine that is wrong"),
        );
    } else if summary.not_after - now < SOON {
        let days = (summary.not_after - now).whole_days();
        out.push(
            Finding::warning(format!(
                "{what} expires on {}, in {days} days",
                date(summary.not_after)
            ))
            .hint(cure),
        );
    }
}

/// Clients build the chain from what the server sends, in order (RFC 5246 §7.4.2).
fn chain_order(material: &TlsMaterial, path: &Path, out: &mut Vec<Finding>) {
    for pair in material.cert_chain.windows(2) {
        if let (Ok(child), Ok(parent)) = (parse(&pair[0]), parse(&pair[1]))
            && child.issuer().as_raw() != parent.subject().as_raw()
        {
            let (issuer, next) = (child.issuer(), parent.subject());
            out.push(
                Finding::warning(format!(
                    "server certificate {:?}: after the one issued by {issuer} comes {next}",
                    path.display()
                ))
                .hint("put the server's certificate first, then each one's issuer"),
            );
        }
    }
}

fn key_mode(path: &Path, out: &mut Vec<Finding>) {
    if let Ok(metadata) = path.metadata() {
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            out.push(
                Finding::warning(format!(
                    "server key {:?} can be read by everybody on this host (mode {mode:04o})",
                    path.display()
                ))
                .hint(format!("chmod 600 {}", path.display())),
            );
        }
    }
}

fn crl(der: &[u8], material: &TlsMaterial, now: OffsetDateTime, out: &mut Vec<Finding>) {
    let Ok((_, list)) = CertificateRevocationList::from_der(der) else {
        return;
    };
    let issuer = list.issuer().to_string();
    let known = material
        .client_ca
        .iter()
        .filter_map(|ca| parse(ca).ok())
        .any(|ca| ca.subject().as_raw() == list.issuer().as_raw());
    if !known {
        out.push(Finding::warning(format!(
            "the CRL of {issuer:?} belongs to no certificate in tlscacert"
        )));
    }
    let next = list.next_update().map(|time| time.to_datetime());
    let cure = "sign a new one with `dockgate certs crl`";
    match next {
        Some(next) if now > next => out.push(
            Finding::error(format!(
                "the CRL of {issuer:?} lapsed on {}: its clients are refused",
                date(next)
            ))
            .hint(cure),
        ),
        Some(next) if next - now < Duration::days(7) => {
            out.push(
                Finding::warning(format!("the CRL of {issuer:?} lapses on {}", minute(next)))
                    .hint(cure),
            );
        }
        Some(next) => out.push(Finding::ok(format!(
            "CRL of {issuer:?}: {} revoked, valid until {}",
            list.iter_revoked_certificates().count(),
            date(next)
        ))),
        None => out.push(Finding::warning(format!(
            "the CRL of {issuer:?} has no nextUpdate: nobody can tell when it is out of date"
        ))),
    }
}

fn sans(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(dns) => Some(format!("DNS:{dns}")),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(format!("IP:{}", std::net::Ipv4Addr::new(a, b, c, d))),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| format!("IP:{}", std::net::Ipv6Addr::from(octets))),
        },
        GeneralName::RFC822Name(mail) => Some(format!("email:{mail}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        _ => None,
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

fn sha256_hex(data: &[u8]) -> String {
    HEXLOWER.encode(&identity::sha256(data))
}

/// The day, as in 2027-02-20.
fn date(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day]"))
        .unwrap_or_default()
}

/// The minute, for questions of clocks.
fn minute(time: OffsetDateTime) -> String {
    time.format(format_description!(
        "[year]-[month]-[day] [hour]:[minute] UTC"
    ))
    .unwrap_or_default()
}

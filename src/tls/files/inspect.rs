//! What loads but will surprise: expiry, names, usages, permissions. Said by `check` and `doctor`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::config::TlsPaths;
use crate::error::{chmod, is_device};
use crate::finding::Finding;
use crate::tls::config::trust_store;
use crate::tls::files::{CertificateOrigin, TlsMaterial};
use pki::{
    Certificate, DenyList, Purpose, RevocationList, San, TrustStore, Use, time_left, timestamp,
};

/// Looks at a client's own certificate, at the moment `now`: lifetime and usage.
pub fn inspect_client(cert: &CertificateDer<'_>, path: &Path, now: OffsetDateTime) -> Vec<Finding> {
    let mut out = Vec::new();
    let Ok(read) = Certificate::read(cert) else {
        return out;
    };
    let what = format!("client certificate {:?} ({})", path.display(), read.subject);
    lifetime(
        &what,
        &read,
        now,
        "the server refuses it",
        &CertificateOrigin::of(path).renewed_client(now <= read.not_after),
        &mut out,
    );
    if !read.permits(Purpose::Client) {
        out.push(
            Finding::error(format!(
                "{what} has an extendedKeyUsage without clientAuth: the server refuses it"
            ))
            .hint(format!(
                "is it a server certificate? {}",
                CertificateOrigin::of(path).another_client()
            )),
        );
    }
    if read.is_ca {
        out.push(Finding::error(format!(
            "{what} is the certificate of a CA: dockgate lets no CA in as a client"
        )));
    }
    if read.details.version != 3 {
        out.push(
            Finding::error(format!(
                "{what} is of X.509 version {}: dockgate takes version 3 only",
                read.details.version
            ))
            .hint("sign it with extensions: `openssl x509 -req -extfile FILE`, or `dockgate certs sign`"),
        );
    }
    if out.is_empty() {
        out.push(Finding::ok(format!(
            "{what} issued by {}, valid until {}",
            read.issuer,
            timestamp(read.not_after)
        )));
    }
    out
}

/// Looks at what [`super::load`] let pass, at the moment `now`. One `ok` finding for each thing that is as it should be.
pub fn inspect(material: &TlsMaterial, paths: &TlsPaths, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    let read = |der: &CertificateDer<'_>| Certificate::read(der).ok();
    let cas: Vec<_> = material.client_ca.iter().filter_map(read).collect();
    let chain: Vec<_> = material.cert_chain.iter().filter_map(read).collect();
    for ca in &cas {
        client_ca(ca, &cas, paths, now, &mut findings);
    }
    if let Some(leaf) = chain.first() {
        server(leaf, &paths.cert, now, &mut findings);
        same_subject(leaf, &cas, &paths.cert, &mut findings);
    }
    chain_order(&chain, &paths.cert, &mut findings);
    key_mode(&paths.key, &mut findings);
    // Where they make no trust, building it says so.
    if let Ok(store) = trust_store(
        &material.client_ca,
        material.crls.clone(),
        DenyList::default(),
    ) {
        lists(&store, now, &mut findings);
    }
    findings
}

fn client_ca(
    ca: &Certificate,
    all: &[Certificate],
    paths: &TlsPaths,
    now: OffsetDateTime,
    out: &mut Vec<Finding>,
) {
    let what = format!("client CA {:?}", ca.subject);
    let before = out.len();
    let another = all.iter().any(|it| it.is_in_force(now.unix_timestamp()));
    let effect = if another {
        "no client of it can connect"
    } else {
        "no client can connect"
    };
    let cure = "renew it, and keep old and new in one file until the clients have changed";
    if another && now > ca.not_after {
        // The others let their clients in.
        let text = format!("{what} expired on {}: {effect}", timestamp(ca.not_after));
        out.push(Finding::warning(text).hint(cure));
    } else {
        lifetime(&what, ca, now, effect, cure, out);
    }
    if !ca.may("keyCertSign") {
        out.push(Finding::error(format!(
            "{what} has a keyUsage without keyCertSign: nobody it issued is let in"
        )));
    }
    if !ca.permits(Purpose::Client) {
        out.push(Finding::error(format!(
            "{what} has an extendedKeyUsage without clientAuth: nobody it issued is let in"
        )));
    }
    if let Some(name) = ca.details.unknown_critical.first() {
        out.push(Finding::error(format!(
            "{what} has the critical extension {name}, which dockgate does not evaluate: nobody it issued is let in"
        )));
    }
    if let Some(fault) = &ca.details.fault {
        out.push(Finding::error(format!(
            "{what} is damaged ({fault}): nobody it issued is let in"
        )));
    }
    let twin = all
        .iter()
        .find(|it| it.details.subject == ca.details.subject && it.details.spki != ca.details.spki);
    if twin.is_some() && ca.subject_key_id.is_none() {
        out.push(Finding::warning(format!(
            "{what} shares its name with another CA and has no key identifier: some clients cannot tell the two apart"
        )));
    }
    if out.len() == before {
        let file = paths.ca.display();
        out.push(Finding::ok(format!(
            "{what} in {file}, SHA-256 {}, valid until {}",
            ca.sha256,
            timestamp(ca.not_after)
        )));
    }
}

fn server(read: &Certificate, path: &Path, now: OffsetDateTime, out: &mut Vec<Finding>) {
    let what = format!("server certificate {:?} ({})", path.display(), read.subject);
    let origin = CertificateOrigin::of(path);
    let before = out.len();
    lifetime(
        &what,
        read,
        now,
        "every client refuses it",
        &origin.renewed_server(now <= read.not_after),
        out,
    );
    let is_host = |san: &&San| matches!(san, San::Dns(_) | San::Ip(_));
    let names = read.sans.iter().filter(is_host);
    let names: Vec<String> = names.map(ToString::to_string).collect();
    if names.is_empty() {
        out.push(
            Finding::error(format!(
                "{what} has no subject alternative name: docker and every other Go client refuse it"
            ))
            .hint(format!(
                "clients no longer look at the common name; with the name in DOCKER_HOST, {}",
                origin.another_server(" --san NAME")
            )),
        );
    }
    if !read.permits(Purpose::Server) && !read.names_any_usage() {
        out.push(
            Finding::error(format!(
                "{what} has an extendedKeyUsage without serverAuth: clients refuse it"
            ))
            .hint(format!(
                "is it a client certificate? {}",
                origin.another_server("")
            )),
        );
    }
    if read.is_ca {
        out.push(
            Finding::warning(format!("{what} is a CA: rustls-based clients refuse it, and its key is worth more than a server's"))
                .hint(origin.another_server("")),
        );
    }
    strength(&what, read, out);
    if out.len() == before {
        out.push(Finding::ok(format!(
            "{what} for {}, valid until {}",
            names.join(" "),
            timestamp(read.not_after)
        )));
    }
}

/// Keys and signatures that clients take for broken.
fn strength(what: &str, read: &Certificate, out: &mut Vec<Finding>) {
    if let Some(bits) = read.key.strip_prefix("RSA ")
        && bits.parse::<usize>().is_ok_and(|bits| bits < 2048)
    {
        out.push(Finding::error(format!(
            "{what} has an RSA key of {bits} bits: clients refuse less than 2048"
        )));
    }
    if read.details.signature_algorithm == "1.2.840.113549.1.1.5" {
        out.push(Finding::error(format!(
            "{what} is signed with SHA-1: clients refuse it"
        )));
    }
}

/// OpenSSL takes a certificate whose issuer and subject are one name for self-signed, unless key identifiers say otherwise.
fn same_subject(leaf: &Certificate, cas: &[Certificate], path: &Path, out: &mut Vec<Finding>) {
    let is_its_own = cas.iter().any(|ca| ca.details.spki == leaf.details.spki);
    if leaf.passes_for_self_signed() && !is_its_own {
        out.push(
            Finding::error(format!(
                "server certificate {:?} has the same subject as its CA ({}) and no key identifiers: OpenSSL-based clients \
                 (docker-py, node, curl) take it for self-signed and refuse it",
                path.display(),
                leaf.subject
            ))
            .hint(CertificateOrigin::of(path).another_server("")),
        );
    }
}

fn lifetime(
    what: &str,
    summary: &Certificate,
    now: OffsetDateTime,
    effect: &str,
    cure: &str,
    out: &mut Vec<Finding>,
) {
    if now > summary.not_after {
        out.push(
            Finding::error(format!(
                "{what} expired on {}: {effect}",
                timestamp(summary.not_after)
            ))
            .hint(cure),
        );
    } else if now < summary.not_before {
        let from = timestamp(summary.not_before);
        out.push(
            Finding::error(format!(
                "{what} is not valid before {from}, and it is {} here: {effect}",
                timestamp(now)
            ))
            .hint("set the clock of the machine that is wrong"),
        );
    } else if summary.validity().stage(now).is_some() {
        out.push(
            Finding::warning(format!(
                "{what} expires on {}, in {}",
                timestamp(summary.not_after),
                time_left(summary.not_after - now)
            ))
            .hint(cure),
        );
    }
}

/// Clients build the chain from what the server sends, in order (RFC 5246 §7.4.2).
fn chain_order(chain: &[Certificate], path: &Path, out: &mut Vec<Finding>) {
    for pair in chain.windows(2) {
        let [child, parent] = pair else { continue };
        if child.details.issuer != parent.details.subject {
            let (issuer, next) = (&child.issuer, &parent.subject);
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
        if mode & 0o007 != 0 && !is_device(path) {
            out.push(Finding {
                hint: chmod("600", path),
                ..Finding::warning(format!(
                    "server key {:?} can be read by everybody on this host (mode {mode:04o})",
                    path.display()
                ))
            });
        }
    }
}

/// Which list of which CA counts, and what ends.
fn lists(store: &TrustStore, now: OffsetDateTime, out: &mut Vec<Finding>) {
    let lists = store.lists();
    for (list, used) in &lists {
        one_list(store, list, *used, now, out);
    }
    if lists.is_empty() {
        return;
    }
    for ca in store.cas() {
        // Two CAs may share a name.
        let named = |it: &&Certificate| it.details.subject == ca.details.subject;
        let which = match store.cas().iter().filter(named).count() {
            1 => String::new(),
            _ => format!(" (SHA-256 {})", ca.sha256),
        };
        if !store.has_list_of(ca) {
            out.push(
                Finding::error(format!(
                    "client CA {:?}{which} has no CRL while another has one: its clients are refused",
                    ca.subject
                ))
                .hint("name its list too (--tlscrl)"),
            );
        } else if !ca.may("cRLSign") {
            out.push(Finding::error(format!(
                "client CA {:?}{which} has a keyUsage without cRLSign, so its CRL does not count: its clients are refused",
                ca.subject
            )));
        }
    }
}

fn one_list(
    store: &TrustStore,
    list: &RevocationList,
    used: Use,
    now: OffsetDateTime,
    out: &mut Vec<Finding>,
) {
    let of = format!("the CRL of {:?} ({})", list.issuer, list.title());
    let next = list.next_update;
    let cure = "sign a new one with `dockgate certs crl`";
    let in_time = list.is_in_time(now.unix_timestamp());
    if used == Use::NoIssuer {
        let named = store.cas().iter();
        let named = named.filter(|ca| ca.details.subject == list.issuer_raw);
        out.push(Finding::warning(if named.count() == 0 {
            format!("{of} belongs to no certificate in tlscacert")
        } else {
            format!("{of} was signed by another key than that of the CA of this name in tlscacert, so it does not count")
        }));
    }
    if used == Use::Older {
        out.push(Finding::ok(if in_time {
            format!(
                "{of}: a newer one counts; what this one revokes is revoked until {}",
                timestamp(next)
            )
        } else {
            format!("{of} ended on {}; a newer one counts", timestamp(next))
        }));
    } else if !in_time {
        out.push(
            Finding::error(format!(
                "{of} ended on {}: its clients are refused",
                timestamp(next)
            ))
            .hint(cure),
        );
    } else if list.validity().stage(now).is_some() {
        let (end, left) = (timestamp(next), time_left(next - now));
        out.push(Finding::warning(format!("{of} ends on {end}, in {left}")).hint(cure));
    } else if used == Use::Decides {
        out.push(Finding::ok(format!(
            "{of}: {} revoked, valid until {}",
            store.revoked_by(list),
            timestamp(next)
        )));
    }
    if list.this_update > now {
        out.push(
            Finding::warning(format!(
                "{of} is from the future: {}",
                timestamp(list.this_update)
            ))
            .hint("set the clock of the machine that is wrong"),
        );
    }
}

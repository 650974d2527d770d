//! `certs list`: what was issued here, and what lies in the directory besides.

use std::{collections::HashSet, fs, path::PathBuf};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{dir_option, is_elsewhere};
use crate::cli::certs::List;
use crate::command::output::Output;
use pki::{
    Certificate, CertsError, Validity,
    crl::IssuedList,
    event::{Issued, IssuedKind},
    index::Index,
    issue::now,
    pem,
    store::{Paths, inspect_file},
    timestamp,
};

/// One certificate.
#[derive(Serialize)]
struct Row {
    name: String,
    kind: IssuedKind,
    status: &'static str,
    not_after: String,
    days_left: i64,
    serial: String,
    subject: String,
    sha256: String,
    spki_sha256: String,
    /// Where the certificate lies, when it is still there.
    path: Option<PathBuf>,
    /// How many certificates of its line there are up to it, if it came by invitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    /// When it renewed the one before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<String>,
}

/// Everything `--json` prints.
#[derive(Serialize)]
struct Listing {
    certificates: Vec<Row>,
    crl: Option<ListedCrl>,
}

#[derive(Serialize)]
struct ListedCrl {
    path: PathBuf,
    number: String,
    next_update: Option<String>,
    revoked: Vec<String>,
}

#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) fn list(args: &List, output: &mut Output<'_>) -> Result<(), CertsError> {
    let place = super::place(&args.dir)?;
    let paths = place.paths()?;
    let now = now();
    let crl = if paths.crl.is_file() {
        Some(IssuedList::read(&paths.crl)?)
    } else {
        None
    };
    let index = place.index()?;
    let mut rows = rows((&paths, &index), crl.as_ref(), now)?;
    if !args.all {
        rows.retain(|row| row.path.is_some() || row.status != "expired");
    }
    let crl = crl.map(|crl| ListedCrl {
        path: paths.crl.clone(),
        number: crl.number_text,
        next_update: crl.next_update.map(timestamp),
        revoked: crl.entries.into_iter().map(|entry| entry.serial).collect(),
    });
    if args.json {
        let listing = Listing {
            certificates: rows,
            crl,
        };
        output.json(&listing);
        return Ok(());
    }
    if rows.is_empty() {
        output.line(format!("no certificates in {}", paths.dir.display()));
        output.next(format!("dockgate certs init{}", dir_option(&args.dir.dir)));
        return Ok(());
    }
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    let enrolled = rows.iter().any(|row| row.generation.is_some());
    let further = |generation: &str, renewed: &str| match enrolled {
        true => format!("  {generation:>3}  {renewed}"),
        false => String::new(),
    };
    output.line(
        format!(
            "{:width$}  {:6}  {:8}  {:>5}  {:20}  {}",
            "NAME",
            "KIND",
            "STATUS",
            "DAYS",
            "ENDS",
            serial_column("SERIAL", enrolled) + &further("GEN", "RENEWED")
        )
        .trim_end(),
    );
    for row in &rows {
        let kind = match row.kind {
            IssuedKind::Ca => "ca",
            IssuedKind::Server => "server",
            IssuedKind::Client => "client",
        };
        let generation = row.generation.map(|it| it.to_string()).unwrap_or_default();
        let renewed = row.renewed.as_deref().unwrap_or_default();
        let last = serial_column(&row.serial, enrolled) + &further(&generation, renewed);
        let line = format!(
            "{:width$}  {kind:6}  {:8}  {:>5}  {:20}  {last}",
            row.name, row.status, row.days_left, row.not_after
        );
        output.row(line.trim_end());
    }
    let unlisted: Vec<&str> = rows
        .iter()
        .filter(|row| row.status == "unlisted")
        .map(|row| row.serial.as_str())
        .collect();
    if !unlisted.is_empty() {
        output.line(format!(
            "unlisted: revoked here, but not on {}, so the gate lets it in: {}",
            paths.crl.display(),
            unlisted.join(", ")
        ));
        match is_elsewhere(&paths.dir)? {
            true => output.line("the CA's key is elsewhere: revoke them there"),
            false => output.next(format!("dockgate certs crl{}", dir_option(&args.dir.dir))),
        }
    }
    if rows.iter().any(|row| row.status == "old-ca") {
        output.line(
            "old-ca: the CA that issued it was replaced, so no gate of the new one lets it in",
        );
    }
    if let Some(crl) = &crl {
        let until = crl.next_update.as_deref().unwrap_or("no date");
        output.line(format!(
            "revocation list {} number {}, {} revoked, good until {until}",
            crl.path.display(),
            crl.number,
            crl.revoked.len()
        ));
    }
    if rows
        .iter()
        .any(|row| row.status == "due" || row.status == "expired" && row.path.is_some())
    {
        output.next(format!(
            "dockgate certs renew --all --if-due{}",
            dir_option(&args.dir.dir)
        ));
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn rows(
    (paths, index): (&Paths, &Index),
    crl: Option<&IssuedList>,
    now: OffsetDateTime,
) -> Result<Vec<Row>, CertsError> {
    let (in_force, judged) = (cas(paths)?, index.judged());
    let listed: HashSet<&str> = crl
        .iter()
        .flat_map(|crl| crl.entries.iter().map(|entry| entry.serial.as_str()))
        .collect();
    // A CA that was replaced has no list any more, and nobody lets its certificates in.
    let is_gone = |issuer: Option<&String>| {
        issuer.is_some_and(|it| !in_force.is_empty() && !in_force.contains(it))
    };
    let revoked = |serial: &str, issuer: Option<&String>| {
        let revoked = judged.revocation(serial).is_some();
        match () {
            () if listed.contains(serial) => Some("revoked"),
            () if is_gone(issuer) && revoked => Some("revoked"),
            () if is_gone(issuer) => Some("old-ca"),
            () if revoked => Some("unlisted"),
            () => None,
        }
    };
    let mut rows = Vec::new();
    for (kind, name, path) in present(paths) {
        // A file that cannot be read is not hidden: the command fails and says which.
        let (_, info) = inspect_file(&path)?;
        let issuer = info.authority_key_id.as_ref().filter(|_| !info.is_ca);
        let status = status(&info, revoked(&info.serial, issuer), now);
        rows.push(Row {
            name,
            kind,
            status,
            not_after: timestamp(info.not_after),
            days_left: info.days_left(now),
            serial: info.serial,
            subject: info.subject,
            sha256: info.sha256,
            spki_sha256: info.spki_sha256,
            path: Some(path),
            generation: None,
            renewed: None,
        });
    }
    // Each line of the index is looked at once, whatever there are.
    let mut shown: HashSet<String> = rows.iter().map(|row| row.sha256.clone()).collect();
    let held: HashSet<(IssuedKind, String)> = rows
        .iter()
        .map(|row| (row.kind, row.name.clone()))
        .collect();
    for issued in index.issued() {
        if !shown.insert(issued.sha256.clone()) {
            continue;
        }
        let end = OffsetDateTime::parse(&issued.not_after, &Rfc3339).unwrap_or(now);
        let replaced = held.contains(&(issued.kind, issued.name.clone()));
        let status = match () {
            () if end <= now => "expired",
            () if judged.is_renewed(&issued.serial) => "renewed",
            () if replaced => "replaced",
            () if now >= issued_validity(issued, end).renewal_due() => "due",
            () => "ok",
        };
        let issuer = match issued.kind {
            // Its own: who issued a CA does not say whether it is in force.
            IssuedKind::Ca => None,
            _ => issued.issuer_key_id.as_ref(),
        };
        let status = match revoked(&issued.serial, issuer) {
            Some("old-ca") if status == "expired" => status,
            Some(told) => told,
            None => status,
        };
        rows.push(Row {
            name: issued.name.clone(),
            kind: issued.kind,
            status,
            not_after: issued.not_after.clone(),
            days_left: (end - now).whole_days(),
            serial: issued.serial.clone(),
            subject: issued.subject.clone(),
            sha256: issued.sha256.clone(),
            spki_sha256: issued.spki_sha256.clone(),
            path: None,
            generation: issued.enrolled.as_ref().map(|it| it.generation),
            renewed: issued
                .enrolled
                .as_ref()
                .filter(|it| it.predecessor.is_some())
                .map(|_| issued.at.clone()),
        });
    }
    Ok(rows)
}

/// The key identifiers of the CAs that are in force in a directory; empty if it has no CA's certificate.
fn cas(paths: &Paths) -> Result<Vec<String>, CertsError> {
    if !paths.ca.is_file() {
        return Ok(Vec::new());
    }
    let cas = pem::certificates(&paths.ca)?;
    let read = cas.iter().filter_map(|der| Certificate::read(der).ok());
    Ok(read.filter_map(|ca| ca.subject_key_id).collect())
}

/// From when until when a certificate of the index is good.
fn issued_validity(issued: &Issued, end: OffsetDateTime) -> Validity {
    let from = OffsetDateTime::parse(&issued.at, &Rfc3339).unwrap_or(end);
    Validity::of_certificate(from, end)
}

/// A serial number, as wide as they get where another column follows.
fn serial_column(serial: &str, is_followed: bool) -> String {
    match is_followed {
        true => format!("{serial:40}"),
        false => serial.to_owned(),
    }
}

/// The certificates that lie in the directory.
pub(super) fn present(paths: &Paths) -> Vec<(IssuedKind, String, PathBuf)> {
    let mut present = Vec::new();
    present.extend(
        paths
            .ca
            .is_file()
            .then(|| (IssuedKind::Ca, "ca".to_owned(), paths.ca.clone())),
    );
    present.extend(paths.server_cert.is_file().then(|| {
        (
            IssuedKind::Server,
            "server".to_owned(),
            paths.server_cert.clone(),
        )
    }));
    let mut clients: Vec<_> = fs::read_dir(&paths.clients)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            (
                IssuedKind::Client,
                entry.file_name().to_string_lossy().into_owned(),
                entry.path().join("cert.pem"),
            )
        })
        .filter(|(.., path)| path.is_file())
        .collect();
    clients.sort();
    present.extend(clients);
    if let Some(dir) = pki::layout::find(&paths.dir).and_then(|layout| layout.client_dir) {
        let path = dir.join("cert.pem");
        if !dir.starts_with(&paths.clients) {
            present.push((IssuedKind::Client, "client".to_owned(), path));
        }
    }
    present
}

fn status(info: &Certificate, revoked: Option<&'static str>, now: OffsetDateTime) -> &'static str {
    match () {
        () if revoked.is_some() => revoked.unwrap_or_default(),
        () if now >= info.not_after => "expired",
        () if now >= info.renewal_due() => "due",
        () => "ok",
    }
}

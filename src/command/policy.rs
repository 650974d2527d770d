//! `dockgate policy …`: the gate's own decisions, at a desk. No socket is opened.

mod check;
mod diff;
mod explain;
mod learn;
mod test;

use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::cli::policy::{PolicyArgs, PolicyCommand, WhoArgs};
use crate::observe::audit::{Event, Record};
use crate::tls::config::trust_store;
use pki::identity::Identity;

use policy::{PolicyError, pin};

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For standard output, without the last line feed.
    pub text: String,
    /// For standard error, without the last line feed; empty for nothing.
    pub note: String,
    /// The exit code.
    pub code: u8,
}

/// Runs a `policy` command on standard input and output.
///
/// # Errors
/// [`PolicyError`] if a file cannot be read or has faults, or the answer cannot be written: exit code 78, which is no
/// verdict of any of them.
pub fn run(args: &PolicyArgs) -> Result<ExitCode, PolicyError> {
    // At a terminal nobody types a body.
    let outcome = match io::stdin().is_terminal() {
        true => outcome(args, &mut io::empty())?,
        false => outcome(args, &mut io::stdin())?,
    };
    if !outcome.note.is_empty() {
        let _ = writeln!(io::stderr(), "dockgate: {}", outcome.note);
    }
    let mut out = io::stdout();
    match writeln!(out, "{}", outcome.text).and_then(|()| out.flush()) {
        // Who reads only the first lines (`| head`) has read enough.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(PolicyError::Write(source))
        }
        _ => Ok(ExitCode::from(outcome.code)),
    }
}

/// The same, for a caller with streams of its own.
///
/// # Errors
/// As [`run`].
pub fn outcome(args: &PolicyArgs, input: &mut dyn Read) -> Result<Outcome, PolicyError> {
    match &args.command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => explain::run(args, input),
        PolicyCommand::Test(args) => test::run(args),
        PolicyCommand::Learn(args) => learn::run(args),
        PolicyCommand::Diff(args) => diff::run(args),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    fs::read(path).map_err(|source| PolicyError::Read {
        what: "file",
        path: path.into(),
        source,
    })
}

fn text(path: &Path) -> Result<String, PolicyError> {
    String::from_utf8(read(path)?)
        .map_err(|_| PolicyError::Input(format!("\"{}\" is not UTF-8 text", path.display())))
}

/// The records of an audit file; a line that is none is an error, since a verdict on half an audit misleads.
fn records(path: &Path) -> Result<Vec<Record>, PolicyError> {
    let mut records = Vec::new();
    for (index, line) in text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let record = serde_json::from_str(line).map_err(|error| {
            PolicyError::Input(format!(
                "{}:{}: expected an audit record: {error}",
                path.display(),
                index + 1
            ))
        })?;
        records.push(record);
    }
    Ok(records)
}

/// The requests among the records, each once: by the record of its end, or of its decision where the end is missing. Heads that
/// could not be read are not requests.
fn requests(records: &[Record]) -> Vec<&Record> {
    let mut found: Vec<&Record> = Vec::new();
    let mut decided: HashMap<(&str, &str), usize> = HashMap::new();
    for record in records {
        let key = (&*record.request, &*record.time);
        match (record.event, decided.get(&key)) {
            (Event::Decided, _) => {
                decided.insert(key, found.len());
                found.push(record);
            }
            (Event::Request | Event::SessionStart | Event::SessionEnd, Some(at)) => {
                found[*at] = record;
            }
            (Event::SessionEnd, None) => {}
            _ if record.rule.as_deref() == Some("http") => {}
            (Event::Request | Event::SessionStart, None) => found.push(record),
        }
    }
    found
}

fn identity(who: &WhoArgs, ca: Option<&Path>) -> Result<Identity, PolicyError> {
    let mut identity = match &who.cert {
        Some(path) => certified(path, ca)?,
        None => named_by(who)?,
    };
    if let Some(text) = &who.issuer_spki {
        identity.issuer_spki = Some(pinned("--issuer-spki", text)?);
    }
    Ok(identity)
}

/// The certificates of a PEM file, one at least.
fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PolicyError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        PolicyError::Input(format!(
            "{what}\"{}\" has no PEM certificate",
            path.display()
        ))
    })
}

/// The identity in a certificate's file. With the listener's CA file it is the one the gate would find; else who issued it is
/// known only from what stands behind it.
fn certified(path: &Path, ca: Option<&Path>) -> Result<Identity, PolicyError> {
    let file = path.display();
    let chain = certificates("", path)?;
    let Some((leaf, above)) = chain.split_first() else {
        return Ok(named());
    };
    let wrong = |what: String| PolicyError::Input(format!("\"{file}\": {what}"));
    let admit = |cas: &[CertificateDer<'static>]| {
        let store = trust_store(cas, Vec::new(), pki::Denied::default())?;
        let admitted = store.admit(&chain, UnixTime::now());
        admitted
            .map(|it| (*it.identity).clone())
            .map_err(|refusal| refusal.why())
    };
    match ca {
        Some(ca) => admit(&certificates("CA file ", ca)?).map_err(|why| {
            let ca = ca.display();
            PolicyError::Input(format!(
                "no CA of \"{ca}\" vouches for \"{file}\" now, so the gate would not let it connect: {why}"
            ))
        }),
        None => {
            let identity = Identity::from_der(leaf).map_err(|error| wrong(error.to_string()))?;
            Ok(admit(above).unwrap_or(identity))
        }
    }
}

/// The identity that the options spell out.
fn named_by(who: &WhoArgs) -> Result<Identity, PolicyError> {
    let mut identity = named();
    identity.common_names.clone_from(&who.cn);
    identity.organizations.clone_from(&who.o);
    identity.organizational_units.clone_from(&who.ou);
    identity.dns.clone_from(&who.dns);
    identity.emails.clone_from(&who.email);
    identity.uris.clone_from(&who.uri);
    if let Some(text) = &who.spki {
        identity.spki = pinned("--spki", text)?;
    }
    Ok(identity)
}

fn pinned(option: &str, text: &str) -> Result<[u8; 32], PolicyError> {
    pin(text).ok_or_else(|| {
        PolicyError::Input(format!(
            "{option}: expected \"sha256:\" and 32 bytes in base64 or hex, found \"{text}\""
        ))
    })
}

/// An identity with no names at all, to put names on.
fn named() -> Identity {
    Identity {
        common_names: Vec::new(),
        organizations: Vec::new(),
        organizational_units: Vec::new(),
        dns: Vec::new(),
        emails: Vec::new(),
        uris: Vec::new(),
        ips: Vec::new(),
        serial: String::new(),
        issuer: String::new(),
        fingerprint: [0; 32],
        spki: [0; 32],
        issuer_spki: None,
        not_after: i64::MAX,
    }
}

/// The identity an audit record speaks of.
fn recorded(record: &Record) -> Identity {
    let certificate = &record.certificate;
    let mut identity = named();
    identity.common_names.clone_from(&certificate.cn);
    identity.organizations.clone_from(&certificate.o);
    identity.organizational_units.clone_from(&certificate.ou);
    identity.dns.clone_from(&certificate.dns);
    identity.emails.clone_from(&certificate.email);
    identity.uris.clone_from(&certificate.uri);
    identity.ips.clone_from(&certificate.ip);
    identity.serial.clone_from(&certificate.serial);
    identity.spki = pin(&certificate.spki).unwrap_or_default();
    identity.issuer_spki = certificate.issuer_spki.as_deref().and_then(pin);
    identity
}

/// The rows of a table, columns aligned by spaces.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0))
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(
                    ' ',
                    width.saturating_sub(cell.chars().count()) + 2,
                ));
            }
            line.trim_end().to_owned()
        })
        .collect()
}

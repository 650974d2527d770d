//! `dockgate policy …`: the gate's own decisions, at a desk. No socket is opened.

mod check;
mod diff;
mod explain;
mod learn;
mod owned;
mod test;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::cli::policy::{PolicyArgs, PolicyCommand, WhoArgs};
use crate::command::output::{Exit, Failure, Output};
use crate::observe::audit::{Event, Record};
use crate::tls::config::trust_store;
use pki::identity::Identity;
use pki::pem;

use buildkit::Call;
use docker_api::Operation;
use policy::build::BuildFacts;
use policy::{ClientRef, Policy, PolicyError, Power, Powers, Verdict, pin};
use text::escape;

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyOutcome {
    /// For standard output, without the last line feed.
    pub text: String,
    /// For standard error, without the last line feed; empty for nothing.
    pub note: String,
    /// The exit code.
    pub code: u8,
}

impl PolicyOutcome {
    /// Lines of an answer; none of them can be two.
    fn of(lines: impl IntoIterator<Item = impl AsRef<str>>, code: u8) -> Self {
        let lines: Vec<String> = lines
            .into_iter()
            .map(|line| escape::line(line.as_ref()).into_owned())
            .collect();
        Self {
            text: lines.join("\n"),
            note: String::new(),
            code,
        }
    }

    /// Adds a sentence beside the answer.
    fn note(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

/// Runs a `policy` command on standard input.
///
/// # Errors
/// If a file cannot be read or has faults: exit code 78, which is no verdict of any of them.
pub fn run(args: &PolicyArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    // At a terminal nobody types a body.
    let outcome = match io::stdin().is_terminal() {
        true => outcome(args, &mut io::empty())?,
        false => outcome(args, &mut io::stdin())?,
    };
    if !outcome.note.is_empty() {
        let (note, hint) = match outcome.note.split_once("\nhint: ") {
            Some((note, hint)) => (note, Some(hint)),
            None => (&*outcome.note, None),
        };
        output.fail(&Failure::new(Exit::OK, note).hint(hint));
    }
    if outcome.text.is_empty() {
        output.line("");
    }
    output.lines(&outcome.text);
    Ok(Exit::of(outcome.code))
}

/// The same, for a caller with streams of its own.
///
/// # Errors
/// As [`run`].
pub fn outcome(args: &PolicyArgs, input: &mut dyn Read) -> Result<PolicyOutcome, PolicyError> {
    match &args.command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => explain::run(args, input),
        PolicyCommand::Test(args) => test::run(args),
        PolicyCommand::Learn(args) => learn::run(args),
        PolicyCommand::Diff(args) => diff::run(args),
    }
}

/// The longest file that is read whole: the largest body that a policy may have read.
const LONGEST_FILE: u64 = 64 << 20;

/// The longest line of an audit or of cases.
const LONGEST_LINE: usize = 64 << 20;

fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    let failed = |source| PolicyError::Read {
        what: "file",
        path: path.into(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LONGEST_FILE {
        let text = format!("\"{}\" is over {} MiB", path.display(), LONGEST_FILE >> 20);
        return Err(PolicyError::Input(text));
    }
    Ok(bytes)
}

/// Calls `each` with every request of an audit file, once: by the record that has its end, or by that of its decision where
/// the end is missing. Heads that could not be read are not requests. What is held of the file is what has not ended.
///
/// A line that is not a record is an error, since a verdict on half an audit misleads.
fn for_each_request(path: &Path, mut each: impl FnMut(&Record)) -> Result<(), PolicyError> {
    let mut decided: HashMap<(String, String), Record> = HashMap::new();
    for_each_line(path, |number, line| {
        let record: Record = serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{number}", path.display());
            PolicyError::Input(format!("{place}: expected an audit record: {error}"))
        })?;
        let key = (record.request.clone(), record.time.clone());
        match (record.event, decided.remove(&key).is_some()) {
            (Event::Decided, _) => {
                decided.insert(key, record);
            }
            (_, true) => each(&record),
            (Event::SessionEnd, false) => {}
            (Event::Request, false) if record.rule.as_deref() == Some("http") => {}
            (Event::Request | Event::SessionStart, false) => each(&record),
        }
        Ok(())
    })?;
    decided.values().for_each(each);
    Ok(())
}

/// Calls `each` with every line that is not blank, and its number.
fn for_each_line(
    path: &Path,
    mut each: impl FnMut(usize, &str) -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    let failed = |source| PolicyError::Read {
        what: "file",
        path: path.into(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let most = LONGEST_LINE as u64 + 1;
        let read = Read::take(&mut file, most).read_until(b'\n', &mut line);
        if read.map_err(failed)? == 0 {
            break;
        }
        let place = || format!("{}:{number}", path.display());
        if line.len() > LONGEST_LINE {
            let text = format!("{}: a line over {} MiB", place(), LONGEST_LINE >> 20);
            return Err(PolicyError::Input(text));
        }
        let text = str::from_utf8(&line)
            .map_err(|_| PolicyError::Input(format!("{}: not UTF-8 text", place())))?;
        if !text.trim().is_empty() {
            each(number, text.trim_end())?;
        }
    }
    Ok(())
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
    let wrong = |found: &str| PolicyError::Input(format!("{what}\"{}\" {found}", path.display()));
    let blocks = pem::read(&read(path)?).map_err(|damage| wrong(&damage.what))?;
    let found: Vec<_> = blocks
        .iter()
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| CertificateDer::from(block.der.to_vec()))
        .collect();
    if found.is_empty() {
        return Err(wrong("has no PEM certificate"));
    }
    Ok(found)
}

/// The identity in a certificate's file. With the listener's CA file it is the one the gate would find; else who issued it is
/// known only from what comes behind it.
fn certified(path: &Path, ca: Option<&Path>) -> Result<Identity, PolicyError> {
    let file = path.display();
    let chain = certificates("", path)?;
    let Some((leaf, above)) = chain.split_first() else {
        return Ok(Identity::unnamed());
    };
    let wrong = |what: String| PolicyError::Input(format!("\"{file}\": {what}"));
    let admit = |cas: &[CertificateDer<'static>]| {
        let store = trust_store(cas, Vec::new(), pki::DenyList::default())?;
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
    let mut identity = Identity::unnamed();
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

/// A recorded request, judged again: its client, what it asked for, and the verdict.
fn replayed(policy: &Policy, record: &Record) -> (ClientRef, Powers, Verdict) {
    let client = policy.client_for(&recorded(record));
    if let Some(call) = Call::from_id(&record.operation) {
        let facts = BuildFacts {
            kept: record.facts.clone(),
            omitted: record.facts_omitted,
        };
        let verdict = policy.replay_call(client, call, &facts);
        return (client, Powers::default(), verdict);
    }
    let operation = Operation::from_id(&record.operation).unwrap_or(Operation::Unknown);
    let facts = record.facts.iter();
    let asked = Powers {
        kept: facts
            .filter_map(|(key, value)| Power::from_fact(key, value))
            .collect(),
        omitted: record.facts_omitted,
    };
    let verdict = policy.replay(client, operation, &asked);
    (client, asked, verdict)
}

/// The identity an audit record speaks of.
fn recorded(record: &Record) -> Identity {
    let certificate = &record.certificate;
    let mut identity = Identity::unnamed();
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

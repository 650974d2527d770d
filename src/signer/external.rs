//! A CA whose key is elsewhere: a command signs, and its answer is believed only as far as it is what was asked for.
//!
//! The command gets the approved profile as JSON on standard input, with the certificate request, and answers with the
//! certificate in PEM. It has 20 seconds, an environment without secrets, and a process group of its own that is killed
//! when it has answered, failed, or taken too long.

mod talk;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pki::issue::Authority;
use pki::requester::LeafSigner;
use pki::store::Paths;
use pki::write::{self, Existing, FileMode};
use pki::{Certificate, CertsError, DenyList, Purpose, pem, timestamp};
use rustls::pki_types::{CertificateDer, UnixTime};
use text::escape;

use self::talk::talk;
use crate::companion::ENVIRONMENT;
use crate::tls::config;

/// For the command, from its start to its end.
const DEADLINE: Duration = Duration::from_secs(20);

/// The longest answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The most of its standard error that the log gets.
const MAX_COMPLAINT_BYTES: usize = 1024;

/// How much later than asked a certificate may end: the command reads the clock after the signer.
const LATER: time::Duration = time::Duration::MINUTE;

/// A command that signs.
#[derive(Debug)]
pub(super) struct SigningCommand {
    words: Vec<String>,
    cas: Vec<CertificateDer<'static>>,
    deadline: Duration,
}

/// A CA whose key is elsewhere.
#[derive(Clone, Debug)]
pub struct ExternalCa {
    /// What signs: a program and its arguments.
    pub command: String,
    /// The CA's certificate, and those above it.
    pub ca: PathBuf,
    /// Its revocation list.
    pub crl: Option<PathBuf>,
}

impl ExternalCa {
    /// Puts the CA's files where the signer and `dockgate invite` look for them.
    pub(super) fn take_over(&self, paths: &Paths) -> Result<(), CertsError> {
        write::create_private_dir(&paths.dir)?;
        let crl = self.crl.iter().map(|crl| (crl, &paths.crl));
        let take_over = |(from, to): (&PathBuf, &PathBuf)| {
            let bytes = write::read(from)?;
            if !to.is_file() || write::read(to)? != bytes {
                write::write(to, &bytes, FileMode::Public, Existing::Replace)?;
            }
            Ok(())
        };
        // One that cannot be read does not keep the other from the gates.
        let taken: Vec<_> = (std::iter::once((&self.ca, &paths.ca)).chain(crl))
            .map(take_over)
            .collect();
        taken.into_iter().collect()
    }
}

/// The CA in a file whose key a command uses.
pub(super) fn authority(external: &ExternalCa) -> Result<Authority, CertsError> {
    let words = external.command.split_whitespace();
    let words: Vec<String> = words.map(ToOwned::to_owned).collect();
    if words.is_empty() {
        return Err(CertsError::refused(
            "--signer-command is empty",
            "write the program with its arguments, such as --signer-command /etc/dockgate/sign",
        ));
    }
    let signer = SigningCommand {
        words,
        cas: pem::certificates(&external.ca)?,
        deadline: DEADLINE,
    };
    Authority::elsewhere(&external.ca, Box::new(signer))
}

impl LeafSigner for SigningCommand {
    fn sign(&self, wanted: &Certificate, request: &[u8]) -> Result<Vec<u8>, CertsError> {
        let answer = self.run(&profile(wanted, request))?;
        let blocks = pem::read(&answer).unwrap_or_default();
        let first = blocks.into_iter().find(|it| it.label == "CERTIFICATE");
        let Some(first) = first else {
            return Err(self.refuse("has not answered with a certificate in PEM"));
        };
        let der = first.der.to_vec();
        match self.misfit(wanted, &der) {
            None => Ok(der),
            Some(what) => {
                Err(self.refuse(&format!("has signed {what}: the certificate is not used")))
            }
        }
    }
}

impl SigningCommand {
    fn refuse(&self, what: &str) -> CertsError {
        CertsError::refused(
            format!("--signer-command {:?} {what}", self.words[0]),
            "docs/reference/signer.md says what it is asked and has to answer",
        )
    }

    /// How a certificate differs from the one that was asked for.
    fn misfit(&self, wanted: &Certificate, der: &[u8]) -> Option<String> {
        let Ok(got) = Certificate::read(der) else {
            return Some("something that cannot be read".to_owned());
        };
        let sorted = |all: &[pki::San]| {
            let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.sort();
            all
        };
        if got.details.spki != wanted.details.spki {
            return Some("another key than the request's".to_owned());
        }
        if got.subject != wanted.subject {
            return Some(format!(
                "the subject {:?}, expected {:?}",
                got.subject, wanted.subject
            ));
        }
        if sorted(&got.sans) != sorted(&wanted.sans) {
            return Some(format!(
                "the alternative names {:?}, expected {:?}",
                sorted(&got.sans),
                sorted(&wanted.sans)
            ));
        }
        misuse(wanted, &got).or_else(|| self.not_issued(wanted, der))
    }

    /// Why the CA's file does not lead to a certificate.
    fn not_issued(&self, wanted: &Certificate, der: &[u8]) -> Option<String> {
        let role = match wanted.permits(Purpose::Server) {
            true => Purpose::Server,
            false => Purpose::Client,
        };
        let trust = config::trust_store(&self.cas, Vec::new(), DenyList::default());
        let trust = match trust {
            Ok(trust) => trust.judging(role),
            Err(why) => return Some(format!("with a CA that cannot be used: {why}")),
        };
        let chain: Vec<_> = std::iter::once(CertificateDer::from(der.to_vec()))
            .chain(self.cas.iter().cloned())
            .collect();
        let refusal = trust.admit(&chain, UnixTime::now()).err()?;
        Some(format!(
            "what the CA of the signer did not issue: {}",
            refusal.why()
        ))
    }

    /// Starts the command in a process group of its own, with nothing secret in its environment.
    fn start(&self) -> std::io::Result<Child> {
        let kept = ENVIRONMENT
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        Command::new(&self.words[0])
            .args(&self.words[1..])
            .env_clear()
            .envs(kept)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Runs the command; what it wrote to standard output.
    fn run(&self, profile: &str) -> Result<Vec<u8>, CertsError> {
        let deadline = Instant::now() + self.deadline;
        let failed = |source| CertsError::io("run", Path::new(&self.words[0]), source);
        let child = self.start().map_err(failed)?;
        let bounds = (MAX_ANSWER_BYTES + 1, MAX_COMPLAINT_BYTES);
        let end = talk(child, profile.as_bytes(), bounds, deadline).map_err(failed)?;
        let complaint = String::from_utf8_lossy(&end.complaint);
        let complaint = escape::line(complaint.lines().next().unwrap_or_default()).to_string();
        if !end.in_time {
            let secs = self.deadline.as_secs_f32();
            return Err(self.refuse(&format!("took longer than {secs} seconds and was killed")));
        }
        if !end.status.success() {
            return Err(self.refuse(&format!("failed ({}): {complaint}", end.status)));
        }
        if end.answer.len() > MAX_ANSWER_BYTES {
            return Err(self.refuse("has answered with more than 64 KiB"));
        }
        match end.whole {
            true => Ok(end.answer),
            false => Err(self.refuse(
                "has ended, but something that it started still has its standard output: it must close it",
            )),
        }
    }
}

/// How uses and dates of a certificate differ from those that were asked for.
fn misuse(wanted: &Certificate, got: &Certificate) -> Option<String> {
    if got.is_ca {
        return Some("a CA, expected CA:FALSE".to_owned());
    }
    if got.details.issuer != wanted.details.issuer {
        return Some(format!(
            "in the name of {:?}, expected {:?}",
            got.issuer, wanted.issuer
        ));
    }
    if got.extended_key_usage != wanted.extended_key_usage {
        return Some(format!(
            "the extended key usages {:?}, expected {:?}",
            got.extended_key_usage.as_deref().unwrap_or_default(),
            wanted.extended_key_usage.as_deref().unwrap_or_default()
        ));
    }
    if !got.may("digitalSignature") {
        return Some("a key usage without digitalSignature".to_owned());
    }
    if got.not_after > wanted.not_after + LATER {
        return Some(format!(
            "an end at {}, expected {} at the latest",
            timestamp(got.not_after),
            timestamp(wanted.not_after)
        ));
    }
    // It would be due at once, so that it is asked for again and again.
    if got.renewal_due() <= time::OffsetDateTime::now_utc() {
        return Some("a validity of which less than a third is left".to_owned());
    }
    None
}

/// What is asked of the command.
fn profile(wanted: &Certificate, request: &[u8]) -> String {
    let sans: Vec<String> = wanted.sans.iter().map(ToString::to_string).collect();
    let kind = match wanted.permits(Purpose::Server) {
        true => "server",
        false => "client",
    };
    let life = (wanted.not_after - time::OffsetDateTime::now_utc()).whole_seconds();
    let profile = serde_json::json!({
        "version": 1,
        "kind": kind,
        "subject": wanted.subject,
        "common_name": wanted.common_name,
        "organizations": wanted.organizations,
        "organizational_units": wanted.organizational_units,
        "sans": sans,
        "extended_key_usage": wanted.extended_key_usage,
        "not_before": timestamp(wanted.not_before),
        "not_after": timestamp(wanted.not_after),
        "life_secs": life.max(0),
        "csr": *pem::encode("CERTIFICATE REQUEST", request),
    });
    format!("{profile}\n")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn command(script: &str, deadline: Duration) -> SigningCommand {
        SigningCommand {
            words: ["sh", "-c", script].map(ToOwned::to_owned).to_vec(),
            cas: Vec::new(),
            deadline,
        }
    }

    #[test]
    fn a_command_answers_what_it_is_asked_without_the_variables_of_the_signer() {
        let long = Duration::from_secs(20);
        let echoed = command("cat; echo ${CARGO_MANIFEST_DIR:-unset}", long).run("asked\n");
        assert_eq!(echoed.expect("an answer"), b"asked\nunset\n");
        let unread = command("exec <&-; echo done", long).run(&"x".repeat(1 << 20));
        assert_eq!(unread.expect("an answer"), b"done\n");
    }

    #[test]
    fn a_command_that_fails_or_says_too_much_is_refused_with_its_first_line() {
        let long = Duration::from_secs(20);
        let text = |script| {
            let run = command(script, long).run("");
            run.expect_err("refused").to_string()
        };
        let failed = text("echo no key >&2; echo more >&2; exit 3");
        assert!(
            failed.contains("no key") && !failed.contains("more"),
            "{failed}"
        );
        let much = text("head -c 100000 /dev/zero");
        assert!(much.contains("more than 64 KiB"), "{much}");
        let absent = SigningCommand {
            words: vec!["/nowhere/at/all".into()],
            cas: Vec::new(),
            deadline: long,
        };
        assert!(absent.run("").is_err());
    }

    #[test]
    fn a_helper_that_keeps_the_output_of_a_command_is_what_the_refusal_names() {
        let dir = tempfile::tempdir().expect("create a directory");
        let file = dir.path().join("pid");
        // It has left the command's group before that is killed.
        let helper = format!(
            "setsid sh -c 'echo $$ > {0}; exec sleep 600'",
            file.display()
        );
        let script = format!("{helper} & until [ -s {} ]; do :; done", file.display());
        let run = command(&script, Duration::from_secs(20)).run("asked\n");
        let text = run.expect_err("refused").to_string();
        let child = std::fs::read_to_string(&file).expect("its child");
        let child = child
            .trim()
            .parse()
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(child.expect("a number"), rustix::process::Signal::KILL)
            .expect("it still runs");
        assert!(text.contains("still has its standard output"), "{text}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().expect("create a directory");
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let started = Instant::now();
        let run = command(&script, Duration::from_millis(500)).run("");
        let text = run.expect_err("killed").to_string();
        assert!(text.contains("was killed"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(60));
        let child = std::fs::read_to_string(&file).expect("its child");
        let status = format!("/proc/{}/stat", child.trim());
        // Its parent is gone, so it is gone, or waits as a zombie for the process that adopted it.
        let gone = |status: &str| !status.contains(") S ") && !status.contains(") R ");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&status).map_or(true, |status| gone(&status)) {
            assert!(Instant::now() < deadline, "it still runs");
            thread::yield_now();
        }
    }
}

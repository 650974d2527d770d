//! `dockgate check`: looks at everything `serve` would use, without serving.
//!
//! Prints each setting with its value and where it came from, then one finding a line; answers with the exit code. Opens and
//! closes the listening addresses, connects to the authorization plugin and to the engine and pings that, unless told to stay
//! offline. What it finds comes from the code that `serve` runs, so that the two cannot disagree.

mod addresses;
mod store;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use rustix::fs::OFlags;
use time::OffsetDateTime;

use crate::cage::{self, Account, KeptPlaces};
use crate::cli::CheckArgs;
use crate::cli::store::StoreArgs;
use crate::command::exposure;
use crate::command::output::{Exit, Output};
use crate::config::origin::Setting;
use crate::config::{self, AuditSink, Config};
use crate::engine::ask::AskError;
use crate::engine::diagnose::diagnose;
use crate::engine::ping::{PingError, ping_and_wait};
use crate::error::{FileUse, file_hint};
use crate::finding::{Finding, Severity};
use crate::generation;
use crate::net;
use crate::signer::{TrustedIssuers, store_place};
use enroll::rules::SignerFigures;
use pki::Validity;
use pki::crl::IssuedList;
use pki::index::{ISSUE_INDEX_BYTES, LARGE_INDEX_BYTES};
use pki::store::inspect_file;
use text::{counted, escape};

pub(crate) use addresses::Running;
pub(crate) use store::findings as stores;

/// Longest wait for the engine's answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the check and answers with the exit code: 78 exactly when `serve` would not start with what it is given (2 for a mistake
/// on the command line), else 0, or 1 where `strict` and something is an error all the same.
pub fn run(
    args: &CheckArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    out: &mut Output<'_>,
) -> Exit {
    let config = match config::load(&args.serve, env) {
        Ok(config) => config,
        Err(err) => {
            for problem in &err.problems {
                out.finding(None, &problem.finding());
            }
            return Exit::of(err.exit_code());
        }
    };
    settings(&config, out);
    out.line("");
    let findings = findings(&config, args.offline);
    for finding in &findings {
        out.finding(None, finding);
    }
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    let errors = findings.iter().filter(is_error).count();
    if findings.iter().any(|finding| finding.is_fatal) {
        Exit::CONFIGURATION
    } else if errors == 0 {
        Exit::OK
    } else if args.strict {
        Exit::FAILED
    } else {
        let errors = text::counted(errors, "error");
        out.line(format!(
            "the gate would start, with {errors} that keeps clients out or from the engine; --strict makes that exit code 1"
        ));
        Exit::OK
    }
}

/// What is to be said of a configuration, in the order in which `serve` uses its parts.
fn findings(config: &Config, offline: bool) -> Vec<Finding> {
    // Bound by the user who starts the gate; all else is looked at by the one who serves.
    let (mut running, mut listening) = (Running::Nobody, Vec::new());
    if !offline {
        running = Running::ask(config);
        listening = running.listening(&config.listen);
        listening.extend(config.metrics.map(|address| running.metrics(address)));
    }
    let mut findings: Vec<Finding> = config.notes.iter().map(Finding::warning).collect();
    findings.extend(user(config));
    findings.extend(generation::certificates(config, OffsetDateTime::now_utc()));
    findings.extend(exposure::findings(config));
    findings.extend(signing(config, OffsetDateTime::now_utc()));
    findings.extend(stores(config, offline));
    findings.extend(restraints(config));
    if let Some(AuditSink::File(path)) = &config.audit {
        findings.push(audit(path));
    }
    if !offline {
        findings.extend(running.control_socket(config));
        findings.extend(config.authz_plugin.as_deref().map(plugin));
        findings.extend(listening);
        findings.extend(engine(&config.upstream));
    }
    findings.push(confinement(config));
    findings
}

/// Becomes the user who would serve, as `serve` does, so that what follows is seen with that user's rights.
pub(crate) fn user(config: &Config) -> Option<Finding> {
    let account = Account::find(config.user.as_ref()?);
    let became = account.and_then(|account| account.become_it().map(|()| account));
    Some(match became {
        Ok(account) => Finding::ok(format!("the gate runs as {account}")),
        Err(error) => Finding {
            hint: error.hint(),
            ..Finding::fatal(crate::error::report(&error))
        },
    })
}

/// Where certificates come from over the network, and how long the gate can do without.
pub(crate) fn signing(config: &Config, now: OffsetDateTime) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(enroll) = &config.enroll {
        let what = format!("the signer at {} is a process of its own", enroll.listen);
        found.push(match (&config.user, config.cage) {
            (Some(user), _) => Finding::ok(format!("{what}; the gate becomes {user} and cannot read the CA's key")),
            (None, true) => Finding::ok(format!("{what} with the gate's user; the cage alone keeps the gate from the CA's key")),
            (None, false) => Finding::warning(format!("{what} with the gate's user, and without the cage nothing keeps the gate from the CA's key"))
                .hint("start as root with user = \"dockgate\", or leave unsafe-no-cage out"),
        });
    }
    found.extend(config.enroll.iter().flat_map(|it| members(&it.dir, now)));
    let rules = config.enroll.as_ref().and_then(|it| it.config.as_ref());
    // The signer keeps the rights that the gate gives up.
    if let Some(path) = rules.filter(|_| config.user.is_none()) {
        found.push(match TrustedIssuers::read(path) {
            Ok(_) => Finding::ok(format!(
                "the signer can use the rules of {}",
                path.display()
            )),
            Err(fault) => Finding {
                hint: fault.hint().map(Into::into),
                ..Finding::fatal(format!(
                    "the signer cannot use its configuration: {}",
                    crate::error::report(&fault)
                ))
            },
        });
    }
    if let Some(gate) = &config.enrolled {
        let list = IssuedList::read(&gate.dir.join("trust/crl.pem"));
        let signed = list.as_ref().ok().map(IssuedList::signed_at);
        found.extend(signed.and_then(|signed| ahead(signed, now)));
        found.push(match list {
            Err(error) => Finding::warning(format!(
                "no revocation list came from the signer yet: {error}"
            )),
            Ok(list) => until(list.validity(), now),
        });
        found.extend(overdue(&gate.dir, now));
    }
    found
}

/// That the signer's clock is ahead of the one here: what it signed is from the future.
fn ahead(signed: OffsetDateTime, now: OffsetDateTime) -> Option<Finding> {
    let by = signed - now;
    (by > time::Duration::MINUTE).then(|| {
        Finding::warning(format!(
            "the clock here is {} seconds behind the signer's: its revocation list was signed at {}",
            by.whole_seconds(),
            pki::timestamp(signed)
        ))
        .hint("set the clocks of both: `timedatectl set-ntp true`")
    })
}

/// Who has joined, who is invited, and who has not renewed; nothing where the index cannot be read.
fn members(dir: &Path, now: OffsetDateTime) -> Vec<Finding> {
    // Where it has joined a store no gate has its signer beside itself, and this is said elsewhere.
    let place = store_place(dir, &StoreArgs::default()).ok();
    let place = place.filter(|it| it.store().is_none());
    let Some(index) = place.and_then(|it| it.index().ok()) else {
        return Vec::new();
    };
    let counted = counted_members(&SignerFigures::of(&index, now));
    large(index.bytes()).into_iter().chain([counted]).collect()
}

/// That the index is so large that before long nothing is issued, or that nothing is.
fn large(bytes: u64) -> Option<Finding> {
    let text = match bytes > ISSUE_INDEX_BYTES {
        _ if bytes <= LARGE_INDEX_BYTES => return None,
        false => format!(
            "the signer's index has {bytes} bytes, and above {ISSUE_INDEX_BYTES} it issues nothing"
        ),
        true => format!(
            "the signer issues nothing: its index has {bytes} bytes, more than {ISSUE_INDEX_BYTES}"
        ),
    };
    Some(Finding::warning(text).hint(
        "`dockgate certs list` shows whose certificates are many: take their invitation or rule of CI back, or give it shorter lives; what has ended leaves the index by itself",
    ))
}

fn counted_members(figures: &SignerFigures<'_>) -> Finding {
    let members: usize = figures.members.values().sum();
    let text = format!(
        "{} of the signer and {} open",
        counted(members, "member"),
        counted(figures.open_invitations, "invitation")
    );
    if figures.overdue.is_empty() {
        return Finding::ok(text);
    }
    let names = figures
        .overdue
        .iter()
        .map(|it| format!("{} ends {}", it.name, it.not_after));
    let text = format!(
        "{text}; {} not renewed in time",
        counted(figures.overdue.len(), "certificate")
    );
    let finding =
        Finding::warning(text).hint("run `dockgate renew` where each is used, and see its timer");
    finding.details(names.take(8))
}

/// That the certificate of an enrolled gate was not renewed although it was due long ago.
fn overdue(dir: &Path, now: OffsetDateTime) -> Option<Finding> {
    let (_, own) = inspect_file(&dir.join("gate/cert.pem")).ok()?;
    let due = own.renewal_due();
    if now < due + (own.not_after - due) / 2 {
        return None;
    }
    let text = format!(
        "the gate's certificate was due for renewal at {} and ends at {}",
        pki::timestamp(due),
        pki::timestamp(own.not_after)
    );
    Some(Finding::warning(text).hint(
        "the log of the process beside the gate says why; `dockgate renew DIR` tries at once",
    ))
}

/// How long an enrolled gate lets clients in without its signer.
fn until(list: Validity, now: OffsetDateTime) -> Finding {
    let text = format!(
        "without its signer the gate lets clients in until {}",
        pki::timestamp(list.until)
    );
    match list.stage(now) {
        None => Finding::ok(text),
        Some(_) => Finding::warning(text)
            .hint("the signer renews its list daily: does it run, and does this host reach it?"),
    }
}

/// What the kernel keeps the running gate to.
pub(crate) fn confinement(config: &Config) -> Finding {
    if !config.cage {
        return Finding::warning(
            "the cage is off (unsafe-no-cage): an attacker who takes over the gate has all that its user has",
        );
    }
    let strength = cage::strength();
    let text = format!("the cage: {strength}");
    let found = match (strength.landlock, strength.calls) {
        (Some(_), true) => Finding::ok(text),
        (None, _) => Finding::warning(text)
            .hint("Landlock needs Linux 5.13 with `landlock` among its security modules, and a container profile that allows it"),
        (_, false) => Finding::warning(text).hint("the filter needs a kernel with CONFIG_SECCOMP_FILTER"),
    };
    found.details(KeptPlaces::of(config).lines())
}

/// What restrains clients: the policy, the plugin, or nothing.
pub(crate) fn restraints(config: &Config) -> Vec<Finding> {
    let policies = generation::policies(config);
    match &config.authz_plugin {
        _ if !policies.is_empty() => policies,
        Some(path) => vec![Finding::ok(format!(
            "no policy: the authorization plugin at {} alone decides what a client may do",
            path.display()
        ))],
        None => vec![
            Finding::warning(format!("{}, which is root on this host", generation::OPEN))
                .hint("start with a policy in report mode, then `dockgate policy learn`"),
        ],
    }
}

fn settings(config: &Config, out: &mut Output<'_>) {
    let rows: Vec<_> = config
        .settings
        .iter()
        .map(|setting| {
            [
                setting.name.to_owned(),
                value(setting),
                setting.origin.to_string(),
            ]
        })
        .collect();
    out.table(&rows, &[]);
}

/// A value as the table has it; what must not be seen is not there.
fn value(setting: &Setting) -> String {
    if setting.value.is_empty() {
        return "-".to_owned();
    }
    match escape::secret(&setting.value) {
        Some(what) => format!("({what}, not shown)"),
        None => escape::line(&escape::without_credentials(&setting.value)).into_owned(),
    }
}

/// Whether records could be appended; a file that is not there is not made.
fn audit(path: &Path) -> Finding {
    let opened = OpenOptions::new()
        .append(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let outcome = match opened {
        Err(err) if err.kind() == io::ErrorKind::NotFound => generation::writable_beside(path),
        other => other.map(drop),
    };
    let name = path.display();
    match outcome {
        Ok(()) => Finding::ok(format!("audit records can be written to {name}")),
        Err(err) => Finding {
            hint: file_hint(path, &err, FileUse::Write),
            ..Finding::fatal(format!("audit records cannot be written to {name}: {err}"))
        },
    }
}

/// Connects and lets go.
fn plugin(path: &Path) -> Finding {
    let outcome = net::probe(path);
    let path = path.display();
    match outcome {
        Ok(_) => Finding::ok(format!("the authorization plugin listens on {path}")),
        Err(err) => Finding::error(format!(
            "cannot connect to the authorization plugin on {path}: {err}"
        ))
        .hint("every request is refused while it cannot be asked"),
    }
}

/// Connects and pings.
pub(crate) fn engine(path: &Path) -> Vec<Finding> {
    let name = path.display();
    let why = match ping_and_wait(path, PING_TIMEOUT) {
        Ok(answer) if answer.status == StatusCode::OK && answer.api_version.is_some() => {
            return vec![Finding::ok(format!(
                "the engine answers on {name} ({answer})"
            ))];
        }
        Err(PingError::Connect(err)) => {
            let problem = diagnose(path, &err);
            return vec![Finding {
                hint: problem.hint(),
                ..Finding::error(problem.message())
            }];
        }
        Ok(answer) if answer.status == StatusCode::OK => {
            "its answer to /_ping has no Api-Version".to_owned()
        }
        Ok(answer) => format!("status {}", answer.status.as_u16()),
        Err(PingError::Ask(AskError::Http(err))) => {
            format!("not HTTP: {}", crate::error::report(&err))
        }
        Err(err) => crate::error::report(&err),
    };
    vec![
        Finding::error(format!(
            "{name} accepts connections, but does not answer as a Docker Engine: {why}"
        ))
        .hint("is it the engine's socket? `journalctl -u docker` may say more"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_from_the_future_says_that_the_clocks_differ() {
        let now = time::macros::datetime!(2026-11-30 00:00 UTC);
        for seconds in [-86_400, 0, 60] {
            assert!(ahead(now + time::Duration::seconds(seconds), now).is_none());
        }
        let found = ahead(now + time::Duration::seconds(61), now).expect("a finding");
        assert!(found.text.contains("61 seconds behind"), "{}", found.text);
    }
}

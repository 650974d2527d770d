//! `dockgate doctor`: walks from the socket to the client, one step a line, and stops at the first that fails, because every
//! later failure would only be its echo. The failing step carries its cause in plain words and the one thing to do.
//!
//! Without a target the host is examined (`host`); with one, that gate or engine as a client sees it (`client`). Every wait
//! has the deadline of `--timeout`. Nothing is changed on either side.

use std::ffi::OsString;
use std::time::Duration;

use serde_json::json;

use crate::cli::DoctorArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::config::value;
use crate::finding::{Finding, Severity};
use text::escape;

mod client;
mod docker;
mod host;
mod probe;
mod running;

use docker::{Chosen, DockerEnv};

/// What was looked at and what came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps in the order they were taken, with their findings.
    pub steps: Vec<(&'static str, Finding)>,
}

impl Report {
    /// Whether no step failed.
    pub fn is_healthy(&self) -> bool {
        self.steps
            .iter()
            .all(|(_, finding)| finding.severity < Severity::Error)
    }

    /// Notes findings of a step; `false` when one of them ends the walk.
    fn note(&mut self, step: &'static str, findings: impl IntoIterator<Item = Finding>) -> bool {
        for finding in findings {
            let failed = finding.severity == Severity::Error;
            self.steps.push((step, finding));
            if failed {
                return false;
            }
        }
        true
    }
}

/// Walks, prints, and answers with the exit code.
///
/// # Errors
/// When the command line cannot be understood.
pub fn run(
    args: &DoctorArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let env: Vec<(OsString, OsString)> = env.into_iter().collect();
    let timeout = value::time(&args.timeout).map_err(|wrong| {
        let text = format!(
            "--timeout {}: {}",
            escape::quoted(&args.timeout),
            wrong.message
        );
        Failure::new(Exit::USAGE, text).hint(wrong.hint)
    })?;
    let report = match &args.target {
        None => by_docker(args, env, timeout),
        Some(target) => {
            let target = client::DoctorTarget::parse(target).map_err(|message| {
                Failure::new(
                    Exit::USAGE,
                    format!("{}: {message}", escape::quoted(target)),
                )
            })?;
            let (directory, context) = DockerEnv(&env).certificates_for(&target);
            let mut report = Report::default();
            if let Some(name) = context {
                let text = format!(
                    "the docker context {} is for this address: with its certificates",
                    escape::quoted(&name)
                );
                report.note("docker", [Finding::ok(text)]);
            }
            let examined = client::examine(&target, &args.serve, &directory, timeout);
            report.steps.extend(examined.steps);
            report
        }
    };
    if args.json {
        out.json(&document(args.target.as_deref(), &report));
    } else {
        for (step, finding) in &report.steps {
            out.finding(Some(step), finding);
        }
    }
    Ok(if report.is_healthy() {
        Exit::OK
    } else {
        Exit::FAILED
    })
}

/// Without a target: where docker would go, unless options of `serve` ask for this host.
fn by_docker(args: &DoctorArgs, env: Vec<(OsString, OsString)>, timeout: Duration) -> Report {
    let files = ["tlscacert", "tlscert", "tlskey"];
    let serves = |(name, _): (&str, _)| !files.contains(&name);
    let host = args.serve.config_file.is_some()
        || args.serve.from_daemon_json.is_some()
        || args.serve.settings().any(serves);
    let chosen = match host {
        true => Ok(Chosen::Local),
        false => DockerEnv(&env).chosen(),
    };
    let mut report = Report::default();
    let (address, by, directory, doubt) = match chosen {
        Ok(Chosen::Local) => return host::examine(&args.serve, env),
        Ok(Chosen::Remote {
            host,
            by,
            directory,
            doubt,
        }) => (host, by, directory, doubt),
        Err(finding) => {
            report.note("docker", [finding]);
            return report;
        }
    };
    let shown = escape::without_credentials(&address);
    match client::DoctorTarget::parse(&address) {
        Ok(target) => {
            report.note("docker", [Finding::ok(format!("{by} is {shown}"))]);
            report.note("docker", doubt);
            let mut walked = client::examine(&target, &args.serve, &directory, timeout);
            report.steps.append(&mut walked.steps);
        }
        Err(message) => {
            let text = format!("{by} is {shown}: {message}");
            let hint = "name the gate: `dockgate doctor tcp://HOST:PORT`";
            report.note("docker", [Finding::error(text).hint(hint)]);
        }
    }
    report
}

fn document(target: Option<&str>, report: &Report) -> serde_json::Value {
    let step = |(step, finding): &(&str, Finding)| json!({"step": step, "result": finding.severity.word(), "text": finding.text, "hint": finding.hint});
    let steps: Vec<_> = report.steps.iter().map(step).collect();
    json!({"target": target.map(escape::without_credentials), "healthy": report.is_healthy(), "steps": steps})
}

//! `dockgate doctor`: walks from the socket to the client, one step a line, and stops at the first that fails, because every
//! later failure would only be its echo. The failing step carries its cause in plain words and the one thing to do.
//!
//! Without a target the host is examined (`host`); with one, that gate or engine as a client sees it (`client`). Every wait
//! has the deadline of `--timeout`. Nothing is changed on either side.

use std::ffi::OsString;

use serde_json::json;

use crate::cli::DoctorArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::config::value;
use crate::finding::{Finding, Severity};
use text::escape;

mod client;
mod host;
mod probe;

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
        None => host::examine(&args.serve, env),
        Some(target) => {
            let target = client::DoctorTarget::parse(target).map_err(|message| {
                Failure::new(
                    Exit::USAGE,
                    format!("{}: {message}", escape::quoted(target)),
                )
            })?;
            client::examine(&target, &args.serve, &env, timeout)
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

fn document(target: Option<&str>, report: &Report) -> serde_json::Value {
    let step = |(step, finding): &(&str, Finding)| json!({"step": step, "result": finding.severity.word(), "text": finding.text, "hint": finding.hint});
    let steps: Vec<_> = report.steps.iter().map(step).collect();
    json!({"target": target.map(escape::without_credentials), "healthy": report.is_healthy(), "steps": steps})
}

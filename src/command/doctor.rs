//! `dockgate doctor`: walks from the socket to the client, one step a line, and stops at the first that fails, because every
//! later failure would only be its echo. The failing step carries its cause in plain words and the one thing to do.
//!
//! Without a target the host is examined (`host`); with one, that gate or engine as a client sees it (`client`). Every wait
//! has the deadline of `--timeout`. Nothing is changed on either side.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::cli::DoctorArgs;
use crate::config::value;
use crate::finding::{Finding, Severity};
use text::escape;

mod client;
mod host;
mod probe;

/// All steps are in order, warnings apart.
pub const EXIT_OK: u8 = 0;
/// A step failed.
pub const EXIT_FAILED: u8 = 1;
/// The command line cannot be understood.
pub const EXIT_USAGE: u8 = 2;

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

/// Walks, prints, and answers with the exit code. `policy` reads the policy file, or what stands in for one.
pub fn run(
    args: &DoctorArgs,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    policy: impl FnOnce(Option<&Path>) -> Vec<Finding>,
    out: &mut impl Write,
) -> io::Result<u8> {
    let env: Vec<(OsString, OsString)> = env.into_iter().collect();
    let timeout = match value::time(&args.timeout) {
        Ok(timeout) => timeout,
        Err(wrong) => {
            writeln!(
                out,
                "--timeout {}: {}",
                escape::quoted(&args.timeout),
                wrong.message
            )?;
            return Ok(EXIT_USAGE);
        }
    };
    let report = match &args.target {
        None => host::examine(&args.serve, env, policy),
        Some(target) => match client::Target::parse(target) {
            Ok(target) => client::examine(&target, &args.serve, &env, timeout),
            Err(message) => {
                writeln!(out, "{}: {message}", escape::quoted(target))?;
                return Ok(EXIT_USAGE);
            }
        },
    };
    if args.json {
        print_json(args.target.as_deref(), &report, out)?;
    } else {
        print_text(&report, out)?;
    }
    Ok(if report.is_healthy() {
        EXIT_OK
    } else {
        EXIT_FAILED
    })
}

fn print_text(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (step, finding) in &report.steps {
        writeln!(
            out,
            "{step:<14} {:<8} {}",
            finding.severity.word(),
            finding.text
        )?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "{:23} hint: {hint}", "")?;
        }
    }
    Ok(())
}

fn print_json(target: Option<&str>, report: &Report, out: &mut impl Write) -> io::Result<()> {
    let step = |(step, finding): &(&str, Finding)| json!({"step": step, "result": finding.severity.word(), "text": finding.text, "hint": finding.hint});
    let steps: Vec<_> = report.steps.iter().map(step).collect();
    writeln!(
        out,
        "{:#}",
        json!({"target": target.map(escape::without_credentials), "healthy": report.is_healthy(), "steps": steps})
    )
}

//! The walk on the host: configuration, socket and engine, clock, certificates, policy, listening addresses.

use std::ffi::OsString;

use time::OffsetDateTime;
use time::macros::datetime;

use crate::cli::ServeArgs;
use crate::command::check;
use crate::command::doctor::{Report, running};
use crate::command::exposure;
use crate::config::{self, Config};
use crate::finding::Finding;
use crate::generation;

/// No dockgate is older: a clock before this moment is not set.
const BIRTH: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// With what it is given, or, where that is nothing, with the options of the gate that runs here.
pub(super) fn examine(args: &ServeArgs, env: Vec<(OsString, OsString)>) -> Report {
    let mut report = Report::default();
    let running = match *args == ServeArgs::default() {
        true => running::find(&env),
        false => None,
    };
    let (args, env) = match running {
        Some(gate) => {
            report.note("gate", [gate.finding]);
            (&gate.args.clone(), gate.env)
        }
        None => (args, env),
    };
    if let Some(config) = configuration(&mut report, args, env) {
        walk(&mut report, &config);
    }
    report
}

fn configuration(
    report: &mut Report,
    args: &ServeArgs,
    env: Vec<(OsString, OsString)>,
) -> Option<Config> {
    match config::load(args, env) {
        Ok(config) => {
            let source = config.config_file.as_ref().map_or_else(
                || "flags, environment and defaults".to_owned(),
                |path| format!("{} and what overrides it", path.display()),
            );
            report.note(
                "configuration",
                [Finding::ok(format!("read from {source}"))],
            );
            Some(config)
        }
        Err(err) => {
            let problem = err.problems.first()?;
            let finding = problem.finding();
            let text = finding.text.replace('\n', " ");
            report.note("configuration", [Finding { text, ..finding }]);
            None
        }
    }
}

fn walk(report: &mut Report, config: &Config) {
    let now = OffsetDateTime::now_utc();
    // Before the user is another: as `serve` does it.
    let running = check::Running::ask(config);
    let listening = running.listening(&config.listen);
    let _healthy = report.note("files", exposure::findings(config))
        && report.note("user", check::user(config))
        && report.note("socket", check::engine(&config.upstream))
        && report.note("clock", [clock(now)])
        && report.note("certificates", generation::certificates(config, now))
        && report.note("signer", check::signing(config, now))
        && report.note("store", check::stores(config, false))
        && report.note("policy", check::restraints(config))
        && report.note("listening", listening)
        && report.note("cage", [check::confinement(config)]);
}

fn clock(now: OffsetDateTime) -> Finding {
    let text = format!("this machine's clock says {} UTC", now.date());
    if now < BIRTH {
        Finding::error(format!(
            "{text}, which cannot be: certificates will seem not yet valid"
        ))
        .hint("set the clock: `timedatectl set-ntp true`")
    } else {
        Finding::ok(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::finding::Severity;

    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_noticed() {
        assert_eq!(
            clock(datetime!(1970-01-01 00:05 UTC)).severity,
            Severity::Error
        );
        assert_eq!(clock(OffsetDateTime::now_utc()).severity, Severity::Ok);
    }
}

//! The audit of a real gate: what each line says, report mode, and what happens when no line can be written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use dockgate::observe::audit::{Decision, Event, Record};
use rustix::process::Signal;

use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{ADMIN, REPORTER, Roles, TEAM, VIEWER, json, path, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_audit__has_every_decision_and_both_ends_of_a_session",
            records,
        ),
        Case::new(
            "policy_report__mode_forwards_and_says_what_it_would_deny",
            report,
        ),
        Case::new("policy_sink__that_fails_denies_and_recovers", deny),
        Case::new("policy_sink_continue__goes_on_without_a_sink", go_on),
    ]
}

const PATIENCE: Duration = Duration::from_secs(10);

/// The records so far, each in exactly the form the reference promises: read into the type that writes them, and back.
fn read(file: &Path) -> ScenarioResult<Vec<Record>> {
    let text = fs::read_to_string(file).context("read the audit")?;
    let mut records = Vec::new();
    for line in text.split_inclusive('\n') {
        // The last one may be half written.
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        let record: Record =
            serde_json::from_str(line).context(&format!("read the record {line}"))?;
        ensure!(record.line() == line, "not in the documented form: {line}");
        records.push(record);
    }
    Ok(records)
}

/// Waits for a record, decisions aside.
fn wait(file: &Path, what: &str, found: impl Fn(&Record) -> bool) -> ScenarioResult<Record> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = read(file)?;
        let mut others = records.iter().filter(|r| r.event != Event::Decided);
        if let Some(record) = others.find(|record| found(record)) {
            return Ok(record.clone());
        }
        ensure!(
            Instant::now() < deadline,
            "no record of {what} within {PATIENCE:?} among {}",
            records
                .iter()
                .map(Record::line)
                .collect::<Vec<_>>()
                .join("\n")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn records(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer, admin) = (roles.side(TEAM)?, roles.side(VIEWER)?, roles.side(ADMIN)?);
    team.ok("sleeper -e SECRET=hunter2; docker exec $N sh -c 'echo one two'")?;
    team.shell("docker create --privileged $IMAGE true")?;
    viewer.shell("docker rm -f $N")?;
    admin.ok("docker ps")?;
    let audit = &roles.audit;
    let exec = wait(audit, "the exec", |r| r.operation == "exec.create")?;
    ensure!(
        exec.command.as_deref() == Some(&["sh".into(), "-c".into(), "echo one two".into()][..]),
        "command: {:?}",
        exec.command
    );
    ensure!(
        (
            exec.client.as_str(),
            exec.role.as_str(),
            exec.status,
            exec.decision,
            exec.mode.as_str()
        ) == ("e2e ecdsa", "team", 201, Decision::Allow, "enforce"),
        "{}",
        exec.line()
    );
    ensure!(
        exec.certificate.cn == ["e2e ecdsa"] && exec.certificate.spki.starts_with("sha256:"),
        "{}",
        exec.line()
    );
    let start = wait(audit, "a session's start", |r| {
        r.event == Event::SessionStart
    })?;
    let end = wait(audit, "its end", |r| {
        r.event == Event::SessionEnd && r.request == start.request
    })?;
    ensure!(
        start.operation == "exec.start"
            && end.reason.is_some()
            && end.bytes_out >= 8
            && matches!(end.status, 101 | 200),
        "{}\n{}",
        start.line(),
        end.line()
    );
    let denied = wait(audit, "the denied create", |r| {
        r.operation == "container.create" && r.decision == Decision::Deny
    })?;
    ensure!(
        (
            denied.rule.as_deref(),
            denied.detail.as_deref(),
            denied.status
        ) == (Some("privileged"), Some("HostConfig.Privileged=true"), 403),
        "{}",
        denied.line()
    );
    let removed = wait(audit, "the denied removal", |r| {
        r.operation == "container.delete" && r.role == "read-only"
    })?;
    ensure!(
        removed.decision == Decision::Deny && removed.target.is_some(),
        "{}",
        removed.line()
    );
    wait(audit, "admin's list", |r| {
        r.role == "admin" && r.operation == "container.list" && r.status == 200
    })?;
    let text = fs::read_to_string(audit).context("read the audit")?;
    ensure!(
        !text.contains("hunter2"),
        "an environment value is in the audit"
    );
    // logrotate: moved away, then SIGHUP.
    let moved = audit.with_extension("1");
    fs::rename(audit, &moved).context("move the audit")?;
    roles.gate.signal(Signal::HUP);
    roles
        .gate
        .wait_for_log(PATIENCE, |line| line.contains("\"Reloaded\""))?;
    admin.ok("docker version")?;
    wait(audit, "the version, in a new file", |r| {
        r.operation == "system.version"
    })?;
    roles.finish()
}

fn report(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (look, team) = (roles.side(REPORTER)?, roles.side(TEAM)?);
    let output = look.ok("run --rm --privileged -v /etc:/x:ro $IMAGE echo ran")?;
    ensure!(output == "ran", "report mode must forward, got {output:?}");
    let record = wait(&roles.audit, "what would be denied", |r| {
        r.decision == Decision::WouldDeny
    })?;
    ensure!(
        (
            record.operation.as_str(),
            record.rule.as_deref(),
            record.mode.as_str(),
            record.status
        ) == ("container.create", Some("privileged"), "report", 201),
        "{}",
        record.line()
    );
    roles.gate.wait_for_log(PATIENCE, |line| {
        line.contains("\"would_deny\"") && line.contains("\"privileged\"")
    })?;
    let output = look.shell("docker swarm ca")?;
    ensure!(
        !output.stderr.contains("dockgate"),
        "report mode must forward: {}",
        output.stderr
    );
    // Malformed HTTP is refused in both modes.
    let answer = send(
        &look,
        "GET /v1.45/containers/json HTTP/1.1\r\nHost: docker\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )?;
    ensure!(answer.0 == 400, "malformed: {} {}", answer.0, answer.1);
    // And the same limits in enforce mode.
    let output = team.shell("run --rm --privileged -v /etc:/x:ro $IMAGE echo ran")?;
    ensure!(
        output.code == 125 && output.stderr.contains("privileged"),
        "team: {}",
        output.stderr
    );
    roles.finish()
}

/// A sink that is full, by a link which later points to a file: `/dev/full` answers every write with ENOSPC.
fn full(suite: &Suite, name: &str) -> ScenarioResult<(std::path::PathBuf, std::path::PathBuf)> {
    let directory = suite.scratch(&format!("{name}-sink"))?;
    let (link, file) = (directory.join("audit.jsonl"), directory.join("real.jsonl"));
    fs::write(&file, "").context("make the audit")?;
    symlink("/dev/full", &link).context("link the audit")?;
    Ok((link, file))
}

fn point(link: &Path, at: &Path) -> ScenarioResult {
    let new = link.with_extension("new");
    symlink(at, &new).context("make a link")?;
    fs::rename(&new, link).context("replace the link")
}

fn deny(suite: &Suite, name: &str) -> ScenarioResult {
    let (link, file) = full(suite, name)?;
    let roles = Roles::start(suite, name, &["--audit", &path(&link)?])?;
    let admin = roles.side(ADMIN)?;
    // The first decision is the first that cannot be recorded.
    admin.shell("docker version")?;
    for _ in 0..3 {
        let answer = send(&admin, &json("GET", "/v1.45/containers/json", ""))?;
        ensure!(
            answer.0 == 503
                && answer.1.starts_with("{\"message\":\"dockgate: the audit cannot be written, so nothing is let through: "),
            "expected 503, got {} {}", answer.0, answer.1
        );
    }
    let output = admin.shell("docker ps")?;
    ensure!(
        output.code == 1
            && output
                .stderr
                .contains("dockgate: the audit cannot be written"),
        "docker ps: exit {} {}",
        output.code,
        output.stderr
    );
    point(&link, &file)?;
    admin.ok("docker ps")?;
    let refused = wait(&file, "what was refused meanwhile", |r| r.status == 503)?;
    ensure!(refused.role == "admin", "{}", refused.line());
    wait(&file, "what came after", |r| {
        r.status == 200 && r.operation == "container.list"
    })?;
    // The failure is an error in the log, as it must be; nothing else is.
    for message in [
        "The audit cannot be written",
        "The audit can be written again",
    ] {
        roles
            .gate
            .wait_for_log(PATIENCE, |line| line.contains(message))?;
    }
    roles.gate.check_alive()
}

fn go_on(suite: &Suite, name: &str) -> ScenarioResult {
    let (link, file) = full(suite, name)?;
    let roles = Roles::start(
        suite,
        name,
        &["--audit", &path(&link)?, "--audit-failure", "continue"],
    )?;
    let admin = roles.side(ADMIN)?;
    for _ in 0..3 {
        admin.ok("docker ps")?;
    }
    point(&link, &file)?;
    admin.ok("docker version")?;
    wait(&file, "what happened while the sink was full", |r| {
        r.operation == "container.list" && r.status == 200
    })?;
    roles.gate.check_alive()
}

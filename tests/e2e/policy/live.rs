//! A policy that changes while clients are connected.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::process::Process;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{ADMIN, Roles, TEAM, VIEWER, json, refused, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_reload__swaps_the_whole_policy", swap),
        Case::new("policy_reload_bad__keeps_the_old_one", invalid),
        Case::new(
            "policy_reload_cut__ends_who_lost_the_role_and_nobody_else",
            cut,
        ),
    ]
}

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn reload(roles: &Roles<'_>, text: &str, said: &str) -> ScenarioResult<String> {
    fs::write(&roles.policy, text).context("write the policy")?;
    hang_up(roles, said)
}

/// Sends SIGHUP and waits for one more log line that says so.
fn hang_up(roles: &Roles<'_>, said: &str) -> ScenarioResult<String> {
    let before = roles.gate.log().matches(said).count();
    roles.gate.signal(Signal::HUP);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = roles.gate.log();
        if log.matches(said).count() > before {
            let line = log.lines().rev().find(|line| line.contains(said));
            return Ok(line.unwrap_or_default().to_owned());
        }
        ensure!(
            Instant::now() < deadline,
            "the gate did not say {said:?} within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(roles: &Roles<'_>) -> ScenarioResult<String> {
    fs::read_to_string(&roles.policy).context("read the policy")
}

const PING: &[u8] = b"GET /v1.45/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n";

fn swap(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer) = (roles.side(TEAM)?, roles.side(VIEWER)?);
    let privileged =
        r#"{"Image":"dockgate-e2e-busybox","HostConfig":{"NetworkMode":"none","Privileged":true}}"#;
    refused(
        &super::create(&team, privileged)?,
        403,
        (TEAM, "team"),
        "privileged",
    )?;
    let mut open = viewer.wire()?;
    open.send(PING)?;
    ensure!(open.answer()?.0.status == 200, "read-only lists");
    let old = text(&roles)?;
    let new = old
        .replace(
            "base = \"ci\"\n[role.team.limits]\n",
            "base = \"ci\"\n[role.team.limits]\nprivileged = true\n",
        )
        .replace("role = \"read-only\"", "role = \"builder-less\"")
        + "[role.builder-less]\nallow = [\"system.ping\"]\n";
    ensure!(new != old, "the policy must differ");
    reload(&roles, &new, "\"Reloaded\"")?;
    let answer = super::create(&team, privileged)?;
    ensure!(
        answer.0 == 201,
        "after the reload: {} {}",
        answer.0,
        answer.1
    );
    // A connection from before is judged again at its next request.
    open.send(PING)?;
    ensure!(
        open.answer()?.0.status == 403,
        "the next request on an old connection has the new role"
    );
    reload(&roles, &old, "\"Reloaded\"")?;
    refused(
        &super::create(&team, privileged)?,
        403,
        (TEAM, "team"),
        "privileged",
    )?;
    roles.finish()
}

fn invalid(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer) = (roles.side(TEAM)?, roles.side(VIEWER)?);
    let old = text(&roles)?;
    for bad in [
        old.replace("[role.team.limits]", "[role.team.limits]\nprivilegd = true"),
        old.replace("role = \"read-only\"", "role = \"read-onyl\""),
        "version = 1\n".to_owned(),
        String::new(),
    ] {
        let line = reload(&roles, &bad, "Reload failed")?;
        ensure!(
            line.contains("policy.toml"),
            "the fault must be named: {line}"
        );
        let answer = send(&viewer, &json("GET", "/v1.45/containers/json", ""))?;
        ensure!(answer.0 == 200, "read-only: {} {}", answer.0, answer.1);
        let answer = send(&viewer, &json("POST", "/v1.45/containers/x/start", ""))?;
        refused(&answer, 403, (VIEWER, "read-only"), "operation")?;
        team.ok("run --rm $IMAGE true")?;
    }
    fs::remove_file(&roles.policy).context("remove the policy")?;
    hang_up(&roles, "Reload failed")?;
    let answer = send(&viewer, &json("POST", "/v1.45/containers/x/start", ""))?;
    refused(&answer, 403, (VIEWER, "read-only"), "operation")?;
    team.clean();
    roles.gate.check_alive()
}

fn cut(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer, admin) = (roles.side(TEAM)?, roles.side(VIEWER)?, roles.side(ADMIN)?);
    team.ok("sleeper")?;
    let mut exec = team.start("docker exec -i $N sh -c 'echo ready; cat'")?;
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("ready").then_some(()))
        .ok_or("exec printed nothing")?;
    // The engine tells what has been first, so the first line says that the stream is open.
    let mut events = admin.start(
        "docker events --since 10m --filter container=$N --format '{{.Action}} of a container'",
    )?;
    let told = |events: &Process, what: &str| {
        let line = events
            .stdout
            .wait_for(PATIENCE, |text| text.contains(what).then_some(()));
        line.ok_or_else(|| format!("no event {what:?}\n{}", events.transcript()))
    };
    told(&events, "start of a container")?;
    let mut idle = viewer.wire()?;
    idle.send(PING)?;
    idle.answer()?;
    let old = text(&roles)?;
    // The viewer has no entry any more, the team another role.
    let new = old
        .replace("role = \"read-only\"", "role = \"none\"")
        .replace(
            "base = \"ci\"\n[role.team.limits]",
            "base = \"ci\"\ndeny = [\"exec.*\"]\n[role.team.limits]",
        );
    let line = reload(&roles, &new, "\"Reloaded\"")?;
    ensure!(idle.ends_within(PATIENCE)?, "who lost the role must be cut");
    ensure!(line.contains("\"cut\":1"), "one connection is cut: {line}");
    // A stream lives on under the decision it began with; a new one is denied.
    exec.write(b"still here\n");
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("still here").then_some(()))
        .ok_or("a running exec must live on")?;
    let output = team.shell("docker exec $N true")?;
    ensure!(
        output.code == 1 && output.stderr.contains("role team: operation: exec.create"),
        "exec: {}",
        output.stderr
    );
    // Another client's stream lives on.
    admin.ok("docker exec $N echo once")?;
    told(&events, "exec_create: echo once")?;
    // Now the team's role goes altogether, and its session with it.
    let gone = new.replace("role = \"team\"", "role = \"none\"");
    let started = Instant::now();
    reload(&roles, &gone, "\"Reloaded\"")?;
    let ended = exec.finish(PATIENCE)?;
    ensure!(ended.code != 0, "a cut session is a failure to its client");
    ensure!(
        started.elapsed() < Duration::from_secs(5),
        "the cut took {:?}",
        started.elapsed()
    );
    admin.ok("docker exec $N echo twice")?;
    told(&events, "exec_create: echo twice")?;
    ensure!(events.running(), "another client's stream must live on");
    events.signal(Signal::TERM);
    events.finish(PATIENCE)?;
    roles.finish()
}

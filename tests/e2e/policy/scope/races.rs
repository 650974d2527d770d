//! Names that change hands between the gate's look-up and what the engine does.
//!
//! Each race runs for two seconds; `DOCKGATE_E2E_RACE_SECONDS` sets another time.

use std::thread;
use std::time::{Duration, Instant};

use super::{Owners, answered, expect, member};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_scope_race_rename__another_is_never_touched",
            renamed,
        ),
        Case::new(
            "policy_scope_race_container__another_is_never_removed",
            recreated,
        ),
        Case::new("policy_scope_race_volume__another_is_never_removed", volume),
        Case::new(
            "policy_scope_race_network__another_is_never_joined",
            network,
        ),
    ]
}

const ROLE: &str = "[role.own.shared]\nnetworks = [\"none\"]";

fn until() -> Instant {
    let seconds = std::env::var("DOCKGATE_E2E_RACE_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    Instant::now() + Duration::from_secs(seconds)
}

/// Repeats `changes` in a thread of its own, and `acts` in this one, until the time is over; how often each did what it tries.
fn against(
    changes: impl Fn() -> ScenarioResult<usize> + Send + Sync,
    acts: impl Fn() -> ScenarioResult<usize>,
) -> ScenarioResult<(usize, usize)> {
    let until = until();
    let repeat = |work: &dyn Fn() -> ScenarioResult<usize>| {
        let mut count = 0;
        while Instant::now() < until {
            count += work()?;
        }
        Ok::<_, String>(count)
    };
    thread::scope(|scope| {
        let changing = scope.spawn(|| repeat(&changes));
        let hits = repeat(&acts);
        let changed = changing
            .join()
            .unwrap_or_else(|_| Err("a thread panicked".into()))?;
        let hits = hits?;
        ensure!(
            changed > 0 && hits > 0,
            "{changed} changes by bob, {hits} hits by alice"
        );
        Ok((changed, hits))
    })
}

fn id_of(side: &Side<'_>) -> ScenarioResult<String> {
    let target = format!("/containers/{}/json", side.prefix);
    Ok(member(&expect(side, "GET", &target, "", 200)?, "/Id"))
}

/// The name of alice's container goes to bob's and back, while alice pauses and unpauses what has it.
fn renamed(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob, direct) = (&owners.alice, &owners.bob, &owners.direct);
    alice.ok("sleeper")?;
    bob.ok("sleeper")?;
    let (own, theirs) = (id_of(alice)?, id_of(bob)?);
    let wanted = format!("{}-wanted", alice.prefix);
    let (renames, hits) = against(
        || {
            for (id, name) in [
                (&own, &wanted),
                (&own, &alice.prefix),
                (&theirs, &wanted),
                (&theirs, &bob.prefix),
            ] {
                let target = format!("/containers/{id}/rename?name={name}");
                expect(direct, "POST", &target, "", 204)?;
            }
            Ok(4)
        },
        || {
            let mut hits = 0;
            for action in ["pause", "unpause"] {
                let target = format!("/containers/{wanted}/{action}");
                hits += usize::from(answered(alice, "POST", &target, "")?.0 == 204);
            }
            Ok(hits)
        },
    )?;
    ensure!(renames > 8 && hits > 0, "{renames} renames, {hits} hits");
    let target = format!("/containers/{theirs}/json");
    let text = expect(direct, "GET", &target, "", 200)?;
    ensure!(member(&text, "/State/Status") == "running", "{text}");
    let events = direct.ok(&format!("docker events --since 10m --until 0s --filter container={theirs} --filter event=pause --format '{{{{.Action}}}}'"))?;
    ensure!(
        events.is_empty(),
        "another's container was paused: {events}"
    );
    owners.finish()
}

/// A container of one name is made and removed by alice and bob in turn, while alice removes what has it.
fn recreated(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    let wanted = format!("{}-wanted", alice.prefix);
    let create = format!("/v1.45/containers/create?name={wanted}");
    let body = super::super::PLAIN;
    let named = format!("/containers/{wanted}?force=1");
    against(
        || {
            let (status, text) = answered(bob, "POST", &create, body)?;
            if status == 201 {
                // Nobody else has removed it.
                let target = format!("/containers/{}", member(&text, "/Id"));
                expect(bob, "DELETE", &target, "", 204)?;
            }
            let (mine, text) = answered(alice, "POST", &create, body)?;
            ensure!(matches!(mine, 201 | 409), "{mine} {text}");
            Ok(usize::from(status == 201))
        },
        || {
            let (status, text) = answered(alice, "DELETE", &named, "")?;
            ensure!(matches!(status, 204 | 404 | 409), "{status} {text}");
            Ok(usize::from(status == 204))
        },
    )?;
    owners.finish()
}

/// A volume has no id: alice removes it by its name while she and bob make it in turn.
fn volume(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    let wanted = format!("{}-wanted", alice.prefix);
    let body = format!(r#"{{"Name":"{wanted}"}}"#);
    let named = format!("/volumes/{wanted}");
    against(
        || {
            let (status, text) = answered(bob, "POST", "/volumes/create", &body)?;
            ensure!(matches!(status, 201 | 409), "{status} {text}");
            if status == 201 {
                expect(bob, "DELETE", &named, "", 204)?;
            }
            let (mine, text) = answered(alice, "POST", "/volumes/create", &body)?;
            ensure!(matches!(mine, 201 | 409), "{mine} {text}");
            Ok(usize::from(status == 201))
        },
        || {
            let (status, text) = answered(alice, "DELETE", &named, "")?;
            ensure!(matches!(status, 204 | 404), "{status} {text}");
            let (seen, text) = answered(alice, "GET", &named, "")?;
            ensure!(
                seen == 404 || member(&text, "/Labels/dockgate.owner").contains("/cn:e2e ecdsa."),
                "alice sees {seen} {text}"
            );
            Ok(usize::from(status == 204))
        },
    )?;
    owners.finish()
}

/// A network of one name is made and removed by alice and bob in turn, while alice makes containers in it: by the name the engine
/// would join bob's when they start.
fn network(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    let wanted = format!("{}-wanted", alice.prefix);
    let network = format!(r#"{{"Name":"{wanted}","CheckDuplicate":true}}"#);
    let container = format!(
        r#"{{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{{"NetworkMode":"{wanted}"}}}}"#
    );
    // Networks of bob's, before alice can see their names.
    let theirs = std::sync::Mutex::new(Vec::new());
    let in_turn = |side: &Side<'_>, keep: bool| {
        let (status, text) = answered(side, "POST", "/v1.45/networks/create", &network)?;
        ensure!(matches!(status, 201 | 409), "{status} {text}");
        if status == 201 {
            let id = member(&text, "/Id");
            if let (true, Ok(mut theirs)) = (keep, theirs.lock()) {
                theirs.push(id.clone());
            }
            expect(side, "DELETE", &format!("/networks/{id}"), "", 204)?;
        }
        Ok::<_, String>(usize::from(status == 201))
    };
    let joined = std::cell::RefCell::new(Vec::new());
    let (made, hits) = against(
        || Ok(in_turn(bob, true)? + in_turn(alice, false)?),
        || {
            let (status, text) = answered(alice, "POST", "/v1.45/containers/create", &container)?;
            ensure!(matches!(status, 201 | 400), "{status} {text}");
            if status != 201 {
                return Ok(0);
            }
            let target = format!("/containers/{}", member(&text, "/Id"));
            let text = expect(alice, "GET", &format!("{target}/json"), "", 200)?;
            let mode = member(&text, "/HostConfig/NetworkMode");
            ensure!(mode.len() == 64, "joined by name: {text}");
            joined.borrow_mut().push(mode);
            expect(alice, "DELETE", &format!("{target}?force=1"), "", 204)?;
            Ok(1)
        },
    )?;
    ensure!(made > 0, "{made} networks, {hits} containers");
    let theirs = theirs.lock().map_err(|_| "a thread panicked")?;
    let joined = joined.borrow();
    ensure!(
        joined.iter().all(|id| !theirs.contains(id)),
        "joined {joined:?}, bob's are {theirs:?}"
    );
    owners.finish()
}

//! The stream of events of an owner: what it made, while it happens, and nothing of others.

use std::time::Duration;

use super::{Owners, expect, member};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_scope_events__follow_what_the_owner_makes",
        follow,
    )]
}

/// How many clients the engine tells of events.
const LISTENERS: &str = "docker info -f '{{.NEventsListener}}'";

/// The events in a piece of the stream: the name of the container, and what happened to it.
fn actions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let told = lines.map(|line| {
        (
            member(line, "/Actor/Attributes/name"),
            member(line, "/Action"),
        )
    });
    told.collect()
}

fn follow(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    let (alice, bob, direct) = (&owners.alice, &owners.bob, &owners.direct);
    alice.ok("sleeper")?;
    let target = format!("/containers/{}/json", alice.prefix);
    let own = expect(alice, "GET", &target, "", 200)?;
    let image = forged(direct, &own)?;
    let before = direct.ok(LISTENERS)?;
    let mut wire = alice.wire()?;
    wire.send(b"GET /v1.45/events HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    let head = wire.head()?;
    ensure!(head.status == 200, "events: {}", head.status);
    // Others' come first, so that they would be seen before alice's.
    direct.ok(&format!(
        "run --name $N-theirs {image} true; docker tag {image} $N-tag; docker rmi $N-tag >/dev/null"
    ))?;
    bob.ok("run --rm --name $N $IMAGE true; docker network create $N >/dev/null; docker network rm $N >/dev/null")?;
    alice.ok(
        "run --rm --name $N-brief $IMAGE true; docker exec $N true; docker rm -f $N >/dev/null",
    )?;
    let last = format!(
        "\"Action\":\"destroy\",\"Actor\":{{\"ID\":\"{}\"",
        member(&own, "/Id")
    );
    let mut told = wire.until(last.as_bytes())?;
    told.extend(wire.until(b"\n")?);
    let brief = format!("{}-brief", alice.prefix);
    tells_of(&String::from_utf8_lossy(&told), &brief, &alice.prefix)?;
    // What is gone is told of afterwards too.
    let past = past(alice)?;
    ensure!(
        past.contains(&brief) && !past.contains("-theirs") && !past.contains(&bob.prefix),
        "past events: {past}"
    );
    // A client that goes away takes its question along.
    drop(wire);
    let mut left = direct.ok(LISTENERS)?;
    for _ in 0..100 {
        if left == before {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        left = direct.ok(LISTENERS)?;
    }
    ensure!(left == before, "{left} listeners, {before} before");
    direct.ok(&format!(
        "docker rm -f $N-theirs >/dev/null; docker rmi -f {image} >/dev/null"
    ))?;
    owners.finish()
}

/// An image with all labels of a container of alice's.
fn forged(direct: &Side<'_>, own: &str) -> ScenarioResult<String> {
    let label = |key: &str| member(own, &format!("/Config/Labels/{key}"));
    let (owner, of_image) = (label("dockgate.owner"), label("dockgate.image"));
    let image = format!("{}-forged", direct.prefix);
    direct.ok(&format!(
        "docker create --network none --name $N-base $IMAGE true >/dev/null
docker commit -c 'LABEL \"dockgate.owner\"=\"{owner}\" dockgate.image={of_image}' $N-base {image} >/dev/null; docker rm $N-base >/dev/null"
    ))?;
    Ok(image)
}

/// The events are those of a container that lived briefly and of one that was there before, from one end to the other.
fn tells_of(told: &str, brief: &str, there: &str) -> ScenarioResult {
    let actions = actions(told);
    let of = |name: &str| -> Vec<&str> {
        let own = actions.iter().filter(|(of, _)| of == name);
        own.map(|(_, action)| action.split(':').next().unwrap_or_default())
            .collect()
    };
    let (short, long) = (of(brief), of(there));
    let all = |of: &[&str], wanted: &[&str]| wanted.iter().all(|action| of.contains(action));
    ensure!(
        all(&short, &["create", "start", "die", "destroy"])
            && all(&long, &["exec_create", "exec_start", "kill", "destroy"])
            && short.len() + long.len() == actions.len(),
        "events: {actions:?}"
    );
    Ok(())
}

/// Past events on a connection that goes on afterwards, and up to the end of another, for one that speaks HTTP/1.0.
fn past(alice: &Side<'_>) -> ScenarioResult<String> {
    let now: u64 = alice.ok("date +%s")?.parse().unwrap_or(0);
    let target = format!("/events?since=1&until={}", now + 1);
    let mut wire = alice.wire()?;
    let next = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n{next}").as_bytes())?;
    let (head, body) = wire.answer()?;
    let ping = wire.answer()?.0.status;
    let mut old = alice.wire()?;
    old.send(format!("GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes())?;
    let whole = old.read_to_end()?;
    let whole = String::from_utf8_lossy(&whole);
    let told = String::from_utf8_lossy(&body).into_owned();
    ensure!(
        head.status == 200 && ping == 200 && whole.ends_with(&told) && !told.is_empty(),
        "{} {ping}: {told} {whole}",
        head.status
    );
    expect(alice, "GET", "/events?since=nothing", "", 500)?;
    expect(alice, "GET", "/events?filters=%5B%5D", "", 403)?;
    Ok(told)
}

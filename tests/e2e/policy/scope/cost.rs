//! What a scope asks of the engine, counted behind the gate: roles without one ask nothing more than before.

use super::{ADMIN, Owners, REPORTER, answered};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::tap::Tap;
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_scope_cost__look_ups_are_counted",
        look_ups,
    )]
}

/// The request lines that the engine has got, without those of the gate's own health.
fn lines(tap: &Tap) -> Vec<String> {
    let seen = tap.seen();
    let texts = seen.iter().map(crate::support::tap::TapSeen::text);
    texts
        .flat_map(|text| {
            let lines = text.lines().filter_map(|line| {
                let line = line.strip_suffix(" HTTP/1.1")?;
                // A body may stand before it on the line.
                let at = ["GET /", "POST /", "DELETE /", "HEAD /"]
                    .iter()
                    .filter_map(|method| line.rfind(method))
                    .max()?;
                Some(line[at..].to_owned())
            });
            lines.collect::<Vec<_>>()
        })
        .filter(|line| !line.contains("/_ping") && !line.ends_with("/info"))
        .collect()
}

/// What one request has asked of the engine, with its status.
fn asked(
    tap: &Tap,
    side: &Side<'_>,
    method: &str,
    target: &str,
    body: &str,
) -> ScenarioResult<(u16, Vec<String>)> {
    let mut before = lines(tap);
    let status = answered(side, method, target, body)?.0;
    let mut now = lines(tap);
    before.sort();
    now.sort();
    for line in before {
        if let Ok(at) = now.binary_search(&line) {
            now.remove(at);
        }
    }
    Ok((status, now))
}

const CREATE: &str = "/v1.45/containers/create";

fn body(host: &str) -> String {
    format!(
        r#"{{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{{"NetworkMode":"none"{host}}}}}"#
    )
}

fn look_ups(suite: &Suite, name: &str) -> ScenarioResult {
    let socket = suite.scratch("taps")?.join(format!("{name}.sock"));
    let tap = Tap::start(&socket, &suite.engine.socket)?;
    let budget = "[role.own.shared]\nnetworks = [\"none\"]\n[role.own.budget]\ncontainers = 50\nvolumes = 50\nmemory = \"8GiB\"\n[role.own.default]\nmemory = \"16MiB\"\n";
    let owners = Owners::start_at(suite, name, budget, &socket)?;
    let (alice, plain, admin) = (
        &owners.alice,
        owners.roles.side(REPORTER)?,
        owners.roles.side(ADMIN)?,
    );
    // The gate learns once what the engine and its own container are.
    for side in [alice, &plain, &admin] {
        answered(side, "GET", "/containers/json", "")?;
        answered(side, "POST", CREATE, "{}")?;
    }
    for (side, role) in [(&plain, "plain"), (&admin, "admin")] {
        asks_once(&tap, side, &format!("{}-{role}", owners.direct.prefix))?;
    }
    let named = |host: &str| body(&host.replace("NAME", &alice.prefix));
    let binds = named(r#","Binds":["NAME-a:/a","NAME-b:/b"]"#);
    let volume = format!(r#"{{"Name":"{}-d"}}"#, alice.prefix);
    let mounts = named(r#","Mounts":[{"Type":"volume","Source":"NAME-a","Target":"/a"}]"#);
    // A list asks once. A create asks for the image and for what the owner has, and once for each object it names; where volumes
    // have a budget, once for all that are named.
    for (method, target, body, more) in [
        ("GET", "/v1.45/containers/json?all=1", String::new(), 0),
        ("GET", "/v1.45/events?until=1", String::new(), 0),
        ("POST", CREATE, body(""), 2),
        ("POST", CREATE, binds.clone(), 2 + 1),
        ("POST", CREATE, binds, 2 + 1),
        ("POST", CREATE, named(r#","Binds":["/c"]"#), 2 + 1),
        ("POST", "/v1.45/volumes/create", volume, 1),
        ("POST", CREATE, mounts, 2 + 1),
    ] {
        let (status, asked) = asked(&tap, alice, method, target, &body)?;
        let looked = asked.iter().filter(|line| line.starts_with("GET"));
        let own = usize::from(method == "GET");
        // The policy has asked for named volumes before there were scopes.
        let before = match body.contains("Binds") {
            true => 2,
            false => usize::from(body.contains("Mounts")),
        };
        let looked = looked.count() - own;
        ensure!(
            matches!(status, 200 | 201) && looked <= more + before,
            "{method} {target} {body}: {status}, {looked} look-ups, expected {more} and {before}: {asked:?}"
        );
    }
    owners
        .alice
        .ok("docker rm -fv $(docker ps -aq) >/dev/null; docker volume prune -af >/dev/null")?;
    owners.finish()
}

/// Without a scope, the engine gets the request and nothing else.
fn asks_once(tap: &Tap, side: &Side<'_>, name: &str) -> ScenarioResult {
    let prune = "/v1.45/containers/prune?filters=%7B%22label%22:%5B%22of-nobody%22%5D%7D";
    let create = format!("{CREATE}?name={name}");
    for (method, target, body, status) in [
        ("GET", "/v1.45/containers/json?all=1", String::new(), 200),
        ("GET", "/v1.45/volumes", String::new(), 200),
        ("POST", &create, body(""), 201),
        ("POST", prune, String::new(), 200),
    ] {
        let (got, asked) = asked(tap, side, method, target, &body)?;
        ensure!(
            got == status && asked.len() == 1,
            "{method} {target}: {got}, asked {asked:?}"
        );
    }
    Ok(())
}

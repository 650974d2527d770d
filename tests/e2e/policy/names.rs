//! Names that pass for ids: on the socket a container takes the id of one that is gone, and a gate neither lets that be done nor
//! takes one for the other.

use std::time::Duration;

use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::wire::lossy;
use crate::support::{ScenarioResult, ensure};

use super::{Roles, TEAM, json, refused, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new(
        "policy_names__an_id_is_no_name_of_another",
        names_like_ids,
    )]
}

fn names_like_ids(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    let who = (TEAM, "team");
    let made = team.ok("docker create --name $N-plain $IMAGE true")?;
    let id = made.trim();
    direct.ok("docker create --privileged --name $N-strong $IMAGE true >/dev/null")?;
    let strong = format!("/containers/{}-strong/rename?name=", team.prefix);
    // The engine takes each of these names, and the gate none.
    let rename = json("POST", &format!("{strong}{id}"), "");
    refused(&send(&team, &rename)?, 403, who, "names")?;
    let short = &id[..12];
    let create = json(
        "POST",
        &format!("/v1.45/containers/create?name={short}"),
        super::PLAIN,
    );
    refused(&send(&team, &create)?, 403, who, "names")?;
    let body = format!(r#"{{"Name":"{short}"}}"#);
    let network = json("POST", "/v1.45/networks/create", &body);
    refused(&send(&team, &network)?, 403, who, "names")?;
    for request in [&create, &network] {
        let (status, text) = send(&direct, request)?;
        ensure!(status == 201, "directly: {status} {text}");
    }
    direct.ok(&format!(
        "docker rm $(docker ps -aqf name=^/{short}$) >/dev/null; docker network rm {short} >/dev/null"
    ))?;
    team.ok("docker rename $N-plain $N-deadbeef; docker rename $N-deadbeef $N-plain")?;
    let answers = while_the_id_changes_hands(&team, &direct, id, rename)?;
    for answer in answers {
        refused(&answer, 403, who, "target-check")?;
    }
    roles.finish()
}

/// The answers to an attach whose body is held back until `rename` has given the id to another container, and to a copy
/// after that.
fn while_the_id_changes_hands(
    team: &Side<'_>,
    direct: &Side<'_>,
    id: &str,
    rename: String,
) -> ScenarioResult<[(u16, String); 2]> {
    let attach = format!(
        "POST /v1.45/containers/{id}/attach?stdin=1&stream=1 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    let mut held = team.wire()?;
    held.send(attach.as_bytes())?;
    std::thread::sleep(Duration::from_millis(500));
    for request in [
        rename,
        json("DELETE", &format!("/v1.45/containers/{id}?force=1"), ""),
    ] {
        let (status, text) = send(direct, &request)?;
        ensure!(status == 204, "directly: {status} {text}");
    }
    held.send(b"{}")?;
    let (head, body) = held.answer()?;
    let answer = (head.status, lossy(&body));
    let found = send(direct, &json("GET", &format!("/containers/{id}/json"), ""))?;
    let at_rest = send(
        team,
        &json(
            "GET",
            &format!("/v1.45/containers/{id}/archive?path=/etc"),
            "",
        ),
    )?;
    let removed = send(
        direct,
        &json("DELETE", &format!("/v1.45/containers/{id}?force=1"), ""),
    )?;
    ensure!(
        found.0 == 200 && found.1.contains("\"Privileged\":true"),
        "the engine finds the other one: {} {}",
        found.0,
        found.1
    );
    ensure!(removed.0 == 204, "{} {}", removed.0, removed.1);
    Ok([answer, at_rest])
}

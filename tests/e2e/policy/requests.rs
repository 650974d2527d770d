//! Paths, versions, methods, tunnels and operations nobody knows (known-escapes, classes 1–10, 31–37).

use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

use super::{ADMIN, FACTORY, NOBODY, PLAIN, PRIVILEGED, Roles, TEAM, VIEWER};
use super::{json, refused, remove, send};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_paths__are_judged_as_the_engine_routes_them", paths),
        Case::new("policy_unknown__operations_pass_only_admin", unknown),
        Case::new("policy_tunnels__open_only_with_the_grant", tunnels),
        Case::new(
            "policy_strangers__are_told_that_no_entry_matches",
            strangers,
        ),
        Case::new("policy_read_only__reads_and_changes_nothing", read_only),
    ]
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn paths(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    let target = |path: &str| format!("{path}?name={}-made", team.prefix);
    // Other spellings of one operation: judged as that operation, so the harmless body passes.
    for path in [
        "/containers/create",
        "/v1.45/containers/create",
        "/v1.45/%63ontainers/create",
        "/v1.45/containers%2Fcreate",
        "/%761.45/containers/%63reate",
    ] {
        refused(
            &send(&team, &json("POST", &target(path), PRIVILEGED))?,
            403,
            (TEAM, "team"),
            "privileged",
        )
        .map_err(|why| format!("{path}: {why}"))?;
        for side in [&direct, &team] {
            let answer = send(side, &json("POST", &target(path), PLAIN))?;
            ensure!(
                answer.0 == 201,
                "{} {path}: {} {}",
                side.name,
                answer.0,
                answer.1
            );
            remove(&team, "made")?;
        }
    }
    // Spellings no client uses: refused whatever they carry, though the engine takes some of them.
    for path in [
        "/v1.45./containers/create",
        "/v1.45.0/containers/create",
        "/v01.045/containers/create",
        "//containers/create",
        "/v1.45/./containers/create",
        "/v1.45/x/../containers/create",
        "/v1.45/containers/create/",
        "/v1.45/containers/%252e%252e/create",
        "/v1.45/v1.45/containers/create",
        "/V1.45/containers/create",
    ] {
        refused(
            &send(&team, &json("POST", &target(path), PLAIN))?,
            403,
            (TEAM, "team"),
            "operation",
        )
        .map_err(|why| format!("{path}: {why}"))?;
    }
    let engine = send(
        &direct,
        &json("POST", &target("/v01.045/containers/create"), PLAIN),
    )?;
    ensure!(
        engine.0 == 201,
        "the engine takes v01.045: {} {}",
        engine.0,
        engine.1
    );
    remove(&team, "made")?;
    // The last segment decides for the engine, so a name with a slash in it is none.
    team.ok("sleeper")?;
    for path in ["/json/archive?path=/etc", "%2Fjson/archive?path=/etc"] {
        let target = format!("/v1.45/containers/{}{path}", team.prefix);
        refused(
            &send(&team, &json("GET", &target, ""))?,
            403,
            (TEAM, "team"),
            "operation",
        )?;
    }
    let archive = format!("/v1.45/containers/{}/archive?path=/etc", team.prefix);
    let answer = send(&team, &json("GET", &archive, ""))?;
    ensure!(answer.0 == 200, "archive: {} {}", answer.0, answer.1);
    // Parameters that are not listed, that repeat, or that hide in another encoding.
    for query in [
        "path=/etc&path=/",
        "path=/etc&%70ath=/",
        "path=/etc&new=1",
        "path=/etc;path=/",
    ] {
        let target = format!("/v1.45/containers/{}/archive?{query}", team.prefix);
        let answer = send(&team, &json("GET", &target, ""))?;
        ensure!(
            matches!(answer.0, 400 | 403) && answer.1.contains("dockgate: "),
            "{query}: {} {}",
            answer.0,
            answer.1
        );
    }
    roles.finish()
}

fn unknown(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team, viewer, admin) = (
        roles.direct()?,
        roles.side(TEAM)?,
        roles.side(VIEWER)?,
        roles.side(ADMIN)?,
    );
    for (method, path) in [
        ("GET", "/v1.45/nope"),
        ("POST", "/v4.0.0/libpod/containers/create"),
        ("GET", "/v1.45/debug/x"),
        ("PATCH", "/v1.45/containers/create"),
        ("HEAD", "/v1.45/containers/json"),
        ("OPTIONS", "/v1.45/containers/json"),
    ] {
        for (side, who) in [(&team, (TEAM, "team")), (&viewer, (VIEWER, "read-only"))] {
            if method == "HEAD" {
                let mut wire = side.wire()?;
                wire.send(json(method, path, "").as_bytes())?;
                let head = wire.head()?;
                ensure!(head.status == 403, "{method} {path}: {}", head.text);
            } else {
                refused(&send(side, &json(method, path, ""))?, 403, who, "operation")
                    .map_err(|why| format!("{method} {path}: {why}"))?;
            }
        }
    }
    for (method, path) in [
        ("GET", "/v1.45/debug/vars"),
        ("POST", "/v1.45/swarm/init"),
        ("GET", "/v1.45/swarm/unlockkey"),
        ("POST", "/v1.45/plugins/x/enable"),
    ] {
        refused(
            &send(&team, &json(method, path, "{}"))?,
            403,
            (TEAM, "team"),
            "operation",
        )?;
    }
    // Methods are case-sensitive, and no header overrides them.
    let target = format!("/v1.45/containers/create?name={}-made", team.prefix);
    let answer = send(&team, &json("post", &target, PRIVILEGED))?;
    ensure!(
        matches!(answer.0, 400 | 403),
        "post: {} {}",
        answer.0,
        answer.1
    );
    let hidden = json("GET", "/v1.45/containers/json", "")
        .replace("Host:", "X-HTTP-Method-Override: DELETE\r\nHost:");
    let answer = send(&viewer, &hidden)?;
    ensure!(answer.0 == 200, "override: {} {}", answer.0, answer.1);
    // Unlimited roles get the engine's own answer, whatever it is.
    for path in ["/v1.45/nope", "/v1.45/debug/x"] {
        let request = json("GET", path, "");
        let (engine, through) = (send(&direct, &request)?, send(&admin, &request)?);
        ensure!(engine == through, "{path}: {engine:?} and {through:?}");
    }
    roles.finish()
}

/// What runs inside these tunnels nobody can see, so they need a grant that says so.
fn tunnels(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, factory) = (roles.side(TEAM)?, roles.side(FACTORY)?);
    let open = |path: &str, uuid: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: {uuid}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for path in ["/grpc", "/session", "/v1.45/grpc", "/v1.45/session"] {
        refused(
            &send(&team, &open(path, "a"))?,
            403,
            (TEAM, "team"),
            "operation",
        )
        .map_err(|why| format!("{path}: {why}"))?;
        let mut wire = factory.wire()?;
        wire.send(
            open(
                path,
                &format!("{}{}", factory.prefix, path.replace(['/', '.'], "-")),
            )
            .as_bytes(),
        )?;
        let head = wire.head()?;
        ensure!(head.status == 101, "{path} with the grant: {}", head.text);
    }
    // An upgrade somewhere else is no tunnel: the answer is an ordinary one.
    let request = "GET /v1.45/containers/json HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = send(&team, request)?;
    ensure!(
        answer.0 == 200,
        "upgrade of a list: {} {}",
        answer.0,
        answer.1
    );
    roles.finish()
}

fn strangers(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (stranger, viewer) = (roles.side(NOBODY)?, roles.side(VIEWER)?);
    let expected = "{\"message\":\"dockgate: denied: client -, role none: client: no [[client]] entry of the policy matches this certificate";
    for path in ["/_ping", "/v1.45/containers/json", "/v1.45/nope"] {
        let answer = send(&stranger, &json("GET", path, ""))?;
        ensure!(
            answer.0 == 403 && answer.1.starts_with(expected),
            "{path}: {} {}",
            answer.0,
            answer.1
        );
    }
    let answer = send(&viewer, &json("GET", "/_ping", ""))?;
    ensure!(answer.0 == 200, "ping: {} {}", answer.0, answer.1);
    roles.finish()
}

fn read_only(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (team, viewer) = (roles.side(TEAM)?, roles.side(VIEWER)?);
    team.ok("sleeper")?;
    let read = "test -n \"$(docker ps -q)\" && docker inspect $N >/dev/null && docker logs $N && docker top $N >/dev/null && test -n \"$(docker images -q)\" && docker version >/dev/null && docker info >/dev/null 2>&1 && echo read";
    ensure!(viewer.ok(read)? == "read", "read-only must read");
    for command in [
        "docker create $IMAGE true",
        "docker rm -f $N",
        "docker stop -t 0 $N",
        "docker exec $N true",
        "docker cp $N:/etc/passwd -",
        "docker export $N",
        "docker save $IMAGE",
        "docker kill $N",
        "docker commit $N x",
        "docker rename $N x",
        "docker update --memory 64m --memory-swap 64m $N",
        "docker volume create x",
        "docker network create x",
        "docker tag $IMAGE x",
        "docker rmi $IMAGE",
        "docker swarm init",
        "docker image prune -f",
    ] {
        let output = viewer.shell(&format!("{command} >out"))?;
        let sentence =
            format!("dockgate: denied: client e2e {VIEWER}, role read-only: operation: ");
        ensure!(
            output.code == 1 && output.stderr.contains(&sentence),
            "{command}: exit {} {}",
            output.code,
            output.stderr
        );
    }
    team.ok("docker exec $N true")?;
    roles.finish()
}

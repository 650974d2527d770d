//! Two owners side by side: lists, events, names, joins and networks.

use super::{Owners, answered, expect, member};
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_scope_lists__show_only_the_owners", lists),
        Case::new("policy_scope_names__taken_names_and_ids", names),
        Case::new("policy_scope_labels__nobody_writes_the_gates_own", labels),
        Case::new("policy_scope_redact__masks_values_in_inspect", redact),
        Case::new("policy_scope_joins__own_containers_alone", joins),
        Case::new("policy_scope_networks__are_pinned_to_ids", networks),
    ]
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn lists(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    for side in [&owners.alice, &owners.bob] {
        side.ok(
            "sleeper; docker network create $N >/dev/null; docker volume create $N >/dev/null",
        )?;
    }
    owners.direct.ok("N=$N-nobody; sleeper; docker network create $N >/dev/null; docker volume create $N >/dev/null")?;
    let (a, b) = (&owners.alice.prefix, &owners.bob.prefix);
    for (side, own) in [(&owners.alice, a), (&owners.bob, b)] {
        for list in [
            "docker ps -a --format '{{.Names}}'",
            "docker volume ls -q",
            "docker network ls --format '{{.Name}}' | grep -v '^none$'",
        ] {
            let said = side.ok(list)?;
            ensure!(said == *own, "{list}: {said}");
        }
    }
    let filters = [
        "filters={\"label\":[]}",
        "%66ilters={\"name\":[\".\"]}",
        "filters=null",
        "filters=",
        "all=0&filters={\"status\":{\"running\":true}}",
        "filters={\"label\":{\"dockgate.owner\":true}}",
    ];
    for query in filters {
        let query: String = query
            .bytes()
            .map(|b| match b {
                b'{' | b'}' | b'"' | b'[' | b']' => format!("%{b:02X}"),
                b => char::from(b).to_string(),
            })
            .collect();
        let text = expect(
            &owners.alice,
            "GET",
            &format!("/containers/json?{query}"),
            "",
            200,
        )?;
        ensure!(
            text.contains(a) && !text.contains(b) && !text.contains("-nobody"),
            "{query}: {text}"
        );
    }
    // Two readings are refused: equal keys, a second parameter, a form that is none.
    for (query, status) in [
        (
            "filters=%7B%22label%22:%5B%22x%22%5D,%22label%22:%5B%5D%7D",
            403,
        ),
        ("filters=%7B%7D&%66ilters=%7B%7D", 403),
        ("filters=%5B%5D", 403),
        ("filters=%7B%22since%22:%5B%22x%22,%22y%22%5D%7D", 400),
    ] {
        expect(
            &owners.alice,
            "GET",
            &format!("/containers/json?{query}"),
            "",
            status,
        )?;
    }
    // The order among others is not told.
    let since =
        |name: &str| format!("/containers/json?all=1&filters=%7B%22since%22:%5B%22{name}%22%5D%7D");
    let theirs = expect(&owners.alice, "GET", &since(b), "", 404)?.replace(b, "NAME");
    let missing =
        expect(&owners.alice, "GET", &since("missing"), "", 404)?.replace("missing", "NAME");
    ensure!(theirs == missing, "{theirs} {missing}");
    expect(&owners.alice, "GET", &since(a), "", 200)?;
    let events =
        "docker events --since 10m --until 0s --format '{{.Type}} {{.Actor.Attributes.name}}'";
    let said = owners.alice.ok(events)?;
    ensure!(
        said.contains(&format!("container {a}")) && !said.contains(b) && !said.contains("nobody"),
        "events: {said}"
    );
    // A prune takes nothing of others.
    owners.alice.ok("docker rm -f $N >/dev/null; docker container prune -f; docker volume prune -af; docker network prune -f")?;
    owners.direct.ok(&format!("docker inspect {b} $N-nobody >/dev/null; docker volume inspect {b} $N-nobody >/dev/null; docker network inspect {b} $N-nobody >/dev/null"))?;
    let gone = owners.direct.shell(&format!("docker volume inspect {a}"))?;
    ensure!(gone.code == 1, "the owner's own volume is pruned");
    owners.finish()
}

fn names(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    owners
        .bob
        .ok("sleeper; docker volume create $N >/dev/null; docker network create $N >/dev/null")?;
    let (alice, taken) = (&owners.alice, &owners.bob.prefix);
    let body =
        r#"{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}"#;
    let create = |name: &str| format!("/v1.45/containers/create?name={name}");
    let id = member(
        &expect(
            &owners.bob,
            "GET",
            &format!("/containers/{taken}/json"),
            "",
            200,
        )?,
        "/Id",
    );
    let text = expect(alice, "POST", &create(taken), body, 409)?;
    ensure!(
        !text.contains(&id) && text.contains("already in use"),
        "{text}"
    );
    alice.ok("docker create --network none --name $N $IMAGE true >/dev/null")?;
    let rename = format!("/v1.45/containers/{}/rename?name=", alice.prefix);
    let text = expect(alice, "POST", &format!("{rename}{taken}"), "", 409)?;
    ensure!(!text.contains(&id), "{text}");
    let text = expect(
        alice,
        "POST",
        "/v1.45/volumes/create",
        &format!(r#"{{"Name":"{taken}"}}"#),
        409,
    )?;
    ensure!(!text.contains("dockgate.owner"), "{text}");
    let text = expect(
        alice,
        "POST",
        "/v1.45/networks/create",
        &format!(r#"{{"Name":"{taken}","CheckDuplicate":true}}"#),
        409,
    )?;
    ensure!(!text.contains(&id), "{text}");
    for hex in ["abcd", "deadbeef", "/cafe", &id[..12]] {
        let encoded = hex.replace('/', "%2F");
        expect(alice, "POST", &create(&encoded), body, 403)?;
        expect(alice, "POST", &format!("{rename}{encoded}"), "", 403)?;
    }
    expect(
        alice,
        "POST",
        "/v1.45/networks/create",
        r#"{"Name":"abcd"}"#,
        403,
    )?;
    owners.finish()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn labels(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    let alice = &owners.alice;
    alice.ok("sleeper")?;
    let text = expect(
        alice,
        "GET",
        &format!("/containers/{}/json", alice.prefix),
        "",
        200,
    )?;
    let label = member(&text, "/Config/Labels/dockgate.owner");
    ensure!(
        label.contains("/cn:e2e ecdsa."),
        "the owner's label: {label}"
    );
    let image = r#""Image":"dockgate-e2e-busybox","Cmd":["true"]"#;
    for (target, body) in [
        (
            "/containers/create",
            format!(
                r#"{{{image},"Labels":{{"dockgate.owner":"x"}},"HostConfig":{{"NetworkMode":"none"}}}}"#
            ),
        ),
        (
            "/containers/create",
            format!(
                r#"{{{image},"Labels":{{"Dock\u0067ate.owner":"x"}},"HostConfig":{{"NetworkMode":"none"}}}}"#
            ),
        ),
        (
            "/containers/create",
            format!(
                r#"{{{image},"HostConfig":{{"NetworkMode":"none","Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"Labels":{{"dockgate.owner":""}}}}}}]}}}}"#
            ),
        ),
        (
            "/networks/create",
            r#"{"Name":"x-y","Labels":{"dockgate.other":""}}"#.into(),
        ),
        (
            "/volumes/create",
            r#"{"Name":"x-y","Labels":{"dockgate.owner":""}}"#.into(),
        ),
        (
            "/commit?container=x",
            r#"{"Labels":{"dockgate.owner":"x"}}"#.into(),
        ),
        (
            "/commit?container=x&changes=LABEL%20%22dock%22gate.owner=x",
            String::new(),
        ),
        (
            "/commit?container=x&changes=ENV%20A=dock&changes=label%20$%7BA%7Dgate.owner=x",
            String::new(),
        ),
        (
            "/build?labels=%7B%22dockgate.owner%22:%22x%22%7D",
            String::new(),
        ),
        (
            "/build?labels=%7B%22a%22:%22x%22,%22a%22:%22y%22%7D",
            String::new(),
        ),
    ] {
        let text = expect(alice, "POST", target, &body, 403)?;
        ensure!(
            text.contains("role own: scope: "),
            "{target} {body}: {text}"
        );
    }
    // A client that runs an image of an owner's container makes no container of that owner.
    alice.ok("docker commit -c 'LABEL kept=yes' $N $N-image >/dev/null")?;
    owners.direct.ok(&format!(
        "docker create --network none --name $N-plain {}-image true >/dev/null",
        alice.prefix
    ))?;
    let said = owners.direct.ok("docker inspect -f '{{index .Config.Labels \"kept\"}}:{{index .Config.Labels \"dockgate.owner\"}}' $N-plain")?;
    ensure!(said == "yes:", "labels of the image: {said}");
    let said = alice.ok("docker ps -aq | wc -l")?;
    ensure!(said.trim() == "1", "alice sees {said} containers");
    let plain = owners.direct.ok("docker ps -aq --filter name=$N-plain")?;
    let target = format!("/images/{}-image", alice.prefix);
    let text = expect(alice, "DELETE", &target, "", 409)?;
    ensure!(
        text.contains("************") && !text.contains(&plain),
        "the other's id: {text}"
    );
    owners.direct.ok("docker rm $N-plain >/dev/null")?;
    alice.ok("docker create --network none --name $N-again $N-image true >/dev/null; docker rm $N-again >/dev/null; docker rmi $N-image >/dev/null")?;
    owners.finish()
}

fn joins(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    let (alice, bob) = (&owners.alice, &owners.bob.prefix);
    owners.bob.ok("sleeper -v $N-data:/data")?;
    alice.ok("sleeper -v $N-data:/data")?;
    let own = &alice.prefix;
    let body = |host: &str| {
        format!(
            r#"{{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{{"NetworkMode":"none",{host}}}}}"#
        )
    };
    for host in [
        r#""PidMode":"container:NAME""#,
        r#""IpcMode":"container:NAME""#,
        r#""VolumesFrom":["NAME"]"#,
        r#""VolumesFrom":["NAME:ro"]"#,
    ] {
        let ask = |name: &str| {
            let answer = answered(
                alice,
                "POST",
                "/v1.45/containers/create",
                &body(&host.replace("NAME", name)),
            )?;
            Ok::<_, String>((answer.0, answer.1.replace(name, "NAME")))
        };
        let (theirs, missing) = (ask(bob)?, ask("missing")?);
        ensure!(
            theirs == missing && theirs.0 >= 400,
            "{host}: {theirs:?} {missing:?}"
        );
        expect(
            alice,
            "POST",
            "/v1.45/containers/create",
            &body(&host.replace("NAME", own)),
            201,
        )?;
    }
    // A join goes by the id: another container of that name later is not joined.
    alice.ok(
        "docker create --network none --pid container:$N --name $N-joined $IMAGE true >/dev/null",
    )?;
    let said = alice.ok("docker inspect -f '{{.HostConfig.PidMode}}' $N-joined; docker inspect -f 'container:{{.Id}}' $N")?;
    let lines: Vec<_> = said.lines().collect();
    ensure!(lines.len() == 2 && lines[0] == lines[1], "pinned: {said}");
    alice.ok("docker rm -fv $(docker ps -aq) >/dev/null")?;
    owners.finish()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn networks(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    alice.ok("docker network create $N >/dev/null; docker create --name $N-c --network $N $IMAGE sleep 1000 >/dev/null")?;
    let text = expect(
        alice,
        "GET",
        &format!("/networks/{}", alice.prefix),
        "",
        200,
    )?;
    let id = member(&text, "/Id");
    let said = alice.ok("docker inspect -f '{{.HostConfig.NetworkMode}}' $N-c")?;
    ensure!(said == id, "pinned: {said} {id}");
    alice.ok("docker start $N-c >/dev/null")?;
    let said = alice.ok("docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.NetworkID}}{{end}}' $N-c")?;
    ensure!(said == format!("{}={id}", alice.prefix), "networks: {said}");
    // The name goes to another network; the container does not go there.
    alice.ok("docker stop -t0 $N-c >/dev/null; docker network rm $N >/dev/null")?;
    bob.ok(&format!(
        "docker network create {} >/dev/null",
        alice.prefix
    ))?;
    let output = alice.shell("docker start $N-c")?;
    ensure!(
        output.code != 0,
        "a container must not join another's network"
    );
    // Another's network is missing, by every field.
    let theirs = bob.prefix.clone() + "-net";
    bob.ok("docker network create $N-net >/dev/null")?;
    let net = member(
        &expect(bob, "GET", &format!("/networks/{theirs}"), "", 200)?,
        "/Id",
    );
    for name in [&theirs, &net, &net[..12].to_owned()] {
        for body in [
            format!(
                r#"{{"Image":"dockgate-e2e-busybox","HostConfig":{{"NetworkMode":"{name}"}}}}"#
            ),
            format!(
                r#"{{"Image":"dockgate-e2e-busybox","HostConfig":{{"NetworkMode":"none"}},"NetworkingConfig":{{"EndpointsConfig":{{"{name}":{{}}}}}}}}"#
            ),
        ] {
            // Not 404, with which the docker CLI would pull the image.
            let theirs = expect(alice, "POST", "/v1.45/containers/create", &body, 400)?;
            let missing = body.replace(name.as_str(), "missing");
            let missing = expect(alice, "POST", "/v1.45/containers/create", &missing, 400)?;
            ensure!(
                theirs.replace(name.as_str(), "NAME") == missing.replace("missing", "NAME"),
                "{theirs} {missing}"
            );
        }
        expect(
            alice,
            "POST",
            &format!("/networks/{name}/connect"),
            &format!(r#"{{"Container":"{}-c"}}"#, alice.prefix),
            404,
        )?;
    }
    // A client's own NetworkID does not win over the name.
    alice.ok("docker network create $N-mine >/dev/null")?;
    let body = format!(
        r#"{{"Image":"dockgate-e2e-busybox","HostConfig":{{"NetworkMode":"{0}-mine"}},"NetworkingConfig":{{"EndpointsConfig":{{"{0}-mine":{{"NetworkID":"{net}"}}}}}}}}"#,
        alice.prefix
    );
    let made = member(
        &expect(alice, "POST", "/v1.45/containers/create", &body, 201)?,
        "/Id",
    );
    let text = expect(alice, "GET", &format!("/containers/{made}/json"), "", 200)?;
    ensure!(!text.contains(&net), "{text}");
    expect(
        alice,
        "DELETE",
        &format!("/containers/{made}?force=1"),
        "",
        204,
    )?;
    // The default network is not shared here.
    let text = expect(
        alice,
        "POST",
        "/v1.45/containers/create",
        r#"{"Image":"dockgate-e2e-busybox"}"#,
        403,
    )?;
    ensure!(text.contains("shared.networks"), "{text}");
    owners.finish()
}

fn redact(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "redact = [\"*TOKEN*\"]")?;
    let alice = &owners.alice;
    alice.ok("sleeper -e API_TOKEN=s3cret -e PLAIN=shown")?;
    let target = format!("/v1.45/containers/{}/json", alice.prefix);
    let full = expect(&owners.direct, "GET", &target, "", 200)?;
    let text = expect(alice, "GET", &target, "", 200)?;
    ensure!(
        full.contains("API_TOKEN=s3cret") && full.replace("=s3cret", "=***") == text,
        "{text}"
    );
    ensure!(text.contains("PLAIN=shown"), "{text}");
    alice.ok("docker commit -c 'ENV OTHER_TOKEN=s3cret' $N $N-image >/dev/null")?;
    let target = format!("/v1.45/images/{}-image/json", alice.prefix);
    let text = expect(alice, "GET", &target, "", 200)?;
    ensure!(
        !text.contains("s3cret") && text.contains("OTHER_TOKEN=***"),
        "{text}"
    );
    expect(alice, "GET", "/images/no-such-image/json", "", 404)?;
    alice.ok("docker rmi -f $N-image >/dev/null")?;
    owners.finish()
}

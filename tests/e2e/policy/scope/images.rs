//! Images carry labels to the containers that are made of them; an owner's labels in an image make no container the owner's.

use super::{Owners, answered, expect, member};
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_scope_images__labels_of_an_owner_make_nobody_the_owner",
            forged,
        ),
        Case::new(
            "policy_scope_platform__volumes_of_the_image_are_stamped",
            platform,
        ),
    ]
}

const ROLE: &str = "[role.own.shared]\nnetworks = [\"none\"]";

/// Alice brings an image with all labels of a container of hers; others run it and build from it.
fn forged(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob, direct) = (&owners.alice, &owners.bob, &owners.direct);
    alice.ok("sleeper")?;
    let target = format!("/containers/{}/json", alice.prefix);
    let own = expect(alice, "GET", &target, "", 200)?;
    let label = |key: &str| member(&own, &format!("/Config/Labels/{key}"));
    let (owner, of_image) = (label("dockgate.owner"), label("dockgate.image"));
    ensure!(!owner.is_empty() && !of_image.is_empty(), "labels: {own}");
    direct.ok(&format!(
        "docker create --network none --name $N-base $IMAGE true >/dev/null
docker commit -c 'LABEL \"dockgate.owner\"=\"{owner}\" dockgate.image={of_image} dockgate.memory=1' $N-base $N-forged >/dev/null; docker rm $N-base >/dev/null"
    ))?;
    let image = format!("{}-forged", direct.prefix);
    // The admin runs it, bob runs it and builds from it, past the gate and through it.
    direct.ok(&format!("run -d --name $N-theirs {image} sleep 1000 >/dev/null; docker exec $N-theirs true; run --name $N-ended {image} true"))?;
    let build = format!(
        "mkdir -p context; printf 'FROM {image}\\nRUN true\\n' >context/Dockerfile; DOCKER_BUILDKIT=0 docker build -q --rm=false --network none -t $N-built context >/dev/null"
    );
    direct.ok(&build)?;
    bob.ok(&format!(
        "run -d --name $N {image} sleep 1000 >/dev/null; {build}"
    ))?;
    let seen = alice.ok("docker ps -a --format '{{.Names}}'")?;
    ensure!(seen == alice.prefix, "alice sees {seen}");
    for newest in ["-l", "-n 1", "-n 2"] {
        let seen = alice.ok(&format!("docker ps {newest} --format '{{{{.Names}}}}'"))?;
        ensure!(seen == alice.prefix, "{newest}: alice sees {seen}");
    }
    let theirs = [
        format!("{}-theirs", direct.prefix),
        direct.ok("docker inspect -f '{{.Id}}' $N-theirs")?,
        bob.prefix.clone(),
    ];
    for name in &theirs {
        is_missing(alice, name)?;
    }
    // A prune takes what alice made, and nothing of theirs.
    alice.ok("docker create --network none --name $N-stopped $IMAGE true >/dev/null")?;
    let text = expect(alice, "POST", "/v1.45/containers/prune", "", 200)?;
    let deleted = member(&text, "/ContainersDeleted");
    ensure!(deleted.len() == 64 + 4, "deleted: {text}");
    direct.ok("docker inspect $N-theirs $N-ended >/dev/null")?;
    // Whose container it is says the create, and nothing of the image's is left.
    alice.ok(&format!(
        "run -d --name $N-mine {image} sleep 1000 >/dev/null; docker exec $N-mine true"
    ))?;
    let said = direct.ok(&format!(
        "docker inspect -f '{{{{index .Config.Labels \"dockgate.memory\"}}}}.' {}-mine",
        alice.prefix
    ))?;
    ensure!(said == ".", "the image's labels: {said}");
    let seen = bob.ok("docker ps -a --format '{{.Names}}'")?;
    ensure!(seen == bob.prefix, "bob sees {seen}");
    alice.ok("docker rm -f $N-mine >/dev/null")?;
    direct.ok(&format!("docker rm -f $N-theirs $N-ended {bob} $(docker ps -aq --filter ancestor={image}) >/dev/null; docker rmi -f $N-built {bob}-built {image} >/dev/null", bob = bob.prefix))?;
    owners.finish()
}

/// A container answers as a missing one does.
fn is_missing(alice: &Side<'_>, name: &str) -> ScenarioResult {
    for (method, path, body) in [
        ("GET", "/containers/NAME/json", ""),
        ("GET", "/containers/NAME/logs?stdout=1", ""),
        ("POST", "/containers/NAME/exec", r#"{"Cmd":["true"]}"#),
        ("POST", "/containers/NAME/kill", ""),
        ("DELETE", "/containers/NAME?force=1", ""),
        ("GET", "/containers/NAME/export", ""),
    ] {
        let ask = |name: &str| {
            let (status, text) = answered(alice, method, &path.replace("NAME", name), body)?;
            Ok::<_, String>((status, text.replace(name, "NAME")))
        };
        let (found, missing) = (ask(name)?, ask("no-such")?);
        ensure!(
            found == missing && found.0 == 404,
            "{method} {path} {name}: {found:?} {missing:?}"
        );
    }
    Ok(())
}

/// The engine may take another image for a platform than for none, so what came of a create is looked at.
fn platform(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, direct) = (&owners.alice, &owners.direct);
    direct.ok("docker create --network none --name $N-base $IMAGE true >/dev/null; docker commit -c 'VOLUME [\"/data\"]' $N-base $N-vol >/dev/null; docker rm $N-base >/dev/null")?;
    let image = format!("{}-vol", direct.prefix);
    let platform = direct.ok("docker version -f '{{.Server.Os}}/{{.Server.Arch}}'")?;
    let body =
        format!(r#"{{"Image":"{image}","Cmd":["true"],"HostConfig":{{"NetworkMode":"none"}}}}"#);
    let target = format!(
        "/v1.45/containers/create?name={}&platform={}",
        alice.prefix,
        platform.replace('/', "%2F")
    );
    expect(alice, "POST", &target, &body, 201)?;
    let said = alice.ok("docker ps -aq | wc -l; docker volume ls -q | wc -l")?;
    ensure!(said == "1\n1", "containers and volumes: {said}");
    alice.ok("docker rm -v $N >/dev/null; [ -z \"$(docker volume ls -q)\" ]")?;
    let other = match platform.ends_with("arm64") {
        true => "linux%2Famd64",
        false => "linux%2Farm64",
    };
    let target = format!("/v1.45/containers/create?platform={other}");
    let (ours, engines) = (
        answered(alice, "POST", &target, &body)?,
        answered(direct, "POST", &target, &body)?,
    );
    ensure!(ours == engines && ours.0 == 404, "{ours:?} {engines:?}");
    direct.ok(&format!("docker rmi -f {image} >/dev/null"))?;
    owners.finish()
}

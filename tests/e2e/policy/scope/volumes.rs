//! Volumes, named and not, and those that an image asks for.

use super::{Owners, answered, expect, member};
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_scope_volumes__every_one_is_stamped", stamped),
        Case::new("policy_scope_shared__is_used_and_not_removed", shared),
    ]
}

/// The owners' labels of all volumes of alice's container `NAME`, each once.
fn owners_of(owners: &Owners<'_>) -> ScenarioResult<String> {
    let name = &owners.alice.prefix;
    let script = format!(
        "for v in $(docker inspect -f '{{{{range .Mounts}}}}{{{{.Name}}}} {{{{end}}}}' {name}); do docker volume inspect -f '{{{{index .Labels \"dockgate.owner\"}}}}' $v; done | sort -u"
    );
    owners.direct.ok(&script)
}

fn stamped(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, "")?;
    let (alice, bob) = (&owners.alice, &owners.bob.prefix);
    owners.bob.ok("docker volume create $N >/dev/null")?;
    // An image with volumes of its own.
    owners.direct.ok("docker create --network none --name $N-base $IMAGE true >/dev/null; docker commit -c 'VOLUME [\"/from/image\", \"/covered\"]' $N-base $N-vol >/dev/null; docker rm $N-base >/dev/null")?;
    let image = format!("{}-vol", owners.direct.prefix);
    let body = format!(
        r#"{{"Image":"{image}","Cmd":["sleep","1000"],"Volumes":{{"/of/config":{{}}}},"HostConfig":{{"NetworkMode":"none","Binds":["/unnamed","{0}-bind:/covered/"],"Mounts":[{{"Type":"volume","Target":"/m1"}},{{"Type":"volume","Target":"/m2","Source":"{0}-mount","VolumeOptions":{{"Labels":{{"mine":"yes"}}}}}}]}}}}"#,
        alice.prefix
    );
    let id = member(
        &expect(
            alice,
            "POST",
            &format!("/v1.45/containers/create?name={}", alice.prefix),
            &body,
            201,
        )?,
        "/Id",
    );
    expect(alice, "POST", &format!("/containers/{id}/start"), "", 204)?;
    let labels = owners_of(&owners)?;
    ensure!(
        labels.lines().count() == 1 && labels.contains("/cn:e2e ecdsa."),
        "owners of the volumes: {labels:?}"
    );
    let destinations = alice.ok(
        "docker inspect -f '{{range .Mounts}}{{.Destination}}\n{{end}}' $N | sort | tr '\\n' ' '",
    )?;
    ensure!(
        destinations.trim() == "/covered /from/image /m1 /m2 /of/config /unnamed",
        "mounts: {destinations}"
    );
    let seen = alice.ok("docker volume ls -q | wc -l")?;
    ensure!(seen.trim() == "6", "alice sees {seen} volumes");
    let label = alice.ok("docker volume inspect -f '{{index .Labels \"mine\"}}' $N-mount")?;
    ensure!(label == "yes", "the client's own labels: {label}");
    alice.ok("docker rm -fv $N >/dev/null")?;
    let left = alice.ok("docker volume ls -q | sort | tr '\\n' ' '")?;
    ensure!(
        left.trim() == format!("{0}-bind {0}-mount", alice.prefix),
        "volumes without a name go with the container: {left}"
    );
    // Another's volume, in every spelling; and nothing is left of a create that is refused.
    for host in [
        format!(r#""Binds":["{bob}:/x"]"#),
        format!(r#""Binds":["{0}-new:/y","{bob}:/x"]"#, alice.prefix),
        format!(r#""Mounts":[{{"Type":"volume","Source":"{bob}","Target":"/x"}}]"#),
    ] {
        let body = format!(r#"{{"Image":"{image}","HostConfig":{{"NetworkMode":"none",{host}}}}}"#);
        expect(alice, "POST", "/containers/create", &body, 409)?;
    }
    let body = format!(
        r#"{{"Image":"no-such-image","HostConfig":{{"NetworkMode":"none","Binds":["{}-new:/y"]}}}}"#,
        alice.prefix
    );
    expect(alice, "POST", "/containers/create", &body, 404)?;
    let left = alice.ok("docker volume ls -q | wc -l")?;
    ensure!(left.trim() == "2", "a refused create leaves {left} volumes");
    owners.direct.ok("docker rmi -f $N-vol >/dev/null")?;
    owners.finish()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
fn shared(suite: &Suite, name: &str) -> ScenarioResult {
    let direct_prefix = format!("{}-{name}-g", suite.prefix);
    let owners = Owners::start(
        suite,
        name,
        &format!(
            "[role.own.shared]\nnetworks = [\"{direct_prefix}-net\", \"{direct_prefix}-open\"]\nvolumes = [\"{direct_prefix}-cache*\"]"
        ),
    )?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    owners.direct.ok("docker network create $N-net >/dev/null; docker volume create $N-cache1 >/dev/null; docker volume create $N-other >/dev/null")?;
    for side in [alice, bob] {
        side.ok(&format!("docker run -d --name $N --network {direct_prefix}-net -v {direct_prefix}-cache1:/c $IMAGE sleep 1000 >/dev/null"))?;
    }
    let said = alice.ok("docker volume ls -q; docker network ls --format '{{.Name}}'")?;
    ensure!(
        said.contains("-cache1") && said.contains("-net") && !said.contains("-other"),
        "what is shared is listed: {said}"
    );
    let text = expect(
        alice,
        "GET",
        &format!("/networks/{direct_prefix}-net"),
        "",
        200,
    )?;
    ensure!(
        text.contains(&alice.prefix) && !text.contains(&bob.prefix),
        "containers in a shared network: {text}"
    );
    expect(
        alice,
        "GET",
        &format!("/volumes/{direct_prefix}-cache1"),
        "",
        200,
    )?;
    expect(
        alice,
        "DELETE",
        &format!("/volumes/{direct_prefix}-cache1?force=1"),
        "",
        403,
    )?;
    expect(
        alice,
        "DELETE",
        &format!("/networks/{direct_prefix}-net"),
        "",
        403,
    )?;
    alice.ok(&format!("docker network disconnect {direct_prefix}-net $N; docker network connect {direct_prefix}-net $N"))?;
    let body = format!(r#"{{"Container":"{}","Force":true}}"#, bob.prefix);
    let theirs = answered(
        alice,
        "POST",
        &format!("/networks/{direct_prefix}-net/disconnect"),
        &body,
    )?;
    ensure!(theirs.0 >= 400, "another's container: {theirs:?}");
    bob.ok(&format!("docker network disconnect {direct_prefix}-net $N"))?;
    conflicts(&owners, &direct_prefix)?;
    owners.finish()
}

/// What an owner shares and others use cannot be removed, and the answer does not say who they are.
fn conflicts(owners: &Owners<'_>, prefix: &str) -> ScenarioResult {
    let (alice, bob) = (&owners.alice, &owners.bob);
    alice.ok(&format!("docker network create {prefix}-open >/dev/null; docker volume create {prefix}-cache-of-alice >/dev/null"))?;
    bob.ok(&format!("docker run -d --name $N-user --network {prefix}-open -v {prefix}-cache-of-alice:/c $IMAGE sleep 1000 >/dev/null"))?;
    let id = bob.ok("docker inspect -f '{{.Id}}' $N-user")?;
    for path in [
        format!("/volumes/{prefix}-cache-of-alice"),
        format!("/networks/{prefix}-open"),
    ] {
        let (status, text) = answered(alice, "DELETE", &path, "")?;
        ensure!(
            status >= 400 && !text.contains(&id[..12]) && !text.contains(&bob.prefix),
            "{path}: {status} {text}"
        );
    }
    bob.ok("docker rm -f $N-user >/dev/null")?;
    alice.ok(&format!(
        "docker network rm {prefix}-open >/dev/null; docker volume rm {prefix}-cache-of-alice >/dev/null"
    ))?;
    Ok(())
}

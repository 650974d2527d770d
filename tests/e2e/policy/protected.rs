//! The gate's own house on a real engine: a role whose limits allow everything takes the gate's keys on the socket, and
//! through the gate it does not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

use super::{Roles, TEAM, path, refused};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "policy_protected__a_gate_on_the_host_keeps_its_files_from_every_limit",
            on_host,
        ),
        Case::new(
            "policy_protected__a_gate_in_a_container_keeps_its_volume_its_image_and_itself",
            in_container,
        ),
    ]
}

/// The widest limits there are.
const WIDE: &str = "privileged = true\njoin_containers = true\nbinds = [\"/**\"]\nvolumes = [\"*\"]\nimages = [\"**\"]\ntags = [\"**\"]\n";

fn on_host(suite: &Suite, name: &str) -> ScenarioResult {
    let roles = Roles::start(suite, name, &[])?;
    let (direct, team) = (roles.direct()?, roles.side(TEAM)?);
    let wide = fs::read_to_string(&roles.policy)
        .context("read the policy")?
        .replace(
            &format!("binds = [\"{}/**\"]", roles.shared.display()),
            "binds = [\"/**\"]",
        );
    super::live::reload(&roles, &wide, "\"Reloaded\"")?;
    let house = path(
        roles
            .policy
            .parent()
            .ok_or("the policy must lie somewhere")?,
    )?;
    let keys = path(
        suite
            .pki
            .server_key
            .parent()
            .ok_or("the key must lie somewhere")?,
    )?;
    let shared = path(&roles.shared)?;
    let link = roles.shared.join("link");
    std::os::unix::fs::symlink(&house, &link).context("make a link")?;
    let socket = path(&suite.engine.socket)?;
    let root = direct.ok("docker info -f '{{.DockerRootDir}}'")?;
    let root = root.trim();
    let mut wrong = Vec::new();
    for source in [
        root,
        &format!("{root}/containers"),
        &format!("{root}/volumes"),
        house.as_str(),
        &keys,
        "/",
        &format!("{house}/policy.toml"),
        &format!("{shared}/../../{name}-roles"),
        &path(&link)?,
        &socket,
    ] {
        let body = format!(
            r#"{{"Image":"dockgate-e2e-busybox","Cmd":["true"],"HostConfig":{{"NetworkMode":"none","Binds":["{source}:/x:ro"]}}}}"#
        );
        let engine = super::create(&direct, &body)?;
        ensure!(engine.0 == 201, "{source}: {} {}", engine.0, engine.1);
        if let Err(why) = refused(
            &super::create(&team, &body)?,
            403,
            (TEAM, "team"),
            "protected",
        ) {
            wrong.push(format!("{source}: {why}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    team.ok(&format!("run --rm -v {shared}:/x $IMAGE true"))?;
    // A volume by where it lies is for `binds` to speak about.
    team.ok(&format!(
        "docker volume create {0}-own >/dev/null; run --rm -v {root}/volumes/{0}-own/_data:/x $IMAGE true; docker volume rm {0}-own",
        team.prefix
    ))?;
    linked_later(&direct, &team, (&shared, &house))?;
    // What somebody else mounted is no way in.
    direct.ok(&format!(
        "run -d --name {0}-holder -v {house}:/house $IMAGE sleep 1000 >/dev/null; run -d --name {0}-plain $IMAGE sleep 1000 >/dev/null",
        team.prefix
    ))?;
    let output = team.shell("docker exec $N-holder cat /house/policy.toml")?;
    ensure!(
        output.code == 1 && output.stderr.contains("role team: protected: "),
        "exec: {} {}",
        output.code,
        output.stderr
    );
    team.ok("docker exec $N-plain true")?;
    roles.finish()
}

/// A bind that was a directory when the container was made, and is a link into the house when it is started.
fn linked_later(
    direct: &Side<'_>,
    team: &Side<'_>,
    (shared, house): (&str, &str),
) -> ScenarioResult {
    team.ok(&format!(
        "mkdir {shared}/site; echo mine > {shared}/site/policy.toml
         docker create --name $N-later -v {shared}/site:/x $IMAGE cat /x/policy.toml >/dev/null
         docker start -a $N-later | grep -q mine
         docker volume create --opt type=none --opt o=bind --opt device={shared}/site $N-device >/dev/null
         docker create --name $N-by-device -v $N-device:/x $IMAGE cat /x/policy.toml >/dev/null
         mv {shared}/site {shared}/before; ln -s {house} {shared}/site"
    ))?;
    for name in ["later", "by-device"] {
        for command in ["start", "restart -t 0"] {
            let output = team.shell(&format!("docker {command} $N-{name}"))?;
            ensure!(
                output.code == 1 && output.stderr.contains("role team: protected: "),
                "{command} {name}: {} {}",
                output.code,
                output.stderr
            );
            // The engine follows the link.
            let text = direct.ok(&format!(
                "docker start -a {0}-{name} || docker logs {0}-{name}",
                team.prefix
            ))?;
            ensure!(text.contains("version = 1"), "{name}: {text}");
        }
    }
    team.ok(&format!(
        "rm {shared}/site; mv {shared}/before {shared}/site
         docker start -a $N-later | grep -q mine; docker start -a $N-by-device | grep -q mine
         docker rm $N-later $N-by-device; docker volume rm $N-device; rm -r {shared}/site"
    ))?;
    Ok(())
}

/// Commands through the gate that it refuses; `$N` is the prefix, `$L` the directory of the volume on the host, `$P` the gate's port.
const REFUSED: &[&str] = &[
    "run --rm -v $N-certs:/c $IMAGE cat /c/ca-key.pem",
    "run --rm -v $L:/c $IMAGE cat /c/ca-key.pem",
    "run --rm -v $L/clients:/c $IMAGE true",
    "run --rm -v ${L%/_data}:/c $IMAGE true",
    "run --rm -v /:/c $IMAGE true",
    "run --rm --volumes-from $N-house $IMAGE cat /certs/ca-key.pem",
    "run --rm --pid container:$N-house $IMAGE true",
    "run --rm -v $S:/s $IMAGE true",
    "docker exec $N-house true",
    "docker exec $N-keeper cat /c/ca-key.pem",
    "run --rm --volumes-from $N-keeper $IMAGE true",
    "docker cp $N-house:/certs/ca-key.pem -",
    "docker cp $N-keeper:/c/ca-key.pem -",
    "docker commit $N-house $N-copy",
    "docker update --memory 64m $N-house",
    "docker stop $N-house",
    "docker restart $N-house",
    "docker kill $N-house",
    "docker pause $N-house",
    "docker rename $N-house $N-other",
    "docker rm -f $N-house",
    "docker logs $N-house",
    "docker volume rm $N-certs",
    "docker tag $IMAGE $N-gate",
    "docker tag $IMAGE $N-gate:other",
    "docker commit $N-plain $N-gate",
    "docker rmi $N-gate",
    "run --rm -v $R/containers:/c:ro $IMAGE true",
    "run --rm -v $R/overlay2:/c:ro $IMAGE true",
    "run --rm -v $R:/c:ro $IMAGE true",
    "run --rm -p 127.0.0.2:$P:80 $IMAGE true",
    "run --rm -p $((P - 1))-$((P + 1)):80 $IMAGE true",
];

/// Commands that pass beside them.
const ALLOWED: &[&str] = &[
    "run --rm -v $N-data:/c $IMAGE true",
    "run --rm --volumes-from $N-plain $IMAGE true",
    "docker exec $N-plain true",
    "docker restart -t 0 $N-plain",
    "docker inspect $N-house >/dev/null",
    "docker tag $IMAGE $N-free",
    "docker rmi $N-free",
    "docker volume rm $N-data",
    "run --rm -p 127.0.0.1::80 -p 127.0.0.2:$P:80/udp $IMAGE true",
];

fn in_container(suite: &Suite, name: &str) -> ScenarioResult {
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    let house = suite.scratch(&format!("{name}-house"))?;
    let policy = format!(
        "version = 1\n[[client]]\nmatch = {{ cn = \"admin\" }}\nrole = \"team\"\n[role.team]\nbase = \"ci\"\nallow = [\"image.commit\", \"image.delete\"]\n[role.team.limits]\n{WIDE}"
    );
    fs::write(house.join("policy.toml"), policy).context("write the policy")?;
    let result = served(&direct, &house);
    let clean = "docker rm -fv $N-house $N-keeper $N-plain; docker volume rm -f $N-certs $N-data; docker rmi -f $N-gate $N-free; true";
    direct.shell(clean)?;
    direct.clean();
    result
}

fn served(direct: &Side<'_>, house: &Path) -> ScenarioResult {
    let binary = env!("CARGO_BIN_EXE_dockgate");
    let socket = path(&direct.suite.engine.socket)?;
    // The binary is not static: the host's libraries come along.
    let script = format!(
        "set -e
         docker tag $IMAGE $N-gate; docker volume create $N-certs >/dev/null
         docker run -d --name $N-house --network host -v $N-certs:/certs -v {socket}:/var/run/docker.sock -v {house}:/etc/dockgate:ro \
           -v {binary}:/dockgate:ro -v /lib:/lib:ro -v /lib64:/lib64:ro -v /usr/lib:/usr/lib:ro --entrypoint /dockgate $N-gate \
           serve --auto-certs /certs -H tcp://127.0.0.1:0 --policy /etc/dockgate/policy.toml --control-socket off --log-format json >/dev/null
         run -d --name $N-keeper -v $N-certs:/c $IMAGE sleep 1000 >/dev/null
         run -d --name $N-plain $IMAGE sleep 1000 >/dev/null",
        house = house.display(),
    );
    direct.ok(&script)?;
    let mut log = direct.start("docker logs -f $N-house 2>&1")?;
    let port = log.stdout.wait_for(Duration::from_secs(20), |text| {
        let (_, rest) = text.split_once("\"127.0.0.1:")?;
        rest.split('"').next()?.parse::<u16>().ok()
    });
    let port = port.ok_or_else(|| format!("the gate does not listen\n{}", log.transcript()))?;
    let place = direct.ok("docker volume inspect -f '{{.Mountpoint}}' $N-certs")?;
    let root = direct.ok("docker info -f '{{.DockerRootDir}}'")?;
    direct.ok("docker cp $N-house:/certs/clients/admin ./admin")?;
    // On the socket each of these works, which is the point.
    direct.ok("run --rm -v $N-certs:/c $IMAGE cat /c/ca-key.pem >/dev/null")?;
    let gate = format!(
        "export L={} R={} P={port} S={socket} DOCKER_HOST=tcp://localhost:{port} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$PWD/admin\n",
        place.trim(),
        root.trim()
    );
    let mut wrong = Vec::new();
    for command in REFUSED {
        let output = direct.shell(&format!("{gate}{command}"))?;
        if output.code == 0 || !output.stderr.contains("role team: protected: ") {
            wrong.push(format!("{command}: {} {}", output.code, output.stderr));
        }
    }
    for command in ALLOWED {
        let output = direct.shell(&format!("{gate}{command}"))?;
        if output.code != 0 {
            wrong.push(format!("{command}: {} {}", output.code, output.stderr));
        }
    }
    log.signal(rustix::process::Signal::TERM);
    log.finish(Duration::from_secs(10))?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

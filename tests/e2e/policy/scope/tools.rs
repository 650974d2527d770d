//! The tools that people use, inside a scope; and two of them at once.

use std::thread;
use std::time::Duration;

use super::Owners;
use crate::support::client::Side;
use crate::support::suite::{Case, Suite};
use crate::support::{ScenarioResult, ensure};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("policy_scope_cli__notices_nothing", cli),
        Case::needing(
            &["PYTHON"],
            "policy_scope_docker_py__notices_nothing",
            docker_py,
        ),
        Case::needing(
            &["COMPOSE"],
            "policy_scope_compose__two_projects_of_one_file",
            compose,
        ),
        Case::needing(
            &["PYTHON"],
            "policy_scope_testcontainers__notices_nothing",
            testcontainers,
        ),
        Case::new("policy_scope_builds__of_two_owners_at_once", builds),
    ]
}

const ROLE: &str = "[role.own.shared]\nnetworks = [\"none\"]";

/// Commands of a day; each must work for an owner as it does on the engine's own socket.
const DAY: &str = r#"set -e
sleeper -v $N-data:/data -e A=b
docker exec $N echo inside; echo piped | docker exec -i $N cat
docker ps --filter name=$N --format '{{.Names}} {{.State}}'
echo hello >file; docker cp file $N:/data/; docker cp $N:/data/file - | tar -xO
docker top $N -o pid,args | tail -1 | sed 's/^ *[0-9]* *//'
docker stats --no-stream --format '{{.Name}}' $N
docker update --memory 64m --memory-swap 64m $N
docker pause $N; docker unpause $N
docker rename $N $N-renamed; docker rename $N-renamed $N
docker diff $N | sed -n 1p
docker export $N | tar -t | grep -c '^bin/$'
docker commit $N $N-image >/dev/null; docker run --rm --network none --pull never $N-image cat /etc/hostname >/dev/null; docker rmi -f $N-image >/dev/null
run --rm $IMAGE sh -c 'echo out; exit 3' || echo "exit $?"
run --rm --name $N-second --volumes-from $N --pid container:$N $IMAGE cat /data/file
echo text | run -i --rm $IMAGE cat
docker volume inspect -f '{{.Name}}' $N-data
docker logs $N
docker stop -t 0 $N; docker wait $N; docker start $N; docker rm -fv $N; docker volume rm $N-data
docker network create $N-net >/dev/null; docker network rm $N-net
"#;

fn cli(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let output = |side: &crate::support::client::Side<'_>| {
        let output = side.shell_within(DAY, Duration::from_secs(90))?;
        ensure!(
            output.code == 0,
            "exit {}: {}{}",
            output.code,
            output.text(),
            output.stderr
        );
        Ok(side.normalise(&output.text()))
    };
    let expected = output(&owners.direct)?;
    let got = output(&owners.alice)?;
    ensure!(expected == got, "expected:\n{expected}\ngot:\n{got}");
    // Nothing of others is taken, and images have no owner.
    owners
        .bob
        .ok("sleeper; docker stop -t0 $N >/dev/null; docker network create $N >/dev/null")?;
    owners.direct.ok("docker tag $IMAGE $N-unused")?;
    owners.alice.ok("run --name $N-gone $IMAGE true; docker system prune -af --volumes >/dev/null; [ -z \"$(docker ps -aq)\" ]")?;
    owners
        .bob
        .ok("docker inspect $N >/dev/null; docker network inspect $N >/dev/null")?;
    owners.direct.ok("docker rmi $N-unused >/dev/null")?;
    owners.finish()
}

fn docker_py(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let script = "timeout 50 $PYTHON $CLIENTS/docker_py.py tour $N $IMAGE";
    same_for_both(&owners, script)?;
    owners.finish()
}

fn testcontainers(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    same_for_both(
        &owners,
        "timeout 80 $PYTHON $CLIENTS/containers_test.py $N $IMAGE",
    )?;
    for side in [&owners.alice, &owners.bob] {
        let left = side.ok("docker ps -aq; docker volume ls -q")?;
        ensure!(left.is_empty(), "left: {left}");
    }
    owners.finish()
}

/// Two owners run a script at once, and each sees what the engine's own socket shows.
fn same_for_both(owners: &Owners<'_>, script: &str) -> ScenarioResult {
    let expected = owners.direct.normalise(&owners.direct.ok(script)?);
    at_once([&owners.alice, &owners.bob], |side| {
        let got = side.normalise(&side.ok(script)?);
        ensure!(expected == got, "expected:\n{expected}\ngot:\n{got}");
        Ok(())
    })
}

/// Does the same for two owners at once.
fn at_once<'a>(
    sides: [&'a Side<'a>; 2],
    work: impl Fn(&'a Side<'a>) -> ScenarioResult + Sync,
) -> ScenarioResult {
    let work = &work;
    thread::scope(|scope| {
        let threads = sides.map(|side| scope.spawn(move || work(side)));
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.unwrap_or_else(|_| Err("a thread panicked".into()))
        })
    })
}

/// Classic builds with steps, and an image of a container: each owner gets its own, and the steps are nobody's.
fn builds(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let script = r#"mkdir -p context; printf 'FROM %s\nARG WHO\nLABEL kept=yes\nRUN sleep 1; echo $WHO >/who\nENTRYPOINT ["cat"]\nCMD ["/who"]\n' $IMAGE >context/Dockerfile
DOCKER_BUILDKIT=0 docker build -q --rm=false --network none --build-arg WHO=$N -t $N-built context >/dev/null
run --rm $N-built
run --name $N-made --entrypoint true $N-built; docker commit $N-made $N-commit >/dev/null; docker rm $N-made >/dev/null
run --rm --entrypoint cat $N-commit /who; docker inspect -f '{{.Config.Labels.kept}} {{index .Config.Labels "dockgate.owner"}}' $N-built
docker ps -aq; docker rmi -f $N-built $N-commit >/dev/null"#;
    at_once([&owners.alice, &owners.bob], |side| {
        let said = side.ok(script)?;
        let expected = format!("{0}\n{0}\nyes", side.prefix);
        ensure!(
            said.trim_end() == expected,
            "expected {expected:?}, got {said:?}"
        );
        Ok(())
    })?;
    // An image gets no label of the gate's own.
    for line in ["LABEL dockgate.owner=x", "ONBUILD LABEL dockgate.image=x"] {
        let script = format!(
            "mkdir -p context; printf 'FROM %s\\n{line}\\n' $IMAGE >context/Dockerfile; DOCKER_BUILDKIT=0 docker build --network none -t $N-built context 2>&1"
        );
        let output = owners.alice.shell(&script)?;
        ensure!(
            output.code != 0 && output.text().contains("role own: scope: Dockerfile:2"),
            "{line}: {}",
            output.text()
        );
    }
    owners.finish()
}

const COMPOSE: &str = r#"cat >compose.yaml <<END
services:
  web: {image: $IMAGE, command: sleep 1000, stop_grace_period: 0s, pull_policy: never, volumes: ["data:/data", "/unnamed"], networks: [front]}
  side: {image: $IMAGE, command: sleep 1000, stop_grace_period: 0s, pull_policy: never, network_mode: none, depends_on: [web]}
volumes: {data: {}}
networks: {front: {}}
END
"#;

fn compose(suite: &Suite, name: &str) -> ScenarioResult {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    let up = format!(
        "{COMPOSE} docker compose -p ${{N,,}} up -d 2>&1 && docker compose -p ${{N,,}} exec -T web sh -c 'echo $HOSTNAME >/data/x' && docker compose -p ${{N,,}} ps --format '{{{{.Service}}}} {{{{.State}}}}' | sort"
    );
    at_once([alice, bob], |side| {
        let output = side.shell_within(&up, Duration::from_secs(90))?;
        ensure!(
            output.code == 0 && output.text().ends_with("side running\nweb running\n"),
            "{}{}",
            output.text(),
            output.stderr
        );
        Ok(())
    })?;
    let both = owners.direct.ok("docker ps --format '{{.Names}}' --filter label=com.docker.compose.service=web --filter name=$N | wc -l")?;
    ensure!(both.trim() == "2", "{both} projects run");
    // A second run finds everything as it is.
    let again = alice.ok("docker compose -p ${N,,} up -d 2>&1")?;
    ensure!(
        !again.contains("Recreate") && !again.contains("Created"),
        "{again}"
    );
    // The same project name is taken; the first is unharmed.
    let taken = bob.shell(&format!(
        "docker compose -p {} up -d",
        alice.prefix.to_lowercase()
    ))?;
    ensure!(taken.code != 0, "a taken project name must be refused");
    let said = alice.ok("docker compose -p ${N,,} ps --format '{{.Service}} {{.State}}' | sort")?;
    ensure!(said == "side running\nweb running", "{said}");
    for side in [bob, alice] {
        side.ok("docker compose -p ${N,,} down -v 2>&1")?;
        let left =
            side.ok("docker ps -aq; docker volume ls -q; docker network ls -q --filter name=$N")?;
        let said = side.ok("docker ps -a; docker volume ls; docker network ls")?;
        ensure!(left.is_empty(), "left: {said}");
    }
    owners.finish()
}

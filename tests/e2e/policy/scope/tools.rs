//! The tools that people use, inside a scope; and two of them at once.

use std::thread;
use std::time::{Duration, Instant};

use super::{Owners, answered, expect, member};
use crate::support::suite::{Case, Suite};
use crate::support::{Verdict, ensure};

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
        Case::new("policy_scope_race__a_name_that_changes_hands", race),
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
docker diff $N | head -1
docker export $N | tar -t | grep -c '^bin/$'
docker commit $N $N-image >/dev/null; docker run --rm --network none --pull never $N-image cat /etc/hostname >/dev/null; docker rmi -f $N-image >/dev/null
run --rm $IMAGE sh -c 'echo out; exit 3' || echo "exit $?"
run --rm --name $N-second --volumes-from $N --pid container:$N $IMAGE cat /data/file
echo text | run -i --rm $IMAGE cat
docker volume inspect -f '{{.Name}}' $N-data
docker logs $N
docker stop -t 0 $N; docker wait $N; docker start $N; docker rm -fv $N; docker volume rm $N-data
docker network create $N-net >/dev/null; docker network rm $N-net
docker system prune -f 2>&1 | tail -1 || true
"#;

fn cli(suite: &Suite, name: &str) -> Verdict {
    let owners = Owners::start(suite, name, ROLE)?;
    let output = |side: &crate::support::client::Side<'_>| {
        let script = DAY.replace("docker system prune -f 2>&1 | tail -1 || true\n", "");
        let output = side.shell_within(&script, Duration::from_secs(90))?;
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
    // What system prune asks that a scope refuses is told, and nothing of others is taken.
    owners.bob.ok("sleeper; docker stop -t0 $N >/dev/null")?;
    owners.alice.shell("docker system prune -f")?;
    owners.bob.ok("docker inspect $N >/dev/null")?;
    owners.finish()
}

fn docker_py(suite: &Suite, name: &str) -> Verdict {
    let owners = Owners::start(suite, name, ROLE)?;
    let script = "timeout 50 $PYTHON $CLIENTS/docker_py.py tour $N $IMAGE";
    let (expected, got) = (owners.direct.ok(script)?, owners.alice.ok(script)?);
    let (expected, got) = (
        owners.direct.normalise(&expected),
        owners.alice.normalise(&got),
    );
    ensure!(expected == got, "expected:\n{expected}\ngot:\n{got}");
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

fn compose(suite: &Suite, name: &str) -> Verdict {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob) = (&owners.alice, &owners.bob);
    let up = format!(
        "{COMPOSE} docker compose -p ${{N,,}} up -d 2>&1 && docker compose -p ${{N,,}} exec -T web sh -c 'echo $HOSTNAME >/data/x' && docker compose -p ${{N,,}} ps --format '{{{{.Service}}}} {{{{.State}}}}' | sort"
    );
    for side in [alice, bob] {
        let output = side.shell_within(&up, Duration::from_secs(90))?;
        ensure!(
            output.code == 0 && output.text().ends_with("side running\nweb running\n"),
            "{}{}",
            output.text(),
            output.stderr
        );
    }
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

/// The name of alice's container goes to bob's and back, while alice pauses and unpauses what has it.
#[expect(clippy::too_many_lines, reason = "scenario")]
fn race(suite: &Suite, name: &str) -> Verdict {
    let owners = Owners::start(suite, name, ROLE)?;
    let (alice, bob, direct) = (&owners.alice, &owners.bob, &owners.direct);
    alice.ok("sleeper")?;
    bob.ok("sleeper")?;
    let id = |side: &crate::support::client::Side<'_>| {
        let text = expect(
            side,
            "GET",
            &format!("/containers/{}/json", side.prefix),
            "",
            200,
        )?;
        Ok::<_, String>(member(&text, "/Id"))
    };
    let (own, theirs) = (id(alice)?, id(bob)?);
    let wanted = format!("{}-wanted", alice.prefix);
    let until = Instant::now() + Duration::from_secs(5);
    let (swaps, hits) = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut count = 0;
            while Instant::now() < until {
                for (id, name) in [
                    (&own, &wanted),
                    (&own, &alice.prefix),
                    (&theirs, &wanted),
                    (&theirs, &bob.prefix),
                ] {
                    expect(
                        direct,
                        "POST",
                        &format!("/containers/{id}/rename?name={name}"),
                        "",
                        204,
                    )?;
                    count += 1;
                }
            }
            Ok::<_, String>(count)
        });
        let mut hits = 0;
        while Instant::now() < until {
            for action in ["pause", "unpause"] {
                let target = format!("/containers/{wanted}/{action}");
                hits += usize::from(answered(alice, "POST", &target, "")?.0 == 204);
            }
        }
        let swaps = swapping
            .join()
            .unwrap_or_else(|_| Err("a thread panicked".into()))?;
        Ok::<_, String>((swaps, hits))
    })?;
    ensure!(swaps > 20 && hits > 0, "{swaps} renames, {hits} hits");
    let text = expect(
        direct,
        "GET",
        &format!("/containers/{theirs}/json"),
        "",
        200,
    )?;
    ensure!(member(&text, "/State/Status") == "running", "{text}");
    let events = direct.ok(&format!("docker events --since 10m --until 0s --filter container={theirs} --filter event=pause --format '{{{{.Action}}}}'"))?;
    ensure!(
        events.is_empty(),
        "another's container was paused: {events}"
    );
    owners.finish()
}

//! The clients people use: the docker CLI's ways of being told, compose, buildx, docker-py, aiodocker, dockerode (§9,
//! 14, 15, 18, 42–44).

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::client::Side;
use super::support::suite::{Case, Suite};
use super::support::tap::Tap;
use super::support::tapped::Tapped;
use super::support::{ScenarioResult, ensure};

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    let python = |name, run| Case::needing(&["PYTHON"], name, run);
    let node = |name, run| Case::needing(&["NODE", "NODE_PATH"], name, run);
    let compose = |name, run| Case::needing(&["COMPOSE"], name, run);
    vec![
        case(
            "docker_cli__is_told_by_flags_variables_and_contexts",
            ways_to_be_told,
        ),
        python("c14__docker_py_exec_run_is_never_empty", |suite, name| {
            suite.compare(name, |side| {
                let output = side.shell_within(
                    "sleeper; $PYTHON $CLIENTS/docker_py.py exec_many $N",
                    Duration::from_secs(170),
                )?;
                ensure!(
                    output.text() == "200 of 200\n",
                    "got {} {}",
                    output.text(),
                    output.stderr
                );
                Ok(String::new())
            })
        }),
        python(
            "docker_py__run_logs_attach_exec_archive_and_events",
            |suite, name| {
                suite.script(
                    name,
                    "$PYTHON $CLIENTS/docker_py.py tour $N $IMAGE",
                    0,
                    DOCKER_PY,
                )
            },
        ),
        python("aiodocker__run_logs_exec_and_websocket", |suite, name| {
            suite.script(
                name,
                "timeout 50 $PYTHON $CLIENTS/aio.py $N $IMAGE",
                0,
                "OK\nlog: ['out\\n']\nexec: inside\nstatus: 7\n",
            )
        }),
        node(
            "c15b__dockerode_attach_with_and_without_hijack",
            |suite, name| {
                suite.script(
                    name,
                    "timeout 50 $NODE $CLIENTS/dockerode.js $N $IMAGE",
                    0,
                    "hijack true: ping pong\nhijack false: ping pong\nexec: inside\nwait: 5\n",
                )
            },
        ),
        Case {
            name: "c44__bollard_attach_exec_logs_and_wait",
            needs: &["BOLLARD"],
            run: |suite, name| {
                suite.script(name, "$BOLLARD $N $IMAGE", 0, "ping OK\nexec \"inside\\n\"\nattach \"ping pong\\n\"\nwait 6\nlogs \"ping pong\\n\"\n")
            },
        },
        Case {
            name: "c18__buildx_builds_a_thousand_files",
            needs: &["BUILDX"],
            run: |suite, name| {
                let script = format!("{THOUSAND} docker buildx build --progress plain --network none -t $N ctx 2>&1 | grep -c -e 'exporting to image' >/dev/null
                run --rm $N cat /count");
                suite.script(name, &script, 0, "1001\n")
            },
        },
        Case {
            name: "c18b__buildx_heads_reach_the_engine_unchanged",
            needs: &["BUILDX"],
            run: buildx_heads,
        },
        case(
            "classic_build__gives_the_same_image_and_exit_code",
            |suite, name| {
                let script = format!("{THOUSAND} DOCKER_BUILDKIT=0 docker build -q --network none -t $N ctx >/dev/null; run --rm $N cat /count
                printf \"FROM $IMAGE\\nRUN exit 9\\n\" >ctx/Dockerfile; DOCKER_BUILDKIT=0 docker build --network none ctx >/dev/null 2>err; echo $?; grep -o 'returned a non-zero code: 9' err");
                suite.script(name, &script, 0, "1001\n9\nreturned a non-zero code: 9\n")
            },
        ),
        compose(
            "c42__compose_up_with_twenty_services_gives_every_line",
            |suite, name| suite.compare(name, |side| compose_up(side, "docker compose")),
        ),
        compose(
            "c42b__compose_logs_end_on_ctrl_c_and_leave_nothing",
            compose_logs,
        ),
        Case {
            name: "compose_v1__up_exec_and_down",
            needs: &["COMPOSE1"],
            run: |suite, name| suite.compare(name, |side| compose_up(side, "$COMPOSE1")),
        },
        case(
            "c43__sixty_containers_are_removed_at_once",
            |suite, name| {
                let script = "for i in $(seq 60); do echo $N-$i; done >names; xargs -P 8 -n 1 docker create --network none $IMAGE true --name <names >/dev/null 2>&1
                xargs -P 8 -I{} docker create --network none --name {} $IMAGE true <names >/dev/null; xargs docker rm -f <names | sort -V | diff - names && echo all";
                suite.script(name, script, 0, "all\n")
            },
        ),
        case(
            "copy__directories_both_ways_keep_modes_and_contents",
            |suite, name| {
                let script = "sleeper; mkdir -p tree/sub; echo one >tree/a; echo two >tree/sub/b; chmod 751 tree/sub; ln -s a tree/link
                docker cp tree $N:/tree 2>/dev/null; docker cp $N:/tree back 2>/dev/null; cat back/a back/sub/b; stat -c %a back/sub; readlink back/link";
                suite.script(name, script, 0, "one\ntwo\n751\na\n")
            },
        ),
        case("import_export_save_load__keep_the_image", |suite, name| {
            let script = "docker tag $IMAGE $N; docker save $N -o img.tar; docker rmi $N >/dev/null; docker load -q -i img.tar >/dev/null
                run --rm $N echo loaded; sleeper; docker export $N | tar t | grep -c '^bin/busybox$'; docker commit $N $N-c >/dev/null; run --rm $N-c echo committed";
            suite.script(name, script, 0, "loaded\n1\ncommitted\n")
        }),
        case("everyday__commands_give_the_same", |suite, name| {
            let script = "docker create --network none --name $N -e A=b $IMAGE sh -c 'echo $A; sleep 0.3; exit 4' >/dev/null; docker start -a $N; echo $?
                docker inspect -f '{{.State.ExitCode}}' $N; docker logs $N; docker rename $N $N-2; docker ps -a --filter name=$N-2 --format '{{.Names}}'
                docker diff $N-2; docker update --cpu-shares 100 $N-2; docker start $N-2 >/dev/null; docker wait $N-2; docker restart -t 0 $N-2 >/dev/null; echo $?
                docker volume create $N-v; docker volume rm $N-v; docker inspect nothing-$N; echo $?; docker run --pull never --network none $N-missing-image:x; echo $?";
            suite.compare(name, |side| side.ok(script))
        }),
    ]
}

/// A context of a thousand files whose number the image knows.
const THOUSAND: &str = "mkdir ctx; for i in $(seq 1000); do echo $i >ctx/f$i; done; printf \"FROM $IMAGE\\nCOPY . /x\\nRUN ls /x | wc -l >/count\\n\" >ctx/Dockerfile;";

/// What `docker_py.py tour` prints.
const DOCKER_PY: &str = "ping True\nrun b'hello\\n'\nlogs b'line\\n'\nexec 5 b'out\\n'\ndemux (b'o\\n', b'e\\n')\nsocket b'echoed\\n'\nattach b'typed\\n'\narchive data\nevent kill\nwait 137\nmissing 404\n";

fn ways_to_be_told(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = suite.gate()?;
    let side = Side::gate(suite, name, gate.addr)?;
    let port = gate.addr.port();
    let flags = format!(
        "--tlsverify --tlscacert $C/ca.pem --tlscert $C/cert.pem --tlskey $C/key.pem -H tcp://localhost:{port}"
    );
    let script = format!(
        "C=$DOCKER_CERT_PATH
         docker version --format '{{{{.Server.Version}}}}'
         unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH
         docker {flags} version --format '{{{{.Server.Version}}}}'
         docker context create $N --docker host=tcp://127.0.0.1:{port},ca=$C/ca.pem,cert=$C/cert.pem,key=$C/key.pem >/dev/null 2>&1
         docker --context $N version --format '{{{{.Server.Version}}}}'
         docker --context $N run --network none --rm $IMAGE echo by context"
    );
    let text = side.ok(&script)?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(
        lines.len() == 4 && lines[0] == lines[1] && lines[1] == lines[2],
        "expected the same version three times, got {text}"
    );
    ensure!(
        lines[3] == "by context" && !lines[0].is_empty(),
        "expected a container's output, got {text}"
    );
    Ok(())
}

/// The heads of a build, as the engine gets them from buildx directly and through the gate: the same lines but for Host
/// and the session's random names.
fn buildx_heads(suite: &Suite, name: &str) -> ScenarioResult {
    let script = "mkdir -p ctx; printf \"FROM $IMAGE\\nCOPY Dockerfile /\\n\" >ctx/Dockerfile; docker buildx build -q --network none -t $N ctx";
    let tapped = Tapped::start(suite, name)?;
    tapped.side.ok(script)?;
    let through = upgrade_heads(&tapped.tap);
    let plain = Tap::start(
        &suite.scratch("tap")?.join(format!("{name}-direct.sock")),
        &suite.engine.socket,
    )?;
    let direct = Side::direct(suite, name, &plain.socket)?;
    direct.ok(script)?;
    let expected = upgrade_heads(&plain);
    direct.clean();
    tapped.finish()?;
    ensure!(
        expected.contains_key("POST /session HTTP/1.1"),
        "buildx opened no session: {:?}",
        expected.keys()
    );
    ensure!(
        expected == through,
        "heads differ\n--- direct\n{expected:#?}\n--- gate\n{through:#?}"
    );
    Ok(())
}

/// Request line to sorted header lines, for the requests with an Upgrade; values that differ from run to run are cut.
fn upgrade_heads(tap: &Tap) -> BTreeMap<String, Vec<String>> {
    let mut heads = BTreeMap::new();
    for seen in tap.seen() {
        let text = seen.text();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines();
        let Some(request) = lines.next().filter(|_| head.contains("Upgrade: h2c")) else {
            continue;
        };
        let cut = |line: &str| {
            let random = [
                "X-Docker-Expose-Session-Uuid",
                "X-Docker-Expose-Session-Sharedkey",
                "X-Docker-Expose-Session-Name",
                "Host",
            ];
            match line.split_once(':') {
                Some((name, _)) if random.iter().any(|one| one.eq_ignore_ascii_case(name)) => {
                    name.to_owned()
                }
                _ => line.to_owned(),
            }
        };
        let mut lines: Vec<String> = lines.map(cut).collect();
        lines.sort();
        heads.insert(request.to_owned(), lines);
    }
    heads
}

fn compose_up(side: &Side<'_>, compose: &str) -> ScenarioResult<String> {
    let services: String = (1..=20)
        .map(|n| {
            format!("  s{n}:\n    image: dockgate-e2e-busybox\n    network_mode: none\n    container_name: {}-{n}\n    command: echo line {n}\n", side.prefix)
        })
        .collect();
    std::fs::write(
        side.directory.join("docker-compose.yaml"),
        format!("version: \"3\"\nservices:\n{services}"),
    )
    .map_err(|error| format!("cannot write the compose file: {error}"))?;
    let project = format!("-p p{}", side.prefix.replace('-', ""));
    let output = side.shell_within(
        &format!("{compose} {project} up 2>&1 </dev/null"),
        Duration::from_secs(90),
    )?;
    let text = output.text();
    ensure!(
        output.code == 0,
        "compose up ended with {}: {text}",
        output.code
    );
    for n in 1..=20 {
        let count = text
            .lines()
            .filter(|line| line.trim_end().ends_with(&format!("line {n}")))
            .count();
        ensure!(
            count == 1,
            "expected \"line {n}\" once, found it {count} times in\n{text}"
        );
    }
    side.shell_within(
        &format!("{compose} {project} down -t 0 2>&1 </dev/null"),
        Duration::from_secs(60),
    )?;
    Ok(format!("{}", output.code))
}

fn compose_logs(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    let side = &tapped.side;
    let service = |n: u32| {
        format!(
            "  s{n}:\n    image: dockgate-e2e-busybox\n    network_mode: none\n    container_name: {}-{n}\n    command: sh -c 'echo up {n}; sleep 1000'\n",
            side.prefix
        )
    };
    let file: String = (1..=5).map(service).collect();
    std::fs::write(
        side.directory.join("docker-compose.yaml"),
        format!("services:\n{file}"),
    )
    .map_err(|error| error.to_string())?;
    side.ok("docker compose -p p$$ up -d 2>&1; echo $$ >project")?;
    let mut logs = side.start("exec docker compose -p p$(cat project) logs -f")?;
    let all = logs.stdout.wait_for(Duration::from_secs(30), |text| {
        (1..=5)
            .all(|n| text.contains(&format!("up {n}")))
            .then_some(())
    });
    let transcript = logs.transcript();
    logs.signal(rustix::process::Signal::INT);
    let ended = logs.finish(Duration::from_secs(20));
    let gone = tapped.tap.all_ended(Duration::from_secs(5));
    side.shell("docker compose -p p$(cat project) down -t 0 2>&1")?;
    ensure!(all.is_some(), "not every service's line came: {transcript}");
    ended?;
    ensure!(gone, "connections to the engine were left open");
    tapped.finish()
}

//! Streams: at once, never cut by a deadline, and cancelled upstream when the client goes (§9, 19–24; R15–R22).

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::client::Side;
use super::support::suite::{Case, LONG, Suite};
use super::support::tapped::Tapped;
use super::support::{ScenarioResult, ensure};

/// How soon the engine must see that a client has gone.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How soon a line must have reached the client: far below any buffer's timer, far above a busy machine's delays.
const PROMPT: Duration = Duration::from_millis(500);
/// For things that must happen at all.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    let curl = |name, run| Case::needing(&["CURL"], name, run);
    vec![
        case("c19__an_idle_exec_still_echoes", |suite, name| {
            suite.compare_hasty(name, idle_exec)
        }),
        case(
            "run_output__what_the_engine_has_logged_is_what_the_client_got",
            logged_output,
        ),
        case("c21__events_come_at_once", |suite, name| {
            suite.compare(name, prompt_events)
        }),
        case("idle_streams__outlive_every_deadline", |suite, name| {
            suite.compare_hasty(name, idle_streams)
        }),
        case("logs_follow__gives_each_line_at_once", |suite, name| {
            suite.compare(name, prompt_logs)
        }),
        case("stats__stream_until_the_client_leaves", |suite, name| {
            suite.script(name, "sleeper; (timeout -s INT -k 2 4 docker stats --format '{{.Name}}' $N >seen; true) 2>/dev/null; [ $(grep -c $N seen) -ge 3 ] && echo streamed", 0, "streamed\n")
        }),
        curl(
            "upload__starts_before_it_is_complete",
            upload_starts_at_once,
        ),
        curl("c22a__a_killed_build_is_cancelled", killed_build),
        curl("c22b__killed_events_are_cancelled", |suite, name| {
            killed_stream(suite, name, "docker events", "/events")
        }),
        curl("c22c__a_killed_wait_is_cancelled", |suite, name| {
            killed_stream(suite, name, "docker wait $N", "/wait")
        }),
        curl("c22d__killed_logs_are_cancelled", |suite, name| {
            killed_stream(suite, name, "docker logs -f $N", "/logs")
        }),
        curl("c22e__killed_stats_are_cancelled", |suite, name| {
            killed_stream(suite, name, "docker stats $N", "/stats")
        }),
        curl(
            "c23__a_build_with_a_length_is_not_cancelled",
            |suite, name| {
                let script = r#"mkdir ctx; printf "FROM $IMAGE\nRUN sleep 3; echo built\n" >ctx/Dockerfile; tar -C ctx -cf ctx.tar .
                api "/v1.45/build?t=$N&networkmode=none" -H 'Content-Type: application/x-tar' --data-binary @ctx.tar | grep -o -e '"built' -e 'Successfully tagged'"#;
                suite.script(name, script, 0, "\"built\nSuccessfully tagged\n")
            },
        ),
        case("c26__cp_to_a_missing_container_says_so", |suite, name| {
            // What the CLI's own tar writer says about the pipe it lost depends on timing.
            let script = "head -c 20M /dev/zero >big; docker cp big $N-missing:/ 2>err; code=$?; grep -v level=error err >&2; exit $code";
            suite.compare(name, |side| {
                let output = side.shell(script)?;
                ensure!(
                    output.code == 1 && !output.stderr.contains("EOF"),
                    "got {} {}",
                    output.code,
                    output.stderr
                );
                Ok(output.stderr)
            })
        }),
        curl(
            "c26b__put_archive_with_a_body_to_a_missing_container_gets_404",
            |suite, name| {
                let script = "head -c 1M /dev/zero >big; api \"/v1.45/containers/$N-missing/archive?path=/\" -T big -w ' %{http_code}'";
                suite.compare(name, |side| {
                    side.ok(script).and_then(|text| {
                        ensure!(
                            text.ends_with("404") && text.contains("o such container"),
                            "got {text}"
                        );
                        Ok(text)
                    })
                })
            },
        ),
        curl(
            "early_answer__to_a_large_build_is_read_every_time",
            early_answers,
        ),
    ]
}

fn idle_exec(side: &Side<'_>) -> ScenarioResult<String> {
    side.ok("sleeper")?;
    let mut exec = side.start("docker exec -i $N cat")?;
    exec.write(b"one\n");
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("one\n").then_some(()))
        .ok_or("the first line did not come back")?;
    // The idle time is what is tested.
    std::thread::sleep(LONG);
    exec.write(b"two\n");
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("two\n").then_some(()))
        .ok_or("the line after the pause did not come back")?;
    exec.close_stdin();
    let output = exec.finish(PATIENCE)?;
    Ok(format!(
        "{} {} {}",
        output.code,
        output.text(),
        output.stderr
    ))
}

/// Events, logs, wait and attach, all silent for longer than every deadline, then all with news.
fn idle_streams(side: &Side<'_>) -> ScenarioResult<String> {
    side.ok("run -d --name $N $IMAGE sh -c 'trap \"echo bye; exit 7\" TERM; while :; do sleep 0.1; done'")?;
    let mut clients = Vec::new();
    for command in [
        "docker events --filter container=$N --format '{{.Action}}'",
        "docker logs -f $N",
        "docker wait $N",
        "docker attach --no-stdin $N",
    ] {
        clients.push(side.start(command)?);
    }
    std::thread::sleep(LONG);
    for client in &mut clients {
        ensure!(
            client.running(),
            "a stream was cut while idle: {}",
            client.transcript()
        );
    }
    side.ok("docker kill -s TERM $N")?;
    let events = clients.remove(0);
    events
        .stdout
        .wait_for(PATIENCE, |text| text.contains("die").then_some(()))
        .ok_or("events missed the container's end")?;
    let mut seen = String::new();
    for mut client in clients {
        let output = client.finish(PATIENCE)?;
        seen += &format!("{} {}{}", output.code, output.text(), output.stderr);
    }
    ensure!(
        seen.contains("bye") && seen.contains('7'),
        "expected bye and 7, got {seen}"
    );
    Ok(seen)
}

fn prompt_events(side: &Side<'_>) -> ScenarioResult<String> {
    side.ok("sleeper")?;
    let events = side.start(
        "docker events --filter container=$N --format '{{.Action}} {{.Actor.Attributes.signal}}'",
    )?;
    // Events tells nobody that it listens; a rename is repeated until one is seen.
    let mut heard = None;
    for attempt in 0..50 {
        side.ok(&format!(
            "docker rename $N $N-{attempt}; docker rename $N-{attempt} $N"
        ))?;
        heard = events.stdout.wait_for(Duration::from_millis(200), |text| {
            text.contains("rename").then_some(())
        });
        if heard.is_some() {
            break;
        }
    }
    heard.ok_or("events heard nothing")?;
    side.ok("docker kill -s USR1 $N")?;
    let killed = Instant::now();
    let line = events.stdout.wait_for(PROMPT, |text| {
        // Whole lines only: the CLI writes one in several pieces.
        text.split_inclusive('\n')
            .find(|line| line.starts_with("kill") && line.ends_with('\n'))
            .map(|line| line.trim_end().to_owned())
    });
    line.ok_or_else(|| {
        format!(
            "no kill event within {:?}: {}",
            killed.elapsed(),
            events.transcript()
        )
    })
}

fn prompt_logs(side: &Side<'_>) -> ScenarioResult<String> {
    side.ok("run -d --name $N $IMAGE sh -c 'echo first; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo second; sleep 1000'")?;
    let logs = side.start("docker logs -f $N")?;
    logs.stdout
        .wait_for(PATIENCE, |text| text.contains("first").then_some(()))
        .ok_or("the first line did not come")?;
    side.ok("docker exec $N touch /tmp/go")?;
    logs.stdout
        .wait_for(PROMPT, |text| text.contains("second").then_some(()))
        .ok_or("the second line was held back")?;
    Ok(logs.stdout.text())
}

/// The first bytes of an upload reach the engine while the client still holds the rest.
fn upload_starts_at_once(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    let mut wire = tapped.side.wire()?;
    wire.send(b"POST /v1.45/images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-tar\r\n\r\n4\r\nhalf\r\n")?;
    let early = tapped.tap.wait_for(PROMPT, |seen| {
        seen.iter()
            .any(|one| one.text().contains("half"))
            .then_some(())
    });
    ensure!(
        early.is_some(),
        "the first chunk did not reach the engine within {PROMPT:?}"
    );
    wire.send(b"0\r\n\r\n")?;
    wire.answer()?;
    tapped.finish()
}

/// A client's SIGKILL reaches the engine as the end of its connection, within a second.
fn killed_stream(suite: &Suite, name: &str, command: &str, path: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    tapped.side.ok("sleeper")?;
    let mut client = tapped.side.start(command)?;
    let index = tapped.tap.wait_for_request(path, PATIENCE)?;
    client.signal(Signal::KILL);
    tapped.tap.wait_for_end(index, AT_ONCE)?;
    tapped.finish()
}

/// The running step of a classic build goes with its client.
fn killed_build(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    let side = &tapped.side;
    let script = "mkdir -p ctx; printf \"FROM $IMAGE\\nRUN echo $N; sleep 300\\n\" >ctx/Dockerfile
        DOCKER_BUILDKIT=0 exec docker build --network none -t $N ctx";
    let mut client = side.start(script)?;
    let step = format!("echo {}", side.prefix);
    // With -a: the step may have spoken before the engine has noted that it runs.
    let find = format!(
        "docker ps -a --no-trunc --format '{{{{.ID}}}} {{{{.Command}}}}' | grep '{step};' | cut -d' ' -f1"
    );
    client
        .stdout
        .wait_for(PATIENCE, |text| {
            text.contains(&format!("\n{}", side.prefix)).then_some(())
        })
        .ok_or_else(|| format!("the step did not start: {}", client.transcript()))?;
    let id = side.ok(&find)?;
    ensure!(!id.is_empty(), "the step's container is not listed");
    client.signal(Signal::KILL);
    // `docker wait` returns when the step has gone; one that was removed already is gone too.
    let waited = side.shell_within(&format!("docker wait {id}"), Duration::from_secs(3));
    waited.map_err(|error| format!("the build step outlived its client: {error}"))?;
    tapped.finish()
}

/// An answer that comes before the body has been sent reaches the client, not "broken pipe" (R19, R20).
fn early_answers(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare(name, |side| {
        let mut seen = String::new();
        side.ok("mkdir ctx; head -c 60M /dev/zero >ctx/big; echo FROM $IMAGE >ctx/Dockerfile")?;
        for _ in 0..10 {
            // An engine on Linux refuses this option before it reads the context.
            let output = side.shell("DOCKER_BUILDKIT=0 docker build --security-opt x=y ctx 2>&1 | grep -v -i -e deprecated -e buildx -e '^$' -e 'build context' -e BUILDKIT -e environment -e level=error")?;
            seen = output.text();
            ensure!(seen.contains("ecurity options"), "expected the engine's message, got {seen:?}");
        }
        Ok(seen)
    })
}

/// Containers that end with their last word, several at a time. The engine keeps a log of what it read from each, and that is
/// asked for on its own socket: whatever is there must have come through the gate as well.
fn logged_output(suite: &Suite, name: &str) -> ScenarioResult {
    const EACH: usize = 16;
    let direct = Side::direct(suite, name, &suite.engine.socket)?;
    let sides = (0..4)
        .map(|n| Side::gate(suite, &format!("{name}{n}"), suite.gate()?.addr))
        .collect::<ScenarioResult<Vec<_>>>()?;
    let script = format!(
        "for i in $(seq {EACH}); do echo typed | run -i --name $N-$i $IMAGE sh -c \"cat; echo out $i; echo err $i >&2; exit $((i % 3))\"; echo $i ended with $?; done"
    );
    let got = thread::scope(|scope| {
        let runs: Vec<_> = sides
            .iter()
            .map(|side| scope.spawn(|| side.shell(&script)))
            .collect();
        runs.into_iter()
            .map(|run| {
                run.join()
                    .unwrap_or_else(|_| Err("the scenario panicked".into()))
            })
            .collect::<ScenarioResult<Vec<_>>>()
    });
    let logged = sides.iter().map(|side| {
        let of = &side.prefix;
        direct.shell(&format!("for i in $(seq {EACH}); do docker logs {of}-$i; echo $i ended with $(docker inspect --format '{{{{.State.ExitCode}}}}' {of}-$i); done"))
    });
    let logged = logged.collect::<ScenarioResult<Vec<_>>>();
    sides.iter().for_each(Side::clean);
    let mut lines = 0;
    for (got, logged) in got?.iter().zip(logged?) {
        ensure!(
            (got.text(), &got.stderr) == (logged.text(), &logged.stderr),
            "the engine logged\n{}{}\nand the client got\n{}{}",
            logged.text(),
            logged.stderr,
            got.text(),
            got.stderr
        );
        lines += got.text().lines().count() + got.stderr.lines().count();
    }
    // Four lines each. The engine loses a few of them, but nothing like half.
    let all = sides.len() * EACH * 4;
    ensure!(
        lines > all * 3 / 4 && lines <= all,
        "expected about {all} lines, got {lines}"
    );
    Ok(())
}

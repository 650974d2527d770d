//! Attach and exec: half-close, exit codes, terminals, early bytes, and tunnels entered on the engine's answer alone
//! (docker-transport §9, 1–17; rules R1–R9 and R12–R15).

use std::time::Duration;

use rustix::process::Signal;

use super::support::client::Side;
use super::support::same::expected_text;
use super::support::suite::{Case, Suite};
use super::support::tapped::Tapped;
use super::support::wire::{RawWire, lossy};
use super::support::{ScenarioResult, ensure};

/// How soon something that needs no work must have happened.
const SOON: Duration = Duration::from_secs(5);

#[expect(clippy::too_many_lines, reason = "scenario")]
pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    let py = |name, run| Case::needing(&["PYTHON"], name, run);
    vec![
        case("c01__run_i_echoes_its_stdin", |suite, name| {
            suite.compare(name, |side| {
                let output = side.shell("echo hi | run -i --rm $IMAGE cat")?;
                ensure!(
                    output.elapsed < SOON,
                    "expected an end within {SOON:?}, took {:?}",
                    output.elapsed
                );
                expected_text("hi\n", &output.text(), &output.stderr)?;
                Ok(format!("{} {}", output.code, output.stderr))
            })
        }),
        case("c02__exit_code_reaches_the_client", |suite, name| {
            suite.script(name, "run --rm $IMAGE sh -c 'exit 3'", 3, "")
        }),
        case(
            "c03__output_after_a_half_close_at_once_is_not_lost",
            |suite, name| {
                suite.script(
                    name,
                    "sleeper; docker exec $N sh -c 'sleep 2; echo late'",
                    0,
                    "late\n",
                )
            },
        ),
        case(
            "c04__output_long_after_stdins_end_is_not_cut",
            |suite, name| {
                suite.script_hasty(
                    name,
                    "echo x | run -i --rm $IMAGE sh -c 'cat; sleep 7; echo end'",
                    0,
                    "x\nend\n",
                )
            },
        ),
        case(
            "c05__twenty_million_bytes_of_stdin_arrive",
            |suite, name| {
                suite.script(
                    name,
                    "head -c 20000000 /dev/zero | run -i --rm $IMAGE wc -c",
                    0,
                    "20000000\n",
                )
            },
        ),
        case(
            "c06__a_slow_reader_gets_output_after_the_exit",
            |suite, name| {
                suite.script(
                    name,
                    "run --rm $IMAGE dd if=/dev/zero bs=1M count=50 2>/dev/null | (sleep 2; wc -c)",
                    0,
                    "52428800\n",
                )
            },
        ),
        case(
            "c07__stdin_through_cat_is_whole_when_read_after_the_exit",
            |suite, name| {
                let script =
                    "head -c 18933764 /dev/zero | run -i --rm $IMAGE cat | (sleep 3; wc -c)";
                suite.script(name, script, 0, "18933764\n")
            },
        ),
        case(
            "c08__stdin_that_nobody_reads_does_not_hold_the_end",
            container_that_ends_first,
        ),
        case("c11__a_killed_client_leaves_nothing_open", killed_client),
        case("c12__early_bytes_keep_their_order", early_bytes),
        case("c13__an_attach_body_never_becomes_stdin", attach_body),
        case("c15__attach_without_upgrade_is_a_raw_tunnel", raw_attach),
        case(
            "c16__upgrade_on_an_ordinary_request_opens_no_tunnel",
            upgrade_on_ping,
        ),
        case("c17__detached_exec_start_stays_http", detached_exec),
        case(
            "half_close_by_bare_fin__exec_keeps_its_output",
            |suite, name| half_closed_exec(suite, name, RawWire::bare_fin),
        ),
        case(
            "half_close_by_alert__exec_keeps_its_output",
            |suite, name| half_closed_exec(suite, name, RawWire::half_close),
        ),
        case(
            "sha256__of_fifty_megabytes_through_exec_is_right",
            |suite, name| {
                let script = "sleeper; head -c 50M /dev/urandom >data
                want=$(sha256sum <data); got=$(docker exec -i $N sha256sum <data); [ \"$want\" = \"$got\" ] && echo same";
                suite.script(name, script, 0, "same\n")
            },
        ),
        case("stdout_closed_first__stdin_still_arrives", |suite, name| {
            let script = "sleeper; (sleep 2; echo tail) | docker exec -i $N sh -c 'exec >&- 2>&-; cat >/tmp/got'; docker exec $N cat /tmp/got";
            suite.script(name, script, 0, "tail\n")
        }),
        case("stderr_and_stdout__stay_apart", |suite, name| {
            let script = "sleeper; docker exec $N sh -c 'echo out; echo err >&2' 2>err; cat err | tr a-z A-Z";
            suite.script(name, script, 0, "out\nERR\n")
        }),
        py(
            "c09__a_terminal_echoes_resizes_and_gives_its_exit_code",
            |suite, name| {
                suite.script(
                    name,
                    "$PYTHON $CLIENTS/terminal.py shell $N $IMAGE",
                    0,
                    "echoed resized 3\n",
                )
            },
        ),
        py(
            "c10__detach_keys_leave_the_container_running",
            |suite, name| {
                suite.script(
                    name,
                    "$PYTHON $CLIENTS/terminal.py detach $N $IMAGE",
                    0,
                    "detached 0 running again\n",
                )
            },
        ),
    ]
}

fn container_that_ends_first(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare(name, |side| {
        let output = side.shell_within(
            "yes | run -i --rm $IMAGE head -n 1",
            Duration::from_secs(20),
        )?;
        ensure!(
            output.text() == "y\n",
            "expected y, got {:?} {}",
            output.text(),
            output.stderr
        );
        Ok(String::new())
    })?;
    let tapped = Tapped::start(suite, name)?;
    tapped.side.shell_within(
        "yes | run -i --rm $IMAGE head -n 1",
        Duration::from_secs(20),
    )?;
    ensure!(
        tapped.tap.all_ended(Duration::from_secs(15)),
        "a connection to the engine is still open after 15 s"
    );
    tapped.finish()
}

fn killed_client(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    let (side, tap) = (&tapped.side, &tapped.tap);
    side.ok("sleeper")?;
    let mut client = side
        .start("echo ready | docker exec -i $N sh -c 'cat; while sleep 0.2; do echo tick; done'")?;
    client
        .stdout
        .wait_for(Duration::from_secs(20), |text| {
            text.contains("tick").then_some(())
        })
        .ok_or("exec printed nothing")?;
    let exec = tap.wait_for_request("/exec/", SOON)?;
    client.signal(Signal::KILL);
    tap.wait_for_end(exec, SOON)?;
    tapped.finish()
}

/// Creates a container `cat` with an open stdin and starts it; returns its id.
fn cat_container(side: &Side<'_>) -> ScenarioResult<String> {
    side.ok("run -d -i --name $N $IMAGE cat")
}

fn attach_head(id: &str, extra: &str) -> String {
    format!(
        "POST /v1.45/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: docker\r\n{extra}\r\n"
    )
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// R3, R4: what follows the head in the same write may be lost (the engine drops it) but is never reordered, and what
/// comes after the 101 arrives whole.
fn early_bytes(suite: &Suite, name: &str) -> ScenarioResult {
    let scenario = |side: &Side<'_>| {
        let id = cat_container(side)?;
        let mut wire = side.wire()?;
        wire.send(
            (attach_head(&id, &format!("{UPGRADE}Content-Length: 0\r\n")) + "EARLY\n").as_bytes(),
        )?;
        let head = wire.head()?;
        ensure!(head.status == 101, "expected 101, got {}", head.text);
        wire.send(b"LATE\n")?;
        let got = lossy(&wire.until(b"LATE\n")?);
        if side.is_gate() {
            ensure!(
                got.contains("EARLY\n"),
                "expected EARLY before LATE, got {got:?}"
            );
        }
        Ok(head.text)
    };
    suite.compare(name, scenario)
}

/// R5: an attach body that comes after its head is never typed into the container.
fn attach_body(suite: &Suite, name: &str) -> ScenarioResult {
    // Directly the engine does the wrong thing (the body becomes stdin), so only the gate is judged.
    let gate = suite.gate()?;
    let side = Side::gate(suite, name, gate.addr)?;
    let id = cat_container(&side)?;
    let mut wire = side.wire()?;
    wire.send(
        attach_head(
            &id,
            &format!("{UPGRADE}Content-Type: application/json\r\nContent-Length: 11\r\n"),
        )
        .as_bytes(),
    )?;
    // The pause is the scenario: the body arrives 200 ms after its head.
    std::thread::sleep(Duration::from_millis(200));
    wire.send(b"{\"stdin\":1}")?;
    let head = wire.head()?;
    ensure!(head.status == 101, "expected 101, got {}", head.text);
    wire.send(b"typed\n")?;
    let got = wire.until(b"typed\n")?;
    side.clean();
    ensure!(
        !lossy(&got).contains("stdin"),
        "the body was typed into the container: {:?}",
        lossy(&got)
    );
    // 8 bytes of frame header and the line.
    ensure!(
        got.len() == 14,
        "expected one frame with \"typed\\n\", got {got:?}"
    );
    Ok(())
}

/// R2: the legacy hijack. The head passes unchanged, nothing is chunked, both directions are raw.
fn raw_attach(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare(name, |side| {
        let id = cat_container(side)?;
        let mut wire = side.wire()?;
        wire.send(
            attach_head(
                &id,
                "Content-Type: application/json\r\nContent-Length: 2\r\n",
            )
            .as_bytes(),
        )?;
        wire.send(b"{}")?;
        let head = wire.head()?;
        ensure!(head.status == 200, "expected 200, got {}", head.text);
        ensure!(
            head.header("transfer-encoding").is_none(),
            "the head must not be chunked: {}",
            head.text
        );
        wire.send(b"legacy\n")?;
        let echo = wire.until(b"legacy\n")?;
        wire.half_close()?;
        let rest = wire.read_to_end()?;
        // The engine itself sometimes types the body into the container (R5), which adds to the frame's length.
        ensure!(
            !lossy(&echo).contains('\r'),
            "the stream must not be chunked: {:?}",
            lossy(&echo)
        );
        Ok(format!("{}\n{}", head.text, rest.len()))
    })
}

fn upgrade_on_ping(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare(name, |side| {
        let mut wire = side.wire()?;
        let mut statuses = Vec::new();
        wire.send(format!("GET /_ping HTTP/1.1\r\nHost: docker\r\n{UPGRADE}\r\n").as_bytes())?;
        statuses.push(wire.answer()?);
        wire.send(b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")?;
        statuses.push(wire.answer()?);
        let [(ping, ok), (version, body)] = &statuses[..] else {
            return Err("two answers must have come".into());
        };
        ensure!(
            ok == b"OK" && lossy(body).contains("ApiVersion"),
            "got {} and {}",
            lossy(ok),
            lossy(body)
        );
        Ok(format!("{} {}", ping.status, version.status))
    })
}

fn detached_exec(suite: &Suite, name: &str) -> ScenarioResult {
    suite.compare(name, |side| {
        side.ok("sleeper")?;
        let json = r#"api /v1.45/containers/$N/exec -H 'Content-Type: application/json' -d '{"Cmd":["true"]}'"#;
        let created = side.ok(json)?;
        let id = created.split('"').nth(3).ok_or(format!("no exec id in {created}"))?.to_owned();
        let mut wire = side.wire()?;
        let body = r#"{"Detach":true}"#;
        let length = body.len();
        wire.send(
            format!(
                "POST /v1.45/exec/{id}/start HTTP/1.1\r\nHost: docker\r\n{UPGRADE}Content-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )?;
        let (start, _) = wire.answer()?;
        let body = r#"{"Image":"no-such-image-here"}"#;
        let length = body.len();
        let create = format!(
            "POST /v1.45/containers/create?name={}-second HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            side.prefix
        );
        wire.send(create.as_bytes())?;
        let (second, message) = wire.answer()?;
        Ok(format!("{} {:?} {} {}", start.status, start.header("content-length"), second.status, lossy(&message)))
    })
}

/// R12: a client that half-closes at once still gets output that comes later.
fn half_closed_exec(
    suite: &Suite,
    name: &str,
    half_close: fn(&mut RawWire) -> ScenarioResult,
) -> ScenarioResult {
    suite.compare(name, |side| {
        side.ok("sleeper")?;
        let command = r#"{"AttachStdin":true,"AttachStdout":true,"Cmd":["sh","-c","cat; sleep 2; echo late"]}"#;
        let created = side.ok(&format!("api /v1.45/containers/$N/exec -H 'Content-Type: application/json' -d '{command}'"))?;
        let id = created.split('"').nth(3).ok_or(format!("no exec id in {created}"))?.to_owned();
        let mut wire = side.wire()?;
        wire.send(
            format!(
                "POST /v1.45/exec/{id}/start HTTP/1.1\r\nHost: docker\r\n{UPGRADE}Content-Type: application/json\r\n\
                 Content-Length: 2\r\n\r\n{{}}"
            )
            .as_bytes(),
        )?;
        let head = wire.head()?;
        wire.send(b"first\n")?;
        half_close(&mut wire)?;
        let output = wire.read_to_end()?;
        let text: String = output.iter().filter(|byte| **byte >= 0x0a).map(|byte| char::from(*byte)).collect();
        ensure!(text.contains("first\n") && text.contains("late\n"), "expected first and late, got {text:?}");
        Ok(head.text)
    })
}

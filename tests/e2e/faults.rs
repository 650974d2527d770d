//! What happens when the engine, the network or the gate itself goes: cut streams are seen as cut, a returning engine is
//! used again, and a stopping gate drains (§9, 27, 45, 46; issue lines "The engine restarts" and "SIGTERM").

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::client::Side;
use super::support::engine::RealEngine;
use super::support::gate::Gate;
use super::support::suite::{Case, Suite};
use super::support::tap::Tap;
use super::support::tapped::Tapped;
use super::support::wire::lossy;
use super::support::{OrSay, ScenarioResult, ensure};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn cases() -> Vec<Case> {
    let case = Case::new;
    let curl = |name, run| Case::needing(&["CURL"], name, run);
    vec![
        case("c27__a_save_cut_short_is_a_failure", cut_save),
        case("c27b__a_cut_exec_ends_the_client", cut_exec),
        Case {
            name: "c45__an_engine_restart_is_survived_under_load",
            needs: &["CURL", "DOCKERD", "CONTAINERD"],
            run: restart,
        },
        curl("absent__engine_gives_502_until_it_comes", absent_engine),
        curl("silent__engine_of_another_kind_gives_502", garbage_engine),
        case("c46__sigterm_drains_and_ends_in_time", drain),
        case(
            "c46b__requests_in_flight_finish_while_draining",
            drain_finishes_requests,
        ),
        case("c46c__a_second_signal_ends_at_once", second_signal),
    ]
}

fn cut_save(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    tapped.side.ok("docker version")?;
    tapped.tap.cut_after(300 << 10);
    let output = tapped
        .side
        .shell_within("docker save $IMAGE >img.tar", PATIENCE)?;
    ensure!(
        output.code != 0,
        "docker save ended with 0 although the engine's answer was cut short"
    );
    ensure!(
        !output.stderr.is_empty(),
        "docker save said nothing about the cut"
    );
    Ok(())
}

fn cut_exec(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    tapped.side.ok("sleeper")?;
    let mut client = tapped
        .side
        .start("docker exec -i $N sh -c 'echo ready; cat'")?;
    client
        .stdout
        .wait_for(PATIENCE, |text| text.contains("ready").then_some(()))
        .ok_or("exec printed nothing")?;
    tapped.tap.cut();
    // Only that it ends: the exit code of a vanished engine is the client's own affair.
    let ended = client.finish(PATIENCE);
    tapped.side.clean();
    ended.map(|_| ())
}

/// The engine goes and comes back, with a new socket, while clients keep asking. The gate is not restarted.
fn restart(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let directory = suite.scratch(name)?.join("engine");
    let engine = RealEngine::start(&suite.tools, &directory)?;
    let gate = Gate::start(&suite.pki, &engine.socket, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    side.ok("docker version")?;
    let load = "while [ ! -e stop ]; do api /_ping -o /dev/null -w '%{http_code}\\n' --max-time 5 || echo failed; sleep 0.02; done";
    let mut load = side.start(load)?;
    let events = side.start("docker events")?;
    let mut wire = side.wire()?;
    wire.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    ensure!(
        wire.answer()?.0.status == 200,
        "expected 200 before the restart"
    );
    engine.halt()?;
    let output = side.shell("docker ps")?;
    ensure!(
        output.code == 1
            && output
                .stderr
                .contains("Error response from daemon: dockgate: "),
        "expected the gate's own words while the engine is away, got {} {}",
        output.code,
        output.stderr
    );
    // The kept-alive connection survives, with a 502 in Docker's JSON, or was closed with the engine's.
    if wire.try_send(b"POST /v1.45/containers/none/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n").is_ok()
        && let Ok((head, body)) = wire.answer()
    {
        ensure!(head.status == 502 && lossy(&body).starts_with("{\"message\":\"dockgate: "), "got {} {}", head.status, lossy(&body));
        ensure!(head.header("content-type") == Some("application/json"), "got {}", head.text);
    }
    engine.resume(&suite.tools)?;
    side.ok("docker version")?;
    side.ok("touch stop")?;
    let output = load.finish(PATIENCE)?;
    drop(events);
    let text = output.text();
    engine.stop();
    ensure!(
        text.lines().last() == Some("200"),
        "the last request under load must succeed: {text}"
    );
    let odd: Vec<_> = text
        .lines()
        .filter(|line| !["200", "502", "503"].contains(line))
        .collect();
    ensure!(
        odd.is_empty(),
        "requests under load must be answered with 200 or 502, got {odd:?} too"
    );
    gate.check_log()
}

fn absent_engine(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let socket = suite.scratch("taps")?.join(format!("{name}.sock"));
    let gate = Gate::start(&suite.pki, &socket, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    let answer = side.ok("api /v1.45/containers/json -w ' %{http_code} %{content_type}'")?;
    ensure!(
        answer.ends_with("502 application/json"),
        "expected 502 in JSON, got {answer}"
    );
    ensure!(
        answer.starts_with("{\"message\":\"dockgate: ") && answer.contains(".sock"),
        "expected the socket's name, got {answer}"
    );
    let tap = Tap::start(&socket, &suite.engine.socket)?;
    side.ok("docker version")?;
    tap.cut();
    ensure!(
        side.shell("docker ps")?.code == 1,
        "docker ps must fail without an engine"
    );
    let _again = Tap::start(&socket, &suite.engine.socket)?;
    side.ok("docker version").map(|_| ())
}

/// Something that is no engine answers at the socket.
fn garbage_engine(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let socket = suite.scratch("taps")?.join(format!("{name}.sock"));
    let listener = UnixListener::bind(&socket).context("listen in the engine's place")?;
    let gate = Gate::start(&suite.pki, &socket, &[])?;
    let side = Side::gate(suite, name, gate.addr)?;
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    ] {
        let status = std::thread::scope(|scope| {
            scope.spawn(|| {
                use std::io::{Read, Write};
                if let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(answer);
                }
            });
            side.shell("api /v1.45/info -o body -w '%{http_code}'")
        })?;
        ensure!(
            status.text() == "502",
            "expected 502 for {:?}, got {} {}",
            lossy(answer),
            status.text(),
            status.stderr
        );
    }
    gate.check_log()
}

fn drain(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let gate = Gate::start(&suite.pki, &suite.engine.socket, &["--drain-timeout", "2s"])?;
    let side = Side::gate(suite, name, gate.addr)?;
    side.ok("sleeper")?;
    let mut events = side.start("docker events")?;
    let mut exec = side.start("docker exec -i $N sh -c 'echo ready; cat'")?;
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("ready").then_some(()))
        .ok_or("exec printed nothing")?;
    let mut idle = side.wire()?;
    idle.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")?;
    idle.answer()?;
    gate.signal(Signal::TERM);
    let started = Instant::now();
    ensure!(
        idle.ends_within(Duration::from_millis(1500))?,
        "an idle connection was not closed"
    );
    let output = gate.finish(Duration::from_secs(8))?;
    ensure!(
        output.code == 0,
        "expected exit 0 after draining, got {} {}",
        output.code,
        output.stderr
    );
    ensure!(
        started.elapsed() > Duration::from_millis(1500),
        "tunnels were cut before the drain deadline"
    );
    events.finish(PATIENCE)?;
    exec.finish(PATIENCE)?;
    side.clean();
    Ok(())
}

fn drain_finishes_requests(suite: &Suite, name: &str) -> ScenarioResult {
    let tapped = Tapped::start(suite, name)?;
    let gate = tapped.gate()?;
    tapped.side.ok("sleeper")?;
    // The first process of a container ignores SIGTERM unless told otherwise: the engine waits, then kills.
    let mut stop = tapped.side.start("docker stop -t 3 $N")?;
    tapped.tap.wait_for_request("/stop", PATIENCE)?;
    gate.signal(Signal::TERM);
    let output = stop.finish(PATIENCE)?;
    let ended = gate.finish(PATIENCE)?;
    ensure!(
        output.code == 0,
        "a request in flight was cut: {}",
        output.stderr
    );
    ensure!(
        ended.code == 0,
        "expected exit 0 after draining, got {}",
        ended.code
    );
    tapped.finish()
}

fn second_signal(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let gate = Gate::start(
        &suite.pki,
        &suite.engine.socket,
        &["--drain-timeout", "60s"],
    )?;
    let side = Side::gate(suite, name, gate.addr)?;
    side.ok("sleeper")?;
    let exec = side.start("docker exec -i $N sh -c 'echo ready; cat'")?;
    exec.stdout
        .wait_for(PATIENCE, |text| text.contains("ready").then_some(()))
        .ok_or("exec printed nothing")?;
    gate.signal(Signal::INT);
    let mut refused = side.shell("api /_ping")?.code != 0;
    let deadline = Instant::now() + Duration::from_secs(3);
    while !refused && Instant::now() < deadline {
        refused = side.shell("api /_ping")?.code != 0;
    }
    ensure!(refused, "new connections were still accepted after SIGINT");
    ensure!(gate.running(), "the gate must wait for its tunnels");
    gate.signal(Signal::INT);
    gate.finish(Duration::from_secs(3))?;
    side.clean();
    Ok(())
}

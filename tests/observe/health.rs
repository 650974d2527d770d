//! `/live`, `/ready`, `dockgate healthcheck`, and the exit on a stale socket.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dockgate::observe::health::{EngineHealth as Found, Readiness};

use testkit::Daemon;
use testkit::client::{HttpAnswer, get};
use testkit::eventually;
use testkit::gate::{ByOptions, engine_socket, with_engine};
use testkit::pki::Pki;
use testkit::programs::said;

fn ready(answer: &HttpAnswer) -> Readiness {
    serde_json::from_str(&answer.text()).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

/// Asks `/ready` until it says `found`; an answer stands for a second.
fn becomes(gate: &ByOptions, found: Found) -> HttpAnswer {
    let to = gate.metrics();
    eventually(|| {
        let answer = get(to, "/ready");
        if ready(&answer).engine == found {
            Ok(answer)
        } else {
            Err(answer.text())
        }
    })
}

#[test]
fn an_engine_that_stops_answering_turns_ready_within_its_deadline_while_live_stays() {
    let (gate, engine) = with_engine(&[]);
    let to = gate.metrics();
    let well = becomes(&gate, Found::Ok);
    assert_eq!(well.status, 200);
    assert!(gate.command_line(&["healthcheck"]).status.success());

    engine.freeze();
    let since = Instant::now();
    let unresponsive = std::thread::scope(|scope| {
        let asking = scope.spawn(|| becomes(&gate, Found::Unresponsive));
        while !asking.is_finished() {
            let asked = Instant::now();
            assert_eq!(get(to, "/live").status, 200);
            assert!(
                asked.elapsed() < Duration::from_secs(1),
                "live waits for nobody"
            );
        }
        asking.join().expect("asked")
    });
    assert_eq!(unresponsive.status, 503);
    // One second for the last good answer, two for the deadline, and some for the machine.
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    assert!(
        ready(&unresponsive)
            .detail
            .contains("did not answer GET /_ping within 2s"),
        "{unresponsive:?}"
    );
    let check = gate.command_line(&["healthcheck"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(
        said(&check).contains("not ready: the engine at unix://"),
        "{}",
        said(&check)
    );

    engine.thaw();
    assert_eq!(becomes(&gate, Found::Ok).status, 200);
}

#[test]
fn a_stopped_engine_a_missing_socket_and_a_well_one_are_told_apart() {
    let (gate, engine) = with_engine(&[]);
    drop(engine);
    assert_eq!(becomes(&gate, Found::Refused).status, 503);
    std::fs::remove_file(engine_socket(&gate.dir)).expect("removed");
    let missing = becomes(&gate, Found::Missing);
    assert_eq!(missing.status, 503);
    assert!(
        ready(&missing).detail.contains("does not exist"),
        "{missing:?}"
    );
    let _engine = Daemon::start(&engine_socket(&gate.dir));
    assert_eq!(becomes(&gate, Found::Ok).status, 200);
}

#[test]
fn probes_that_hammer_do_not_reach_the_engine() {
    let (gate, engine) = with_engine(&[]);
    let to = gate.metrics();
    let since = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(to, "/ready").status, 200);
    }
    let most = 2 + usize::try_from(since.elapsed().as_secs()).expect("few");
    assert!(
        (1..=most).contains(&engine.pings()),
        "{} pings",
        engine.pings()
    );
}

#[test]
fn healthcheck_asks_the_metrics_listener_where_there_is_no_control_socket() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = port.local_addr().expect("an address").to_string();
    drop(port);
    let (gate, engine) = with_engine(&["--control-socket", "off", "--metrics", &address]);
    let check = || {
        testkit::programs::dockgate()
            .args(["healthcheck", "--control-socket", "off"])
            .env("DOCKGATE_METRICS", &address)
            .output()
            .expect("runs")
    };
    let well = check();
    assert!(well.status.success(), "{}", said(&well));
    assert!(
        said(&well).starts_with("ready: the engine at unix://"),
        "{}",
        said(&well)
    );
    drop(engine);
    eventually(|| match check() {
        ill if ill.status.code() == Some(1) => Ok(()),
        well => Err(said(&well)),
    });
    drop(gate);
    let gone = check();
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        said(&gone).contains(&format!("cannot talk to the gate at http://{address}")),
        "{}",
        said(&gone)
    );
}

#[test]
fn a_gate_that_drains_is_not_ready_and_can_be_watched_to_its_end() {
    let (mut gate, _engine) = with_engine(&["--drain-timeout", "60s"]);
    let to = gate.metrics();
    let mut alice = gate.connect(&gate.pki.client("alice", 1));
    alice.hijack();
    gate.signal(rustix::process::Signal::TERM);
    let draining = eventually(|| {
        let answer = get(to, "/ready");
        if ready(&answer).draining {
            Ok(answer)
        } else {
            Err(answer.text())
        }
    });
    assert_eq!(draining.status, 503);
    assert_eq!(get(to, "/live").status, 200);
    assert!(get(to, "/metrics").text().contains("dockgate_draining 1\n"));
    alice.echo("still served");
    assert!(gate.command_line(&["kick", "--all"]).status.success());
    alice.ended();
    let code = gate.child.wait().expect("ends").code();
    assert_eq!(code, Some(0));
    assert!(
        !gate.control.exists(),
        "the control socket goes with the gate"
    );
}

/// Makes the engine's socket a bind mount of its own, as a container sees it, and then the engine makes a new one.
#[test]
fn a_gate_behind_a_stale_bind_mount_ends_when_asked_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::create(dir.path());
    let (real, seen) = (dir.path().join("engine.sock"), engine_socket(&dir));
    let engine = Daemon::start(&real);
    std::fs::write(&seen, "").expect("a place to mount");
    let options = ["--exit-on-stale-socket", "300ms", "--drain-timeout", "1s"];
    let plain = ByOptions::command(&dir, &options);
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"",
        ])
        .args([&real, &seen])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let possible = Command::new("unshare").args(["--mount", "true"]).output();
    if !possible.is_ok_and(|o| o.status.success()) {
        testkit::programs::missing("unshare(1) with the right to mount");
        return;
    }
    let mut gate = ByOptions::run(command, pki, dir);
    becomes(&gate, Found::Ok);
    drop(engine);
    std::fs::remove_file(&real).expect("removed");
    let _renewed = Daemon::start(&real);
    let code = gate.child.wait().expect("ends").code();
    assert_eq!(code, Some(1));
    let line = gate.logged(|line| line["message"] == "Cannot go on");
    let why = line["error"].as_str().unwrap_or_default();
    assert!(
        why.contains("stale bind mount") && why.contains("exit-on-stale-socket"),
        "{line}"
    );
}

#[test]
fn a_gate_whose_engine_is_merely_down_waits_for_it() {
    let (mut gate, engine) = with_engine(&["--exit-on-stale-socket", "100ms"]);
    drop(engine);
    becomes(&gate, Found::Refused);
    std::fs::remove_file(engine_socket(&gate.dir)).expect("removed");
    becomes(&gate, Found::Missing);
    assert!(
        gate.child.try_wait().expect("asked").is_none(),
        "still there"
    );
    let _engine = Daemon::start(&engine_socket(&gate.dir));
    becomes(&gate, Found::Ok);
}

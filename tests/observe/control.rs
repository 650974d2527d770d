//! `ps`, `top` and `kick` over the control socket.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use dockgate::observe::registry::State;

use testkit::client::unix;
use testkit::eventually;
use testkit::gate::{ByOptions, with_engine};
use testkit::programs::finished;
use testkit::programs::{dockgate, said};

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_hijacked_exec_shows_with_operation_and_target_and_kick_ends_it_and_only_it() {
    let (gate, _engine) = with_engine(&[]);
    let (mut alice, mut bob) = (
        gate.connect(&gate.pki.client("alice", 0x0abc)),
        gate.connect(&gate.pki.client("bob", 2)),
    );
    let made = alice.ask("POST", "/v1.51/containers/web/exec");
    assert_eq!(made.status, 201);
    alice.hijack();
    bob.hijack();
    alice.echo("hello");
    bob.echo("hi");

    let live = gate.ps();
    assert_eq!(live.len(), 2, "{live:#?}");
    let hers = live.iter().find(|c| c.client.as_deref() == Some("alice"));
    let hers = hers.expect("alice is there");
    assert_eq!(hers.state, State::Tunnel);
    assert_eq!(hers.operation.as_deref(), Some("exec.start"));
    assert_eq!(hers.path.as_deref(), Some("/v1.51/exec/e1/start"));
    assert_eq!(hers.serial.as_deref(), Some("0abc"));
    assert_eq!((hers.requests, hers.bytes_in), (2, alice.sent));
    assert_eq!(hers.bytes_out, alice.received);
    let table = said(&gate.command_line(&["ps"]));
    let row = table.lines().find(|l| l.contains("alice")).expect("a row");
    assert!(
        row.contains("tunnel") && row.contains("exec.start") && row.contains("/exec/e1/start"),
        "{table}"
    );
    let top = said(&gate.command_line(&["top"]));
    assert!(
        top.contains("2 connections, 2 tunnels") && top.contains("alice"),
        "{top}"
    );
    let only = said(&gate.command_line(&["ps", "--client", "bob"]));
    assert!(only.contains("bob") && !only.contains("alice"), "{only}");

    let kicked = gate.command_line(&["kick", &hers.id.to_string()]);
    assert!(kicked.status.success(), "{}", said(&kicked));
    assert!(
        said(&kicked).contains("exec.start /exec/e1/start"),
        "{}",
        said(&kicked)
    );
    assert!(
        said(&kicked).contains("its process 4711 goes on in container 9f86d081884c"),
        "{}",
        said(&kicked)
    );
    alice.ended();
    bob.echo("still here");
    let line = gate.logged(|line| line["message"] == "Kicked");
    assert_eq!(line["client.id"], "alice");
    assert_eq!(
        line["by.pid"].as_u64().map(|pid| pid > 0),
        Some(true),
        "{line}"
    );
    let line =
        gate.logged(|line| line["message"] == "Connection cut" && line["reason"] == "kicked");
    assert_eq!(
        (&line["exec.pid"], &line["exec.container"]),
        (&4711.into(), &"9f86d081884c".into())
    );
    // The cut is one line, and how sessions begin is another.
    let of_alice =
        |line: &serde_json::Value| line["client.id"] == "alice" && line["op"] == "exec.start";
    let ends = |line: &serde_json::Value| {
        of_alice(line)
            && line["message"] != "Session started"
            && line["message"] != "Kicked"
            && line["level"] != "debug"
    };
    assert_eq!(gate.count(ends), 1);
    gate.logged(|line| of_alice(line) && line["message"] == "Session started");
    eventually(|| match &gate.ps()[..] {
        [one] if one.client.as_deref() == Some("bob") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn kick_takes_serial_numbers_and_common_names_and_fails_when_nobody_matches() {
    let (gate, _engine) = with_engine(&[]);
    let (alice, bob) = (gate.pki.client("alice", 0x0abc), gate.pki.client("bob", 2));
    let mut connections = [
        gate.connect(&alice),
        gate.connect(&alice),
        gate.connect(&bob),
    ];
    for connection in &mut connections {
        assert_eq!(connection.ask("GET", "/_ping").status, 200);
    }
    for nobody in [
        ["--cn", "ali"],
        ["--serial", "0abd"],
        ["--client", "nobody"],
    ] {
        let output = gate.command_line(&["kick", nobody[0], nobody[1]]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("no live connection matches"));
    }
    // Two selectors mean both.
    let output = gate.command_line(&["kick", "--cn", "alice", "--serial", "2"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let bobs = gate
        .ps()
        .into_iter()
        .find(|c| c.client.as_deref() == Some("bob"));
    let bobs = bobs.expect("bob is there").id.to_string();
    let output = gate.command_line(&["kick", &bobs, "--cn", "alice"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(gate.ps().len(), 3);
    let output = gate.command_line(&["kick", "4711"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("connection 4711 is not live"));
    assert_eq!(
        gate.command_line(&["kick"]).status.code(),
        Some(2),
        "nobody was named"
    );

    let output = gate.command_line(&["kick", "--json", "--serial", "0A:BC"]);
    assert!(output.status.success(), "{}", said(&output));
    let kicked: dockgate::observe::control::Kicked =
        serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(kicked.kicked.len(), 2);
    assert!(
        kicked
            .kicked
            .iter()
            .all(|c| c.client.as_deref() == Some("alice"))
    );
    let [mut first, mut second, mut bobs] = connections;
    first.ended();
    second.ended();
    assert_eq!(bobs.ask("GET", "/_ping").status, 200);
    let output = gate.command_line(&["kick", "--cn", "bob"]);
    assert!(output.status.success(), "{}", said(&output));
    bobs.ended();
}

#[test]
fn a_peer_that_has_not_proved_who_it_is_shows_as_a_handshake() {
    let (gate, _engine) = with_engine(&[]);
    let _silent = std::net::TcpStream::connect(gate.addr).expect("connected");
    eventually(|| match &gate.ps()[..] {
        [one] if one.state == State::Handshake && one.client.is_none() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(said(&gate.command_line(&["ps"])).contains("handshake"));
}

#[test]
fn a_name_from_a_certificate_cannot_drive_the_terminal() {
    let (gate, _engine) = with_engine(&[]);
    let mut evil = gate.connect(&gate.pki.client("ev\u{1b}[2Jil", 6));
    assert_eq!(evil.ask("GET", "/_ping").status, 200);
    for command in ["ps", "top"] {
        let shown = said(&gate.command_line(&[command]));
        assert!(shown.contains("ev\\u001b[2Jil"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn the_socket_is_its_owners_and_a_second_gate_does_not_take_it() {
    let (gate, _engine) = with_engine(&[]);
    let mode = std::fs::metadata(&gate.control).expect("there").mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = finished(&mut ByOptions::command(&gate.dir, &[]));
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(said(&second).contains("another process listens on the control socket"));
    assert!(gate.ps().is_empty(), "the first one still answers");
}

#[test]
fn without_a_gate_the_commands_say_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("none.sock");
    for command in [&["ps"][..], &["top"], &["kick", "1"], &["healthcheck"]] {
        let output = dockgate()
            .args(command)
            .arg("--control-socket")
            .arg(&socket)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let said = said(&output);
        assert!(
            said.contains("there is no control socket at") && said.contains("hint: "),
            "{said}"
        );
    }
}

#[test]
fn what_the_socket_does_not_understand_it_refuses_in_words() {
    let (gate, _engine) = with_engine(&[]);
    let post = |body: &str| {
        let length = body.len();
        let request = format!(
            "POST /kick HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        unix(&gate.control, &request)
    };
    assert_eq!(post("{\"ids\":[99]}").status, 200);
    for (body, why) in [
        ("{}", "names nobody"),
        ("{\"id\":[1]}", "unknown field"),
        ("all", "not a kick request"),
    ] {
        let answer = post(body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.text().contains(why), "{answer:?}");
    }
    let answer = unix(
        &gate.control,
        "GET /secrets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 404);
    assert!(
        answer
            .text()
            .contains("GET /connections, /owners, /ready and /status"),
        "{answer:?}"
    );
}

/// `dockgate doctor` with nothing but the way to the control socket.
fn doctor_beside(gate: &ByOptions) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let output = dockgate()
        .arg("doctor")
        .env_clear()
        .env("HOME", home.path())
        .env(
            "DOCKGATE_CONTROL_SOCKET",
            gate.dir.path().join("control.sock"),
        )
        .output()
        .expect("start the doctor");
    let text = said(&output);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_doctor_takes_the_options_of_the_gate_that_runs_beside_it() {
    let (gate, _engine) = with_engine(&[]);
    let text = doctor_beside(&gate);
    let pid = gate.status().pid;
    let taken = format!("gate ok a gate runs here, pid {pid}: its options are taken");
    assert!(text.starts_with(&taken), "{text}");
    // The engine of the tests does not say its version; that the doctor asked it shows whose options these are.
    let engine = testkit::gate::engine_socket(&gate.dir);
    assert!(text.contains(&engine.display().to_string()), "{text}");
}

#[test]
fn without_a_gate_the_doctor_examines_what_it_is_given() {
    let (mut gate, _engine) = with_engine(&[]);
    gate.signal(rustix::process::Signal::TERM);
    gate.ended();
    let text = doctor_beside(&gate);
    assert!(!text.contains("a gate runs here"), "{text}");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn check_beside_the_running_gate_knows_it_by_its_control_socket() {
    let (gate, _engine) = with_engine(&[]);
    let other = with_engine(&[]);
    let path = |name: &str| gate.dir.path().join(name).display().to_string();
    let check = |host: &str, control: &str, more: &[&str]| {
        let upstream = format!("unix://{}", path("docker.sock"));
        let (ca, cert, key) = (
            path("ca.pem"),
            path("server-cert.pem"),
            path("server-key.pem"),
        );
        let mut command = dockgate();
        command
            .args([
                "check",
                "-H",
                host,
                "--upstream",
                &upstream,
                "--control-socket",
                control,
            ])
            .args(["--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key])
            .args(more);
        let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (own, others) = (
        format!("tcp://{}", gate.addr),
        format!("tcp://{}", other.0.addr),
    );
    let control = path("control.sock");
    let metrics = gate.metrics().to_string();
    let (code, text) = check(&own, &control, &["--metrics", &metrics]);
    assert_eq!(code, Some(0), "{text}");
    let pid = gate.child.id();
    for line in [
        format!("{own} is in use by the running gate, pid {pid}"),
        format!("{metrics}, for metrics, is in use by the running gate, pid {pid}"),
        format!("the control socket {control} is the running gate's, pid {pid}"),
    ] {
        assert!(text.contains(&format!("ok       {line}")), "{line}: {text}");
    }
    // Another gate holds the address, and this one the control socket: neither is this configuration's to take.
    let (code, text) = check(&others, &control, &[]);
    assert_eq!(code, Some(78), "{text}");
    assert!(
        text.contains(&format!(
            "error    {others} is in use by dockgate, pid {}",
            other.0.child.id()
        )),
        "{text}"
    );
    let (code, text) = check("tcp://127.0.0.1:1", &control, &[]);
    assert_eq!(code, Some(78), "{text}");
    // Without a control socket nobody can be asked.
    let (code, text) = check(&own, "off", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("warning  ") && text.contains("cannot be asked"),
        "{text}"
    );
}

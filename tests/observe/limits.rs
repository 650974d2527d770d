//! Each limit turns away what is above it, says which it was, and lets in what is below.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::client::get;
use testkit::eventually;
use testkit::gate::{ByOptions, with_engine};
use testkit::pki::Credential;

/// Waits until the metrics count so many refusals by a limit.
fn refusals(gate: &ByOptions, limit: &str, n: usize) {
    let line = format!("dockgate_limit_refusals_total{{limit=\"{limit}\"}} {n}\n");
    eventually(|| {
        let page = get(gate.metrics(), "/metrics").text();
        if page.contains(&line) {
            Ok(())
        } else {
            Err(format!("{line} in {page}"))
        }
    });
}

/// Connects and asks, until it is let in.
fn let_in(gate: &ByOptions, who: &Credential) -> testkit::client::TlsClient {
    eventually(|| {
        let mut client = gate.try_connect(Some(who)).map_err(|e| e.to_string())?;
        match client.try_get("/_ping") {
            Ok(answer) if answer.status == 200 => Ok(client),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn connections_above_the_total_are_closed_before_the_handshake() {
    let (gate, _engine) = with_engine(&[
        "--max-connections",
        "2",
        "--max-connections-per-client",
        "2",
    ]);
    let alice = gate.pki.client("alice", 1);
    let (first, mut second) = (let_in(&gate, &alice), let_in(&gate, &alice));
    for _ in 0..3 {
        let mut third = TcpStream::connect(gate.addr).expect("accepted");
        let _ = third.write_all(&[22]);
        let refused = third.read(&mut [0; 1]);
        assert!(!matches!(refused, Ok(n) if n > 0), "not a byte");
    }
    refusals(&gate, "max-connections", 3);
    let said =
        |line: &serde_json::Value| line["limit"] == "max-connections" && line["level"] == "warn";
    gate.logged(said);
    assert_eq!(gate.count(said), 1, "once in ten seconds is enough");
    assert_eq!(second.ask("GET", "/_ping").status, 200);
    drop(first);
    let_in(&gate, &alice);
}

#[test]
fn a_client_above_its_own_limit_is_told_so_and_others_are_not_disturbed() {
    let (gate, _engine) = with_engine(&["--max-connections-per-client", "2"]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));
    let (first, _second) = (let_in(&gate, &alice), let_in(&gate, &alice));
    let mut third = gate.connect(&alice);
    let answer = third.ask("GET", "/v1.51/containers/json");
    assert_eq!(answer.status, 429);
    assert_eq!(
        answer.text(),
        "{\"message\":\"dockgate: client \\\"alice\\\" already has 2 connections, the most one client may have (max-connections-per-client)\"}\n"
    );
    drop(third);
    let_in(&gate, &bob);
    refusals(&gate, "max-connections-per-client", 1);
    let page = get(gate.metrics(), "/metrics").text();
    assert!(
        page.contains("{class=\"read\",kind=\"list\",decision=\"limited\",status=\"4xx\"} 1\n"),
        "{page}"
    );
    drop(first);
    let_in(&gate, &alice);
}

#[test]
fn half_of_all_connections_is_for_one_client_unless_it_is_said_otherwise() {
    let (gate, _engine) = with_engine(&["--max-connections", "4"]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));
    let _held = (let_in(&gate, &alice), let_in(&gate, &alice));
    let mut third = gate.connect(&alice);
    let answer = third.ask("GET", "/v1.51/containers/json");
    assert_eq!(answer.status, 429);
    assert!(
        answer.text().contains("already has 2 connections"),
        "{answer:?}"
    );
    let_in(&gate, &bob);
}

#[test]
fn a_silent_handshake_gives_its_place_to_the_next_one() {
    let (gate, _engine) = with_engine(&["--max-handshakes", "1"]);
    let alice = gate.pki.client("alice", 1);
    let silent = TcpStream::connect(gate.addr).expect("connected");
    eventually(|| {
        if gate.ps().len() == 1 {
            Ok(())
        } else {
            Err("no handshake yet".to_owned())
        }
    });
    let_in(&gate, &alice);
    refusals(&gate, "max-handshakes", 1);
    drop(silent);
    let_in(&gate, &alice);
}

#[test]
fn a_head_above_its_size_is_refused_and_one_below_passes() {
    let (gate, _engine) = with_engine(&["--max-head-size", "8KiB"]);
    let alice = gate.pki.client("alice", 1);
    let head = |size: usize| {
        format!(
            "GET /_ping HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "y".repeat(size)
        )
    };
    let mut client = gate.connect(&alice);
    client.send(head(8_000));
    assert_eq!(client.answer().status, 200);
    client.send(head(8_200));
    let answer = client.answer();
    assert_eq!(answer.status, 431);
    assert!(
        answer
            .text()
            .contains("larger than 8192 bytes (max-head-size)"),
        "{answer:?}"
    );
    refusals(&gate, "max-head-size", 1);
}

#[test]
fn header_lines_above_their_number_are_refused_and_those_below_pass() {
    for (most, option) in [(16, "16"), (700, "700")] {
        let (gate, _engine) = with_engine(&["--max-header-lines", option]);
        let alice = gate.pki.client("alice", 1);
        let head = |lines: usize| {
            format!(
                "GET /_ping HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "X: y\r\n".repeat(lines - 1)
            )
        };
        let mut client = gate.connect(&alice);
        client.send(head(most));
        assert_eq!(client.answer().status, 200);
        client.send(head(most + 1));
        let answer = client.answer();
        assert_eq!(answer.status, 431);
        let why = format!("more than {most} header lines (max-header-lines)");
        assert!(answer.text().contains(&why), "{answer:?}");
        refusals(&gate, "max-header-lines", 1);
    }
}

#[test]
fn requests_above_the_rate_are_told_when_to_come_again() {
    let (gate, _engine) = with_engine(&["--max-requests-per-second-per-client", "2"]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));
    let mut client = gate.connect(&alice);
    let since = Instant::now();
    let refused = loop {
        let answer = client.ask("GET", "/_ping");
        if answer.status != 200 {
            break answer;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "never refused");
    };
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("client \\\"alice\\\" sends more than 2 requests per second (max-requests-per-second-per-client)"), "{refused:?}");
    assert_eq!(
        gate.connect(&bob).ask("GET", "/_ping").status,
        200,
        "another client's rate is its own"
    );
    // Reconnecting earns nothing, waiting does.
    let_in(&gate, &alice);
    assert!(
        since.elapsed() >= Duration::from_millis(400),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn a_session_above_its_age_is_cut_and_a_long_request_is_not() {
    let (gate, _engine) = with_engine(&["--session-max-age", "1s"]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));
    let mut session = gate.connect(&alice);
    session.hijack();
    let since = Instant::now();
    session.echo("young");
    let mut patient = gate.connect(&bob);
    assert_eq!(
        patient.ask("GET", "/v1.51/info").status,
        200,
        "it takes a second and a half"
    );
    session.ended();
    assert!(since.elapsed() >= Duration::from_secs(1));
    gate.logged(|line| line["message"] == "Connection cut" && line["reason"] == "too_old");
    let page = get(gate.metrics(), "/metrics").text();
    assert!(
        page.contains("dockgate_cuts_total{reason=\"too_old\"} 1\n"),
        "{page}"
    );
}

#[test]
fn bodies_that_wait_for_a_decision_share_a_budget_and_give_it_back() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let policy = dir.path().join("policy.toml");
    let text = "version = 1\nmax_body = \"64MiB\"\n[[client]]\nmatch = { any = true }\nrole = \"deployer\"\n";
    std::fs::write(&policy, text).expect("write the policy");
    let policy = policy.to_str().expect("a path in UTF-8");
    let (gate, _engine) = with_engine(&["--max-pending-bodies", "16MiB", "--policy", policy]);
    let alice = gate.pki.client("alice", 1);
    let head = |length: usize, more: &str| {
        format!(
            "POST /v1.45/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
        )
    };
    // Whether the gate would read a body of 12 MiB now: it says so before a byte of it is sent.
    let reads_another = || {
        let mut client = gate.connect(&alice);
        client.send(head(12 << 20, "Expect: 100-continue\r\n"));
        client.head()
    };
    assert!(reads_another().starts_with("HTTP/1.1 100 "));
    let mut slow = gate.connect(&alice);
    slow.send(head(6 << 20, ""));
    slow.send(vec![b' '; 5 << 20]);
    let refused = eventually(|| match reads_another() {
        head if head.starts_with("HTTP/1.1 503 ") => Ok(head),
        head => Err(head),
    });
    assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    // What fits is read and decided on.
    let body = r#"{"Image":"busybox"}"#;
    let mut small = gate.connect(&alice);
    small.send(head(body.len(), "") + body);
    // The scripted engine's own answer.
    assert_eq!(small.answer().status, 404);
    slow.send(vec![b' '; 1 << 20]);
    assert_eq!(slow.answer().status, 403);
    eventually(|| match reads_another() {
        head if head.starts_with("HTTP/1.1 100 ") => Ok(()),
        head => Err(head),
    });
    let page = get(gate.metrics(), "/metrics").text();
    assert!(
        page.contains("dockgate_limit_refusals_total{limit=\"max-pending-bodies\"} "),
        "{page}"
    );
}

#[test]
fn one_clients_bodies_leave_room_for_those_of_others() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let policy = dir.path().join("policy.toml");
    let text = "version = 1\nmax_body = \"64MiB\"\n[[client]]\nmatch = { any = true }\nrole = \"deployer\"\n";
    std::fs::write(&policy, text).expect("write the policy");
    let policy = policy.to_str().expect("a path in UTF-8");
    let (gate, _engine) = with_engine(&["--max-pending-bodies", "64MiB", "--policy", policy]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));
    let head = |length: usize, more: &str| {
        format!(
            "POST /v1.45/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
        )
    };
    let reads_another = |who: &Credential| {
        let mut client = gate.connect(who);
        client.send(head(12 << 20, "Expect: 100-continue\r\n"));
        client.head()
    };
    // Together more than there is for all.
    let slow: Vec<_> = (0..12)
        .map(|_| {
            let mut slow = gate.connect(&alice);
            slow.send(head(6 << 20, ""));
            slow.send(vec![b' '; 5 << 20]);
            slow
        })
        .collect();
    let refused = eventually(|| match reads_another(&alice) {
        head if head.starts_with("HTTP/1.1 503 ") => Ok(head),
        head => Err(head),
    });
    assert!(refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    let other = reads_another(&bob);
    assert!(other.starts_with("HTTP/1.1 100 "), "{other}");
    let body = r#"{"Image":"busybox"}"#;
    let mut small = gate.connect(&bob);
    small.send(head(body.len(), "") + body);
    // The scripted engine's own answer.
    assert_eq!(small.answer().status, 404);
    drop(slow);
    eventually(|| match reads_another(&alice) {
        head if head.starts_with("HTTP/1.1 100 ") => Ok(()),
        head => Err(head),
    });
}

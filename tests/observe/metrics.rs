//! The metrics page after a known course of events.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use testkit::client::{TlsClient, get, http};
use testkit::eventually;
use testkit::gate::{engine_socket, with_engine};
use testkit::pki::Pki;

/// The samples of a page by name and labels, less those that the clock decides.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let timed = [
        "process_",
        "dockgate_last_reload_success_",
        "dockgate_build",
    ];
    page.lines()
        .filter(|line| !line.starts_with('#') && !timed.iter().any(|t| line.starts_with(t)))
        .filter(|line| !line.contains("_seconds_bucket") && !line.contains("_seconds_sum"))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn the_metrics_of_a_scripted_minute_are_exactly_those_expected() {
    let (gate, engine) = with_engine(&["--max-requests-per-second-per-client", "1000"]);
    let (alice, bob) = (gate.pki.client("alice", 1), gate.pki.client("bob", 2));

    // Four that do not get in.
    drop(TcpStream::connect(gate.addr).expect("a probe"));
    let mut plain = TcpStream::connect(gate.addr).expect("connected");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut told = String::new();
    plain.read_to_string(&mut told).expect("told");
    assert!(told.contains("400 Bad Request"));
    let nobody = gate.try_connect(None);
    if let Ok(mut nobody) = nobody {
        nobody.ended();
    }
    let elsewhere = tempfile::tempdir().expect("a directory");
    let stranger = Pki::create(elsewhere.path()).client("stranger", 3);
    if let Ok(mut stranger) = gate.try_connect(Some(&stranger)) {
        stranger.ended();
    }

    // Alice asks, and stays; Bob is hijacked, and stays.
    let mut a = gate.connect(&alice);
    for _ in 0..3 {
        assert_eq!(a.ask("GET", "/_ping").status, 200);
    }
    assert_eq!(a.ask("GET", "/v1.51/containers/json").status, 200);
    assert_eq!(a.ask("GET", "/v1.51/containers/web/json").status, 404);
    let mut b = gate.connect(&bob);
    b.hijack();
    b.echo("some bytes");

    // One that cannot be read, one that is kicked in the middle, one that finds the engine gone.
    let mut c = gate.connect(&bob);
    c.send("GET /_ping HTTP/1.1\r\n\r\n");
    assert_eq!(c.answer().status, 400);
    c.ended();
    let mut d = gate.connect(&alice);
    d.hijack();
    let id = gate.ps().iter().map(|c| c.id).max().expect("there");
    assert!(
        gate.command_line(&["kick", &id.to_string()])
            .status
            .success()
    );
    d.ended();
    drop(engine);
    std::fs::remove_file(engine_socket(&gate.dir)).expect("removed");
    let mut e = gate.connect(&alice);
    assert_eq!(e.ask("DELETE", "/v1.51/containers/web").status, 502);

    let sum =
        |count: fn(&TlsClient) -> u64| [&a, &b, &c, &d, &e].map(count).iter().sum::<u64>() as f64;
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    let mut is = |name: &str, value: f64| _ = expected.insert(name.to_owned(), value);
    is("dockgate_connections_accepted_total", 9.0);
    is("dockgate_connections", 3.0);
    is("dockgate_tunnels", 1.0);
    is("dockgate_requests_in_flight", 0.0);
    is("dockgate_clients", 2.0);
    is("dockgate_handshakes_in_flight", 0.0);
    for (outcome, n) in [
        ("ok", 5.0),
        ("probe", 1.0),
        ("plain_http", 1.0),
        ("no_certificate", 1.0),
        ("unknown_issuer", 1.0),
    ] {
        is(
            &format!("dockgate_handshakes_total{{outcome=\"{outcome}\"}}"),
            n,
        );
    }
    is("dockgate_bytes_total{direction=\"in\"}", sum(|c| c.sent));
    is(
        "dockgate_bytes_total{direction=\"out\"}",
        sum(|c| c.received),
    );
    let mut requests = |class: &str, kind: &str, decision: &str, status: &str, n: f64| {
        is(
            &format!(
                "dockgate_requests_total{{class=\"{class}\",kind=\"{kind}\",decision=\"{decision}\",status=\"{status}\"}}"
            ),
            n,
        );
    };
    requests("read", "inspect", "allowed", "2xx", 3.0);
    requests("read", "list", "allowed", "2xx", 1.0);
    requests("sensitive", "inspect", "allowed", "4xx", 1.0);
    requests("none", "none", "malformed", "4xx", 1.0);
    requests("root", "exec", "allowed", "1xx", 1.0);
    requests("write", "delete", "allowed", "5xx", 1.0);
    is(
        "dockgate_request_duration_seconds_count{class=\"read\",shape=\"plain\"}",
        4.0,
    );
    is(
        "dockgate_request_duration_seconds_count{class=\"sensitive\",shape=\"plain\"}",
        1.0,
    );
    is(
        "dockgate_request_duration_seconds_count{class=\"write\",shape=\"plain\"}",
        1.0,
    );
    is(
        "dockgate_request_duration_seconds_count{class=\"root\",shape=\"tunnel\"}",
        1.0,
    );
    is("dockgate_cuts_total{reason=\"kicked\"}", 1.0);
    is("dockgate_upstream_connects_total", 4.0);
    is("dockgate_upstream_errors_total{reason=\"missing\"}", 1.0);
    is("dockgate_last_reload_successful", 1.0);

    let page = || get(gate.metrics(), "/metrics");
    eventually(|| {
        let answer = page();
        assert_eq!(answer.status, 200);
        let mut found = samples(&answer.text());
        // When certificates end is compared where the test has made them to end then.
        found.retain(|name, _| {
            !name.contains("expiry_timestamp") && !name.contains("certificate_warning_timestamp")
        });
        found.retain(|name, value| *value != 0.0 || expected.contains_key(name));
        if found == expected {
            return Ok(());
        }
        Err(format!("found {found:#?}\nexpected {expected:#?}"))
    });
    let answer = page();
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(answer.text().contains(&format!("\n{name} ")), "{name}");
    }
    assert!(
        answer
            .text()
            .contains("dockgate_certificate_expiry_timestamp_seconds{role=\"server\"}")
    );
    assert!(
        answer
            .text()
            .contains("dockgate_certificate_expiry_timestamp_seconds{role=\"ca\"}")
    );
    assert!(
        answer
            .text()
            .contains("dockgate_certificate_warning_timestamp_seconds{role=\"ca\"}")
    );
}

#[test]
fn a_failed_reload_shows_until_one_succeeds() {
    let (gate, _engine) = with_engine(&["--reload-interval", "off"]);
    let metrics = gate.metrics();
    let shows = |wanted: &[&str]| {
        eventually(|| {
            let page = get(metrics, "/metrics").text();
            let missing = wanted.iter().find(|line| !page.contains(**line));
            missing.map_or(Ok(()), |line| Err(format!("{line} in {page}")))
        });
    };
    let cert = gate.pki.dir.join("server-cert.pem");
    let good = std::fs::read(&cert).expect("read");
    std::fs::write(&cert, "nonsense").expect("written");
    gate.signal(rustix::process::Signal::HUP);
    shows(&[
        "dockgate_reloads_total{outcome=\"failed\"} 1\n",
        "dockgate_last_reload_successful 0\n",
    ]);
    std::fs::write(&cert, good).expect("written");
    gate.signal(rustix::process::Signal::HUP);
    shows(&[
        "dockgate_reloads_total{outcome=\"applied\"} 1\n",
        "dockgate_last_reload_successful 1\n",
    ]);
}

#[test]
fn the_listener_answers_three_paths_in_both_syntaxes_and_nothing_else() {
    let (gate, _engine) = with_engine(&[]);
    let to = gate.metrics();
    let old = get(to, "/metrics");
    assert_eq!(
        old.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let new = http(
        to,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(
        new.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(new.text().ends_with("# EOF\n"));
    assert_eq!(get(to, "/live").status, 200);
    let other = get(to, "/v1.51/containers/json");
    assert_eq!(other.status, 404);
    assert!(
        other
            .text()
            .contains("this listener answers GET /live, /ready and /metrics"),
        "{other:?}"
    );
    let post = http(
        to,
        "POST /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(post.status, 405);
}

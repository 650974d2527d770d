//! Hijacked and upgraded endpoints: attach, exec start, attach/ws, /session, /grpc, with and without an upgrade.

use testkit::{ATTACH, End, EngineConn, OK, PING, TlsClient, TlsRecord, UPGRADED, Wire, pattern};

const RAW_200: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";

/// The next record is exactly this.
#[track_caller]
fn record_is(client: &mut TlsClient, wanted: &[u8]) {
    match client.record() {
        TlsRecord::Data(data) => assert_eq!(data, wanted, "{:?}", String::from_utf8_lossy(&data)),
        TlsRecord::End => panic!("the gate ended"),
    }
}

fn tunnel(wire: &Wire, request: &[u8], head: &[u8]) -> (TlsClient, EngineConn) {
    let mut client = wire.client();
    client.send(request);
    let mut engine = wire.engine.accept();
    engine.answer(request, head);
    client.expect(head);
    (client, engine)
}

/// Both ways, then the end.
#[track_caller]
fn echoes(client: &mut TlsClient, engine: &mut EngineConn) {
    for round in 0..3_u8 {
        let up = [b"up \0\r\n\r\n".as_slice(), &[round]].concat();
        client.send(&up);
        engine.expect(&up);
        engine.write(&[1, 0, 0, 0, 0, 0, 0, round]);
        client.expect(&[1, 0, 0, 0, 0, 0, 0, round]);
    }
    engine.end();
    client.expect_end(End::Clean);
}

/// R6 "Flush it as its own TLS record before the first stream byte"; C14.
#[test]
fn the_101_head_has_a_record_of_its_own_and_bytes_behind_it_are_kept() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(ATTACH);
    let mut engine = wire.engine.accept();
    engine.expect(ATTACH);
    engine.write(&[UPGRADED, b"\x01\0\0\0\0\0\0\x03one"].concat());
    record_is(&mut client, UPGRADED);
    record_is(&mut client, b"\x01\0\0\0\0\0\0\x03one");
    echoes(&mut client, &mut engine);
}

#[test]
fn a_101_head_that_comes_in_pieces_is_one_record_too() {
    // "the head leaves in 2–4 separate writes"
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(ATTACH);
    let mut engine = wire.engine.accept();
    engine.expect(ATTACH);
    for part in UPGRADED.chunks(40) {
        engine.write(part);
    }
    engine.write(b"one");
    record_is(&mut client, UPGRADED);
    client.expect(b"one");
    echoes(&mut client, &mut engine);
}

/// R4 "forward client bytes only after the head has come from the engine"; C12.
#[test]
fn early_client_bytes_wait_for_the_head_and_then_come_first() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send([ATTACH, b"EARLY\n"].concat());
    client.send(b"EARLY2\n");
    let mut engine = wire.engine.accept();
    assert_eq!(engine.once(), ATTACH);
    engine.write(UPGRADED);
    client.expect(UPGRADED);
    client.send(b"LATE\n");
    engine.expect(b"EARLY\nEARLY2\nLATE\n");
    // More than is held: the client has to wait, and nothing is lost.
    let mut client = wire.client();
    let early = pattern(1 << 20);
    client.send(ATTACH);
    let mut engine = wire.engine.accept();
    assert_eq!(engine.once(), ATTACH);
    let sent = early.clone();
    let sending = std::thread::spawn(move || {
        client.send(&sent);
        client
    });
    engine.write(UPGRADED);
    engine.expect(&early);
    let mut client = sending.join().unwrap();
    client.expect(UPGRADED);
    echoes(&mut client, &mut engine);
}

/// R5 "Read the body first (≤ 64 KiB, else 413), send head and body in one write"; C13.
#[test]
fn head_and_body_of_an_attach_arrive_in_one_write() {
    let wire = Wire::start();
    let length = b"POST /containers/c/attach?stdin=1 HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 11\r\n\r\n";
    let chunked = b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n";
    let large = format!(
        "POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\nUpgrade: tcp\r\n\r\n",
        64 * 1024
    );
    let large_body = pattern(64 * 1024);
    for (head, body) in [
        (&length[..], &b"{\"stdin\":1}"[..]),
        (
            chunked,
            b"5;x\r\n{\"Det\r\n6\r\nach\":0\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n",
        ),
        (large.as_bytes(), &large_body),
    ] {
        let mut client = wire.client();
        client.send(head);
        for part in body.chunks(body.len().div_ceil(5)) {
            client.send(part);
        }
        let mut engine = wire.engine.accept();
        let whole = [head, body].concat();
        // One write of the gate is at most one read here.
        let first = engine.once();
        if whole.len() < 64 * 1024 {
            assert_eq!(first, whole);
        } else {
            assert!(first.len() >= 64 * 1024, "{}", first.len());
            engine.expect(&whole[first.len()..]);
        }
        engine.write(UPGRADED);
        client.expect(UPGRADED);
        client.send(b"stdin");
        engine.expect(b"stdin");
    }
}

#[test]
fn a_body_of_an_attach_above_64_kib_is_refused() {
    let wire = Wire::start();
    let body = pattern(64 * 1024 + 1);
    let length = format!(
        "POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let chunked = format!(
        "POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    for head in [length, chunked] {
        let message = wire
            .client()
            .refused(&[head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat(), 413);
        assert!(message.contains("65536"), "{message}");
        wire.engine.nothing_came();
    }
}

#[test]
fn a_client_that_expects_100_continue_on_an_attach_gets_it_from_the_gate() {
    // "`Expect` on attach gives no 100" from the engine, and the body has to come before the hand-over.
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\nContent-Length: 2\r\nUpgrade: tcp\r\n\r\n");
    client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"{}");
    let mut engine = wire.engine.accept();
    assert_eq!(
        engine.once(),
        b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\nUpgrade: tcp\r\n\r\n{}"
    );
    engine.write(UPGRADED);
    client.expect(UPGRADED);
    echoes(&mut client, &mut engine);
}

/// R2 "status 200, raw-stream or multiplexed-stream, no Content-Length, no Transfer-Encoding ⇒ copy raw both ways, and send
/// that head downstream without adding chunked"; C15.
#[test]
fn a_raw_stream_200_is_a_tunnel_with_its_head_unchanged() {
    let wire = Wire::start();
    for (target, content_type) in [
        (
            "/containers/c/attach?stdin=1",
            "application/vnd.docker.raw-stream",
        ),
        (
            "/v1.51/exec/e/start",
            "application/vnd.docker.multiplexed-stream",
        ),
    ] {
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n");
        let (mut client, mut engine) = tunnel(&wire, request.as_bytes(), head.as_bytes());
        echoes(&mut client, &mut engine);
    }
    // Also when earlier requests used the connection, and with the first bytes in the same write.
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    client.expect(OK);
    let request = b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n{}";
    client.send(request);
    engine.expect(request);
    engine.write(&[RAW_200, b"first"].concat());
    record_is(&mut client, RAW_200);
    record_is(&mut client, b"first");
    client.send(b"stdin that looks like HTTP: GET / HTTP/1.1\r\n\r\n");
    engine.expect(b"stdin that looks like HTTP: GET / HTTP/1.1\r\n\r\n");
    echoes(&mut client, &mut engine);
}

#[test]
fn a_200_elsewhere_or_with_a_length_is_no_tunnel() {
    let wire = Wire::start();
    // The same head on logs, which is not hijacked: its end is the end, and input is no stdin.
    let mut client = wire.client();
    let logs = b"GET /containers/c/logs HTTP/1.1\r\nHost: docker\r\n\r\n";
    client.send(logs);
    let mut engine = wire.engine.accept();
    engine.answer(logs, RAW_200);
    client.expect(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: close\r\n\r\n");
    client.send(b"not stdin");
    engine.write(b"line");
    client.expect(b"line");
    engine.end();
    client.expect_end(End::Clean);
    engine.expect_end();
    // C17: "exec start {"Detach":true} with Upgrade, then POST on the same connection → parsed and judged, not tunnelled".
    let mut client = wire.client();
    let start = b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 15\r\n\r\n{\"Detach\":true}";
    client.send(start);
    let mut engine = wire.engine.accept();
    engine.answer(start, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
    client.refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    engine.expect_end();
}

/// C16 "GET /_ping with Upgrade: tcp, then a second request → both handled as HTTP".
#[test]
fn an_upgrade_that_the_engine_ignores_leaves_http() {
    let wire = Wire::start();
    let mut client = wire.client();
    let ping =
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    client.send(ping);
    let mut engine = wire.engine.accept();
    engine.answer(ping, OK);
    client.expect(OK);
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
    client.refused(b"GET / HTTP/1.1\r\n\r\n", 400);
}

/// authz.md b.32 / "After a refused upgrade no pipelined byte is executed."
#[test]
fn nothing_behind_an_upgrade_that_did_not_happen_is_executed() {
    let wire = Wire::start();
    let create = b"POST /containers/create HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
    let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    for (hoping, answer) in [
        (ATTACH, &not_found[..]),
        (b"POST /exec/nope/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", not_found),
        (b"POST /exec/nope/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n", not_found),
        (b"POST /exec/e/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", OK),
        (b"GET /containers/c/attach/ws HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", not_found),
        (b"POST /session HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", not_found),
        (b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", OK),
    ] {
        let mut client = wire.client();
        client.send([hoping, create].concat());
        let mut engine = wire.engine.accept();
        engine.answer(hoping, answer);
        assert!(client.answer().head.contains("\r\nConnection: close\r\n"));
        client.expect_end(End::Clean);
        engine.expect_end();
        wire.engine.nothing_came();
    }
    // Refused, and the optimistic bytes come only after the answer: what they are is not known, so they are not read.
    for hoping in [
        ATTACH,
        b"POST /exec/nope/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = wire.client();
        client.send(hoping);
        let mut engine = wire.engine.accept();
        engine.answer(hoping, not_found);
        assert!(client.answer().head.contains("\r\nConnection: close\r\n"));
        client.expect_end(End::Clean);
        engine.expect_end();
    }
}

/// R7 "The attach error is close-delimited".
#[test]
fn a_refused_attach_without_length_is_relayed_to_its_end() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(ATTACH);
    let mut engine = wire.engine.accept();
    engine.answer(ATTACH, b"HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nNo such container: c\r\n");
    engine.end();
    client.expect(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: close\r\n\r\nNo such container: c\r\n");
    client.expect_end(End::Clean);
    engine.expect_end();
}

/// C41 and C18: WebSocket attach, BuildKit's /session and /grpc; "the /grpc SETTINGS frame rides with the 101".
#[test]
fn websocket_and_h2c_upgrades_are_tunnels() {
    let wire = Wire::start();
    let websocket = b"GET /containers/c/attach/ws?stream=1 HTTP/1.1\r\nHost: docker\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let accepted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let (mut client, mut engine) = tunnel(&wire, websocket, accepted);
    echoes(&mut client, &mut engine);
    for path in ["/session", "/grpc"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: a\r\n\
             X-Docker-Expose-Session-Grpc-Method: /a/B\r\nX-Docker-Expose-Session-Grpc-Method: /a/C\r\n\r\n"
        );
        let switched =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\xfa";
        let mut client = wire.client();
        client.send(request.as_bytes());
        let mut engine = wire.engine.accept();
        engine.expect(request.as_bytes());
        engine.write(&[&switched[..], settings].concat());
        record_is(&mut client, switched);
        record_is(&mut client, settings);
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        engine.expect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        echoes(&mut client, &mut engine);
    }
}

/// The table of 1.1: Podman's own paths are hijacked as well.
#[test]
fn podmans_attach_and_exec_start_are_tunnels() {
    let wire = Wire::start();
    for path in ["/v4.0.0/libpod/containers/c/attach", "/libpod/exec/e/start"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        );
        let (mut client, mut engine) = tunnel(&wire, request.as_bytes(), UPGRADED);
        echoes(&mut client, &mut engine);
        let legacy = format!("POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
        let (mut client, mut engine) = tunnel(&wire, legacy.as_bytes(), RAW_200);
        echoes(&mut client, &mut engine);
    }
}

/// The engine decides by the header alone (1.1); HTTP/1.0 makes no difference to it.
#[test]
fn a_101_to_http_1_0_is_a_tunnel_as_the_engine_says() {
    let wire = Wire::start();
    let request =
        b"POST /containers/c/attach HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let (mut client, mut engine) = tunnel(&wire, request, UPGRADED);
    echoes(&mut client, &mut engine);
}

/// The body of an attach takes as long as its client likes, so nothing is looked at before it is there: what was looked at could have
/// become another container by then.
#[test]
fn nothing_is_looked_at_before_the_body_of_an_attach_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = dir.path().join("policy.toml");
    let text = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"deployer\"\n";
    std::fs::write(&policy, text).expect("written");
    let policy = policy.to_str().expect("a path in UTF-8");
    let wire = Wire::with(&["--workers", "1", "--policy", policy]);
    let id = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let attach = |name: &str, body: &str| {
        format!(
            "POST /containers/{name}/attach?stdin=1&stream=1 HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n{body}"
        )
    };
    let inspected = format!(r#"{{"Id":"{id}","Config":{{"Image":"a"}},"HostConfig":{{}}}}"#);
    let inspected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{inspected}",
        inspected.len()
    );
    for (begin, rest) in [
        ("Content-Length: 2\r\n\r\n{", "}"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "0\r\n\r\n"),
    ] {
        let mut client = wire.client();
        client.send(attach("web", begin));
        std::thread::sleep(std::time::Duration::from_millis(300));
        wire.engine.nothing_came();
        client.send(rest);
        let mut asked = wire.engine.accept();
        let head = String::from_utf8_lossy(&asked.head()).into_owned();
        assert!(head.starts_with("GET /containers/web/json "), "{head}");
        asked.write(inspected.as_bytes());
        // By its full id, and whole: the engine waits for nothing of the client's.
        let mut engine = wire.engine.accept();
        engine.expect(attach(id, &format!("{begin}{rest}")).as_bytes());
        engine.write(UPGRADED);
        client.expect(UPGRADED);
        echoes(&mut client, &mut engine);
    }
}

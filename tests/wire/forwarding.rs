//! "The request target, method, header names' case and order within reason, repeated headers […] and the body reach the
//! engine byte for byte; hop-by-hop headers follow RFC 9110 §7.6.1."

use testkit::{End, EngineConn, OK, PING, TlsClient, Wire, pattern};

fn pair(wire: &Wire, request: &[u8]) -> (TlsClient, EngineConn) {
    let mut client = wire.client();
    client.send(request);
    let engine = wire.engine.accept();
    (client, engine)
}

/// Sends `request`, and the engine must receive `forwarded` and nothing else.
#[track_caller]
fn arrives_as(wire: &Wire, request: &[u8], forwarded: &[u8]) {
    let (mut client, mut engine) = pair(wire, request);
    engine.answer(forwarded, OK);
    assert_eq!(client.answer().body, b"OK");
    drop(client);
    engine.expect_end();
}

#[track_caller]
fn unchanged(wire: &Wire, request: &[u8]) {
    arrives_as(wire, request, request);
}

#[test]
fn target_case_order_and_repetition_arrive_unchanged() {
    let wire = Wire::start();
    unchanged(
        &wire,
        b"POST /v1.51/images/create?fromImage=a%2Fb&x=%7e&y=a+b;c HTTP/1.1\r\nhOsT: docker\r\nX-Registry-Auth: e30=\r\n\
          x-meta-a: 1\r\nX-Meta-A: 2\r\nx-META-a:3\r\nAccept:*/*\r\nUser-Agent:  two  spaces \t\r\nEmpty:\r\nContent-Length: 0\r\n\r\n",
    );
    // R8: repeated lines stay lines; an empty Host is what buildx sends.
    unchanged(
        &wire,
        b"POST /v1.51/build HTTP/1.1\r\nHost:\r\nX-Docker-Expose-Session-Grpc-Method: /a/B\r\n\
          X-Docker-Expose-Session-Grpc-Method: /a/C\r\nX-Docker-Expose-Session-Grpc-Method: /a/D\r\n\r\n",
    );
}

#[test]
fn escapes_redirects_and_odd_targets_arrive_unchanged() {
    let wire = Wire::start();
    for target in [
        "/%5fping",
        "//_ping",
        "/x/../_ping",
        "/containers/s1%2fjson",
        "/images/docker.io%2Flibrary%2Fbusybox:latest/json",
        "/%252F",
        "/containers/json?filters=%7B%22a%22%3A%5B%22b%22%5D%7D",
        "/containers/json?a=\"<>[]^`{|}\\",
    ] {
        unchanged(
            &wire,
            format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes(),
        );
    }
    unchanged(&wire, b"OPTIONS * HTTP/1.1\r\nHost: docker\r\n\r\n");
    unchanged(&wire, b"BREW /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    unchanged(
        &wire,
        b"GET /_ping HTTP/1.1\r\nHost: 127.0.0.1:2376\r\nX-Latin: caf\xe9\r\n\r\n",
    );
}

#[test]
fn a_header_value_of_64_kib_and_a_head_of_256_kib_arrive_unchanged() {
    let wire = Wire::start();
    let value = "a".repeat(64 * 1024);
    unchanged(
        &wire,
        format!("POST /v1.51/build HTTP/1.1\r\nHost: docker\r\nX-Registry-Config: {value}\r\n\r\n")
            .as_bytes(),
    );
    let mut head = b"POST /v1.51/build HTTP/1.1\r\nHost: docker\r\n".to_vec();
    for i in 0..4 {
        head.extend(format!("X-Registry-Config-{i}: {value}\r\n").into_bytes());
    }
    head.extend(b"\r\n");
    assert!(head.len() > 256 * 1024);
    unchanged(&wire, &head);
}

#[test]
fn a_head_that_comes_byte_by_byte_arrives_whole() {
    let wire = Wire::start();
    let mut client = wire.client();
    for byte in PING {
        client.send([*byte]);
    }
    wire.engine.accept().answer(PING, OK);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_body_with_a_length_arrives_unchanged_and_what_follows_is_the_next_request() {
    let wire = Wire::start();
    let body = pattern(1 << 20);
    let head = format!(
        "PUT /v1.51/containers/c/archive?path=/ HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = wire.client();
    let sent = [head.as_bytes(), &body, PING].concat();
    let sender = std::thread::spawn(move || {
        client.send(&sent);
        client
    });
    let mut engine = wire.engine.accept();
    engine.expect(head.as_bytes());
    engine.expect(&body);
    let mut client = sender.join().unwrap();
    engine.write(OK);
    assert_eq!(client.answer().status, 200);
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
}

/// R17 "Keep the framing."
#[test]
fn a_chunked_body_arrives_with_its_own_chunks_extensions_and_trailers() {
    let wire = Wire::start();
    let chunked = b"POST /v1.51/images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
        5;ext=\"a b\";other\r\nhello\r\n0003\r\nabc\r\nA\r\n0123456789\r\n000;last\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n";
    unchanged(&wire, chunked);
    // However the bytes arrive.
    let mut client = wire.client();
    for part in chunked.chunks(7) {
        client.send(part);
    }
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(chunked, OK);
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn no_body_stays_no_body_and_length_zero_stays_length_zero() {
    // C29: "curl -X POST …/containers/c/start (no length header), -d '' → 304, not 400"
    let wire = Wire::start();
    unchanged(
        &wire,
        b"POST /v1.51/containers/c/start HTTP/1.1\r\nHost: docker\r\n\r\n",
    );
    unchanged(
        &wire,
        b"POST /v1.51/containers/c/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    );
    unchanged(&wire, b"POST /v1.51/containers/c/start HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#[test]
fn hop_by_hop_fields_of_a_request_stay_with_their_hop() {
    let wire = Wire::start();
    arrives_as(
        &wire,
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nA: 1\r\nConnection: keep-alive, X-Hop , x-HOP2\r\nKeep-Alive: timeout=5\r\nX-Hop: no\r\n\
          B: 2\r\nX-Hop2: no\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nC: 3\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n",
    );
    // Two lines count together.
    arrives_as(
        &wire,
        b"GET /_ping HTTP/1.1\r\nConnection: X-A\r\nX-A: no\r\nX-B: no\r\nHost: docker\r\nConnection: x-b\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
    );
    // What is not named stays, whatever it is called.
    unchanged(&wire, b"GET /_ping HTTP/1.1\r\nHost: docker\r\nX-Hop: yes\r\nProxy-Thing: yes\r\nTrailer: a\r\n\r\n");
}

#[test]
fn hop_by_hop_fields_of_an_answer_stay_with_their_hop() {
    let wire = Wire::start();
    let (mut client, mut engine) = pair(&wire, PING);
    engine.expect(PING);
    engine.write(
        b"HTTP/1.1 200 Fine by me\r\nApi-Version: 1.51\r\nconnection: X-Hop\r\nKeep-Alive: timeout=5\r\nX-HOP: no\r\n\
          Ostype: linux\r\nProxy-Connection: x\r\nWarning: a\r\nWarning: b\r\nContent-Length: 2\r\n\r\nOK",
    );
    client.expect(
        b"HTTP/1.1 200 Fine by me\r\nApi-Version: 1.51\r\nOstype: linux\r\nWarning: a\r\nWarning: b\r\nContent-Length: 2\r\n\r\nOK",
    );
}

#[test]
fn the_answer_comes_unchanged() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    let answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nDOCKER-Experimental: false\r\nX-Docker-Container-Path-Stat: eyJ9\r\n\
        Set-Cookie: a\r\nset-cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nab\r\n\r\n00\r\nX-Sum: 1\r\n\r\n";
    engine.answer(PING, answer);
    client.expect(answer);
    let bulk = pattern(3 << 20);
    client.send(PING);
    engine.expect(PING);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bulk.len());
    let sent = [head.as_bytes(), &bulk].concat();
    let mut writer = engine.twin();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || writer.write(&sent));
    client.expect(&expected);
    writing.join().unwrap();
    drop(engine);
    client.close_notify();
    client.expect_end(End::Clean);
}

/// R9 "Upgrade and Connection values verbatim", R10 "forward or strip".
#[test]
fn upgrade_and_connection_arrive_verbatim() {
    let wire = Wire::start();
    for connection in [
        "Upgrade",
        "upgrade",
        "keep-alive, Upgrade",
        "Upgrade, HTTP2-Settings",
    ] {
        let request = format!(
            "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: {connection}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        );
        unchanged(&wire, request.as_bytes());
    }
}

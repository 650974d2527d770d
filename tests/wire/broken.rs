//! "An engine's malformed or truncated answer (garbage, NUL in a header, EOF in mid-body, two lengths) becomes a 502 or a
//! visibly cut stream, never a silent success, and never reaches the client ambiguous."

use rustix::process::Signal;

use testkit::{Alone, End, Engine, EngineConn, OK, PING, TlsClient, Wire};

fn asked(wire: &Wire) -> (TlsClient, EngineConn) {
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.expect(PING);
    (client, engine)
}

/// Answered 502; the client's connection goes on, with an engine connection of its own.
#[track_caller]
fn bad_gateway(wire: &Wire, client: &mut TlsClient) {
    let answer = client.answer();
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(
        answer.message().starts_with("dockgate: the Docker Engine "),
        "{answer:?}"
    );
    client.send(PING);
    wire.engine.accept().answer(PING, OK);
    client.expect(OK);
}

#[test]
fn a_malformed_answer_becomes_502() {
    let wire = Wire::start();
    let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\nOK");
    for answer in [
        "garbage\r\n\r\n".to_owned(),
        "\r\n\r\n".to_owned(),
        "\0\0\0\x12\x04\0\0\0\0\0\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 20 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        "HTTP/1.1  200 OK\r\n\r\n".to_owned(),
        "ICY 200 OK\r\n\r\n".to_owned(),
        head("A: \0\r\nContent-Length: 2\r\n"),
        head("A : 1\r\nContent-Length: 2\r\n"),
        head("A: 1\r\n 2\r\nContent-Length: 2\r\n"),
        head("A: 1\nContent-Length: 2\r\n"),
        head("A: 1\rContent-Length: 2\r\n"),
        head("Content-Length: 2\r\nContent-Length: 2\r\n"),
        head("Content-Length: 2\r\nContent-Length: 3\r\n"),
        head("Content-Length: 2, 2\r\n"),
        head("Content-Length: +2\r\n"),
        head("Content-Length: two\r\n"),
        head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
        head("Transfer-Encoding: gzip, chunked\r\n"),
        head("Transfer-Encoding: identity\r\n"),
        head("Connection: content-length\r\nContent-Length: 2\r\n"),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nOK".to_owned(),
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nOK".to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nOK".to_owned(),
    ] {
        let (mut client, mut engine) = asked(&wire);
        engine.write(answer.as_bytes());
        bad_gateway(&wire, &mut client);
        engine.expect_end();
    }
}

#[test]
fn an_engine_that_ends_before_its_head_is_complete_becomes_502() {
    let wire = Wire::start();
    for start in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Le"] {
        let (mut client, mut engine) = asked(&wire);
        engine.write(start);
        drop(engine);
        bad_gateway(&wire, &mut client);
    }
    // An interim answer is none.
    let (mut client, mut engine) = asked(&wire);
    engine.write(b"HTTP/1.1 103 Early Hints\r\n\r\n");
    client.expect(b"HTTP/1.1 103 Early Hints\r\n\r\n");
    drop(engine);
    bad_gateway(&wire, &mut client);
}

#[test]
fn a_head_of_an_answer_is_bounded() {
    let wire = Wire::start();
    let (mut client, mut engine) = asked(&wire);
    engine.write(b"HTTP/1.1 200 OK\r\nA: ");
    let writing = std::thread::spawn(move || {
        let endless = [b'a'; 65536];
        // Until the gate has had enough.
        while std::io::Write::write_all(&mut engine.socket, &endless).is_ok() {}
    });
    bad_gateway(&wire, &mut client);
    writing.join().unwrap();
    let (mut client, mut engine) = asked(&wire);
    let lines: String = (0..501).map(|i| format!("X-{i}: 1\r\n")).collect();
    engine.write(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
    bad_gateway(&wire, &mut client);
}

#[test]
fn switching_protocols_unasked_becomes_502() {
    let wire = Wire::start();
    let switched = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw";
    // R1: "a 101 elsewhere is an upstream fault: 502".
    for request in [
        PING,
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        b"POST /v1.51/containers/c/attach HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\n\r\n",
    ] {
        let mut client = wire.client();
        client.send(request);
        let mut engine = wire.engine.accept();
        engine.answer(request, switched);
        assert_eq!(client.answer().status, 502);
        engine.expect_end();
        if request == PING {
            continue;
        }
        // What a client sent behind an upgrade is no request.
        client.expect_end(End::Clean);
        wire.engine.nothing_came();
    }
}

/// C27 "Kill the engine in mid docker pull/save → client exits non-zero, no silent success."
#[test]
fn an_answer_that_ends_too_early_is_seen_as_cut() {
    let wire = Wire::start();
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
    ] {
        let (mut client, mut engine) = asked(&wire);
        engine.write(answer);
        // Complete as far as it goes, then cut: no final chunk, no close_notify.
        client.expect(answer);
        drop(engine);
        client.expect_end(End::Cut);
    }
}

#[test]
fn a_bad_chunk_in_an_answer_is_seen_as_cut() {
    let wire = Wire::start();
    let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for bad in [
        &b"zz\r\n"[..],
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"0\r\nbad trailer\r\n\r\n",
    ] {
        let (mut client, mut engine) = asked(&wire);
        engine.write(start);
        client.expect(start);
        engine.write(bad);
        let (rest, end) = client.rest();
        assert!(
            !rest.windows(5).any(|w| w == b"0\r\n\r\n"),
            "no final chunk"
        );
        assert_eq!(end, End::Cut);
        engine.expect_end();
    }
}

#[test]
fn bytes_behind_a_complete_answer_are_not_the_next_answer() {
    let wire = Wire::start();
    // In the same write, and in a later one.
    let (mut client, mut engine) = asked(&wire);
    engine.write(&[OK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat());
    client.expect(OK);
    client.expect_end(End::Clean);
    engine.expect_end();
    let (mut client, mut engine) = asked(&wire);
    engine.write(OK);
    client.expect(OK);
    engine.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    client.send(PING);
    wire.engine
        .accept()
        .answer(PING, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    assert_eq!(client.answer().body, b"good");
    engine.expect_end();
    // Behind answers that have no body.
    let mut client = wire.client();
    let head = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
    client.send(head);
    let mut engine = wire.engine.accept();
    engine.answer(head, OK);
    client.expect(&OK[..OK.len() - 2]);
    client.expect_end(End::Clean);
}

/// The engine dies when the body is through and the next request is here: none of its bytes are taken for body.
#[test]
fn a_request_behind_one_that_failed_is_read_from_its_first_byte() {
    let wire = Wire::start();
    let mut client = wire.client();
    let head = b"POST /build HTTP/1.1\r\nHost: docker\r\nContent-Length: 60\r\n\r\n";
    client.send([&head[..], &[b'x'; 10]].concat());
    let mut engine = wire.engine.accept();
    engine.expect(head);
    engine.expect(&[b'x'; 10]);
    let next = format!(
        "GET /images/{}/json HTTP/1.1\r\nHost: docker\r\n\r\n",
        "a".repeat(100)
    );
    client.send([&[b'x'; 50][..], next.as_bytes()].concat());
    engine.expect(&[b'x'; 50]);
    drop(engine);
    assert_eq!(client.answer().status, 502);
    wire.engine.accept().answer(next.as_bytes(), OK);
    client.expect(OK);
}

/// The engine dies while the gate is not looking, and the last of the body meets a socket that takes nothing: it is body all the
/// same, whatever it looks like.
#[test]
fn a_body_that_meets_a_dead_engine_is_not_read_as_a_request() {
    let gate = Alone::start(&["--workers", "1"]);
    let engine = Engine::listen(&gate.socket);
    let mut client = gate.client();
    let rest = b"GET /hidden HTTP/1.1\r\nHost: docker\r\n\r\n";
    let head = format!(
        "POST /build HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n\r\n",
        10 + rest.len()
    );
    client.send([head.as_bytes(), &[b'x'; 10]].concat());
    let mut conn = engine.accept();
    conn.expect(head.as_bytes());
    conn.expect(&[b'x'; 10]);
    gate.signal(Signal::STOP);
    drop(conn);
    client.send(rest);
    gate.signal(Signal::CONT);
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    // The gate sees the engine's end or the body first. Where the body is not all there yet, the connection ends with the answer.
    if answer.header("connection") == Some("close") {
        client = gate.client();
    }
    client.send(PING);
    engine.accept().answer(PING, OK);
    client.expect(OK);
}

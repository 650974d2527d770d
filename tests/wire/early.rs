//! "An engine that answers early while the body is still coming (a refused build or load) gets its answer through to the
//! client: no reset, no hang." R19, R20; C25, C26.

use testkit::{End, OK, PING, TlsClient, Wire, pattern};

const BODY: usize = 16 << 20;

/// Sends all of a large request and only then reads, as Go, curl and Python do. Fails if the gate resets.
#[track_caller]
fn upload(client: &mut TlsClient, target: &str) {
    client.send(
        format!("PUT {target} HTTP/1.1\r\nHost: docker\r\nContent-Length: {BODY}\r\n\r\n")
            .as_bytes(),
    );
    let part = vec![b'x'; 64 * 1024];
    for _ in 0..BODY / part.len() {
        client.send(&part);
    }
}

#[test]
fn a_refusal_of_the_engine_arrives_while_the_body_is_still_coming() {
    let wire = Wire::start();
    for round in 0..20 {
        let mut client = wire.client();
        let sending = std::thread::spawn(move || {
            upload(&mut client, "/containers/nope/archive?path=/");
            client
        });
        let mut engine = wire.engine.accept();
        engine.head();
        // As Go's server: some of the body, the answer, the end of its output, and then a close with unread bytes.
        engine.take(256 * 1024);
        engine
            .write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnope");
        engine.end();
        drop(engine);
        let mut client = sending.join().unwrap();
        let answer = client.answer();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (404, &b"nope"[..]),
            "round {round}"
        );
        assert!(answer.head.contains("\r\nConnection: close\r\n"));
        client.expect_end(End::Clean);
    }
}

#[test]
fn a_refusal_of_the_gate_arrives_while_the_body_is_still_coming() {
    let wire = Wire::start();
    for round in 0..20 {
        let mut client = wire.client();
        upload(&mut client, "/containers/%zz/archive");
        assert_eq!(client.answer().status, 400, "round {round}");
        client.expect_end(End::Clean);
    }
    wire.engine.nothing_came();
}

#[test]
fn an_answer_before_the_last_chunk_keeps_the_connection() {
    // The engine often answers a load before it has read the last chunk.
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"POST /images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut engine = wire.engine.accept();
    engine.head();
    engine.expect(b"5\r\nhello\r\n");
    engine.write(OK);
    client.expect(OK);
    client.send(b"0\r\n\r\n");
    engine.expect(b"0\r\n\r\n");
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
}

/// "From moby HEAD /build is full duplex: output may start while the context is still uploading."
#[test]
fn a_build_may_talk_while_its_context_is_coming() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"POST /build HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut engine = wire.engine.accept();
    engine.head();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    engine.write(head);
    client.expect(head);
    for _ in 0..5 {
        client.send(b"3\r\ntar\r\n");
        engine.expect(b"3\r\ntar\r\n");
        engine.write(b"4\r\nstep\r\n");
        client.expect(b"4\r\nstep\r\n");
    }
    // Bulk both ways at once, each direction stuck at times.
    let bulk = pattern(8 << 20);
    let chunk = [
        format!("{:x}\r\n", bulk.len()).as_bytes(),
        &bulk,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let (up, down) = (chunk.clone(), chunk.clone());
    let mut writer = engine.twin();
    let engine_writes = std::thread::spawn(move || writer.write(&down));
    let expected = chunk.clone();
    let engine_reads = std::thread::spawn(move || engine.expect(&expected));
    client.send_while_reading(&up, &chunk);
    engine_writes.join().unwrap();
    engine_reads.join().unwrap();
}

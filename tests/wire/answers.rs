//! "`Expect: 100-continue`, HEAD, 204, 304, trailers […] are right."

use testkit::{End, OK, PING, Wire};

#[test]
fn an_answer_to_head_has_no_body_whatever_its_length_says() {
    let wire = Wire::start();
    let mut client = wire.client();
    let request = b"HEAD /v1.51/containers/c/archive?path=/etc HTTP/1.1\r\nHost: docker\r\n\r\n";
    // C30: "on a missing path 404 with Content-Length and no hang"
    for head in [
        &b"HTTP/1.1 404 Not Found\r\nContent-Length: 61\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: e30=\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: e30=\r\n\r\n",
    ] {
        client.send(request);
        let mut engine = wire.engine.accept();
        engine.answer(request, head);
        client.expect(head);
        // The connection goes on, on both sides.
        client.send(PING);
        engine.answer(PING, OK);
        client.expect(OK);
        drop(client);
        engine.expect_end();
        client = wire.client();
    }
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    let wire = Wire::start();
    let mut client = wire.client();
    let start =
        b"POST /v1.51/containers/c/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
    client.send(start);
    let mut engine = wire.engine.accept();
    for head in [
        &b"HTTP/1.1 204 No Content\r\nApi-Version: 1.51\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ] {
        engine.answer(start, head);
        client.expect(head);
        client.send(start);
    }
}

#[test]
fn interim_answers_pass_before_the_final_one() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.expect(PING);
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    engine.write(hints);
    client.expect(hints);
    engine.write(&[&b"HTTP/1.1 102 Processing\r\n\r\n"[..], hints, OK].concat());
    client.expect(b"HTTP/1.1 102 Processing\r\n\r\n");
    client.expect(hints);
    client.expect(OK);
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
}

const EXPECTING: &[u8] = b"PUT /v1.51/containers/c/archive HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

/// C28 "curl with Expect: 100-continue, 3 MB archive → 200; to a missing container → 404".
#[test]
fn the_engine_decides_whether_the_body_is_wanted() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(EXPECTING);
    let mut engine = wire.engine.accept();
    engine.expect(EXPECTING);
    engine.write(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"body");
    engine.answer(b"body", OK);
    client.expect(OK);
    client.send(EXPECTING);
    engine.expect(EXPECTING);
    engine.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    client.expect(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    client.expect_end(End::Clean);
    engine.expect_end();
}

#[test]
fn a_refusal_of_the_gate_spares_the_body_of_an_expecting_client() {
    let wire = Wire::start();
    let request = b"PUT /containers/%zz/archive HTTP/1.1\r\nHost: docker\r\nExpect: 100-continue\r\nContent-Length: 3000000\r\n\r\n";
    wire.client().refused(request, 400);
    wire.engine.nothing_came();
}

#[test]
fn an_answer_without_length_ends_with_its_connection() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(
        PING,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\none ",
    );
    client.expect(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\none ");
    engine.write(b"two");
    engine.end();
    client.expect(b"two");
    client.expect_end(End::Clean);
    engine.expect_end();
}

/// R18 "Head at once, each chunk at once"; C20: `docker run` starts the container only when the head of /wait has come.
#[test]
fn a_head_does_not_wait_for_its_body_nor_a_chunk_for_the_next() {
    let wire = Wire::start();
    let mut client = wire.client();
    let request = b"POST /v1.51/containers/c/wait?condition=removed HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n";
    client.send(request);
    let mut engine = wire.engine.accept();
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    engine.answer(request, head);
    client.expect(head);
    for part in [
        &b"6\r\nline1\n\r\n"[..],
        b"1\r",
        b"\n",
        b"x",
        b"\r\n",
        b"0\r\n\r\n",
    ] {
        engine.write(part);
        client.expect(part);
    }
    client.send(PING);
    engine.answer(PING, OK);
    client.expect(OK);
}

#[test]
fn an_upload_passes_before_it_is_complete() {
    // "the first byte of an upload reaches the engine before the last has left the client"
    let wire = Wire::start();
    let mut client = wire.client();
    let head =
        b"POST /v1.51/images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head);
    let mut engine = wire.engine.accept();
    engine.expect(head);
    for part in [&b"3\r\nabc\r\n"[..], b"5\r\nhe", b"llo\r\n", b"0\r\n\r\n"] {
        client.send(part);
        engine.expect(part);
    }
    engine.write(OK);
    client.expect(OK);
}

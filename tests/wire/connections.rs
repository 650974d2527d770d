//! "HTTP/1.0, keep-alive and pipelining are right"; and the one retry there is.

use testkit::{End, OK, PING, Wire};

#[test]
fn requests_of_one_client_share_one_engine_connection() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    for _ in 0..20 {
        client.send(PING);
        engine.answer(PING, OK);
        assert_eq!(client.answer().status, 200);
    }
    drop(client);
    engine.expect_end();
    wire.engine.nothing_came();
}

#[test]
fn two_clients_never_share_an_engine_connection() {
    let wire = Wire::start();
    let (mut one, mut two) = (wire.client(), wire.client());
    one.send(PING);
    let mut first = wire.engine.accept();
    first.answer(PING, OK);
    assert_eq!(one.answer().status, 200);
    two.send(PING);
    let mut second = wire.engine.accept();
    second.answer(PING, OK);
    assert_eq!(two.answer().status, 200);
    drop(one);
    first.expect_end();
    two.send(PING);
    second.answer(PING, OK);
    assert_eq!(two.answer().status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_sent_one_by_one() {
    let wire = Wire::start();
    let mut client = wire.client();
    let requests: Vec<String> = (0..10)
        .map(|i| format!("GET /images/{i}/json HTTP/1.1\r\nHost: docker\r\n\r\n"))
        .collect();
    client.send(requests.concat().as_bytes());
    let mut engine = wire.engine.accept();
    for (i, request) in requests.iter().enumerate() {
        // One write, one request: the next one waits for the answer.
        assert_eq!(String::from_utf8(engine.once()).unwrap(), *request);
        engine.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{i}").as_bytes());
    }
    for i in 0..10 {
        assert_eq!(client.answer().body, i.to_string().as_bytes());
    }
}

#[test]
fn a_bad_request_in_a_pipeline_is_judged_by_itself_and_ends_it() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send([PING, b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", PING].concat());
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 400);
    client.expect_end(End::Clean);
    engine.expect_end();
}

#[test]
fn connection_close_is_kept_for_the_client() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    client.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
    client.expect_end(End::Clean);
    engine.expect_end();
}

#[test]
fn an_engine_that_closes_after_its_answer_is_replaced_for_the_next_request() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(
        PING,
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    client.expect(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.expect_end(End::Clean);
}

#[test]
fn http_1_0_closes_after_its_answer() {
    // C40: "HTTP/1.0 GET /_ping and GET /events without Host → answers, close-delimited"
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(b"GET /_ping HTTP/1.0\r\n\r\n");
    let mut engine = wire.engine.accept();
    engine.answer(
        b"GET /_ping HTTP/1.0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK",
    );
    client.expect(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK");
    client.expect_end(End::Clean);
    let mut client = wire.client();
    client.send(b"GET /events HTTP/1.0\r\n\r\n");
    let mut engine = wire.engine.accept();
    engine.answer(b"GET /events HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n");
    client.expect(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n");
    engine.write(b"one\n");
    client.expect(b"one\n");
    engine.write(b"two\n");
    drop(engine);
    client.expect(b"two\n");
    client.expect_end(End::Clean);
}

#[test]
fn http_1_0_with_keep_alive_stays_open_and_close_wins() {
    let wire = Wire::start();
    let mut client = wire.client();
    let request = b"GET /_ping HTTP/1.0\r\nHost: docker\r\nConnection: keep-alive\r\n\r\n";
    client.send(request);
    let mut engine = wire.engine.accept();
    for _ in 0..2 {
        engine.answer(
            request,
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nOK",
        );
        client.expect(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nOK");
        client.send(request);
    }
    drop(client);
    let mut client = wire.client();
    client.send(b"GET /_ping HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n");
    let mut engine = wire.engine.accept();
    engine.head();
    engine.write(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nOK");
    assert!(client.answer().head.contains("\r\nConnection: close\r\n"));
    client.expect_end(End::Clean);
}

/// "only a bodyless GET or HEAD that met a dead connection before any response byte is retried, once."
#[test]
fn an_engine_that_closed_between_requests_is_replaced_unnoticed() {
    let wire = Wire::start();
    for request in [
        PING,
        b"POST /v1.51/containers/c/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = wire.client();
        client.send(PING);
        let mut engine = wire.engine.accept();
        engine.answer(PING, OK);
        assert_eq!(client.answer().status, 200);
        // Closed while idle: seen before anything is sent, so a POST may go on a new connection as well.
        drop(engine);
        client.send(request);
        wire.engine.accept().answer(request, OK);
        assert_eq!(client.answer().status, 200);
    }
}

/// The engine dies with the request in hand, `before` any byte of an answer.
fn dies_with_request(wire: &Wire, request: &[u8]) -> testkit::TlsClient {
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    client.send(request);
    engine.expect(request);
    drop(engine);
    client
}

#[test]
fn a_get_that_met_a_dying_engine_is_sent_again_once() {
    let wire = Wire::start();
    let mut client = dies_with_request(&wire, PING);
    wire.engine.accept().answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    // Once: when the new one dies as well, it is 502.
    let mut client = dies_with_request(&wire, PING);
    let mut second = wire.engine.accept();
    second.expect(PING);
    drop(second);
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    assert!(
        answer.message().contains("closed the connection"),
        "{answer:?}"
    );
    wire.engine.nothing_came();
}

/// C45 "no retry of POST".
#[test]
fn nothing_but_a_get_or_head_without_body_is_ever_sent_twice() {
    let wire = Wire::start();
    for request in [
        &b"POST /v1.51/containers/create HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"[..],
        b"DELETE /v1.51/containers/c HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"PUT /v1.51/containers/c/archive HTTP/1.1\r\nHost: docker\r\nContent-Length: 1\r\n\r\na",
        b"OPTIONS /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: docker\r\nContent-Length: 1\r\n\r\na",
        b"GET /containers/c/attach/ws HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut client = dies_with_request(&wire, request);
        assert_eq!(client.answer().status, 502);
        wire.engine.nothing_came();
    }
}

#[test]
fn a_get_is_not_sent_again_once_a_byte_of_an_answer_has_come() {
    let wire = Wire::start();
    let mut client = wire.client();
    client.send(PING);
    let mut engine = wire.engine.accept();
    engine.answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    client.send(PING);
    engine.expect(PING);
    engine.write(b"H");
    drop(engine);
    assert_eq!(client.answer().status, 502);
    wire.engine.nothing_came();
}

//! "The engine restarts behind the gate, its socket is removed and recreated, or is absent at start: the next request after
//! it is back works, with no restart of the gate; until then 502 in Docker's JSON with the cause."

use testkit::{ATTACH, Engine, InProcess, OK, PING};

#[track_caller]
fn unreachable(gate: &InProcess, request: &[u8], cause: &str) {
    let mut client = gate.client();
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status, 502, "{answer:?}");
    let message = answer.message();
    assert!(
        message.contains("docker.sock") && message.contains(cause),
        "{message}"
    );
}

#[track_caller]
fn works(gate: &InProcess, engine: &Engine) {
    let mut client = gate.client();
    client.send(PING);
    engine.accept().answer(PING, OK);
    client.expect(OK);
}

#[test]
fn a_socket_that_is_absent_removed_or_made_again_needs_no_restart() {
    let gate = InProcess::start(&["--workers", "1"]);
    unreachable(&gate, PING, "does not exist");
    unreachable(&gate, ATTACH, "does not exist");
    let engine = Engine::listen(&gate.socket);
    works(&gate, &engine);
    // A connection from before, kept over the restart.
    let mut kept = gate.client();
    kept.send(PING);
    let mut conn = engine.accept();
    conn.answer(PING, OK);
    kept.expect(OK);
    // Stopped: the socket file is still there, nobody listens.
    drop((engine, conn));
    unreachable(&gate, PING, "nobody listens");
    // Removed, then made again by the next engine.
    std::fs::remove_file(&gate.socket).unwrap();
    unreachable(&gate, PING, "does not exist");
    let engine = Engine::listen(&gate.socket);
    works(&gate, &engine);
    kept.send(PING);
    engine.accept().answer(PING, OK);
    kept.expect(OK);
}

#[test]
fn a_502_says_head_without_a_body() {
    let gate = InProcess::start(&["--workers", "1"]);
    let mut client = gate.client();
    client.send(b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
    // The next answer follows at once.
    let engine = Engine::listen(&gate.socket);
    client.send(PING);
    engine.accept().answer(PING, OK);
    client.expect(OK);
}

/// C45: "Engine restart under load → 502 JSON for requests in flight, next request works".
#[test]
fn requests_in_flight_at_a_restart_get_502_and_the_next_ones_work() {
    let gate = InProcess::start(&["--workers", "1"]);
    let engine = Engine::listen(&gate.socket);
    let mut waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut client = gate.client();
            client.send(PING);
            let mut conn = engine.accept();
            conn.expect(PING);
            (client, conn)
        })
        .collect();
    drop(engine);
    std::fs::remove_file(&gate.socket).unwrap();
    for (client, conn) in waiting.drain(..) {
        let mut client = client;
        drop(conn);
        assert_eq!(client.answer().status, 502);
    }
    let engine = Engine::listen(&gate.socket);
    works(&gate, &engine);
}

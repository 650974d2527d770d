//! "SIGTERM and SIGINT drain: no new connections, requests in flight finish, idle ones close, a new one has a moment for its
//! first request, tunnels are cut at the deadline (`--drain-timeout`, 10 s), exit 0; a second signal ends at once." C46.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use testkit::{ATTACH, Alone, End, Engine, OK, PING, UPGRADED};

#[test]
fn an_idle_gate_ends_at_once_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gate = Alone::start(&[]);
        gate.signal(signal);
        let (status, took) = gate.ended();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn requests_in_flight_finish_and_idle_connections_close() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gate = Alone::start(&["--workers", "1"]);
        let engine = Engine::listen(&gate.socket);
        let (mut idle, mut silent, mut busy, mut streaming) =
            (gate.client(), gate.client(), gate.client(), gate.client());
        idle.send(PING);
        engine.accept().answer(PING, OK);
        idle.expect(OK);
        busy.send(PING);
        let mut conn = engine.accept();
        conn.expect(PING);
        streaming.send(PING);
        let mut stream = engine.accept();
        stream.answer(PING, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        streaming.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        gate.signal(signal);
        gate.logged("Draining");
        // Idle between requests, or not a byte in its first moment: closed, cleanly.
        idle.expect_end(End::Clean);
        silent.expect_end(End::Clean);
        // Nothing new.
        assert!(TcpStream::connect(gate.addr).is_err());
        // In flight: finished, and told that it was the last.
        conn.write(OK);
        let answer = busy.answer();
        assert_eq!(answer.body, b"OK");
        assert!(answer.head.contains("\r\nConnection: close\r\n"));
        busy.expect_end(End::Clean);
        stream.write(b"lf");
        streaming.expect(b"lf");
        streaming.expect_end(End::Clean);
        drop((idle, silent, busy, streaming));
        let (status, took) = gate.ended();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

/// A client that has connected sends its request once, and has no other gate to send it to.
#[test]
fn a_new_connection_gets_its_first_request_answered() {
    let mut gate = Alone::start(&["--workers", "1"]);
    let engine = Engine::listen(&gate.socket);
    let mut client = gate.client();
    gate.signal(Signal::TERM);
    gate.logged("Draining");
    client.send(PING);
    engine.accept().answer(PING, OK);
    let answer = client.answer();
    assert_eq!(answer.body, b"OK");
    assert!(answer.head.contains("\r\nConnection: close\r\n"));
    client.expect_end(End::Clean);
    drop(client);
    let (status, took) = gate.ended();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn tunnels_and_endless_streams_are_cut_at_the_deadline() {
    let mut gate = Alone::start(&["--workers", "1", "--drain-timeout", "1s"]);
    let engine = Engine::listen(&gate.socket);
    let mut client = gate.client();
    client.send(ATTACH);
    let mut tunnel = engine.accept();
    tunnel.answer(ATTACH, UPGRADED);
    client.expect(UPGRADED);
    let mut events = gate.client();
    events.send(PING);
    let mut stream = engine.accept();
    stream.answer(
        PING,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    events.expect(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    gate.signal(Signal::TERM);
    gate.logged("Draining");
    // Until then they work.
    client.send(b"in");
    tunnel.expect(b"in");
    tunnel.write(b"out");
    client.expect(b"out");
    let (status, took) = gate.ended();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(4), "{took:?}");
    client.expect_end(End::Cut);
    events.expect_end(End::Cut);
    tunnel.expect_end();
    stream.expect_end();
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut gate = Alone::start(&["--workers", "1", "--drain-timeout", "60s"]);
    let engine = Engine::listen(&gate.socket);
    let mut client = gate.client();
    client.send(ATTACH);
    let mut tunnel = engine.accept();
    tunnel.answer(ATTACH, UPGRADED);
    client.expect(UPGRADED);
    gate.signal(Signal::TERM);
    gate.logged("Draining");
    gate.signal(Signal::INT);
    let (status, took) = gate.ended();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    client.expect_end(End::Cut);
}

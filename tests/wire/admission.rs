//! Who gets to the handshake when somebody takes all the places: one host cannot keep others out, and what speaks another protocol
//! is named.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use testkit::{Alone, DEADLINE, OK, PING, TlsClient, Wire};

/// Connects from a loopback address of the caller's choice.
fn from(host: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own: SocketAddr = ([127, 0, 0, host], 0).into();
    socket.bind(&own.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Waits for the gate's end of a connection that carries nothing.
fn closed(mut stream: &TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]), Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

/// Waits until so many peers in the handshake have been heard.
fn wait_for_heard(wire: &Wire, peers: usize) {
    let start = Instant::now();
    let heard = || {
        let all = wire.gate.registry.handshakes();
        all.iter().filter(|handshake| handshake.heard).count()
    };
    while heard() != peers {
        assert!(start.elapsed() < DEADLINE, "{} were heard", heard());
        std::thread::yield_now();
    }
}

/// "One host with 1,100 silent connections kept everybody from the handshake (2 of 98 got through in 25 s)."
#[test]
fn silent_connections_of_one_host_keep_nobody_from_the_handshake() {
    let wire = Wire::start();
    let silent: Vec<TcpStream> = (0..1100).map(|_| from(2, wire.gate.addr)).collect();
    let start = Instant::now();
    let clients: Vec<TlsClient> = (0..98).map(|_| wire.client()).collect();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let mut client = clients.into_iter().next_back().unwrap();
    client.send(PING);
    wire.engine.accept().answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    drop(silent);
}

#[test]
fn a_peer_that_sends_nothing_is_closed_after_two_seconds() {
    let wire = Wire::start();
    let start = Instant::now();
    let silent = from(2, wire.gate.addr);
    assert!(closed(&silent));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1900) && took < Duration::from_secs(8),
        "{took:?}"
    );
}

#[test]
fn a_source_above_its_share_gives_way_to_others_however_much_it_says() {
    let wire = Wire::with(&["--workers", "1", "--max-handshakes", "8"]);
    let mut noisy: Vec<TcpStream> = (0..8).map(|_| from(2, wire.gate.addr)).collect();
    for stream in &mut noisy {
        stream.write_all(&[22]).unwrap();
    }
    wait_for_heard(&wire, 8);
    // Others get in one after the other, each in the place of one of these.
    let start = Instant::now();
    for _ in 0..4 {
        let mut client = wire.client();
        client.send(PING);
        wire.engine.accept().answer(PING, OK);
        assert_eq!(client.answer().status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(closed(&noisy[0]));
}

#[test]
fn where_all_are_busy_and_within_their_share_a_new_one_waits_and_is_not_refused() {
    let wire = Wire::with(&[
        "--workers",
        "1",
        "--max-handshakes",
        "2",
        "--handshake-timeout",
        "3s",
    ]);
    // One place is the share of each.
    let mut busy = [from(2, wire.gate.addr), from(3, wire.gate.addr)];
    for stream in &mut busy {
        stream.write_all(&[22]).unwrap();
    }
    wait_for_heard(&wire, 2);
    let start = Instant::now();
    let mut client = wire.client();
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    client.send(PING);
    wire.engine.accept().answer(PING, OK);
    assert_eq!(client.answer().status, 200);
    assert!(busy.iter().any(closed));
}

#[test]
fn other_protocols_are_told_apart_and_named_with_what_to_do() {
    let gate = Alone::start(&["--workers", "1"]);
    for (sent, reason, error, hint) in [
        (
            &b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            "plain_http",
            "plain HTTP",
            "DOCKER_TLS_VERIFY",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\x16\x03\x01",
            "proxy_protocol",
            "version 1",
            "send-proxy",
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
            "proxy_protocol",
            "version 2",
            "proxy_protocol off",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "ssh", "SSH", "DOCKER_HOST"),
    ] {
        let mark = gate.log.mark();
        let mut peer = from(2, gate.addr);
        peer.write_all(sent).unwrap();
        let line = gate.log.after(mark, |line| line["reason"] == reason).1;
        let text = line.to_string();
        assert_eq!(line["message"], "Handshake refused", "{text}");
        assert!(line["error"].as_str().unwrap().contains(error), "{text}");
        assert!(line["hint"].as_str().unwrap().contains(hint), "{text}");
        assert!(closed(&peer));
    }
}

/// "40,000 garbage handshakes wrote 9.3 MB in 3 s".
#[test]
fn what_strangers_cause_is_logged_a_few_times_and_then_counted() {
    let gate = Alone::start(&["--workers", "1"]);
    for _ in 0..500 {
        let mut peer = from(2, gate.addr);
        let _ = peer.write_all(b"garbage that is no TLS\r\n");
    }
    // Another source is still told.
    let mut other = from(3, gate.addr);
    other.write_all(b"SSH-2.0-x\r\n").unwrap();
    gate.logged("\"reason\":\"ssh\"");
    let counted = gate.logged("More handshakes refused");
    assert_eq!(counted["client.addr"], "127.0.0.2");
    assert_eq!(counted["reason"], "plain_http");
    assert!(counted["times"].as_u64() > Some(400), "{counted}");
    let lines = gate.log.matching(0, |line| {
        line["message"] == "Handshake refused" && line["reason"] == "plain_http"
    });
    assert!((1..=20).contains(&lines.len()), "{} lines", lines.len());
}

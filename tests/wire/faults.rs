//! "Faults stay where they are: a slow handshake, a half-open connection, 2,000 held connections, running out of file
//! descriptors, a panic in one request never stop others or the accept loop."

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{Alone, DEADLINE, End, Engine, InProcess, OK, PING, TlsClient, Wire};

#[track_caller]
fn serves(client: &mut TlsClient, engine: &Engine) {
    client.send(PING);
    engine.accept().answer(PING, OK);
    client.expect(OK);
}

/// "the deadline is total: dripping bytes does not extend it".
#[test]
fn a_dripping_handshake_ends_at_the_total_deadline_and_holds_nobody_up() {
    let wire = Wire::with(&["--workers", "1", "--handshake-timeout", "700ms"]);
    let start = Instant::now();
    let mut drip = TcpStream::connect(wire.gate.addr).unwrap();
    drip.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    // A handshake record of 512 bytes, one byte at a time; the wait for an end is the drip's clock.
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[0; 500]].concat();
    let mut dripped = 0;
    let ended = hello.iter().any(|byte| {
        dripped += 1;
        if drip.write_all(&[*byte]).is_err() {
            return true;
        }
        if dripped == 5 {
            serves(&mut wire.client(), &wire.engine);
        }
        drip.read(&mut [0; 64]).is_ok() || start.elapsed() > DEADLINE
    });
    let took = start.elapsed();
    assert!(ended && dripped > 5, "{dripped} bytes in {took:?}");
    assert!(took >= Duration::from_millis(700), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_silent_connection_ends_at_the_handshake_deadline() {
    let wire = Wire::with(&["--workers", "1", "--handshake-timeout", "300ms"]);
    let mut silent = TcpStream::connect(wire.gate.addr).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    serves(&mut wire.client(), &wire.engine);
}

#[test]
fn two_thousand_held_connections_do_not_stop_others() {
    let wire = Wire::with(&[
        "--workers",
        "2",
        "--max-handshakes",
        "3000",
        "--max-connections-per-client",
        "4000",
    ]);
    // Some in the handshake, some idle after it, some in mid-request.
    let mut raw: Vec<TcpStream> = (0..1700)
        .map(|_| TcpStream::connect(wire.gate.addr).unwrap())
        .collect();
    for stream in raw.iter_mut().step_by(2) {
        stream.write_all(&[22, 3, 1]).unwrap();
    }
    let mut idle: Vec<TlsClient> = (0..300).map(|_| wire.client()).collect();
    for client in idle.iter_mut().step_by(3) {
        client.send(b"GET /_pi");
    }
    let start = Instant::now();
    for _ in 0..10 {
        serves(&mut wire.client(), &wire.engine);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(wire.gate.registry.snapshot().len() >= 300);
    // The held ones are good as well.
    let mut last = idle.pop().unwrap();
    serves(&mut last, &wire.engine);
}

#[test]
fn more_handshakes_or_connections_than_allowed_are_turned_away_and_room_comes_back() {
    let wire = Wire::with(&[
        "--workers",
        "1",
        "--max-connections",
        "3",
        "--max-connections-per-client",
        "3",
    ]);
    let held: Vec<TlsClient> = (0..3).map(|_| wire.client()).collect();
    assert!(wire.gate.try_client().is_err());
    drop(held);
    let until = Instant::now() + DEADLINE;
    let mut client = loop {
        match wire.gate.try_client() {
            Ok(client) => break client,
            Err(e) => assert!(Instant::now() < until, "no room came back: {e}"),
        }
    };
    serves(&mut client, &wire.engine);
}

#[test]
fn running_out_of_file_descriptors_passes() {
    let gate = Alone::with_files(&["--workers", "1"], 40);
    let engine = Engine::listen(&gate.socket);
    let mut client = gate.client();
    serves(&mut client, &engine);
    let held: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(gate.addr).unwrap())
        .collect();
    gate.logged("Cannot accept connections for the moment");
    // The one that was there goes on: its engine connection is its own.
    let mut fresh = TcpStream::connect(gate.addr).unwrap();
    fresh.write_all(b"x").unwrap();
    drop((held, fresh));
    let mut late = gate.client();
    serves(&mut late, &engine);
}

/// "a panic in one request (proved by a test hook)".
#[test]
fn a_panic_in_one_request_ends_that_connection_alone() {
    fn hook(path: &str) {
        assert!(path != "/panic", "a request that panics, as the test wants");
    }
    let gate = InProcess::hooked(&["--workers", "1"], Some(hook));
    let engine = Engine::listen(&gate.socket);
    // One in mid-answer, one idle, both on the same worker.
    let (mut busy, mut idle) = (gate.client(), gate.client());
    busy.send(PING);
    let mut conn = engine.accept();
    conn.expect(PING);
    conn.write(&OK[..OK.len() - 1]);
    busy.expect(&OK[..OK.len() - 1]);
    for _ in 0..3 {
        let mut client = gate.client();
        client.send(b"GET /panic HTTP/1.1\r\nHost: docker\r\n\r\n");
        client.expect_end(End::Cut);
    }
    conn.write(b"K");
    busy.expect(b"K");
    serves(&mut idle, &engine);
    serves(&mut gate.client(), &engine);
    // Nothing of the dead is left in the table.
    drop((busy, idle));
    let until = Instant::now() + DEADLINE;
    while !gate.registry.snapshot().is_empty() {
        assert!(Instant::now() < until, "{:?}", gate.registry.snapshot());
        std::thread::yield_now();
    }
}

//! "Half-close, both ways, with no timer": R12 and R13.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use testkit::{ATTACH, DEADLINE, End, EngineConn, TlsClient, UPGRADED, Wire, pattern};

fn attached(wire: &Wire) -> (TlsClient, EngineConn) {
    let mut client = wire.client();
    client.send(ATTACH);
    let mut engine = wire.engine.accept();
    engine.answer(ATTACH, UPGRADED);
    client.expect(UPGRADED);
    (client, engine)
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    CloseNotify,
    Fin,
    Both,
}

const WAYS: [Ends; 3] = [Ends::CloseNotify, Ends::Fin, Ends::Both];

fn end(client: &mut TlsClient, how: Ends) {
    if !matches!(how, Ends::Fin) {
        client.close_notify();
    }
    if !matches!(how, Ends::CloseNotify) {
        client.fin();
    }
}

/// "a FIN without close_notify is routine"; C3: "docker exec half-closes before the first output byte".
#[test]
fn the_end_of_stdin_is_passed_on_and_output_goes_on() {
    let wire = Wire::start();
    for how in WAYS {
        let (mut client, mut engine) = attached(&wire);
        client.send(b"last words");
        end(&mut client, how);
        engine.expect(b"last words");
        engine.expect_end();
        for _ in 0..3 {
            engine.write(b"output");
            client.expect(b"output");
        }
        engine.end();
        client.expect_end(End::Clean);
    }
}

#[test]
fn the_end_of_stdin_may_come_before_the_head() {
    // Also in the segment of the request itself; in legacy mode (R2) as well.
    let wire = Wire::start();
    let legacy = b"POST /containers/c/attach HTTP/1.1\r\nHost: docker\r\n\r\n";
    let raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    for how in WAYS {
        for (request, head) in [(ATTACH, UPGRADED), (&legacy[..], &raw[..])] {
            let mut client = wire.client();
            client.send([request, b"in"].concat());
            end(&mut client, how);
            let mut engine = wire.engine.accept();
            engine.answer(request, head);
            engine.expect(b"in");
            engine.expect_end();
            client.expect(head);
            engine.write(b"late");
            client.expect(b"late");
            engine.end();
            client.expect_end(End::Clean);
        }
    }
}

/// "`head -c 50M /dev/urandom | docker exec -i c sha256sum` gives the right sum" and its answer.
#[test]
fn a_bulk_of_stdin_arrives_whole_before_its_end() {
    let wire = Wire::start();
    let (mut client, mut engine) = attached(&wire);
    let stdin = pattern(20 << 20);
    let sent = stdin.clone();
    let sending = std::thread::spawn(move || {
        client.send(&sent);
        client.close_notify();
        client
    });
    engine.expect(&stdin);
    engine.expect_end();
    engine.write(b"sum");
    drop(engine);
    let mut client = sending.join().unwrap();
    client.expect(b"sum");
    client.expect_end(End::Clean);
}

#[test]
fn a_bulk_of_output_arrives_whole_after_stdin_ended_and_the_engine_closed() {
    // C6/C7: a slow reader, after the exit of the container.
    let wire = Wire::start();
    let (mut client, mut engine) = attached(&wire);
    client.close_notify();
    engine.expect_end();
    let output = pattern(20 << 20);
    let sent = output.clone();
    let sending = std::thread::spawn(move || {
        engine.write(&sent);
        engine.end();
    });
    client.expect(&output);
    client.expect_end(End::Clean);
    sending.join().unwrap();
}

/// R13 "Engine EOF ⇒ flush, close_notify, FIN downstream; keep reading and discarding from the client […]. Abort a blocked
/// write upstream"; C8 `yes | docker run -i … head -n 1`.
#[test]
fn the_engines_end_ends_the_tunnel_although_the_client_goes_on_sending() {
    let wire = Wire::with(&["--workers", "1", "--tunnel-grace", "2s"]);
    let (mut client, mut engine) = attached(&wire);
    // The client's stdin fills all buffers, since nobody reads it.
    let flood = vec![b'y'; 16 * 1024];
    client
        .tcp
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let stuck = loop {
        if let Err(e) = client.try_send(&flood) {
            break e;
        }
    };
    assert!(
        matches!(stuck.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{stuck}"
    );
    engine.write(b"y\n");
    engine.end();
    // All output, then a clean end although stdin is stuck.
    client.expect(b"y\n");
    client.expect_end(End::Clean);
    // The engine's side is closed: nobody waits for the blocked write.
    let start = Instant::now();
    engine.rest();
    assert!(start.elapsed() < DEADLINE);
    // And the gate does not listen without end: within the grace the connection is gone, or what was sent has been drained.
    client.tcp.set_write_timeout(Some(DEADLINE)).unwrap();
    let start = Instant::now();
    while std::io::Write::write_all(&mut client.tcp, &flood).is_ok() {
        assert!(start.elapsed() < DEADLINE, "still listening");
    }
}

#[test]
fn a_client_that_is_reset_closes_the_engines_side() {
    let wire = Wire::start();
    let (client, mut engine) = attached(&wire);
    client.reset();
    engine.expect_end();
    // After its end of stdin as well, when nothing would be read any more.
    let (mut client, mut engine) = attached(&wire);
    client.close_notify();
    engine.expect_end();
    client.reset();
    assert_gone(&mut engine);
}

/// The gate has closed its socket, not only its write side.
#[track_caller]
fn assert_gone(engine: &mut EngineConn) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(&engine.socket, PollFlags::empty())];
    let deadline = rustix::event::Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut fds, Some(&deadline)),
        Ok(1),
        "the gate keeps the engine's connection"
    );
    assert!(fds[0].revents().contains(PollFlags::HUP));
}

#[test]
fn an_engine_that_is_reset_in_a_tunnel_is_seen_as_cut() {
    let wire = Wire::start();
    let (mut client, mut engine) = attached(&wire);
    engine.write(b"some");
    client.expect(b"some");
    client.send(b"never read");
    // Closing a unix socket with unread bytes resets its peer.
    let mut probe = engine.twin();
    std::io::Read::read_exact(&mut probe.socket, &mut [0; 1]).unwrap();
    drop((probe, engine));
    client.expect_end(End::Cut);
}

/// "a container that closes stdout first still gets its stdin": while the engine's side is open, silence ends nothing.
#[test]
fn a_silent_tunnel_outlives_every_deadline() {
    let wire = Wire::with(&[
        "--workers",
        "1",
        "--head-timeout",
        "200ms",
        "--handshake-timeout",
        "200ms",
        "--tunnel-grace",
        "200ms",
        "--upstream-connect-timeout",
        "200ms",
    ]);
    let (mut client, mut engine) = attached(&wire);
    // Ten head deadlines, each an event.
    for _ in 0..10 {
        wire.client().expect_end(End::Clean);
    }
    client.send(b"in");
    engine.expect(b"in");
    client.close_notify();
    engine.expect_end();
    for _ in 0..10 {
        wire.client().expect_end(End::Clean);
    }
    engine.write(b"out");
    client.expect(b"out");
    engine.end();
    client.expect_end(End::Clean);
}

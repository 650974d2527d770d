//! "in constant memory: […] with a slow reader and with a slow engine, moves the gate's resident memory by less than 16 MiB."

use std::io::ErrorKind;
use std::time::Duration;

use testkit::{ATTACH, Alone, DEADLINE, Engine, EngineConn, PING, TlsClient, UPGRADED};

const BULK: usize = 200 << 20;
const ROOM_KIB: u64 = 16 * 1024;

fn gate() -> (Alone, Engine) {
    let gate = Alone::start(&["--workers", "1"]);
    let engine = Engine::listen(&gate.socket);
    // What one connection of each kind costs is no part of the growth.
    let (mut client, mut conn) = attached(&gate, &engine);
    client.send(b"warm");
    conn.expect(b"warm");
    (gate, engine)
}

fn attached(gate: &Alone, engine: &Engine) -> (TlsClient, EngineConn) {
    let mut client = gate.client();
    client.send(ATTACH);
    let mut conn = engine.accept();
    conn.answer(ATTACH, UPGRADED);
    client.expect(UPGRADED);
    (client, conn)
}

/// Sends until the gate takes no more; how much that was.
fn fill(client: &mut TlsClient) -> usize {
    client
        .tcp
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let part = [0; 16 * 1024];
    let mut sent = 0;
    loop {
        match client.try_send(part) {
            Ok(()) => sent += part.len(),
            Err(e) => {
                assert!(
                    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{e}"
                );
                return sent;
            }
        }
        assert!(sent < BULK, "the gate takes whatever it is sent");
    }
}

#[test]
fn bulk_in_both_directions_does_not_grow_the_gate() {
    let (gate, engine) = gate();
    let before = gate.memory("VmHWM");
    // Up, as a load; down, as a save.
    let mut client = gate.client();
    client.send(
        format!("POST /images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: {BULK}\r\n\r\n")
            .as_bytes(),
    );
    let mut conn = engine.accept();
    conn.head();
    let sending = std::thread::spawn(move || {
        let part = vec![0; 1 << 20];
        (0..BULK >> 20).for_each(|_| client.send(&part));
        client
    });
    (0..BULK >> 20).for_each(|_| assert_eq!(conn.take(1 << 20).len(), 1 << 20));
    let mut client = sending.join().unwrap();
    conn.write(testkit::OK);
    client.expect(testkit::OK);
    client.send(PING);
    conn.expect(PING);
    let sending = std::thread::spawn(move || {
        conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {BULK}\r\n\r\n").as_bytes());
        let part = vec![0; 1 << 20];
        (0..BULK >> 20).for_each(|_| conn.write(&part));
    });
    client.head();
    (0..BULK >> 20).for_each(|_| assert_eq!(client.take(1 << 20).len(), 1 << 20));
    sending.join().unwrap();
    let grown = gate.memory("VmHWM") - before;
    assert!(grown < ROOM_KIB, "{grown} KiB");
}

#[test]
fn a_stalled_engine_stops_the_client_and_a_stalled_client_stops_the_engine() {
    let (gate, engine) = gate();
    let before = gate.memory("VmHWM");
    let mut held = Vec::new();
    for _ in 0..4 {
        // An upload and a tunnel that the engine does not read.
        let mut client = gate.client();
        client.send(
            format!("POST /images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: {BULK}\r\n\r\n")
                .as_bytes(),
        );
        let mut conn = engine.accept();
        conn.head();
        fill(&mut client);
        held.push((client, conn));
        let (mut client, conn) = attached(&gate, &engine);
        fill(&mut client);
        held.push((client, conn));
        // Bytes ahead of the engine's head.
        let mut client = gate.client();
        client.send(ATTACH);
        let mut conn = engine.accept();
        conn.expect(ATTACH);
        fill(&mut client);
        held.push((client, conn));
        // An answer that the client does not read.
        let mut client = gate.client();
        client.send(PING);
        let mut conn = engine.accept();
        conn.expect(PING);
        conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {BULK}\r\n\r\n").as_bytes());
        conn.socket
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut sent = 0;
        while std::io::Write::write_all(&mut conn.socket, &[0; 65536]).is_ok() {
            sent += 65536;
            assert!(sent < BULK, "the gate takes whatever it is sent");
        }
        held.push((client, conn));
    }
    let grown = gate.memory("VmHWM") - before;
    assert!(
        grown < ROOM_KIB,
        "{grown} KiB for {} stalled streams",
        held.len()
    );
    drop(held);
    // All of that was theirs alone.
    let (mut client, mut conn) = attached(&gate, &engine);
    client.send(b"still here");
    conn.expect(b"still here");
    client.tcp.set_write_timeout(Some(DEADLINE)).unwrap();
}

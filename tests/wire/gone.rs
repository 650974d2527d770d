//! R21 "on EOF or reset drop the upstream connection": "a client that goes away cancels upstream within a second".

use std::time::{Duration, Instant};

use testkit::{EngineConn, PING, TlsClient, Wire};

/// Each way to go away.
fn leave(client: TlsClient, how: usize) {
    let mut client = client;
    match how {
        0 => drop(client),
        1 => client.reset(),
        // The alert and the FIN, as `docker events` does on SIGINT.
        _ => {
            client.close_notify();
            drop(client);
        }
    }
}

#[track_caller]
fn cancelled(mut engine: EngineConn, client: TlsClient, how: usize) {
    let start = Instant::now();
    leave(client, how);
    engine.rest();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{how}: {:?}",
        start.elapsed()
    );
}

#[test]
fn a_client_that_leaves_while_it_waits_cancels_the_request() {
    let wire = Wire::start();
    for how in 0..3 {
        let mut client = wire.client();
        client.send(PING);
        let mut engine = wire.engine.accept();
        engine.expect(PING);
        cancelled(engine, client, how);
    }
}

#[test]
fn a_client_that_leaves_a_silent_stream_cancels_it() {
    let wire = Wire::start();
    let events = b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n";
    for how in 0..3 {
        let mut client = wire.client();
        client.send(events);
        let mut engine = wire.engine.accept();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        engine.answer(events, head);
        client.expect(head);
        cancelled(engine, client, how);
    }
}

#[test]
fn a_client_that_leaves_in_mid_download_cancels_it() {
    let wire = Wire::start();
    for how in 0..3 {
        let mut client = wire.client();
        client.send(PING);
        let mut engine = wire.engine.accept();
        engine.expect(PING);
        let mut writer = engine.twin();
        let writing = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(
                &mut writer.socket,
                b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
            );
            while std::io::Write::write_all(&mut writer.socket, &[0; 65536]).is_ok() {}
        });
        client.take(1 << 20);
        // Not reading any more either: the gate is stuck in a write when the client goes.
        cancelled(engine, client, how);
        writing.join().unwrap();
    }
}

#[test]
fn a_client_that_leaves_in_mid_upload_cancels_it() {
    let wire = Wire::start();
    for how in 0..3 {
        let mut client = wire.client();
        client.send(b"POST /images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        let mut engine = wire.engine.accept();
        engine.head();
        engine.expect(b"5\r\nhello\r\n");
        cancelled(engine, client, how);
    }
}

/// R22 "Never shutdown(WR) upstream for a non-tunnel request"; C23: the end of a body is not the end of the client.
#[test]
fn a_complete_body_does_not_half_close_the_engine() {
    let wire = Wire::start();
    let mut client = wire.client();
    let build = b"POST /build HTTP/1.1\r\nHost: docker\r\nContent-Length: 3\r\n\r\ntar";
    client.send(build);
    let mut engine = wire.engine.accept();
    engine.expect(build);
    engine.socket.set_nonblocking(true).unwrap();
    // Another connection's whole exchange passes in between.
    let mut other = wire.client();
    other.send(PING);
    wire.engine.accept().answer(PING, testkit::OK);
    other.answer();
    let nothing = std::io::Read::read(&mut engine.socket, &mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    engine.write(testkit::OK);
    assert_eq!(client.answer().status, 200);
}

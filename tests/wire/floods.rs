//! HTTP/2 floods through the bridge: memory stays flat, and the gate goes on answering.

use std::io::ErrorKind;
use std::time::Duration;

use testkit::{Alone, Engine, EngineConn, OK, PING as HTTP_PING, TlsClient};

use crate::builds::support::{SWITCHED, UPGRADE, framed, policy};

/// What a flood may cost the gate.
const ROOM_KIB: u64 = 24 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a small frame")
        .to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// The fields of a call, without Huffman codes or an index of its own.
fn fields(path: &str) -> Vec<u8> {
    // `:method POST`, `:scheme http`, and literals that are not indexed.
    let mut block = vec![0x83, 0x86];
    for (index, value) in [(4, path), (1, "docker"), (31 - 15, "")] {
        if index <= 4 {
            block.push(index);
            block.push(u8::try_from(value.len()).expect("a short value"));
            block.extend_from_slice(value.as_bytes());
        }
    }
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("buildkit-controlapi-buildid", "unknown"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

struct Flood {
    gate: Alone,
    engine: Engine,
    client: TlsClient,
    /// The engine's side of the tunnel.
    _tunnel: EngineConn,
    before: u64,
    _policy: tempfile::NamedTempFile,
}

impl Flood {
    fn begin() -> Self {
        let policy = policy("enforce", "");
        let path = policy.path().to_str().expect("a path");
        let gate = Alone::start(&["--workers", "1", "--policy", path]);
        let engine = Engine::listen(&gate.socket);
        let mut client = gate.client();
        client.send(UPGRADE);
        let mut tunnel = engine.accept();
        tunnel.head();
        tunnel.write(SWITCHED);
        client.expect(SWITCHED);
        // The engine's side of HTTP/2 says its settings and nothing more.
        tunnel.write(&frame(4, 0, 0, &[]));
        client.send([PREFACE, &frame(4, 0, 0, &[])].concat());
        let before = gate.memory("VmHWM");
        let mut reading = tunnel.twin();
        std::thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            while matches!(std::io::Read::read(&mut reading.socket, &mut bytes), Ok(n) if n > 0) {}
        });
        Self {
            gate,
            engine,
            client,
            _tunnel: tunnel,
            before,
            _policy: policy,
        }
    }

    /// Sends this again and again, until the gate takes no more, ends the connection, or `most` bytes are through. Nothing is read.
    fn send(&mut self, most: usize, mut part: impl FnMut() -> Vec<u8>) -> usize {
        let tcp = &self.client.tcp;
        tcp.set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a deadline");
        let mut sent = 0;
        while sent < most {
            let part = part();
            match self.client.try_send(&part) {
                Ok(()) => sent += part.len(),
                Err(e) => {
                    let ended = [
                        ErrorKind::WouldBlock,
                        ErrorKind::TimedOut,
                        ErrorKind::BrokenPipe,
                        ErrorKind::ConnectionReset,
                        ErrorKind::ConnectionAborted,
                    ];
                    assert!(ended.contains(&e.kind()), "{e}");
                    break;
                }
            }
        }
        sent
    }

    /// The gate's memory is as it was, and another connection is served.
    #[track_caller]
    fn stands(self) {
        let grown = self.gate.memory("VmHWM").saturating_sub(self.before);
        assert!(grown < ROOM_KIB, "{grown} KiB");
        let mut client = self.gate.client();
        client.send(HTTP_PING);
        let mut engine = self.engine.accept();
        engine.answer(HTTP_PING, OK);
        client.expect(OK);
    }
}

const MOST: usize = 24 << 20;

/// Enough frames for a part that is sent at once.
fn many(one: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    (0..200).map(one).collect::<Vec<_>>().concat()
}

#[test]
fn a_flood_of_pings_or_settings_stops_at_a_bound() {
    for one in [
        frame(6, 0, 0, &[7; 8]),
        frame(4, 0, 0, &[]),
        frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]),
        // Windows, priorities and frames of unknown kinds.
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(0x7f, 0, 0, &[0; 64]),
    ] {
        let mut flood = Flood::begin();
        flood.send(MOST / 4, || many(|_| one.clone()));
        flood.stands();
    }
}

#[test]
fn headers_without_an_end_stop_at_a_bound() {
    let mut flood = Flood::begin();
    flood.client.send(frame(1, 0, 1, &fields("/x")));
    let sent = flood.send(MOST, || many(|_| frame(9, 0, 1, &[0, 1, b'a', 1, b'b'])));
    assert!(sent < MOST, "the gate takes whatever it is sent");
    flood.stands();
}

#[test]
fn calls_that_are_opened_and_given_up_at_once_hold_nothing() {
    // The first waits for a build that never begins, the others are refused, held and let through.
    for path in [
        "/moby.buildkit.v1.frontend.LLBBridge/Ping",
        "/moby.buildkit.v1.Control/Later",
        "/moby.buildkit.v1.Control/Solve",
        "/moby.buildkit.v1.Control/Info",
    ] {
        let mut flood = Flood::begin();
        let block = fields(path);
        let mut stream = 1;
        flood.send(MOST / 4, || {
            many(|_| {
                let one = [
                    frame(1, 4, stream, &block),
                    frame(3, 0, stream, &[0, 0, 0, 8]),
                ];
                stream += 2;
                one.concat()
            })
        });
        flood.stands();
    }
}

#[test]
fn judged_messages_that_do_not_end_are_held_within_their_bound() {
    let mut flood = Flood::begin();
    let block = fields("/moby.buildkit.v1.Control/Solve");
    let begun = [&[0][..], &(16_u32 << 20).to_be_bytes(), &[0; 16_000]].concat();
    let mut stream = 1_u32;
    // More calls than may be open at once, and none of them comes to its end.
    flood.send(8 << 20, || {
        let one = [frame(1, 4, stream, &block), frame(0, 0, stream, &begun)].concat();
        stream += 2;
        one
    });
    flood.stands();
}

#[test]
fn a_client_that_takes_nothing_holds_its_own_calls_only() {
    let mut flood = Flood::begin();
    // No window for any stream: every answer of the engine waits there.
    flood.client.send(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let block = fields("/moby.buildkit.v1.Control/Info");
    for number in 0..100_u32 {
        let stream = 2 * number + 1;
        let call = [
            frame(1, 4, stream, &block),
            frame(0, 1, stream, &framed(b"")),
        ];
        flood.client.send(call.concat());
    }
    flood.stands();
}

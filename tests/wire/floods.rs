//! HTTP/2 floods through the bridge: memory stays flat, work is bounded, and the gate goes on answering.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;
use testkit::{Alone, Engine, EngineConn, OK, PING as HTTP_PING, TlsClient};

use crate::builds::support::{SWITCHED, UPGRADE, framed, policy};

/// What a flood may cost the gate.
const ROOM_KIB: u64 = 24 * 1024;

/// Processor time that a flood may cost the gate: about ten times what the dearest takes here in a debug build.
const WORK: Duration = Duration::from_secs(4);

/// Calls of one connection that may break off.
const BROKEN_CALLS: u32 = 1000;

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
    worked: Duration,
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
        let (before, worked) = (gate.memory("VmHWM"), gate.processor_time());
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
            worked,
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

    /// The next frame of the gate's; `None` at its end.
    #[track_caller]
    fn frame(&mut self) -> Option<Vec<u8>> {
        let gone = |e: std::io::Error| {
            let late = matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!late, "no frame and no end: {e}");
        };
        let mut head = self.client.try_take(9).map_err(gone).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        head.extend(self.client.try_take(length as usize).map_err(gone).ok()?);
        Some(head)
    }

    /// Waits for the end of the connection; how many calls the gate has looked at since `mark`.
    #[track_caller]
    fn calls_to_the_end(&mut self, mark: usize) -> usize {
        while self.frame().is_some() {}
        let says = |what: &'static str| move |line: &Value| line.to_string().contains(what);
        self.gate.log.wait(mark, 1, says("\"/grpc\""));
        self.gate.log.wait(mark, 0, says("Build call")).len()
    }

    /// The gate's memory is as it was, and another connection is served.
    #[track_caller]
    fn survives(self) {
        let grown = self.gate.memory("VmHWM").saturating_sub(self.before);
        assert!(grown < ROOM_KIB, "{grown} KiB");
        let worked = self.gate.processor_time() - self.worked;
        assert!(worked < WORK, "{worked:?} for a flood");
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
        // Priorities, windows, and frames of unknown kinds.
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(0x7f, 0, 0, &[0; 64]),
    ] {
        let mut flood = Flood::begin();
        flood.send(MOST / 4, || many(|_| one.clone()));
        flood.survives();
    }
}

#[test]
fn a_flood_of_empty_frames_within_a_call_is_a_bounded_work() {
    let mut flood = Flood::begin();
    let block = fields("/moby.buildkit.v1.Control/Solve");
    flood.client.send(frame(1, 4, 1, &block));
    flood.send(MOST / 4, || {
        many(|n| match n % 2 {
            0 => frame(0, 0, 1, &[]),
            _ => frame(8, 0, 1, &[0, 0, 0, 1]),
        })
    });
    flood.survives();
}

#[test]
fn headers_without_an_end_stop_at_a_bound() {
    let mut flood = Flood::begin();
    flood.client.send(frame(1, 0, 1, &fields("/x")));
    let sent = flood.send(MOST, || many(|_| frame(9, 0, 1, &[0, 1, b'a', 1, b'b'])));
    assert!(sent < MOST, "the gate takes whatever it is sent");
    flood.survives();
}

#[test]
fn calls_that_are_opened_and_given_up_at_once_end_the_connection() {
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
        let mark = flood.gate.log.mark();
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
        // Its end comes without the client's doing, before the gate has looked at many.
        let calls = flood.calls_to_the_end(mark);
        assert!(calls < 200, "{path}: {calls} calls");
        flood.survives();
    }
}

/// Opens calls and gives them up once the gate has begun to look at each; whether the gate is still there then.
fn give_up(flood: &mut Flood, path: &str, calls: u32) -> bool {
    let block = fields(path);
    for number in 0..calls {
        let stream = 2 * number + 1;
        let opened = [frame(1, 4, stream, &block), frame(6, 0, 0, b"are you?")];
        let given_up = frame(3, 0, stream, &[0, 0, 0, 8]);
        if flood.client.try_send(opened.concat()).is_err() {
            return false;
        }
        // Answered when what came before it has been read.
        loop {
            match flood.frame() {
                Some(one) if one == frame(6, 1, 0, b"are you?") => break,
                Some(_) => {}
                None => return false,
            }
        }
        if flood.client.try_send(given_up).is_err() {
            return false;
        }
    }
    true
}

#[test]
fn a_client_that_gives_up_one_call_after_the_other_is_ended_after_a_thousand() {
    for path in [
        "/moby.buildkit.v1.frontend.LLBBridge/Ping",
        "/moby.buildkit.v1.Control/Solve",
        "/moby.buildkit.v1.Control/Info",
    ] {
        let mut flood = Flood::begin();
        let mark = flood.gate.log.mark();
        assert!(!give_up(&mut flood, path, 2 * BROKEN_CALLS), "{path}");
        let calls = flood.calls_to_the_end(mark);
        let most = BROKEN_CALLS as usize + 10;
        assert!(calls > most / 2 && calls <= most, "{path}: {calls} calls");
        flood.survives();
    }
    // One that gives up fewer goes on.
    let mut flood = Flood::begin();
    let path = "/moby.buildkit.v1.Control/Info";
    assert!(give_up(&mut flood, path, BROKEN_CALLS / 2));
    flood.survives();
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
    flood.survives();
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
    flood.survives();
}

//! The cases: what is measured, with how many sessions and for how long.

use std::time::Duration;

use crate::client::{BodyFraming, KeyExchange};
use crate::load::{Plan, Transfer, Work};
use crate::peers::PeerKind;
use crate::pki::ServerKey;

/// What one unit is, and so how the figures read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Microseconds of CPU time per request.
    Request,
    /// Microseconds of CPU time per connection with its request.
    Command,
    /// Milliseconds of CPU time per GiB.
    Gib,
    /// Microseconds of CPU time per round trip; its latency matters more.
    RoundTrip,
    /// Microseconds of CPU time per line; its latency matters more.
    Line,
    /// KiB of memory per stream.
    Stream,
}

impl Unit {
    /// As the JSON file says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Command => "connection",
            Self::Gib => "GiB",
            Self::RoundTrip => "round trip",
            Self::Line => "line",
            Self::Stream => "stream",
        }
    }

    /// Whether latency is the figure that counts.
    pub(crate) fn is_latency(self) -> bool {
        matches!(self, Self::RoundTrip | Self::Line)
    }

    /// How the CPU figure reads: its unit, and nanoseconds per one of it.
    pub(crate) fn cpu(self) -> (&'static str, f64) {
        if self == Self::Gib {
            ("ms", 1e6)
        } else {
            ("µs", 1e3)
        }
    }
}

/// One row of the table.
pub(crate) struct BenchCase {
    /// Name on the command line and in the JSON file.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) about: &'static str,
    /// What is counted.
    pub(crate) unit: Unit,
    /// What is done.
    pub(crate) plan: Plan,
    /// The server's key.
    pub(crate) key: ServerKey,
    /// The client's key exchange.
    pub(crate) exchange: KeyExchange,
    /// How often the peers take their turns.
    pub(crate) rounds: usize,
    /// Everyone, or only dockgate and its floor.
    pub(crate) everyone: bool,
}

impl BenchCase {
    /// Whether `kind` takes part.
    pub(crate) fn includes(&self, kind: PeerKind) -> bool {
        // socat's accept queue holds five: more clients at once wait for whole seconds, which would measure the queue.
        if kind == PeerKind::Book && self.plan.connections > 16 && self.unit == Unit::Request {
            return false;
        }
        self.everyone
            || matches!(
                kind,
                PeerKind::Dockgate | PeerKind::Other | PeerKind::Tunnel
            )
    }
}

/// The cases of a run. `quick` is a part of them, with shorter windows and less data.
#[expect(clippy::too_many_lines, reason = "table")]
pub(crate) fn all(quick: bool, rounds: Option<usize>) -> Vec<BenchCase> {
    let window = Duration::from_millis(if quick { 200 } else { 700 });
    let gib = if quick { 64 << 20 } else { 512 << 20 };
    let usual = rounds.unwrap_or(if quick { 3 } else { 5 });
    let few = rounds.unwrap_or(3);
    let case = |name, about, unit, work, connections| BenchCase {
        name,
        about,
        unit,
        plan: Plan {
            work,
            connections,
            window,
            overtime: Duration::from_secs(if quick { 6 } else { 60 }),
        },
        key: ServerKey::Ecdsa,
        exchange: KeyExchange::Classic,
        rounds: if matches!(unit, Unit::Gib) {
            few
        } else {
            usual
        },
        everyone: true,
    };
    let request =
        |name, about, work, connections| case(name, about, Unit::Request, work, connections);
    let bulk = |name, about, transfer| case(name, about, Unit::Gib, Work::Bulk(transfer, gib), 1);
    let idle = |name, about, hijacked, streams| {
        let mut idle = case(name, about, Unit::Stream, Work::Idle { hijacked }, streams);
        idle.plan.window = Duration::from_millis(if quick { 1000 } else { 2500 });
        idle.rounds = 1;
        idle
    };
    let command = |name, about| case(name, about, Unit::Command, Work::Command, 4);

    let mut cases = vec![
        request("ping-1", "keep-alive ping, 1 connection", Work::Ping, 1),
        request("ping-16", "keep-alive ping, 16 connections", Work::Ping, 16),
        request("ping-64", "keep-alive ping, 64 connections", Work::Ping, 64),
        BenchCase {
            rounds: few,
            ..request(
                "ping-1024",
                "keep-alive ping, 1,024 connections",
                Work::Ping,
                1024,
            )
        },
        request(
            "json-1",
            "keep-alive 2 KiB JSON, 1 connection",
            Work::Json,
            1,
        ),
        request(
            "json-16",
            "keep-alive 2 KiB JSON, 16 connections",
            Work::Json,
            16,
        ),
        request(
            "json-64",
            "keep-alive 2 KiB JSON, 64 connections",
            Work::Json,
            64,
        ),
        command(
            "command-ecdsa",
            "connection per command, ECDSA P-256 server key",
        ),
        BenchCase {
            key: ServerKey::Rsa,
            ..command("command-rsa", "connection per command, RSA-2048 server key")
        },
        BenchCase {
            exchange: KeyExchange::Hybrid,
            ..command(
                "command-hybrid",
                "connection per command, X25519MLKEM768 offered",
            )
        },
        bulk(
            "download",
            "download, Content-Length",
            Transfer::Download(BodyFraming::Length(0)),
        ),
        bulk(
            "download-chunked",
            "download, chunked",
            Transfer::Download(BodyFraming::Chunked),
        ),
        bulk(
            "upload",
            "upload, Content-Length",
            Transfer::Upload(BodyFraming::Length(0)),
        ),
        bulk(
            "upload-chunked",
            "upload, chunked",
            Transfer::Upload(BodyFraming::Chunked),
        ),
        bulk(
            "exec-source",
            "hijacked exec, engine to client",
            Transfer::Source,
        ),
        bulk(
            "exec-sink",
            "hijacked exec, client to engine",
            Transfer::Sink,
        ),
        bulk(
            "exec-echo",
            "hijacked exec, both ways (GiB sent)",
            Transfer::Echo,
        ),
        case(
            "round-trip",
            "one byte there and back, hijacked exec",
            Unit::RoundTrip,
            Work::RoundTrip,
            1,
        ),
        case(
            "flush",
            "a line every 2 ms, `logs -f`",
            Unit::Line,
            Work::Flush(2000),
            1,
        ),
        idle(
            "idle-events-1000",
            "1,000 idle `events` streams",
            false,
            1000,
        ),
        idle(
            "idle-events-5000",
            "5,000 idle `events` streams",
            false,
            5000,
        ),
        idle(
            "idle-attach-5000",
            "5,000 idle hijacked attach streams",
            true,
            5000,
        ),
    ];
    for (name, about, bytes, times) in [
        (
            "download-100m",
            "download, 10 times 100 MB",
            100_000_000,
            10,
        ),
        ("download-10g", "download, 10 GB at once", 10_000_000_000, 1),
        (
            "upload-100m",
            "chunked upload, 10 times 100 MB",
            100_000_000,
            10,
        ),
        (
            "upload-10g",
            "chunked upload, 10 GB at once",
            10_000_000_000,
            1,
        ),
    ] {
        let down = name.starts_with("down");
        let transfer = if down {
            Transfer::Download(BodyFraming::Length(0))
        } else {
            Transfer::Upload(BodyFraming::Chunked)
        };
        cases.push(BenchCase {
            rounds: 1,
            everyone: false,
            ..case(name, about, Unit::Gib, Work::Bulk(transfer, bytes), times)
        });
    }
    if let Some(flush) = cases.iter_mut().find(|case| case.name == "flush") {
        flush.plan.window = Duration::from_millis(if quick { 300 } else { 1000 });
    }
    if quick {
        const QUICK: [&str; 10] = [
            "ping-16",
            "json-1",
            "command-ecdsa",
            "download",
            "upload-chunked",
            "exec-echo",
            "exec-sink",
            "round-trip",
            "flush",
            "idle-events-1000",
        ];
        cases.retain(|case| QUICK.contains(&case.name));
    }
    cases
}

/// Whether `name` is chosen by the command line's list; an empty list chooses everything.
pub(crate) fn chosen(name: &str, list: &[String]) -> bool {
    list.is_empty()
        || list.iter().any(|item| {
            item.strip_suffix('*')
                .map_or(item == name, |prefix| name.starts_with(prefix))
        })
}

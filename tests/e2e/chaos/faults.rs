//! The faults themselves. Each ends what it began.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use super::{Chaos, Fault, PATIENCE, within};
use crate::support::wire::RawWire;
use crate::support::{OrSay, ScenarioResult, ensure};

/// Streams that are open and silent at once.
pub(super) const IDLE: usize = 5000;

/// Enough that what many connections share is there.
pub(super) const FEW: usize = 200;

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
const EVENTS: &[u8] = b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n";

/// An image as a tar file: some MiB.
const SAVE: &[u8] = b"GET /images/dockgate-e2e-busybox/get HTTP/1.1\r\nHost: docker\r\n\r\n";

pub(super) fn of_the_engine() -> Vec<Fault> {
    vec![
        ("an engine that was killed", killed),
        ("an engine that was restarted", restarted),
        ("a frozen engine", frozen),
        ("a socket that was replaced", replaced),
    ]
}

pub(super) fn of_the_clients() -> Vec<Fault> {
    vec![
        ("slow readers and writers", slow),
        ("resets in mid-stream", resets),
        ("a flood of handshakes", handshakes),
        ("5,000 idle streams", |chaos| idle(chaos, IDLE)),
    ]
}

pub(super) fn of_the_host() -> Vec<Fault> {
    vec![
        ("no descriptors", descriptors),
        ("reloads of half-written files", reloads),
        ("a full disk", full_disk),
    ]
}

fn away(chaos: &Chaos<'_>) -> ScenarioResult {
    let answer = chaos
        .side
        .ok("api /v1.45/info -o /dev/null -w '%{http_code}'")?;
    ensure!(
        answer == "502",
        "expected 502 without an engine, got {answer}"
    );
    Ok(())
}

fn killed(chaos: &Chaos<'_>) -> ScenarioResult {
    let mut open = chaos.side.wire()?;
    open.send(EVENTS)?;
    open.head()?;
    chaos.engine.signal(Signal::KILL)?;
    ensure!(open.ends_within(PATIENCE)?, "a stream outlives its engine");
    away(chaos)?;
    chaos.engine.halt()?;
    chaos.engine.resume(&chaos.suite.tools)
}

fn restarted(chaos: &Chaos<'_>) -> ScenarioResult {
    chaos.engine.halt()?;
    away(chaos)?;
    chaos.engine.resume(&chaos.suite.tools)
}

fn frozen(chaos: &Chaos<'_>) -> ScenarioResult {
    chaos.engine.signal(Signal::STOP)?;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut wire = chaos.side.wire()?;
        wire.send(PING)?;
        waiting.push(wire);
    }
    // Half of them do not wait for it.
    waiting.truncate(25);
    let silent = chaos.side.shell("api /_ping --max-time 2")?;
    chaos.engine.signal(Signal::CONT)?;
    ensure!(silent.code != 0, "a frozen engine answered");
    for mut wire in waiting {
        let status = wire.answer()?.0.status;
        ensure!(status == 200, "expected 200 after the thaw, got {status}");
    }
    Ok(())
}

fn replaced(chaos: &Chaos<'_>) -> ScenarioResult {
    let (socket, aside) = (
        &chaos.engine.socket,
        chaos.engine.socket.with_extension("aside"),
    );
    fs::rename(socket, &aside).context("move the socket")?;
    away(chaos)?;
    // Somebody listens there and never answers; then it is the engine again.
    let other = UnixListener::bind(socket).context("listen in its place")?;
    let silent = chaos.side.shell("api /v1.45/info --max-time 1")?;
    ensure!(silent.code != 0, "nobody was there to answer");
    drop(other);
    away(chaos)?;
    fs::rename(&aside, socket).context("move it back")
}

fn slow(chaos: &Chaos<'_>) -> ScenarioResult {
    let mut held = Vec::new();
    for n in 0..60 {
        let mut wire = chaos.side.wire()?;
        match n % 3 {
            // A head that comes byte by byte and never ends, a body that stops, and an answer that is not read.
            0 => {
                for byte in PING[..20].chunks(1) {
                    wire.send(byte)?;
                }
            }
            1 => wire.send(b"POST /images/load HTTP/1.1\r\nHost: docker\r\nContent-Length: 9000000\r\n\r\npart")?,
            _ => wire.send(SAVE)?,
        }
        held.push(wire);
    }
    // Meanwhile others are served.
    chaos.runs()
}

fn resets(chaos: &Chaos<'_>) -> ScenarioResult {
    for _ in 0..60 {
        let mut wire = chaos.side.wire()?;
        wire.send(SAVE)?;
        wire.head()?;
        // Closed with bytes that were not read: a reset.
        drop(wire);
    }
    Ok(())
}

fn handshakes(chaos: &Chaos<'_>) -> ScenarioResult {
    let connect = || TcpStream::connect_timeout(&chaos.gate.addr, PATIENCE).context("connect");
    let mut held = Vec::new();
    for n in 0..600 {
        let mut tcp = connect()?;
        match n % 3 {
            0 => held.push(tcp),
            // A record of a handshake that promises more than it has; the gate may have closed by then.
            1 => {
                let _ = tcp.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]);
                held.push(tcp);
            }
            _ => _ = tcp.write_all(b"GET / HTTP/1.1\r\n\r\n"),
        }
    }
    chaos.runs()
}

pub(super) fn idle(chaos: &Chaos<'_>, count: usize) -> ScenarioResult {
    let open = || -> ScenarioResult<RawWire> {
        let mut wire = chaos.side.wire()?;
        wire.send(EVENTS)?;
        let status = wire.head()?.status;
        ensure!(status == 200, "expected a stream, got {status}");
        Ok(wire)
    };
    let held = (0..count)
        .map(|_| open())
        .collect::<ScenarioResult<Vec<_>>>()?;
    let answer = chaos.side.ok("api /_ping");
    drop(held);
    ensure!(answer? == "OK", "expected an answer beside {count} streams");
    Ok(())
}

fn descriptors(chaos: &Chaos<'_>) -> ScenarioResult {
    let pid = Pid::from_raw(chaos.gate.pid());
    let set = |files| prlimit(pid, Resource::Nofile, files).context("set the limit");
    let open = format!("/proc/{}/fd", chaos.gate.pid());
    let used = fs::read_dir(open).context("count its files")?.count() as u64;
    let before = set(Rlimit {
        current: Some(used + 20),
        maximum: Some(20_000),
    })?;
    // The gate says so once in ten seconds at most, and lets connections go that send nothing.
    let said = within(PATIENCE, || {
        let held = (0..60)
            .map(|_| TcpStream::connect_timeout(&chaos.gate.addr, PATIENCE).context("connect"))
            .collect::<ScenarioResult<Vec<_>>>()?;
        let full = |line: &str| line.contains("Too many open files");
        let said = chaos.gate.wait_for_log(Duration::from_secs(3), full);
        drop(held);
        said.map(|_| ())
    });
    set(before)?;
    said
}

fn reloads(chaos: &Chaos<'_>) -> ScenarioResult {
    let mut already = 0;
    for (name, whole) in
        ["ca.pem", "cert.pem", "key.pem"].map(|name| (name, chaos.files.join(name)))
    {
        let bytes = fs::read(&whole).context("read a file")?;
        for n in 0..40 {
            fs::write(&whole, &bytes[..bytes.len() * (n % 8) / 8]).context("write half")?;
            chaos.gate.signal(Signal::HUP);
            if n % 10 == 0 {
                let answer = chaos
                    .side
                    .ok("api /_ping")
                    .map_err(|why| format!("{name}: {why}"))?;
                ensure!(answer == "OK", "{name}: {answer}");
            }
        }
        // A reload that was asked for before may take the whole file already, and the next then finds nothing new.
        already = chaos.gate.log().matches("\"Reloaded\"").count();
        fs::write(&whole, &bytes).context("write it whole")?;
    }
    chaos.gate.signal(Signal::HUP);
    within(PATIENCE, || {
        let now = chaos.gate.log().matches("\"Reloaded\"").count();
        ensure!(now > already, "the whole files were not taken");
        Ok(())
    })
}

fn full_disk(chaos: &Chaos<'_>) -> ScenarioResult {
    let filler = chaos.disk.0.join("filler");
    let mut file = fs::File::create(&filler).context("make a file")?;
    while file.write_all(&[0; 4096]).is_ok() {}
    // Open it would keep its room beyond its name.
    drop(file);
    let status = |wanted: &str| {
        within(Duration::from_secs(20), || {
            let answer = chaos
                .side
                .ok("api /v1.45/info -o /dev/null -w '%{http_code}'")?;
            ensure!(answer == wanted, "expected {wanted}, got {answer}");
            Ok(())
        })
    };
    // What is left of the last page is written first.
    let full = status("503");
    fs::remove_file(&filler).context("make room")?;
    full?;
    status("200")
}

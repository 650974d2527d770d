//! A clock that is set while the gate runs. libfaketime puts it between the gate and the system; time that only counts up goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dockgate::observe::audit::Record;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{Chaos, Fault, PATIENCE, within};
use crate::support::process::Process;
use crate::support::suite::Suite;
use crate::support::wire::RawWire;
use crate::support::{OrSay, ScenarioResult, ensure};

/// The suite's clients are valid for a day before and after they were made, their CA for two.
const A_DAY: i64 = 24;

/// What a machine may take between two looks at the two clocks.
const NEAR: Duration = Duration::minutes(10);

/// The clock of a gate: hours before or after the machine's.
pub(super) struct SetClock {
    library: PathBuf,
    /// In the directory of the certificates, which the gate may read.
    file: PathBuf,
}

impl SetClock {
    pub(super) fn beside(suite: &Suite, directory: &Path) -> ScenarioResult<Self> {
        let mut command = Command::new(suite.tools.get("FAKETIME")?);
        command.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
        let output = Process::start(command, "faketime")?.finish(PATIENCE)?;
        ensure!(output.code == 0, "faketime: {}", output.stderr);
        let file = directory.join("files/clock");
        fs::create_dir_all(directory.join("files")).context("make a directory")?;
        let clock = Self {
            library: output.text().trim().into(),
            file,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Has a program that is started go by it.
    pub(super) fn govern(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    fn set(&self, hours: i64) -> ScenarioResult {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{hours:+}h\n")).context("write the clock")?;
        fs::rename(&next, &self.file).context("set the clock")
    }
}

pub(super) fn steps() -> Vec<Fault> {
    vec![
        ("a clock that goes twenty hours back", |chaos| {
            within_life(chaos, -20)
        }),
        ("a clock that goes twenty hours forth", |chaos| {
            within_life(chaos, 20)
        }),
        ("a clock before the clients' certificates", |chaos| {
            before(chaos, -A_DAY - 6)
        }),
        ("a clock after the clients' certificates", |chaos| {
            after(chaos, A_DAY + 6)
        }),
        ("a clock after the CA", |chaos| after(chaos, 3 * A_DAY)),
        ("a clock that goes to and fro", to_and_fro),
    ]
}

fn clock<'a>(chaos: &'a Chaos<'_>) -> ScenarioResult<&'a SetClock> {
    chaos
        .clock
        .as_ref()
        .ok_or_else(|| "this gate has no clock of its own".into())
}

/// Whether the gate goes by it: its audit says so of a request that `wire` makes. A record of the time before may still come behind
/// that of a request, so that another one is made then.
fn is_seen(chaos: &Chaos<'_>, wire: &mut RawWire, hours: i64) -> ScenarioResult {
    let wanted = OffsetDateTime::now_utc() + Duration::hours(hours);
    within(PATIENCE, || {
        wire.send(PING)?;
        let status = wire.answer()?.0.status;
        ensure!(
            status == 200,
            "expected an answer on an open connection, got {status}"
        );
        let audit = fs::read_to_string(chaos.disk.audit()).context("read the audit")?;
        let last = audit.lines().last().ok_or("the audit is empty")?;
        let record: Record = serde_json::from_str(last).context("read a record")?;
        let time = OffsetDateTime::parse(&record.time, &Rfc3339).context("read its time")?;
        ensure!(
            (time - wanted).abs() < NEAR,
            "the gate's clock says {time}, set to {wanted}"
        );
        Ok(())
    })
}

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
const DIED: &[u8] = b"\"Action\":\"die\"";
const EVENTS: &[u8] = b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n";

/// A stream that is open, and a connection beside it.
fn open(chaos: &Chaos<'_>) -> ScenarioResult<(RawWire, RawWire)> {
    let mut stream = chaos.side.wire()?;
    stream.send(EVENTS)?;
    let status = stream.head()?.status;
    ensure!(status == 200, "expected a stream, got {status}");
    let mut beside = chaos.side.wire()?;
    beside.send(PING)?;
    beside.answer()?;
    Ok((stream, beside))
}

/// While certificates are valid nothing is cut, and everybody is let in.
fn within_life(chaos: &Chaos<'_>, hours: i64) -> ScenarioResult {
    let (mut stream, mut beside) = open(chaos)?;
    clock(chaos)?.set(hours)?;
    is_seen(chaos, &mut beside, hours)?;
    // Longer than the gate takes to look at its clock.
    for _ in 0..2 {
        chaos.runs()?;
        stream.until(DIED)?;
    }
    clock(chaos)?.set(0)?;
    is_seen(chaos, &mut beside, 0)
}

fn is_refused(chaos: &Chaos<'_>) -> ScenarioResult {
    let answer = chaos.side.shell("api /_ping --max-time 10")?;
    ensure!(answer.code != 0, "a certificate out of its time was let in");
    Ok(())
}

fn before(chaos: &Chaos<'_>, hours: i64) -> ScenarioResult {
    clock(chaos)?.set(hours)?;
    let refused = is_refused(chaos);
    clock(chaos)?.set(0)?;
    refused
}

/// Who is in is cut, and nobody is let in, until the clock is right.
fn after(chaos: &Chaos<'_>, hours: i64) -> ScenarioResult {
    let (mut stream, mut beside) = open(chaos)?;
    clock(chaos)?.set(hours)?;
    let cut = stream.ends_within(PATIENCE)? && beside.ends_within(PATIENCE)?;
    let refused = is_refused(chaos);
    clock(chaos)?.set(0)?;
    ensure!(cut, "a session outlives its certificate");
    refused
}

fn to_and_fro(chaos: &Chaos<'_>) -> ScenarioResult {
    let (_stream, mut beside) = open(chaos)?;
    for step in 0..30 {
        let hours = if step % 2 == 0 { 20 } else { -20 };
        clock(chaos)?.set(hours)?;
        is_seen(chaos, &mut beside, hours)?;
        let answer = chaos.side.ok("api /_ping")?;
        ensure!(answer == "OK", "step {step}: {answer}");
    }
    clock(chaos)?.set(0)?;
    is_seen(chaos, &mut beside, 0)
}

//! What goes wrong around a gate, one thing after the other, on one gate and an engine of its own. After each of them `docker run` works,
//! memory is back within a tenth of what it was, and the audit has no gap. `bench/soak` repeats it all for an hour.

mod clock;
mod faults;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dockgate::observe::audit::{Event, Record};
use rustix::process::Signal;

use crate::support::client::Side;
use crate::support::engine::RealEngine;
use crate::support::gate::{Gate, dockgate};
use crate::support::process::Process;
use crate::support::suite::{Case, Suite};
use crate::support::{OrSay, ScenarioResult, ensure};

/// For one thing to be well again, also on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) fn cases() -> Vec<Case> {
    let needs = &["DOCKERD", "CONTAINERD", "CURL"];
    vec![
        Case {
            name: "chaos_engine__killed_restarted_frozen_or_replaced",
            needs,
            run: |suite, name| all(suite, name, faults::FEW, &faults::of_the_engine()),
        },
        Case {
            name: "chaos_clients__slow_cut_many_or_not_clients_at_all",
            needs,
            run: |suite, name| all(suite, name, faults::IDLE, &faults::of_the_clients()),
        },
        Case {
            name: "chaos_host__full_disks_no_descriptors_and_half_written_files",
            needs,
            run: |suite, name| all(suite, name, faults::FEW, &faults::of_the_host()),
        },
        Case {
            name: "chaos_clock__steps_back_and_forth_and_beyond_certificates",
            needs: &["DOCKERD", "CONTAINERD", "CURL", "FAKETIME"],
            run: |suite, name| {
                let clock = clock::SetClock::beside(suite, &suite.scratch(name)?)?;
                all_by(suite, name, faults::FEW, &clock::steps(), Some(clock))
            },
        },
    ]
}

/// A thing that goes wrong, and is over when it returns.
type Fault = (&'static str, fn(&Chaos<'_>) -> ScenarioResult);

/// An engine, a gate with files of its own, and an audit on a small file system.
struct Chaos<'a> {
    suite: &'a Suite,
    engine: RealEngine,
    gate: Gate,
    side: Side<'a>,
    /// Where the gate's certificates are.
    files: PathBuf,
    disk: Disk,
    /// The gate's clock, where it is not the machine's.
    clock: Option<clock::SetClock>,
    /// The gate's resident memory, in KiB, once it has served.
    memory: u64,
}

/// A small file system, gone with this.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command.arg("-l").arg(&self.0);
        let _ = Process::start(command, "umount").and_then(|mut umount| umount.finish(PATIENCE));
    }
}

impl Disk {
    fn mount(at: PathBuf) -> ScenarioResult<Self> {
        fs::create_dir_all(&at).context("make a mount point")?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=16m", "dockgate-e2e"]);
        command.arg(&at);
        let output = Process::start(command, "mount")?.finish(PATIENCE)?;
        ensure!(output.code == 0, "cannot mount: {}", output.stderr);
        Ok(Self(at))
    }

    fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }
}

/// Runs them in turn on a gate of their own.
fn all(suite: &Suite, name: &str, warm: usize, faults: &[Fault]) -> ScenarioResult {
    all_by(suite, name, warm, faults, None)
}

fn all_by(
    suite: &Suite,
    name: &str,
    warm: usize,
    faults: &[Fault],
    clock: Option<clock::SetClock>,
) -> ScenarioResult {
    suite.gate()?;
    let chaos = Chaos::start(suite, name, warm, clock)?;
    let start = Instant::now();
    for round in 1.. {
        for (what, fault) in faults {
            let began = Instant::now();
            fault(&chaos).map_err(|why| format!("{what}, round {round}: {why}"))?;
            chaos
                .is_well()
                .map_err(|why| format!("after {what}, round {round}: {why}"))?;
            // The next fault finds its own lines in the log alone.
            let forgotten = chaos.gate.forget_log();
            forgotten.map_err(|why| format!("after {what}, round {round}: {why}"))?;
            eprintln!("e2e: chaos: {what}: {:.1} s", began.elapsed().as_secs_f64());
        }
        if start.elapsed() >= Suite::soak() {
            break;
        }
        let now = chaos.gate.memory()?.0;
        let began = chaos.memory;
        eprintln!("e2e: chaos: {name}, round {round}: {now} KiB of memory, {began} at the start");
        chaos.rotate()?;
    }
    chaos.side.clean();
    chaos.engine.stop();
    Ok(())
}

impl<'a> Chaos<'a> {
    fn start(
        suite: &'a Suite,
        name: &str,
        warm: usize,
        clock: Option<clock::SetClock>,
    ) -> ScenarioResult<Self> {
        let directory = suite.scratch(name)?;
        let engine = RealEngine::start(&suite.tools, &directory.join("engine"))?;
        engine.import_image(&suite.tools, &directory)?;
        let files = directory.join("files");
        fs::create_dir_all(&files).context("make a directory")?;
        // The directory of the clock as well, which the gate's cage leaves it.
        let copy = |from: &Path, to: &str| fs::copy(from, files.join(to)).context("copy a file");
        copy(&suite.pki.ca, "ca.pem")?;
        copy(&suite.pki.server_cert, "cert.pem")?;
        copy(&suite.pki.server_key, "key.pem")?;
        let disk = Disk::mount(directory.join("disk"))?;
        let audit = disk.audit().display().to_string();
        let many = [
            "--max-connections",
            "12000",
            "--max-connections-per-client",
            "11000",
        ];
        let paths = ["ca.pem", "cert.pem", "key.pem"].map(|file| files.join(file));
        let [ca, cert, key] = paths.each_ref().map(PathBuf::as_path);
        let mut command = dockgate();
        if let Some(clock) = &clock {
            clock.govern(&mut command);
        }
        let gate = Gate::start_under(
            command,
            &[("--tlscacert", ca), ("--tlscert", cert), ("--tlskey", key)],
            &engine.socket,
            &[&many[..], &["--audit", &audit, "--reload-interval", "off"]].concat(),
        )?;
        let side = Side::gate(suite, name, gate.addr)?;
        let mut chaos = Self {
            suite,
            engine,
            gate,
            side,
            files,
            disk,
            clock,
            memory: 0,
        };
        // What the gate takes once, for as many connections as it has had, is no part of what a fault takes.
        faults::idle(&chaos, warm)?;
        chaos.runs()?;
        chaos.memory = chaos.settled()?;
        Ok(chaos)
    }

    /// Has the gate begin a new audit, so that a disk of this size is enough for any number of rounds.
    fn rotate(&self) -> ScenarioResult {
        let (audit, old) = (self.disk.audit(), self.disk.0.join("audit.old"));
        fs::rename(&audit, &old).context("move the audit away")?;
        self.gate.signal(Signal::HUP);
        within(PATIENCE, || {
            ensure!(audit.exists(), "no new audit after a rotation");
            Ok(())
        })?;
        fs::remove_file(&old).context("remove the old audit")
    }

    fn runs(&self) -> ScenarioResult {
        let output = self
            .side
            .shell_within("run --rm $IMAGE echo well", PATIENCE)?;
        ensure!(
            output.code == 0 && output.text().trim() == "well",
            "docker run: exit {} {} {}",
            output.code,
            output.text(),
            output.stderr
        );
        Ok(())
    }

    /// Its memory once it falls no more.
    fn settled(&self) -> ScenarioResult<u64> {
        let (mut least, mut since) = (self.gate.memory()?.0, Instant::now());
        let deadline = since + PATIENCE;
        while since.elapsed() < Duration::from_secs(3) && Instant::now() < deadline {
            sleep(Duration::from_millis(100));
            let now = self.gate.memory()?.0;
            if now < least {
                (least, since) = (now, Instant::now());
            }
        }
        Ok(least)
    }

    /// Whether everything is as it was.
    fn is_well(&self) -> ScenarioResult {
        self.gate.check_alive()?;
        self.runs()?;
        within(PATIENCE, || {
            let now = self.gate.memory()?.0;
            let most = self.memory + self.memory / 10;
            ensure!(now <= most, "{now} KiB of memory, {} before", self.memory);
            Ok(())
        })?;
        within(PATIENCE, || whole(&self.disk.audit()))
    }
}

/// Asks until it is so.
fn within(patience: Duration, mut ask: impl FnMut() -> ScenarioResult) -> ScenarioResult {
    let deadline = Instant::now() + patience;
    loop {
        match ask() {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)),
            answer => return answer,
        }
    }
}

/// Whether each request of each connection is in the audit, and each that was let through has an end.
fn whole(audit: &Path) -> ScenarioResult {
    let text = fs::read_to_string(audit).context("read the audit")?;
    let mut requests: BTreeMap<u64, BTreeMap<u64, bool>> = BTreeMap::new();
    for line in text.lines() {
        let record: Record = serde_json::from_str(line).context(&format!("read {line}"))?;
        let parts = record.request.split_once('-');
        let (connection, request) = parts.ok_or(format!("the request's id: {line}"))?;
        let connection =
            u64::from_str_radix(connection, 16).context(&format!("read the id of {line}"))?;
        let request = request.parse().context(&format!("read the id of {line}"))?;
        let ended = requests
            .entry(connection)
            .or_default()
            .entry(request)
            .or_default();
        *ended |= matches!(record.event, Event::Request | Event::SessionEnd);
    }
    for (connection, requests) in requests {
        for (at, (request, ended)) in (1..).zip(requests) {
            ensure!(at == request, "no record of request {connection}-{at}");
            ensure!(ended, "no end of request {connection}-{request}");
        }
    }
    Ok(())
}

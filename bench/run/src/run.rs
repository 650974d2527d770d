//! The orchestrator: starts everything, lets the peers take turns, ends everything.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cases::{self, BenchCase, Unit};
use crate::client::{Clients, KeyExchange, LoadTarget};
use crate::floor;
use crate::load::{Plan, Sample, Work, measure};
use crate::measure::{Memory, Spread, percentile_us};
use crate::options::RunOptions;
use crate::peers::{BenchSetup, PeerKind, RunningPeer};
use crate::pki::{BenchPki, ServerKey};
use crate::report::{BenchReport, FigureRow, Figures};

mod process;

use process::{end_on_signal_or, raise_file_limit, start_engine};

/// Starts measured per peer.
const STARTS: usize = 10;

/// Runs the benchmark. False if the guard was asked for and did not hold.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub(crate) fn run(options: &RunOptions) -> Result<bool, String> {
    let cases = cases::all(options.quick, options.rounds);
    if options.list {
        cases
            .iter()
            .for_each(|case| println!("{:18} {}", case.name, case.about));
        println!(
            "{:18} start to listening, memory at rest, size of the binary",
            "start"
        );
        return Ok(true);
    }
    let cases: Vec<BenchCase> = cases
        .into_iter()
        .filter(|case| cases::chosen(case.name, &options.cases))
        .collect();
    let start_too = cases::chosen("start", &options.cases);
    if cases.is_empty() && !start_too {
        return Err(format!(
            "no case is called {}\nhint: --list names them",
            options.cases.join(" or ")
        ));
    }
    let known = |name: &String| PeerKind::ALL.iter().any(|kind| kind.name() == name);
    if let Some(unknown) = options.peers.iter().find(|name| !known(name)) {
        let names = PeerKind::ALL.map(PeerKind::name).join(", ");
        return Err(format!(
            "no peer is called {unknown}\nhint: the peers are {names}"
        ));
    }
    raise_file_limit();
    let directory = tempfile::Builder::new()
        .prefix("dockgate-bench-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .map_err(|e| format!("cannot make a work directory: {e}"))?;
    // After the first no new measurement begins; at the second everything is killed.
    let (limit, hard) = if options.quick {
        (65, 88)
    } else {
        (13 * 60, 15 * 60)
    };
    let limit = Duration::from_secs(limit);
    end_on_signal_or(Duration::from_secs(hard), directory.path().to_path_buf())?;
    let outcome = run_in(
        options,
        &cases,
        start_too,
        directory.path(),
        Instant::now() + limit,
    );
    if options.keep {
        eprintln!("work directory: {}", directory.keep().display());
    }
    let report = outcome?;
    println!("{}", report.markdown());
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        fs::write(file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    let faults = if options.guard {
        report.guard()
    } else {
        report.broken()
    };
    faults
        .iter()
        .for_each(|fault| eprintln!("dockgate-bench: {fault}"));
    Ok(faults.is_empty())
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn run_in(
    options: &RunOptions,
    cases: &[BenchCase],
    start_too: bool,
    directory: &Path,
    deadline: Instant,
) -> Result<BenchReport, String> {
    let setting = BenchSetup {
        directory: directory.to_path_buf(),
        socket: directory.join("engine.sock"),
        pki: BenchPki::make(directory)?,
        dockgate: options.dockgate.clone(),
        dockgate_args: options
            .dockgate_args
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        other: options.other.clone(),
        other_args: options
            .other_args
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    };
    let mut report = BenchReport::new(options.quick);
    report
        .skipped
        .push("ghostunnel: not in Debian's packages".into());
    let mut kinds = Vec::new();
    for kind in PeerKind::ALL {
        if !options.peers.is_empty() && !options.peers.iter().any(|name| name == kind.name()) {
            continue;
        }
        match setting.program(kind) {
            Ok(_) => kinds.push(kind),
            // A second dockgate is there only when asked for.
            Err(_) if kind == PeerKind::Other => {}
            Err(reason) => report.skipped.push(format!("{}: {reason}", kind.name())),
        }
    }
    for kind in &kinds {
        report.versions.insert(kind.name(), setting.version(*kind));
    }
    let engine = start_engine(&setting)?;
    for case in cases.iter().filter(|case| case.unit == Unit::Command) {
        let cost = floor::handshake_us(&setting.pki, case.key, case.exchange)?;
        report.handshake_us.insert(case.name, cost);
    }
    for key in [ServerKey::Ecdsa, ServerKey::Rsa] {
        let now: Vec<&BenchCase> = cases
            .iter()
            .filter(|case| case.key == key && case.unit != Unit::Stream)
            .collect();
        if !now.is_empty() {
            let mut peers = Vec::new();
            for kind in &kinds {
                match ready(&setting, *kind, key, engine.id()) {
                    Ok(peer) => peers.push(peer),
                    Err(reason) => report.skipped.push(format!("{}: {reason}", kind.name())),
                }
            }
            for case in now {
                one_case(
                    &setting,
                    case,
                    &mut peers,
                    engine.id(),
                    deadline,
                    &mut report,
                )?;
            }
        }
    }
    for case in cases.iter().filter(|case| case.unit == Unit::Stream) {
        idle_case(&setting, case, &kinds, engine.id(), deadline, &mut report)?;
    }
    if start_too {
        start_case(
            &setting,
            &kinds,
            engine.id(),
            options.quick,
            deadline,
            &mut report,
        );
    }
    Ok(report)
}

/// Starts a peer and sees a first request through it; for the engine's own socket there is nothing to start.
fn ready(
    setting: &BenchSetup,
    kind: PeerKind,
    key: ServerKey,
    engine: u32,
) -> Result<RunningPeer, String> {
    let peer = setting.start(kind, key)?;
    let target = target(setting, &peer, KeyExchange::Classic)?;
    let plan = Plan {
        work: Work::Ping,
        connections: 1,
        window: Duration::from_millis(1),
        overtime: Duration::from_secs(3),
    };
    let sample = measure(&plan, &target, &peer.ids(), engine);
    match sample.counts.reason {
        Some(reason) => Err(format!(
            "does not answer a ping: {reason}: {}",
            peer.last_words()
        )),
        None => Ok(peer),
    }
}

fn target(
    setting: &BenchSetup,
    peer: &RunningPeer,
    exchange: KeyExchange,
) -> Result<LoadTarget, String> {
    if peer.kind == PeerKind::Direct {
        return Ok(LoadTarget::Socket(setting.socket.clone()));
    }
    Ok(LoadTarget::Tls(
        peer.address,
        Arc::new(Clients::all(&setting.pki, exchange)?),
    ))
}

/// All rounds of one case: A B C, A B C, …
fn one_case(
    setting: &BenchSetup,
    case: &BenchCase,
    peers: &mut [RunningPeer],
    engine: u32,
    deadline: Instant,
    report: &mut BenchReport,
) -> Result<(), String> {
    let mut figures: Vec<Figures> = peers.iter().map(|_| Figures::default()).collect();
    for round in 0..case.rounds {
        for (peer, figures) in peers.iter_mut().zip(&mut figures) {
            // A peer that cannot do it at all is not asked again. Without a proxy there is nothing to repeat, except
            // where latency is what counts.
            let hopeless = figures.failed > 0 && figures.units == 0.0;
            let seen = peer.kind == PeerKind::Direct && round > 0 && !case.unit.is_latency();
            if !case.includes(peer.kind) || hopeless || seen {
                continue;
            }
            if Instant::now() > deadline {
                report
                    .skipped
                    .push(format!("{} round {}: out of time", case.name, round + 1));
                break;
            }
            let target = target(setting, peer, case.exchange)?;
            let sample = measure(&case.plan, &target, &peer.ids(), engine);
            note(case, peer.kind, round, &sample);
            take(figures, case, &sample);
            peer.empty_log();
        }
    }
    for (peer, figures) in peers.iter().zip(figures) {
        if case.includes(peer.kind) && (figures.units > 0.0 || figures.failed > 0) {
            report.rows.push(FigureRow::new(case, peer.kind, figures));
        }
    }
    Ok(())
}

/// Each peer is started afresh, so that what earlier cases left in its allocator does not count.
fn idle_case(
    setting: &BenchSetup,
    case: &BenchCase,
    kinds: &[PeerKind],
    engine: u32,
    deadline: Instant,
    report: &mut BenchReport,
) -> Result<(), String> {
    for kind in kinds.iter().filter(|kind| **kind != PeerKind::Direct) {
        if Instant::now() > deadline {
            report.skipped.push(format!("{}: out of time", case.name));
            break;
        }
        let mut figures = Figures::default();
        match ready(setting, *kind, case.key, engine) {
            Ok(peer) => {
                let target = target(setting, &peer, case.exchange)?;
                let sample = measure(&case.plan, &target, &peer.ids(), engine);
                note(case, *kind, 0, &sample);
                let (before, after) = sample.memory;
                if sample.counts.units > 0.0 {
                    let streams = sample.counts.units;
                    figures.add(
                        "kib_per_stream",
                        after.pss.saturating_sub(before.pss) as f64 / streams,
                    );
                    figures.add("pss_mib", after.pss as f64 / 1024.0);
                }
                figures.count(&sample.counts);
            }
            Err(reason) => {
                figures.failed = 1;
                figures.reason = Some(reason);
            }
        }
        report.rows.push(FigureRow::new(case, *kind, figures));
    }
    Ok(())
}

/// Start to listening, memory at rest, size of the binary.
fn start_case(
    setting: &BenchSetup,
    kinds: &[PeerKind],
    engine: u32,
    quick: bool,
    deadline: Instant,
    report: &mut BenchReport,
) {
    let mut all: Vec<(PeerKind, Figures)> = kinds
        .iter()
        .filter(|kind| **kind != PeerKind::Direct)
        .map(|kind| (*kind, Figures::default()))
        .collect();
    for _ in 0..if quick { 3 } else { STARTS } {
        for (kind, figures) in &mut all {
            if Instant::now() > deadline {
                continue;
            }
            match setting.time_start(*kind) {
                Ok(took) => {
                    figures.add("start_ms", took.as_secs_f64() * 1e3);
                    figures.units += 1.0;
                }
                Err(reason) => {
                    figures.failed += 1;
                    figures.reason.get_or_insert(reason);
                }
            }
        }
    }
    for (kind, mut figures) in all {
        match ready(setting, kind, ServerKey::Ecdsa, engine) {
            Ok(peer) => {
                let memory = Memory::of(&peer.ids());
                figures.add("rss_mib", memory.rss as f64 / 1024.0);
                figures.add("rest_pss_mib", memory.pss as f64 / 1024.0);
            }
            Err(reason) => {
                figures.failed += 1;
                figures.reason.get_or_insert(reason);
            }
        }
        let size = setting
            .program(kind)
            .ok()
            .and_then(|file| fs::metadata(file).ok());
        if let Some(size) = size.filter(|_| kind != PeerKind::Tunnel) {
            figures.add("binary_mib", size.len() as f64 / f64::from(1 << 20));
        }
        report.rows.push(FigureRow::start(kind, figures));
    }
}

/// Turns one sample into figures.
fn take(figures: &mut Figures, case: &BenchCase, sample: &Sample) {
    let units = sample.counts.units;
    figures.count(&sample.counts);
    if units <= 0.0 {
        return;
    }
    let (_, scale) = case.unit.cpu();
    figures.add("cpu", sample.cpu_ns as f64 / scale / units);
    figures.add("engine_cpu", sample.engine_ns as f64 / scale / units);
    figures.add("generator_cpu", sample.generator_ns as f64 / scale / units);
    figures.add("rate", units / sample.wall.as_secs_f64());
    let busy = (sample.cpu_ns + sample.engine_ns + sample.generator_ns) as f64;
    figures.add(
        "generator_share",
        sample.generator_ns as f64 / sample.wall.as_nanos() as f64,
    );
    figures.add("busy_cores", busy / sample.wall.as_nanos() as f64);
    for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99)] {
        if let Some(latency) = percentile_us(&sample.counts.latencies, share) {
            figures.add(name, latency);
        }
    }
}

fn note(case: &BenchCase, kind: PeerKind, round: usize, sample: &Sample) {
    let units = sample.counts.units;
    let (unit, scale) = case.unit.cpu();
    let cpu = Spread::of([sample.cpu_ns as f64 / scale / units]).map_or(0.0, |cpu| cpu.median);
    let trouble = sample.counts.reason.as_deref().unwrap_or("");
    eprintln!(
        "{:18} {:>2} {:9} {units:>10.1} {} {cpu:>10.1} {unit} {trouble}",
        case.name,
        round + 1,
        kind.name(),
        case.unit.name()
    );
}

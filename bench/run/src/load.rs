//! The load generator: sessions are set up, then one window is measured, then they are closed.
//!
//! Two threads at most, each with its own single-threaded runtime. Both wait at gates, so that the clocks of all
//! processes are read while nothing moves: before the first byte of the window and after its last.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::client::{LoadConnection, LoadTarget};
use crate::measure::{Cpu, Memory};

mod bulk;
mod work;

pub(crate) use bulk::Transfer;
pub(crate) use work::Work;

/// Sessions being set up at the same time on one thread.
const SETTING_UP: usize = 32;
/// How long setting up one of them may take.
const ONE_UP: Duration = Duration::from_secs(5);
/// How long setting up may take.
const SET_UP: Duration = Duration::from_secs(40);
/// Failures after which a session gives up.
const PATIENCE: u64 = 10;
/// Time for what trails behind: a log line, a thread's end.
const SETTLE: Duration = Duration::from_millis(20);

/// One measurement to make.
#[derive(Clone)]
pub(crate) struct Plan {
    /// What each session does.
    pub(crate) work: Work,
    /// How many sessions there are.
    pub(crate) connections: usize,
    /// How long they do it, where the work has no end of its own.
    pub(crate) window: Duration,
    /// How much longer than that it may take: bulk work has its own end, and a peer may be stuck.
    pub(crate) overtime: Duration,
}

/// What the sessions counted.
#[derive(Default)]
pub(crate) struct Counts {
    /// Verified units.
    pub(crate) units: f64,
    /// Units that went wrong.
    pub(crate) failed: u64,
    /// What went wrong first.
    pub(crate) reason: Option<String>,
    /// Nanoseconds of each unit, where units are single exchanges.
    pub(crate) latencies: Vec<u32>,
}

impl Counts {
    /// One verified unit.
    pub(crate) fn good(&mut self, units: f64) {
        self.units += units;
    }

    /// One verified exchange and how long it took.
    pub(crate) fn exchange(&mut self, took: Duration) {
        self.units += 1.0;
        self.latencies
            .push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }

    /// One unit that went wrong.
    pub(crate) fn bad(&mut self, reason: &impl ToString) {
        self.failed += 1;
        // rustls ends some texts with the address of its manual.
        let short = |text: String| {
            text.split_once(": https://")
                .map_or(text.clone(), |(text, _)| text.to_owned())
        };
        self.reason.get_or_insert_with(|| short(reason.to_string()));
    }

    /// Whether it is time to give up.
    pub(crate) fn hopeless(&self) -> bool {
        self.failed >= PATIENCE
    }
}

/// One measurement.
pub(crate) struct Sample {
    /// What was counted; latencies are sorted.
    pub(crate) counts: Counts,
    /// CPU time of the peer's processes in the window, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// The same of the engine.
    pub(crate) engine_ns: u64,
    /// The same of the load generator.
    pub(crate) generator_ns: u64,
    /// The window as it was.
    pub(crate) wall: Duration,
    /// Memory of the peer before the first session and at the end of the window.
    pub(crate) memory: (Memory, Memory),
}

/// Measures `plan` against `target`, whose processes are `peer`.
#[expect(clippy::too_many_lines, reason = "sequence")]
pub(crate) fn measure(plan: &Plan, target: &LoadTarget, peer: &[u32], engine: u32) -> Sample {
    let threads = if plan.work.is_sequential() {
        1
    } else {
        plan.connections.min(2)
    };
    let gate = Barrier::new(threads + 1);
    let total = Mutex::new(Counts::default());
    let idle = matches!(plan.work, Work::Idle { .. });
    let before = if idle {
        Memory::of(peer)
    } else {
        Memory::default()
    };
    let clocks = || {
        (
            Cpu::of(peer),
            Cpu::alone(engine),
            Cpu::alone(std::process::id()),
        )
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share =
                plan.connections / threads + usize::from(thread < plan.connections % threads);
            let (gate, total) = (&gate, &total);
            scope.spawn(move || {
                let counts = one_thread(plan, target, share, gate);
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                total.units += counts.units;
                total.failed += counts.failed;
                total.reason = total.reason.take().or(counts.reason);
                total.latencies.extend(counts.latencies);
                drop(total);
                // Sessions are closed by now, but the threads' clocks must be readable until both are done.
                gate.wait();
            });
        }
        gate.wait();
        std::thread::sleep(SETTLE);
        let begin = clocks();
        let begun = Instant::now();
        gate.wait();
        gate.wait();
        let wall = begun.elapsed();
        std::thread::sleep(SETTLE);
        let end = clocks();
        let after = if idle {
            Memory::of(peer)
        } else {
            Memory::default()
        };
        gate.wait();
        gate.wait();
        let mut counts = std::mem::take(&mut *total.lock().unwrap_or_else(PoisonError::into_inner));
        counts.latencies.sort_unstable();
        Sample {
            counts,
            cpu_ns: end.0.since(begin.0),
            engine_ns: end.1.since(begin.1),
            generator_ns: end.2.since(begin.2),
            wall,
            memory: (before, after),
        }
    })
}

/// Sets up, passes the gates, drives, and closes the sessions after the last gate but one.
fn one_thread(plan: &Plan, target: &LoadTarget, share: usize, gate: &Barrier) -> Counts {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            for _ in 0..4 {
                gate.wait();
            }
            counts
                .borrow_mut()
                .bad(&format!("cannot start a runtime: {error}"));
            return counts.take();
        }
    };
    let local = LocalSet::new();
    let sessions = local.block_on(&runtime, set_up(plan, target, share, &counts));
    gate.wait();
    gate.wait();
    let sessions = local.block_on(&runtime, drive(plan, target, sessions, &counts));
    gate.wait();
    gate.wait();
    drop(sessions);
    drop(local);
    counts.take()
}

async fn set_up(
    plan: &Plan,
    target: &LoadTarget,
    share: usize,
    counts: &Rc<RefCell<Counts>>,
) -> Vec<LoadConnection> {
    let deadline = tokio::time::Instant::now() + SET_UP;
    let mut running = JoinSet::new();
    let mut ready = Vec::with_capacity(share);
    let mut started = 0;
    while ready.len() < share && !counts.borrow().hopeless() {
        while started < share && running.len() < SETTING_UP {
            started += 1;
            let (work, target) = (plan.work.clone(), target.clone());
            running.spawn_local(async move {
                let late = |_| {
                    io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("no session after {ONE_UP:?}"),
                    )
                };
                timeout(ONE_UP, work.prepare(&target)).await.map_err(late)?
            });
        }
        match tokio::time::timeout_at(deadline, running.join_next()).await {
            Ok(Some(Ok(Ok(session)))) => ready.push(session),
            Ok(Some(Ok(Err(error)))) => counts.borrow_mut().bad(&error),
            Ok(Some(Err(error))) => counts.borrow_mut().bad(&error),
            Ok(None) => break,
            Err(_) => {
                counts.borrow_mut().bad(&format!(
                    "{} of {share} sessions ready after {SET_UP:?}",
                    ready.len()
                ));
                break;
            }
        }
    }
    ready
}

async fn drive(
    plan: &Plan,
    target: &LoadTarget,
    sessions: Vec<LoadConnection>,
    counts: &Rc<RefCell<Counts>>,
) -> Vec<LoadConnection> {
    let until = Instant::now() + plan.window;
    let limit = plan.window + plan.overtime;
    let kept = Rc::new(RefCell::new(Vec::new()));
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("not finished after {limit:?}"),
        )
    };
    if plan.work.is_sequential() {
        for session in sessions {
            let task = plan.work.drive(session, target, until, counts);
            match timeout(limit, task).await.map_err(late) {
                Ok(session) => kept.borrow_mut().extend(session),
                Err(error) => counts.borrow_mut().bad(&error),
            }
        }
        return kept.take();
    }
    let mut running = JoinSet::new();
    for session in sessions {
        let (work, target, counts, kept) = (
            plan.work.clone(),
            target.clone(),
            Rc::clone(counts),
            Rc::clone(&kept),
        );
        running.spawn_local(async move {
            let session = work.drive(session, &target, until, &counts).await;
            kept.borrow_mut().extend(session);
        });
    }
    let all = async { while running.join_next().await.is_some() {} };
    if let Err(error) = timeout(limit, all).await.map_err(late) {
        counts.borrow_mut().bad(&error);
    }
    kept.take()
}

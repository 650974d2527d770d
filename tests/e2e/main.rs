//! The gate against a real Docker Engine: every scenario runs on the engine's socket and through the gate, with real
//! clients, and both must give the same output, exit code and order.
//!
//! The suite starts an engine of its own (root, and dockerd installed or unpacked by `.ci/engine`), or uses the one
//! named by `DOCKGATE_TEST_ENGINE=unix:///path`. Without either, trials are reported as ignored and a sentence says so;
//! `DOCKGATE_REQUIRE_ENGINE=1` turns that into failures. `DOCKGATE_E2E_BIG_MB` sets the size of the large transfers,
//! `DOCKGATE_E2E_DIRECT_ONLY=1` leaves the gate out, to tell a fault of a scenario from one of the gate.

mod support;

mod clients;
mod faults;
mod heads;
mod hijack;
mod http;
mod issued;
mod large;
mod plugin;
mod policy;
mod streams;
mod tls;
mod trust;
mod watch;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use libtest_mimic::Arguments;
use tokio::signal::unix::{SignalKind, signal};

use support::process::kill_all;
use support::suite::{Absent, Case, Mode, Suite};

/// Engines and clients share two cores in the smallest places this runs; more at once would only time out.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let required = set("DOCKGATE_REQUIRE_ENGINE");
    let mode = if arguments.list {
        Mode::Ignore("listed only".into())
    } else {
        match Suite::start(set("DOCKGATE_E2E_DIRECT_ONLY")) {
            Ok(suite) => {
                stop_on_signal(&suite);
                Mode::Run(suite)
            }
            Err(Absent::Gate(why)) => Mode::Fail(why),
            Err(Absent::Engine(why)) if required => Mode::Fail(why),
            Err(Absent::Engine(why)) => {
                eprintln!(
                    "The real-engine suite did not run: {why}.\n\
                     hint: run `.ci/engine` as root once, or set DOCKGATE_TEST_ENGINE=unix:///var/run/docker.sock; then `cargo test --test e2e`\n"
                );
                Mode::Ignore("no Docker Engine".into())
            }
        }
    };
    let cases: Vec<Case> = [
        hijack::cases(),
        streams::cases(),
        heads::cases(),
        http::cases(),
        clients::cases(),
        tls::cases(),
        trust::cases(),
        issued::cases(),
        watch::cases(),
        faults::cases(),
        large::cases(),
        policy::cases(),
        plugin::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let trials = cases
        .into_iter()
        .map(|case| case.trial(&mode, required))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Mode::Run(suite) = mode {
        let verdict = suite.stop();
        kill_all();
        if let Err(why) = verdict {
            eprintln!("e2e: {why}");
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

/// Ctrl-C and SIGTERM end clients, gates and the engine before the suite itself.
fn stop_on_signal(suite: &Arc<Suite>) {
    let suite = suite.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut terminate) = signal(SignalKind::terminate()) else {
                return;
            };
            let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            kill_all();
            // The gates were killed on purpose.
            let _ = suite.stop();
            std::process::exit(130);
        });
    });
}

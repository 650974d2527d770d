//! The gate against a real Docker Engine: every scenario runs on the engine's socket and through the gate, with real
//! clients, and both must give the same output, exit code and order.
//!
//! `DOCKGATE_ENGINE` asks for it and says which engine is used:
//!
//! - `unpacked`: one of the suite's own, from what `.ci/engine` unpacked (in `DOCKGATE_ENGINE_DIR`, or else `~/.cache/dockgate-engine`);
//! - a directory that `.ci/engine` filled, or the path of a dockerd: one of the suite's own, from there;
//! - `system`: one of the suite's own, from the dockerd on `PATH`;
//! - `unix:///path`: one that runs already; only what has the suite's own names is touched there.
//!
//! Without it no engine is started or spoken to, and trials are reported as ignored. `DOCKGATE_REQUIRE_ENGINE=1` makes a failure
//! of everything that cannot run, and means `unpacked` where nothing else is said. `DOCKGATE_E2E_BIG_MB` sets the size of the large
//! transfers, `DOCKGATE_E2E_DIRECT_ONLY=1` leaves the gate out, to tell a fault of a scenario from one of the gate.

mod support;

mod chaos;
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
use support::suite::{Case, Suite, SuiteMode};
use support::tools::EngineSource;

/// Engines and clients share two cores in the smallest places this runs; more at once would only time out.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let required = set("DOCKGATE_REQUIRE_ENGINE");
    let mode = match EngineSource::asked_for(required) {
        _ if arguments.list => SuiteMode::Ignore("listed only".into()),
        None => {
            eprintln!(
                "No engine was asked for, so the real-engine suite does not run.\n\
                 hint: run `.ci/engine` as root once, and then `DOCKGATE_ENGINE=unpacked cargo test --test e2e`\n"
            );
            SuiteMode::Ignore("no engine was asked for".into())
        }
        Some(source) => match Suite::start(&source, set("DOCKGATE_E2E_DIRECT_ONLY")) {
            Ok(suite) => {
                stop_on_signal(&suite);
                eprintln!("e2e: {}", suite.about());
                SuiteMode::Run(suite)
            }
            // An engine that is asked for and not there is a failure.
            Err(why) => SuiteMode::Fail(why),
        },
    };
    let trials = cases()
        .into_iter()
        .map(|case| case.trial(&mode, required))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // A filter that fits nothing must not look like a suite that passed.
    let ran = conclusion.num_passed + conclusion.num_failed;
    let idle = required && !arguments.list && ran == 0;
    if let SuiteMode::Run(suite) = mode {
        let verdict = suite.stop();
        kill_all();
        if let Err(why) = verdict {
            eprintln!("e2e: {why}");
            return ExitCode::FAILURE;
        }
    }
    if idle {
        eprintln!("e2e: an engine is required, and no scenario ran on it");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// All scenarios.
fn cases() -> Vec<Case> {
    [
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
        chaos::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
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

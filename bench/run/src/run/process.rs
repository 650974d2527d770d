//! The processes around the measurements: the engine, the file limit, and the end of everything.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::children::{self, Child};
use crate::peers::BenchSetup;

/// Open files that 5,000 streams through a proxy need, with room.
const FILES: u64 = 20_000;

/// Starts the fake engine and waits until it listens.
pub(super) fn start_engine(setting: &BenchSetup) -> Result<Child, String> {
    let program =
        std::env::current_exe().map_err(|e| format!("cannot find the bench's own binary: {e}"))?;
    let log = setting.directory.join("engine.log");
    let arguments = [
        "engine".into(),
        "--socket".into(),
        setting.socket.clone().into_os_string(),
    ];
    let mut engine = Child::start(&program, &arguments, &log)?;
    let begun = Instant::now();
    while UnixStream::connect(&setting.socket).is_err() {
        if engine.ended() || begun.elapsed() > Duration::from_secs(5) {
            return Err(format!(
                "the fake engine does not listen; see {}",
                log.display()
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(engine)
}

/// Asks for as many open files as the largest case needs.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit {
        current: Some(hard.min(FILES.max(limit.current.unwrap_or(0)))),
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, wanted).is_err() || hard < FILES {
        eprintln!("only {hard} open files are allowed: the cases with 5,000 streams may fail");
    }
}

/// On Ctrl-C, SIGTERM, SIGHUP or at the hard limit everything is killed and the work directory removed.
pub(super) fn end_on_signal_or(
    limit: Duration,
    directory: std::path::PathBuf,
) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start a runtime: {e}"))?;
    std::thread::spawn(move || {
        let reason = runtime.block_on(async {
            let mut signals = Vec::new();
            for kind in [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::hangup(),
            ] {
                signals.push(signal(kind)?);
            }
            let [interrupt, terminate, hangup] = signals.as_mut_slice() else {
                return Ok("interrupted");
            };
            tokio::select! {
                _ = interrupt.recv() => Ok("interrupted"),
                _ = terminate.recv() => Ok("terminated"),
                _ = hangup.recv() => Ok("terminal closed"),
                () = tokio::time::sleep(limit) => Ok::<_, std::io::Error>("beyond the time limit"),
            }
        });
        children::end_all();
        let _ = fs::remove_dir_all(directory);
        eprintln!(
            "dockgate-bench: {}",
            reason.unwrap_or("cannot wait for signals")
        );
        std::process::exit(130);
    });
    Ok(())
}

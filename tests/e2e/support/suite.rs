//! What all scenarios share, and how one becomes a trial: run on both sides, compared, under a deadline.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};

use super::client::Side;
use super::engine::RealEngine;
use super::gate::Gate;
use super::pki::SuitePki;
use super::process::start_reaper;
use super::same::{OUTPUT_LOST, expected_text, same_text};
use super::tools::{EngineSource, Tools};
use super::{OrSay, ScenarioResult, ensure};

/// No scenario may take longer, whatever its own deadlines say; large transfers add their own share.
const LIMIT: Duration = Duration::from_secs(180);
/// What a large transfer may take beyond that: an engine on a crowded machine moves no more than 8 MiB/s each way.
const SLOWEST_MIB_PER_SEC: u64 = 8;

/// The verdict of a scenario that has nothing to say without a gate: ignored, not failed.
pub(crate) const NEEDS_GATE: &str = "needs the gate, which DOCKGATE_E2E_DIRECT_ONLY left out";

/// The deadlines of the second gate: seconds, so that whatever outlives them proves that no deadline cuts a stream.
pub(crate) const HASTY: &[&str] = &[
    "--handshake-timeout",
    "1s",
    "--head-timeout",
    "1s",
    "--tunnel-grace",
    "1s",
    "--upstream-connect-timeout",
    "1s",
];
/// Longer than each of those deadlines several times over.
pub(crate) const LONG: Duration = Duration::from_secs(6);

/// The engine, the gates and the files that all scenarios share.
pub(crate) struct Suite {
    /// Where the programs are.
    pub(crate) tools: Tools,
    /// The certificates.
    pub(crate) pki: SuitePki,
    /// The engine.
    pub(crate) engine: RealEngine,
    /// Begins the name of everything the suite makes in the engine.
    pub(crate) prefix: String,
    /// How large the large transfers are, in MiB.
    pub(crate) big_mib: u64,
    gate: Option<Gate>,
    hasty: Option<Gate>,
    directory: PathBuf,
    /// Scenarios that an interrupt finds running must not make new files behind the clean-up's back.
    stopping: AtomicBool,
}

impl Suite {
    /// Starts everything; a failed start leaves no files.
    pub(crate) fn start(source: &EngineSource, direct_only: bool) -> ScenarioResult<Arc<Self>> {
        let prefix = format!("dockgate-e2e-{}", std::process::id());
        let directory = env::temp_dir().join(&prefix);
        Self::start_in(source, direct_only, prefix, directory.clone()).inspect_err(|_| {
            // It may not have been made yet.
            let _ = fs::remove_dir_all(&directory);
        })
    }

    fn start_in(
        source: &EngineSource,
        direct_only: bool,
        prefix: String,
        directory: PathBuf,
    ) -> ScenarioResult<Arc<Self>> {
        start_reaper()?;
        let tools = Tools::find(source);
        for tool in ["DOCKER", "BUSYBOX"] {
            tools.get(tool)?;
        }
        fs::create_dir_all(directory.join("scratch")).context("make a temporary directory")?;
        let engine = match source {
            EngineSource::Running(socket) => RealEngine::existing(socket.clone())?,
            _ => RealEngine::start(&tools, &directory.join("engine"))?,
        };
        engine.import_image(&tools, &directory)?;
        let pki = SuitePki::create(&directory.join("certs"))?;
        let (gate, hasty) = if direct_only {
            (None, None)
        } else {
            let start = |extra: &[&str]| Gate::start(&pki, &engine.socket, extra);
            (Some(start(&[])?), Some(start(HASTY)?))
        };
        let big_mib = env::var("DOCKGATE_E2E_BIG_MB")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(256);
        Ok(Arc::new(Self {
            tools,
            pki,
            engine,
            prefix,
            big_mib,
            gate,
            hasty,
            directory,
            stopping: AtomicBool::new(false),
        }))
    }

    /// Which engine this is, and from where.
    pub(crate) fn about(&self) -> String {
        let dockerd = self
            .tools
            .get("DOCKERD")
            .map(|path| path.display().to_string());
        let origin = match self.engine.is_own() {
            true => dockerd.unwrap_or_default(),
            false => format!("unix://{}", self.engine.socket.display()),
        };
        format!("Docker Engine {} ({origin})", self.engine.version)
    }

    /// The gate with default deadlines.
    pub(crate) fn gate(&self) -> ScenarioResult<&Gate> {
        self.gate.as_ref().ok_or_else(|| NEEDS_GATE.into())
    }

    /// The gate with deadlines of a second.
    pub(crate) fn hasty(&self) -> ScenarioResult<&Gate> {
        self.hasty.as_ref().ok_or_else(|| NEEDS_GATE.into())
    }

    /// How long the longest scenario may take.
    pub(crate) fn limit(&self) -> Duration {
        LIMIT + Duration::from_secs(self.big_mib / SLOWEST_MIB_PER_SEC) + Self::soak()
    }

    /// How long a scenario that can be repeated is repeated: `bench/soak` sets it.
    pub(crate) fn soak() -> Duration {
        let minutes = env::var("DOCKGATE_SOAK_MINUTES").ok();
        let minutes = minutes.and_then(|text| text.parse().ok());
        Duration::from_secs(60 * minutes.unwrap_or(0))
    }

    /// A new directory of that name.
    pub(crate) fn scratch(&self, name: &str) -> ScenarioResult<PathBuf> {
        ensure!(
            !self.stopping.load(Ordering::SeqCst),
            "the suite is being stopped"
        );
        let path = self.directory.join("scratch").join(name);
        fs::create_dir_all(&path).context(&format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Compares a script, and checks what it exits with and prints on standard output.
    pub(crate) fn script(
        &self,
        name: &str,
        script: &str,
        code: i32,
        stdout: &str,
    ) -> ScenarioResult {
        self.compare(name, |side| expect(side, script, code, stdout))
    }

    /// The same through the gate with deadlines of a second.
    pub(crate) fn script_hasty(
        &self,
        name: &str,
        script: &str,
        code: i32,
        stdout: &str,
    ) -> ScenarioResult {
        self.compare_hasty(name, |side| expect(side, script, code, stdout))
    }

    /// Runs a scenario on the engine's socket and through the gate, at the same time, and compares what it returns.
    pub(crate) fn compare(
        &self,
        name: &str,
        scenario: impl Fn(&Side<'_>) -> ScenarioResult<String> + Sync,
    ) -> ScenarioResult {
        self.compare_through(name, self.gate.as_ref().map(|gate| gate.addr), scenario)
    }

    /// The same through the gate with deadlines of a second.
    pub(crate) fn compare_hasty(
        &self,
        name: &str,
        scenario: impl Fn(&Side<'_>) -> ScenarioResult<String> + Sync,
    ) -> ScenarioResult {
        self.compare_through(name, self.hasty.as_ref().map(|gate| gate.addr), scenario)
    }

    fn compare_through(
        &self,
        name: &str,
        gate: Option<SocketAddr>,
        scenario: impl Fn(&Side<'_>) -> ScenarioResult<String> + Sync,
    ) -> ScenarioResult {
        let direct = Side::direct(self, name, &self.engine.socket)?;
        let Some(addr) = gate else {
            let outcome = scenario(&direct);
            direct.clean();
            return outcome.map(|_| ());
        };
        let through = Side::gate(self, name, addr)?;
        let run = |side: &Side<'_>| scenario(side).map(|text| side.normalise(&text));
        let (on_socket, on_gate) = thread::scope(|scope| {
            let other = scope.spawn(|| run(&direct));
            let on_gate = run(&through);
            (
                other
                    .join()
                    .unwrap_or_else(|_| Err("the scenario panicked".into())),
                on_gate,
            )
        });
        direct.clean();
        through.clean();
        match (on_socket, on_gate) {
            (Ok(expected), Ok(got)) => same_text(
                &expected,
                &got,
                "direct and gate differ",
                ["direct", "gate"],
            ),
            (Err(direct), Ok(_)) => Err(format!("{CONTROL_FAILED}: {direct}")),
            (Ok(_), Err(gate)) if gate.starts_with(OUTPUT_LOST) => Err(gate),
            (Ok(_), Err(gate)) => Err(format!(
                "works on the socket, fails through the gate: {gate}"
            )),
            (Err(direct), Err(gate)) => Err(format!(
                "fails on both sides\n=== direct: {direct}\n=== gate: {gate}"
            )),
        }
    }

    /// Stops gates and engine and removes the directory; fails when a gate died or logged an error along the way.
    pub(crate) fn stop(&self) -> ScenarioResult {
        self.stopping.store(true, Ordering::SeqCst);
        let mut verdict = Ok(());
        for gate in [&self.gate, &self.hasty].into_iter().flatten() {
            verdict = verdict
                .and_then(|()| gate.check_alive())
                .and_then(|()| gate.check_log());
            gate.signal(rustix::process::Signal::KILL);
        }
        self.engine.stop();
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("e2e: cannot remove {}: {error}", self.directory.display());
        }
        verdict
    }
}

fn expect(side: &Side<'_>, script: &str, code: i32, stdout: &str) -> ScenarioResult<String> {
    let output = side.shell(script)?;
    let text = output.text();
    let seen = format!(
        "exit {}\n--- stdout\n{text}\n--- stderr\n{}",
        output.code, output.stderr
    );
    ensure!(output.code == code, "expected exit {code}, got {seen}");
    expected_text(stdout, &side.normalise(&text), &seen)?;
    Ok(seen)
}

/// A scenario: takes the suite and its own name.
pub(crate) type Scenario = fn(&Suite, &str) -> ScenarioResult;

/// The names of tools a scenario cannot do without, with the scenario itself.
pub(crate) struct Case {
    /// A sentence in snake case, begun by the scenario's number where docker-transport §9 has one.
    pub(crate) name: &'static str,
    /// Tools beyond docker itself.
    pub(crate) needs: &'static [&'static str],
    /// What to run.
    pub(crate) run: Scenario,
}

/// How trials are made of cases.
#[derive(Clone)]
pub(crate) enum SuiteMode {
    /// Run against this suite.
    Run(Arc<Suite>),
    /// Not possible here: each trial is reported as ignored.
    Ignore(String),
    /// Not possible here, but demanded: each trial fails.
    Fail(String),
}

/// How a verdict begins that blames the engine alone.
const CONTROL_FAILED: &str = "fails on the socket itself, works through the gate";

/// How often a scenario is tried while all that fails is its control on the engine's socket, or output is missing.
const ATTEMPTS: usize = 3;

impl Case {
    /// A scenario that needs no tool beyond docker itself.
    pub(crate) const fn new(name: &'static str, run: Scenario) -> Self {
        Self::needing(&[], name, run)
    }

    /// A scenario that needs these tools too.
    pub(crate) const fn needing(
        needs: &'static [&'static str],
        name: &'static str,
        run: Scenario,
    ) -> Self {
        Self { name, needs, run }
    }

    /// The trial, which runs in a thread of its own so that its deadline can be kept.
    pub(crate) fn trial(self, mode: &SuiteMode, strict: bool) -> Trial {
        let mode = mode.clone();
        Trial::ignorable_test(self.name, move || {
            let suite = match mode {
                SuiteMode::Run(suite) => suite,
                SuiteMode::Ignore(why) => return Ok(Completion::ignored_with(why)),
                SuiteMode::Fail(why) => return Err(Failed::from(why)),
            };
            if let Some(missing) = self
                .needs
                .iter()
                .find_map(|tool| suite.tools.get(tool).err())
            {
                return if strict {
                    Err(missing.into())
                } else {
                    Ok(Completion::ignored_with(missing))
                };
            }
            let mut attempt = 1;
            loop {
                let verdict = self.attempt(&suite, attempt);
                match verdict {
                    // The control failed and the gate did not, or the engine lost output: it has races of its own. That run
                    // says nothing about the gate; any other fault fails at once.
                    Err(why)
                        if attempt < ATTEMPTS
                            && (why.starts_with(CONTROL_FAILED)
                                || why.starts_with(OUTPUT_LOST)) =>
                    {
                        eprintln!(
                            "e2e: {} failed at attempt {attempt}, trying again: {why}",
                            self.name
                        );
                        attempt += 1;
                    }
                    Err(why) if why == NEEDS_GATE => return Ok(Completion::ignored_with(why)),
                    other => return other.map(|()| Completion::Completed).map_err(Failed::from),
                }
            }
        })
    }

    /// Runs the scenario once, under its deadline; later attempts get containers and folders of their own.
    fn attempt(&self, suite: &Arc<Suite>, attempt: usize) -> ScenarioResult {
        let limit = suite.limit();
        let (tell, told) = mpsc::channel();
        let (run, suite) = (self.run, suite.clone());
        let name = match attempt {
            1 => short(self.name).to_owned(),
            n => format!("{}r{n}", short(self.name)),
        };
        thread::spawn(move || {
            // A scenario that ends after its deadline has no listener any more.
            let _ = tell.send(run(&suite, &name));
        });
        match told.recv_timeout(limit) {
            Ok(verdict) => verdict,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("did not end within {limit:?}")),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err("the scenario panicked, see above".into())
            }
        }
    }
}

/// A name short enough for containers and socket paths: the part before `__`, or the first 24 characters.
fn short(name: &'static str) -> &'static str {
    let name = name.split("__").next().unwrap_or(name);
    &name[..name.len().min(24)]
}

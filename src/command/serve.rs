//! `dockgate serve`: from the configuration to a gate that runs until it is told to stop.

use std::io::IsTerminal;
use std::time::Duration;

use tracing::{error, info, warn};

use super::exposure;
use crate::app::App;
use crate::cage::Strength;
use crate::cli::ServeArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::companion::{Companion, CompanionError};
use crate::config::{self, AuditSink, Config, LogFormat};
use crate::observe::health::{self, EngineHealth, HealthFinding};
use crate::observe::log as logging;
use crate::service;
use crate::shutdown::{Asked, Signals};
use crate::{banner, generation};
use policy::toggles;

impl From<CompanionError> for Failure {
    fn from(error: CompanionError) -> Self {
        Self::of(Exit::FAILED, &error)
    }
}

/// Serves.
///
/// # Errors
/// When the gate cannot start, or ends for another reason than a signal.
pub(super) fn run(args: &ServeArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let config = config::load(args, std::env::vars_os())?;
    let format = format(config.log.format);
    logging::start(config.log.level.into(), format);
    let end = serve(args, config, output);
    let end = match end {
        // Said once, in the form that readers of this stream expect.
        Err(failure) if failure.exit != Exit::CONFIGURATION && format == logging::Format::Json => {
            for (error, hint) in &failure.faults {
                error!(error, hint, "Cannot go on");
            }
            Ok(failure.exit)
        }
        end => end,
    };
    logging::flush();
    end
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn serve(args: &ServeArgs, config: Config, output: &mut Output<'_>) -> Result<Exit, Failure> {
    for note in &config.notes {
        warn!("{note}");
    }
    for finding in exposure::findings(&config) {
        warn!(hint = finding.hint, "{}", finding.text);
    }
    let toggles = generation::ignored_toggles(&config);
    if !toggles.is_empty() {
        warn!(
            toggles,
            "The environment's toggles are ignored: the policy file is in force"
        );
    }
    // Both before the cage: the signer as the user who started the gate, the keeper as the one that the gate becomes.
    let signer = config
        .enroll
        .as_ref()
        .map(|enroll| Companion::signer(&config, enroll));
    let signer = signer.transpose()?;
    let mut app = App::build(config)?;
    let gate = app.config().enrolled.as_ref();
    let keeper = gate
        .map(|gate| Companion::keeper(app.config(), gate))
        .transpose()?;
    let is_listened_on = health::is_listened_on(&app.config().upstream);
    // From here on every thread that is started is in the cage.
    let strength = app.confine()?;
    told(strength);
    super::memory::give_back();
    let failed = |error: &std::io::Error| Failure::of(Exit::FAILED, error);
    logging::write().map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let served = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let upstream = &app.config().upstream;
        let engine = health::at_start(upstream, is_listened_on, ENGINE_DEADLINE).await;
        announce(&app, &engine, output);
        service::ready(&app.generation().status());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (force_stop, forced) = tokio::sync::oneshot::channel::<()>();
        let (ask, reloader) = app.reloader(args.clone());
        let companions: Vec<_> = [signer, keeper]
            .into_iter()
            .flatten()
            .map(|companion| companion.follow(ask.clone(), app.metrics()))
            .collect();
        let watch = async move {
            let mut stop = Some(stop);
            loop {
                match (signals.next().await, stop.take()) {
                    (Asked::Reload, kept) => {
                        stop = kept;
                        ask.notify_one();
                    }
                    (Asked::Stop, Some(stop)) => _ = stop.send(()),
                    (Asked::Stop, None) => break,
                }
            }
            let _ = force_stop.send(());
            std::future::pending::<()>().await;
        };
        let end = app.run(async { _ = stopped.await }, async { _ = forced.await });
        tokio::select! {
            ended = end => ended,
            () = watch => Ok(()),
            () = reloader.run() => Ok(()),
            () = together(companions) => Ok(()),
        }
    });
    served.map_err(|error| failed(&error))?;
    Ok(Exit::OK)
}

/// Follows all of them; never ends.
async fn together(companions: Vec<impl Future<Output = ()>>) {
    futures_util::future::join_all(companions).await;
    std::future::pending::<()>().await;
}

/// What is in force of the cage, for the log.
fn told(strength: Option<Strength>) {
    match strength {
        Some(strength) if strength.is_whole() => {
            info!(%strength, "In the cage");
        }
        Some(strength) => {
            warn!(%strength, "The cage is not whole: this kernel or container withholds some of it");
        }
        None => warn!("The cage is off (unsafe-no-cage)"),
    }
}

/// Longest wait for the engine at the start, which does not depend on it.
const ENGINE_DEADLINE: Duration = Duration::from_secs(1);

/// Tells the log and the person who started the gate what it does. On one screen the sentences of the person are enough.
fn announce(app: &App, engine: &HealthFinding, output: &mut Output<'_>) {
    let to_stdout = app.config().audit == Some(AuditSink::Stdout);
    if to_stdout || !output.is_terminal() || !std::io::stderr().is_terminal() {
        log_start(app, engine);
    } else {
        // What is logged already comes before the banner, not in the middle of it.
        logging::flush();
    }
    // Where the audit goes to standard output, nothing else does.
    if to_stdout {
        output.stand_aside();
    }
    for line in banner::lines(app, engine) {
        output.row(line);
    }
    output.flush();
}

/// The same for the log.
fn log_start(app: &App, engine: &HealthFinding) {
    for address in app.addresses() {
        info!(addr = %address, upstream = %app.config().upstream.display(), "Listening");
    }
    if engine.engine != EngineHealth::Ok {
        warn!(
            error = engine.detail,
            hint = engine.hint,
            "The engine does not answer: requests are refused until it does"
        );
    }
    let generation = app.generation();
    let policy = &generation.policy;
    match (&app.config().authz_plugin, generation::unenforced(policy)) {
        (Some(path), Some(_)) if policy.is_open() => info!(
            policy = "none",
            plugin = %path.display(),
            "The authorization plugin alone decides"
        ),
        (None, Some(_)) if policy.is_open() => info!(
            policy = "none",
            mode = "no request is denied",
            "Every certificate of the CA has full access to the engine"
        ),
        (_, Some(sentence)) => warn!("{sentence}"),
        (_, None) => {}
    }
    for role in policy.roles.iter().filter(|role| role.toggled) {
        for line in toggles::table(role).lines() {
            match app.config().policy {
                Some(_) => info!(role = role.name, opened = line, "A role made of toggles"),
                None => info!(
                    policy = "toggles",
                    opened = line,
                    "The environment's toggles are the policy"
                ),
            }
        }
    }
}

fn format(format: LogFormat) -> logging::Format {
    match format {
        LogFormat::Auto => logging::automatic(),
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    }
}

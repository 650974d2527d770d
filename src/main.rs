//! The `dockgate` binary: process edge only (arguments, logging, dispatch, error chain, exit code).

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use dockgate::app::App;
use dockgate::cli::{self, CheckArgs, Command, ServeArgs};
use dockgate::config::{self, AuditSink, Config, LogFormat};
use dockgate::finding::{self, Finding};
use dockgate::observe::log as logging;
use dockgate::shutdown::{Asked, Signals};
use dockgate::{banner, command, reload};
use policy::{Policy, toggles};
use text::escape;
use tracing::{error, info, warn};

/// sysexits(3): the configuration is wrong.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli.into_command(),
        Err(err) => usage(&err),
    };
    match command {
        Command::Serve(args) => serve(&args),
        Command::Ps(args) => command::control::ps(&args),
        Command::Top(args) => command::control::top(&args),
        Command::Kick(args) => command::control::kick(&args),
        Command::Healthcheck(args) => command::control::healthcheck(&args),
        Command::Check(args) => check(&args),
        Command::Certs(args) => match dockgate::command::certs::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => {
                let code = fail(&err, 1);
                if let Some(hint) = err.hint() {
                    eprintln!("hint: {}", escape::redacted(&hint));
                }
                code
            }
        },
        Command::Policy(args) => match dockgate::command::policy::run(&args) {
            Ok(code) => code,
            Err(err) => fail(&err, CONFIGURATION),
        },
        Command::Doctor(args) => {
            let out = &mut std::io::stdout().lock();
            match dockgate::command::doctor::run(&args, std::env::vars_os(), policy_findings, out) {
                Ok(code) => ExitCode::from(code),
                Err(err) => fail(&err, 1),
            }
        }
    }
}

/// Prints what clap has to say; what a mistaken argument holds of a key is left out.
fn usage(err: &clap::Error) -> ! {
    let text = err.render().to_string();
    let shown = escape::redacted(&text);
    if shown == text {
        err.exit();
    }
    eprintln!("{shown}");
    std::process::exit(err.exit_code());
}

fn serve(args: &ServeArgs) -> ExitCode {
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(err) => {
            eprintln!("dockgate: {}", finding::chain(&err));
            return ExitCode::from(err.exit_code());
        }
    };
    if let Err(err) = logging::start(reload::level(config.log.level), format(config.log.format)) {
        return fail(&err, 1);
    }
    let code = run(args, config);
    logging::flush();
    code
}

fn check(args: &CheckArgs) -> ExitCode {
    let out = &mut std::io::stdout().lock();
    match dockgate::command::check::run(args, std::env::vars_os(), policy_findings, out) {
        Ok(code) => ExitCode::from(code),
        Err(err) => fail(&err, 1),
    }
}

/// Of the policy file, else of the environment's toggles; nothing where there is neither.
fn policy_findings(path: Option<&Path>) -> Vec<Finding> {
    let Some(path) = path else {
        return match toggles::from_env(environment()) {
            Ok(None) => Vec::new(),
            Ok(Some(policy)) => {
                let tables: Vec<_> = policy.roles.iter().map(toggles::table).collect();
                let table = tables.join("\n").replace('\n', "\n         ");
                vec![Finding::ok(format!(
                    "the environment's toggles are the policy, and open\n         {table}"
                ))]
            }
            Err(err) => vec![match err.to_string().split_once("\nhint: ") {
                Some((text, hint)) => Finding::error(text).hint(hint),
                None => Finding::error(err.to_string()),
            }],
        };
    };
    let mut findings = vec![match Policy::read(path) {
        Ok(policy) => Finding::ok(format!(
            "policy {path:?}: {} clients, {} roles; `dockgate policy check` says what each may do",
            policy.clients.len(),
            policy.roles.len()
        )),
        Err(err) => Finding::error(err.to_string()),
    }];
    let ignored = toggles::set(environment()).join(" ");
    if !ignored.is_empty() {
        findings.push(Finding::warning(format!(
            "the environment's toggles ({ignored}) are ignored: the policy file is in force"
        )));
    }
    findings
}

/// The environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

fn run(args: &ServeArgs, config: Config) -> ExitCode {
    for note in &config.notes {
        warn!("{note}");
    }
    if config.policy.is_some() {
        let ignored = toggles::set(environment()).join(" ");
        if !ignored.is_empty() {
            warn!(
                toggles = ignored,
                "The environment's toggles are ignored: the policy file is in force"
            );
        }
    }
    let app = match App::build(config) {
        Ok(app) => app,
        Err(err) => {
            let code = fail(&err, err.exit_code());
            if let Some(hint) = err.hint() {
                eprintln!("hint: {}", escape::redacted(&hint));
            }
            return code;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(err) => return fail(&err, 1),
    };
    let served = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        announce(&app);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (hurry, hurried) = tokio::sync::oneshot::channel::<()>();
        let (ask, reloader) = app.reloader(args.clone());
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
            let _ = hurry.send(());
            std::future::pending::<()>().await;
        };
        let end = app.run(async { _ = stopped.await }, async { _ = hurried.await });
        tokio::select! {
            ended = end => ended,
            () = watch => Ok(()),
            () = reloader.run() => Ok(()),
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => fail(&err, 1),
    }
}

fn announce(app: &App) {
    for address in app.addresses() {
        info!(addr = %address, upstream = %app.config().upstream.display(), "Listening");
    }
    let policy = app.policy();
    if policy.is_open() {
        match &app.config().authz_plugin {
            Some(path) => info!(
                policy = "none",
                plugin = %path.display(),
                "The authorization plugin alone decides"
            ),
            None => info!(
                policy = "none",
                "Every certificate of the CA has full access to the engine"
            ),
        }
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
    // Where the audit goes to standard output, nothing else does. A closed one is no reason not to serve.
    let text = banner::text(app);
    if app.config().audit == Some(AuditSink::Stdout) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    } else {
        let mut out = std::io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn fail(err: &dyn Error, code: u8) -> ExitCode {
    let text = finding::chain(err);
    if code != CONFIGURATION {
        error!(error = text, "Cannot go on");
    }
    eprintln!("dockgate: {text}");
    ExitCode::from(code)
}

fn format(format: LogFormat) -> logging::Format {
    match format {
        LogFormat::Auto => logging::automatic(),
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    }
}

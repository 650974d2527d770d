//! The `dockgate` binary: process edge only (arguments, logging, dispatch, error chain, exit code).

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use dockgate::app::App;
use dockgate::cli::{self, Command, ServeArgs};
use dockgate::config::{self, Config, LogFormat, LogLevel};
use dockgate::shutdown::{Asked, Signals};
use dockgate::{banner, commands, logging};
use tracing::{Level, error, info, warn};

/// sysexits(3): the configuration is wrong.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli.into_command(),
        Err(err) => err.exit(),
    };
    match command {
        Command::Serve(args) => serve(&args),
        Command::Ps(args) => commands::ps(&args),
        Command::Top(args) => commands::top(&args),
        Command::Kick(args) => commands::kick(&args),
        Command::Healthcheck(args) => commands::healthcheck(&args),
        _ => ExitCode::FAILURE,
    }
}

fn serve(args: &ServeArgs) -> ExitCode {
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(err) => {
            eprintln!("dockgate: {err}");
            return ExitCode::from(err.exit_code());
        }
    };
    if let Err(err) = logging::start(level(config.log.level), format(config.log.format)) {
        return fail(&err, 1);
    }
    let code = run(config);
    logging::flush();
    code
}

fn run(config: Config) -> ExitCode {
    for note in &config.notes {
        warn!("{note}");
    }
    let app = match App::build(config) {
        Ok(app) => app,
        Err(err) => {
            let code = fail(&err, err.exit_code());
            if let Some(hint) = err.hint() {
                eprintln!("hint: {hint}");
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
        let watch = async move {
            let mut stop = Some(stop);
            loop {
                match (signals.next().await, stop.take()) {
                    (Asked::Reload, kept) => stop = kept,
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
    if app.config().policy.is_none() {
        info!(
            policy = "none",
            "Every certificate of the CA has full access to the engine"
        );
    }
    // A closed standard output is no reason not to serve.
    let mut out = std::io::stdout();
    let _ = out
        .write_all(banner::text(app).as_bytes())
        .and_then(|()| out.flush());
}

fn fail(err: &dyn Error, code: u8) -> ExitCode {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    if code != CONFIGURATION {
        error!(error = text, "Cannot go on");
    }
    eprintln!("dockgate: {text}");
    ExitCode::from(code)
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::TRACE,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}

fn format(format: LogFormat) -> logging::Format {
    match format {
        LogFormat::Auto => logging::automatic(),
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    }
}

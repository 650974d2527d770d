//! `dockgate signer`: from the directory of a CA to a signer that runs until it is told to stop.

use std::net::{Ipv6Addr, SocketAddr};

use tracing::info;

use crate::cli::enrol::SignerArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::config::LogLevel;
use crate::observe::log as logging;
use crate::shutdown::{Asked, Signals};
use crate::signer::{Signer, SignerError, SignerOptions};
use enroll::{SignerAddress, SigningRules};
use pki::{CertsError, Passphrase, auto, san};

/// How often the server certificate of `--auto` is looked after.
const CARE: std::time::Duration = std::time::Duration::from_secs(60);

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        match error {
            SignerError::Certs(error) => error.into(),
            error => Self::of(Exit::FAILED, &error),
        }
    }
}

pub(super) fn run(args: &SignerArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let level = LogLevel::parse(&args.log_level).map_err(|_| {
        CertsError::refused(
            format!("--log-level {:?}", args.log_level),
            "write trace, debug, info, warn or error",
        )
    })?;
    logging::start(level.into(), logging::automatic());
    logging::write()?;
    let end = serve(args, output);
    logging::flush();
    end
}

fn serve(args: &SignerArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    if args.auto {
        care(args)?;
    }
    let signer = Signer::build(options(args)?)?;
    let (address, says) = (signer.listens_on(), signer.about().address.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        if let Some(address) = address {
            info!(addr = %address, tokens = says, "The signer listens");
            output.line(format!("signer listens on {address}, tokens name {says}"));
            let option = super::certs::dir_option(&args.dir);
            output.next(format!("dockgate invite NAME{option}"));
        }
        output.flush();
        let stop = async {
            tokio::select! {
                () = async { while signals.next().await != Asked::Stop {} } => {}
                () = gone(args.attached) => info!("The gate that started this signer is gone"),
                () = caring(args) => {}
            }
        };
        signer.run(stop).await
    })?;
    Ok(Exit::OK)
}

fn options(args: &SignerArgs) -> Result<SignerOptions, CertsError> {
    let address = |option: &str, text: &str| {
        SignerAddress::parse(text).ok_or_else(|| {
            CertsError::refused(
                format!("{option} {text:?} is not an address"),
                format!("write {option} HOST:PORT"),
            )
        })
    };
    let of = |text: &Option<String>, option| {
        text.as_deref()
            .map(|text| address(option, text))
            .transpose()
    };
    let mut rules = SigningRules {
        late_secs: args.renew_late.unwrap_or(0),
        ..SigningRules::default()
    };
    if let Some(life) = args.life {
        (rules.client_secs, rules.gate_secs) = (life, life);
    }
    Ok(SignerOptions {
        dir: args.dir.clone(),
        listen: listening(&args.listen)?,
        sans: san::parse_all(&args.san)?,
        address: of(&args.address, "--address")?,
        gate: of(&args.gate, "--gate")?.map(|gate| gate.to_string()),
        rules,
        passphrase: Passphrase::from_option(args.passphrase_file.clone()),
    })
}

/// The socket address of `tcp://ADDRESS:PORT`.
pub(super) fn listening(text: &str) -> Result<SocketAddr, CertsError> {
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
    match (port, rest.parse()) {
        (Some(port), _) => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        (_, Ok(address)) => Ok(address),
        _ => Err(CertsError::refused(
            format!("--listen {text:?} is not an address to listen on"),
            "write tcp://ADDRESS:PORT, or tcp://:2377 for every address",
        )),
    }
}

/// Resolves when standard input ends: the process that started this one is gone.
async fn gone(attached: bool) {
    if !attached {
        return std::future::pending().await;
    }
    let ended = tokio::task::spawn_blocking(|| {
        // Nothing is ever written there.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    });
    let _ = ended.await;
}

/// What `--auto-certs` promises, where the signer and not the gate has the CA's key.
fn care(args: &SignerArgs) -> Result<(), CertsError> {
    for action in auto::ensure(&args.dir, &args.server_san)?.actions {
        match action.is_warning() {
            true => tracing::warn!("{action}"),
            false => info!("{action}"),
        }
    }
    Ok(())
}

async fn caring(args: &SignerArgs) {
    if !args.auto {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(CARE).await;
        let again = args.clone();
        let cared = tokio::task::spawn_blocking(move || care(&again)).await;
        if let Ok(Err(fault)) = cared {
            tracing::warn!(error = %crate::finding::chain(&fault), "The server certificate cannot be looked after");
        }
    }
}

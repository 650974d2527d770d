//! `dockgate signer`: from the directory of a CA to a signer that runs until it is told to stop.

use tracing::{info, warn};

use crate::cli::enrol::SignerArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::config::{LogLevel, listen};
use crate::observe::log as logging;
use crate::shutdown::{Asked, Signals};
use crate::signer::{
    ExternalCa, Mirror, Signer, SignerError, SignerOptions, TrustedIssuers, store_place,
};
use enroll::{SignerAddress, SigningRules};
use pki::store::Paths;
use pki::{CertsError, Passphrase, PassphraseSource, auto, san};

/// How often the server certificate of `--auto` is looked after.
const CARE: std::time::Duration = std::time::Duration::from_secs(60);

/// How often the gate's files are compared with the CA's directory.
const MIRROR: std::time::Duration = std::time::Duration::from_millis(250);

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
    let mut mirror = args.auto.then(|| Mirror::new(&args.dir, args.gate_owner));
    if args.auto {
        care(args)?;
    }
    let options = options(args)?;
    if args.auto && options.place.store().is_some() {
        return Err(CertsError::refused(
            format!("{:?} has joined a store, and --auto-certs keeps its index in the directory", args.dir),
            "start `dockgate signer` as a service of its own for it, and give the gate its certificates with `dockgate serve --enrolled DIR`",
        )
        .into());
    }
    if let Some(file) = options.place.exposed_password() {
        warn!(path = %file.display(), "Every user of this host can read the file of the store's password");
    }
    let signer = Signer::build(options)?;
    let (address, says) = (signer.listens_on(), signer.about().address.clone());
    super::memory::give_back();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end: Result<(), Failure> = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        if let Some(address) = address {
            info!(addr = %address, tokens = says, "The signer listens");
            if let Some(mirror) = &mut mirror {
                mirror.look()?;
            }
            output.line(format!("signer listens on {address}, tokens name {says}"));
            if args.san.is_empty() && args.address.is_none() && !args.attached {
                output.line("that is this machine's own name: where clients use another one, start with --san NAME");
            }
            if !args.attached {
                let option = super::certs::dir_option(&args.dir);
                output.next(format!("dockgate invite NAME{option}"));
            }
        }
        output.flush();
        let stop = async {
            tokio::select! {
                () = async { while signals.next().await != Asked::Stop {} } => {}
                () = gone(args.attached) => info!("The gate that started this signer is gone"),
                () = caring(args) => {}
                () = mirroring(mirror, output) => {}
            }
        };
        Ok(signer.run(stop).await?)
    });
    end.map(|()| Exit::OK)
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
    let issuers = args
        .config
        .as_deref()
        .map(TrustedIssuers::read)
        .transpose()?
        .unwrap_or_default();
    let external = args
        .signer_command
        .as_ref()
        .zip(args.ca.as_ref())
        .map(|(command, ca)| ExternalCa {
            command: command.clone(),
            ca: ca.clone(),
            crl: args.crl.clone(),
        });
    Ok(SignerOptions {
        external,
        metrics_file: args.metrics_file.clone(),
        issuers,
        place: store_place(&args.dir, &args.store)?,
        listen: listen::signer(&args.listen).map_err(|_| {
            CertsError::refused(
                format!("--listen {:?} is not an address to listen on", args.listen),
                "write tcp://ADDRESS:PORT, or tcp://:2378 for every address",
            )
        })?,
        sans: san::parse_all(&args.san)?,
        address: of(&args.address, "--address")?,
        gate: of(&args.gate, "--gate")?.map(|gate| gate.to_string()),
        rules,
        // Nobody is there to be asked where a gate started this.
        passphrase: match args.attached {
            true => Passphrase::Absent,
            false => PassphraseSource::from_option(args.passphrase_file.clone())
                .for_opening(&Paths::of(&args.dir).ca_key)?,
        },
    })
}

/// Resolves when standard input ends: the process that started this one is gone.
pub(super) async fn gone(attached: bool) {
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
            tracing::warn!(error = %crate::error::report(&fault), "The server certificate cannot be looked after");
        }
    }
}

/// Keeps what the gate reads current, and tells the gate.
async fn mirroring(mirror: Option<Mirror>, output: &mut Output<'_>) {
    let Some(mut mirror) = mirror else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(MIRROR).await;
        match mirror.look() {
            Ok(false) => {}
            Ok(true) => {
                output.line("changed");
                output.flush();
            }
            Err(fault) => {
                tracing::warn!(error = %crate::error::report(&fault), "The gate's certificates cannot be kept current");
            }
        }
    }
}

//! `dockgate certs …`: each command does one thing, says what it made, and names the next useful command.

use std::path::Path;

use crate::cli::certs::{CaArgs, CertsArgs, CertsCommand, DirArgs};
use crate::command::output::{Exit, Failure, Output};
use crate::signer::{LIST_DAYS, SignerAbout, is_elsewhere, store_place};
use pki::{
    CRL_DAYS, Certificate, CertsError, Passphrase, PassphraseSource,
    crl::IssuedList,
    issue::{Authority, now},
    place::{StorePlace, no_ca},
    requester::LeafSigner,
    rollover::Authorities,
    san::{self, San},
    store::{Grant, Paths, Store},
};

mod bundle;
mod client;
mod deny;
mod init;
mod list;
mod probe;
mod renew;
mod revoke;
mod rollover;
mod show;
mod sign;
mod verdict;

/// Runs one command and prints what it has to say.
///
/// # Errors
/// When it cannot do what was asked.
pub fn run(args: &CertsArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    match &args.command {
        CertsCommand::Init(args) => init::init(args, output),
        CertsCommand::Server(args) => init::server(args, output),
        CertsCommand::Client(args) => client::client(args, output),
        CertsCommand::Bundle(args) => client::bundle(args, output),
        CertsCommand::List(args) => list::list(args, output),
        CertsCommand::Show(args) => show::show(args, output),
        CertsCommand::Renew(args) => renew::renew(args, output),
        CertsCommand::Revoke(args) => revoke::revoke(args, output),
        CertsCommand::Allow(args) => revoke::allow(args, output),
        CertsCommand::Deny(args) => deny::deny(args, output),
        CertsCommand::Crl(args) => revoke::crl(args, output),
        CertsCommand::Sign(args) => sign::sign(args, output),
        CertsCommand::Rollover(args) => rollover::rollover(args, output),
    }?;
    Ok(Exit::OK)
}

/// What opens the key of the CA that signs. Asked before the directory and its store are held, for which others wait.
fn passphrase(args: &CaArgs) -> Result<Passphrase, CertsError> {
    let key = match &args.ca_key {
        Some(key) => key.clone(),
        None => Paths::of(&args.dir.dir).ca_key,
    };
    PassphraseSource::from_option(args.passphrase_file.clone()).for_opening(&key)
}

/// What else names a CA.
const BESIDE: &str = ", or name yours with --ca-cert FILE --ca-key FILE";

/// Opens the directory, and its store, with what opens the CA's key.
fn open(args: &CaArgs) -> Result<(Store, Passphrase), CertsError> {
    let place = place(&args.dir)?;
    // A directory that was misspelt is not made.
    if args.ca_cert.is_none() && place.store().is_none() && !args.dir.dir.exists() {
        return Err(no_ca(&args.dir.dir, BESIDE));
    }
    let passphrase = passphrase(args)?;
    Ok((place.open()?, passphrase))
}

/// The CA that signs: the one named, or those in the directory.
fn authorities(
    args: &CaArgs,
    paths: &Paths,
    passphrase: &Passphrase,
) -> Result<Authorities, CertsError> {
    match (&args.ca_cert, &args.ca_key) {
        (Some(certificate), Some(key)) => {
            Authority::load(certificate, key, passphrase).map(Authorities::alone)
        }
        _ if !paths.ca.is_file() => Err(no_ca(&paths.dir, BESIDE)),
        _ if is_elsewhere(&paths.dir)? => {
            Authority::elsewhere(&paths.ca, Box::new(NoSigner)).map(Authorities::alone)
        }
        _ => Authorities::load(paths, passphrase),
    }
}

/// Signs nothing, where only a signer's command can.
#[derive(Debug)]
struct NoSigner;

impl LeafSigner for NoSigner {
    fn sign(&self, _: &Certificate, _: &[u8]) -> Result<Vec<u8>, CertsError> {
        Err(CertsError::refused(
            "the CA's key is elsewhere, and only the signer has the command that signs with it",
            "make an invitation with `dockgate invite`",
        ))
    }
}

/// The age of a list that a signer has not signed again, although it does so daily: none runs any more.
const NO_SIGNER: time::Duration = time::Duration::days(2);

/// How many days a revocation list is good for: with a signer at work beside it as many as the signer's own.
fn list_days(asked: Option<u32>, paths: &Paths) -> Result<u32, CertsError> {
    if let Some(days) = asked {
        return Ok(days);
    }
    let is_signed = || {
        let list = IssuedList::read(&paths.crl);
        list.is_ok_and(|it| now() - it.signed_at() < NO_SIGNER)
    };
    match SignerAbout::read(&paths.dir)?.is_some() && is_signed() {
        true => Ok(LIST_DAYS),
        false => Ok(CRL_DAYS),
    }
}

/// The names of a server, those given and the loopback ones, or this host's; and the grant that goes with them.
fn server_names(given: &[String]) -> Result<(Vec<San>, Grant), CertsError> {
    if given.is_empty() {
        let sans = san::of_this_host();
        let grant = Grant::server().choosing(&sans);
        return Ok((sans, grant));
    }
    let mut sans = san::parse_all(given)?;
    for local in san::parse_all(&["localhost", "127.0.0.1", "::1"])? {
        if !sans.contains(&local) {
            sans.push(local);
        }
    }
    Ok((sans, Grant::server()))
}

/// Where the index of a directory is.
pub(super) fn place(dir: &DirArgs) -> Result<StorePlace, CertsError> {
    store_place(&dir.dir, &dir.store)
}

/// `--dir` as later commands need it: left out where it is the default.
pub(super) fn dir_option(dir: &Path) -> String {
    Paths::of(dir).option()
}

/// Every name that a new certificate gives its holder, one a line.
pub(super) fn granted(output: &mut Output<'_>, info: &Certificate) {
    let mut field = |name: &str, values: &[String]| {
        for value in values {
            output.row(format!("  {name:<11}  {value}"));
        }
    };
    field("name", info.common_name.as_slice());
    field("O", &info.organizations);
    field("OU", &info.organizational_units);
    let sans: Vec<_> = info.sans.iter().map(ToString::to_string).collect();
    field("names", &sans);
}

/// The same, as `CN=ci`, `OU=builders`, `URI:…`.
fn granted_names(info: &Certificate) -> Vec<String> {
    let of = |kind: &str, values: &[String]| -> Vec<String> {
        values
            .iter()
            .map(|value| format!("{kind}={value}"))
            .collect()
    };
    let mut names = of("CN", info.common_name.as_slice());
    names.extend(of("O", &info.organizations));
    names.extend(of("OU", &info.organizational_units));
    names.extend(info.sans.iter().map(ToString::to_string));
    names
}

fn names(sans: &[San]) -> String {
    sans.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

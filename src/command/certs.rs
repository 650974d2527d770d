//! `dockgate certs …`: each command does one thing, says what it made, and names the next useful command.

use std::{
    io::{self, Write},
    path::Path,
};

use zeroize::Zeroizing;

use crate::cli::certs::{CaArgs, CertsArgs, CertsCommand};
use pki::{
    CertsError, Passphrase,
    inspect::Inspected,
    issue::Authority,
    san::{self, San},
    store::Paths,
};
use text::escape;

mod bundle;
mod client;
mod init;
mod list;
mod probe;
mod renew;
mod revoke;
mod show;
mod sign;
mod verdict;

/// Runs one command and prints what it has to say.
pub fn run(args: &CertsArgs) -> Result<(), CertsError> {
    let output = match &args.command {
        CertsCommand::Init(args) => init::init(args),
        CertsCommand::Server(args) => init::server(args),
        CertsCommand::Client(args) => client::client(args),
        CertsCommand::Bundle(args) => client::bundle(args),
        CertsCommand::List(args) => list::list(args),
        CertsCommand::Show(args) => show::show(args),
        CertsCommand::Renew(args) => renew::renew(args),
        CertsCommand::Revoke(args) => revoke::revoke(args),
        CertsCommand::Crl(args) => revoke::crl(args),
        CertsCommand::Sign(args) => sign::sign(args),
    }?;
    output.print()
}

/// What a command prints: text for people, or secrets for a pipe with the text beside them.
#[derive(Default)]
struct Output {
    text: String,
    secret: Option<Zeroizing<Vec<u8>>>,
    /// Printed last; the exit code is then a failure.
    failure: Option<CertsError>,
}

impl Output {
    /// A sentence of ours: what it quotes of files, options and certificates can neither drive a terminal nor show a key.
    fn line(&mut self, line: impl AsRef<str>) {
        self.text
            .push_str(&escape::line(&escape::redacted(line.as_ref())));
        self.text.push('\n');
    }

    /// What a certificate says, as it is, except for what a terminal would obey.
    fn row(&mut self, row: impl AsRef<str>) {
        self.text.push_str(&escape::line(row.as_ref()));
        self.text.push('\n');
    }

    fn json(&mut self, value: &impl serde::Serialize) -> Result<(), CertsError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|source| CertsError::crypto("encode JSON", source))?;
        self.text.push_str(&text);
        self.text.push('\n');
        Ok(())
    }

    /// The next useful command, set off from what was done.
    fn next(&mut self, line: impl AsRef<str>) {
        self.line(format!("next: {}", line.as_ref()));
    }

    fn print(self) -> Result<(), CertsError> {
        let written = match &self.secret {
            Some(secret) => io::stdout()
                .write_all(secret)
                .and_then(|()| io::stderr().write_all(self.text.as_bytes())),
            None => io::stdout().write_all(self.text.as_bytes()),
        };
        match written.and_then(|()| io::stdout().flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CertsError::io("write", "standard output", error))
            }
            _ => self.failure.map_or(Ok(()), Err),
        }
    }
}

/// The CA that signs: the one named, or the one in the directory.
fn authority(args: &CaArgs, paths: &Paths) -> Result<Authority, CertsError> {
    let passphrase = Passphrase::from_option(args.passphrase_file.clone());
    match (&args.ca_cert, &args.ca_key) {
        (Some(certificate), Some(key)) => Authority::load(certificate, key, &passphrase),
        _ if !paths.ca.is_file() => Err(CertsError::refused(
            format!("there is no CA in {:?}", paths.dir),
            format!(
                "make one with `dockgate certs init --dir {}`, or name yours with --ca-cert FILE --ca-key FILE",
                paths.dir.display()
            ),
        )),
        _ => paths.authority(&passphrase),
    }
}

/// The names of a server: those given and the loopback ones, or this host's.
fn server_names(given: &[String]) -> Result<Vec<San>, CertsError> {
    if given.is_empty() {
        return Ok(san::of_this_host());
    }
    let mut sans = san::parse_all(given)?;
    for local in san::parse_all(&["localhost", "127.0.0.1", "::1"])? {
        if !sans.contains(&local) {
            sans.push(local);
        }
    }
    Ok(sans)
}

/// `--dir` as later commands need it: left out where it is the default.
fn dir_option(dir: &Path) -> String {
    Paths::of(dir).option()
}

/// Every name that a new certificate gives its holder, one a line.
fn granted(output: &mut Output, info: &Inspected) {
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
fn granted_names(info: &Inspected) -> Vec<String> {
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

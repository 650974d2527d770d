//! `certs sign`: a certificate for a key that was made elsewhere and never travels.
//!
//! A request proves that its sender has the key, and nothing else: name, kind and every further name are the operator's.

use std::path::Path;

use super::{authorities, dir_option};
use crate::cli::certs::Sign;
use crate::command::output::Output;
use crate::tls::config::algorithms;
use pki::{
    CertsError, Purpose,
    issue::{CLIENT_DAYS, Days, Leaf, SERVER_DAYS, Sans, SubjectName, now},
    name, pem,
    request::{self, SigningRequest},
    san::{self, San},
    store::{Grant, Made, Store, server_name},
    timestamp,
    write::{self, Existing, FileMode, refuse_existing},
};
use text::escape::shell_word;

pub(super) fn sign(args: &Sign, output: &mut Output<'_>) -> Result<(), CertsError> {
    let request = read(&args.csr)?;
    let role = role(args, &request)?;
    for (option, value) in [("--o", &args.o), ("--ou", &args.ou)] {
        value
            .as_deref()
            .map_or(Ok(()), |value| name::check_attribute(option, value))?;
    }
    let sans = names(args, role)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| args.csr.with_extension("crt.pem"));
    let existing = Existing::from_force(args.force);
    refuse_existing(
        &out,
        existing,
        "give --out another name, or --force to replace it",
    )?;
    let (mut store, passphrase) = super::open(&args.ca)?;
    let grant = grant(args, role, &request, &store, existing)?;
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let authority = authorities.signs(role, &store.index, now());
    let common_name = match (role, &args.name) {
        (Purpose::Client, _) => grant.name(),
        (Purpose::Server, Some(given)) => given,
        (Purpose::Server, None) => server_name(&sans),
    };
    let leaf = Leaf {
        role,
        subject: SubjectName::New {
            common_name,
            organization: args.o.as_deref(),
            organizational_unit: args.ou.as_deref(),
        },
        sans: Sans::New(&sans),
        days: Days::from_option(
            args.days,
            match role {
                Purpose::Server => SERVER_DAYS,
                Purpose::Client => CLIENT_DAYS,
            },
        ),
        rsa: request.rsa,
    };
    let made = store.sign(authority, &leaf, &request, &grant)?;
    write::write(&out, made.chain_pem.as_bytes(), FileMode::Public, existing)?;
    tell(output, args, role, &made, &request, &out);
    Ok(())
}

/// The operator's word on whether it is for a client or a server.
fn role(args: &Sign, request: &SigningRequest) -> Result<Purpose, CertsError> {
    match (args.server, args.client) {
        (true, _) => Ok(Purpose::Server),
        (_, true) => Ok(Purpose::Client),
        _ => Err(CertsError::refused(
            format!(
                "whether {:?} is for a client or for a server is not the request's to say",
                args.csr
            ),
            format!(
                "give --client or --server: `{}`",
                command(args, request, request.for_server)
            ),
        )),
    }
}

fn names(args: &Sign, role: Purpose) -> Result<Vec<San>, CertsError> {
    let mut sans = san::parse_all(&args.san)?;
    if role == Purpose::Server && sans.is_empty() {
        return Err(CertsError::refused(
            "a server certificate without a subject alternative name matches no host",
            "give the names and addresses clients use, such as --san docker.example",
        ));
    }
    for uri in &args.uri {
        sans.push(san::parse_uri(uri)?);
    }
    Ok(sans)
}

fn grant(
    args: &Sign,
    role: Purpose,
    request: &SigningRequest,
    store: &Store,
    existing: Existing,
) -> Result<Grant, CertsError> {
    match (role, &args.name) {
        (Purpose::Client, Some(name)) => store.grant_client(name, existing),
        (Purpose::Client, None) => Err(CertsError::refused(
            format!("the name of the client is not taken from {:?}", args.csr),
            format!("give it with --name: `{}`", command(args, request, false)),
        )),
        (Purpose::Server, name) => {
            name.as_deref().map_or(Ok(()), name::check)?;
            store.grant_server(existing)
        }
    }
}

/// The command that would do what the request seems to want, as far as that may be had.
fn command(args: &Sign, request: &SigningRequest, server: bool) -> String {
    let csr = shell_word(&args.csr.to_string_lossy()).into_owned();
    let dir = dir_option(&args.ca.dir.dir);
    if server {
        let hosts = match request.hosts.is_empty() {
            true => "NAME".to_owned(),
            false => request.hosts.join(","),
        };
        return format!(
            "dockgate certs sign {csr} --server --san {}{dir}",
            shell_word(&hosts)
        );
    }
    let name = request
        .common_name
        .as_deref()
        .filter(|name| name::check(name).is_ok())
        .unwrap_or("NAME");
    format!(
        "dockgate certs sign {csr} --client --name {}{dir}",
        shell_word(name)
    )
}

/// Everything that was granted, and what was not.
fn tell(
    output: &mut Output<'_>,
    args: &Sign,
    role: Purpose,
    made: &Made,
    request: &SigningRequest,
    out: &Path,
) {
    let word = match role {
        Purpose::Server => "server",
        Purpose::Client => "client",
    };
    output.line(format!(
        "signed a {word} certificate, good until {}",
        timestamp(made.info.not_after)
    ));
    super::granted(output, &made.info);
    output.line(format!("  certificate  {}", out.display()));
    output.line(format!("  serial       {}", made.info.serial));
    let given = super::granted_names(&made.info);
    let refused: Vec<_> = request
        .wishes
        .iter()
        .filter(|wish| !given.contains(wish) && **wish != format!("use as a {word}"))
        .map(String::as_str)
        .collect();
    if !refused.is_empty() {
        output.line(format!(
            "not granted, though the request asks for it: {}",
            refused.join(", ")
        ));
    }
    output.next(format!(
        "dockgate certs show {}{}",
        shell_word(&out.to_string_lossy()),
        dir_option(&args.ca.dir.dir)
    ));
}

fn read(path: &Path) -> Result<SigningRequest, CertsError> {
    let unexpected = |found: String, hint: &str| CertsError::Unexpected {
        path: path.into(),
        expected: "a CERTIFICATE REQUEST in PEM",
        found,
        hint: Some(hint.into()),
    };
    let bytes = write::read(path)?;
    let blocks = pem::blocks(path, &bytes)?;
    let Some(block) = blocks.iter().find(|block| {
        matches!(
            block.label.as_str(),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST"
        )
    }) else {
        return Err(unexpected(pem::describe(&blocks), request::MAKE));
    };
    SigningRequest::read(&block.der, &algorithms().certificates)
        .map_err(|fault| unexpected(fault.found, fault.hint))
}

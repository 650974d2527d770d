//! `certs init` and `certs server`.

use std::fs;

use super::{authorities, dir_option, names, place, server_names};
use crate::cli::certs::{Init, Server};
use crate::command::output::Output;
use pki::{
    CertsError, Passphrase, PassphraseSource, Purpose,
    crl::IssuedList,
    issue::{Authority, Days, SERVER_DAYS, default_ca_name, now},
    key::PrivateKey,
    name,
    store::{Made, Paths},
    timestamp,
    write::{Existing, refuse_existing},
};
use text::escape::shell_word;
use zeroize::Zeroizing;

#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) fn init(args: &Init, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (sans, grant) = server_names(&args.san)?;
    let dir = &args.ca.dir.dir;
    let existing = Existing::from_force(args.force);
    let days = Days::from_option(args.days, SERVER_DAYS);
    let place = place(&args.ca.dir)?;
    if args.force && place.store().is_some() {
        return Err(CertsError::refused(
            "--force would replace the CA of every signer that shares the store",
            "`dockgate certs rollover` replaces it without a gap; another CA needs a store of its own",
        ));
    }
    let imported = args.ca.ca_cert.is_some();
    let asked = asked(args, imported)?;
    let mut store = place.open()?;
    let hint = format!(
        "keep it and use it (`dockgate certs client NAME{}`), or give --force to replace it",
        dir_option(dir)
    );
    let Paths {
        ca,
        ca_key,
        server_cert,
        server_key,
        ..
    } = &store.paths;
    for path in [ca, server_cert, server_key]
        .into_iter()
        .chain((!imported).then_some(ca_key))
    {
        refuse_existing(path, existing, &hint)?;
    }
    let authority = if imported {
        let authority = authorities(&args.ca, &store.paths, &asked.0)?.current;
        store.put_ca(&authority, None, existing)?;
        output.line(format!(
            "took over the CA {} in {}",
            authority.info().subject,
            store.paths.ca.display()
        ));
        authority
    } else {
        let authority = new_authority(args)?;
        let pem = match &asked.1 {
            Some(passphrase) => authority.key().to_encrypted_pem(passphrase)?,
            // There was a CA when it was decided whether to ask.
            None if encrypts(args) => {
                return Err(CertsError::refused(
                    "the CA that was there has gone meanwhile, and no passphrase for a new one was asked for",
                    "run the command again",
                ));
            }
            None => authority.key().to_pem()?,
        };
        store.put_ca(&authority, Some(&pem), existing)?;
        output.line(format!(
            "made a CA, {}, good until {}",
            authority.info().subject,
            timestamp(authority.info().not_after)
        ));
        output.line(format!("  certificate  {}", store.paths.ca.display()));
        output.line(format!(
            "  key          {}{}",
            store.paths.ca_key.display(),
            if asked.1.is_some() {
                " (encrypted)"
            } else {
                ""
            }
        ));
        output.line(format!("  SHA-256      {}", authority.info().sha256));
        authority
    };
    let made = store.make_server(&authority, &grant, &sans, days, args.key_type, existing)?;
    describe_server(output, &store.paths, &made);
    drop_previous_list(&store.paths, &authority, output)?;
    output.next(format!("dockgate certs client NAME{}", dir_option(dir)));
    output.line(format!("then: {}", serve_line(&store.paths)));
    Ok(())
}

/// Whether the key of a new CA is to be encrypted.
fn encrypts(args: &Init) -> bool {
    args.encrypt || args.ca.passphrase_file.is_some()
}

/// What opens the CA's key, and what a new one is encrypted with. Asked before anything is held, unless a CA is in the way.
fn asked(
    args: &Init,
    imported: bool,
) -> Result<(Passphrase, Option<Zeroizing<String>>), CertsError> {
    if imported {
        return Ok((super::passphrase(&args.ca)?, None));
    }
    let Paths { ca, ca_key, .. } = Paths::of(&args.ca.dir.dir);
    let is_new = args.force || !ca.is_file();
    let source = PassphraseSource::from_option(args.ca.passphrase_file.clone());
    let new = (encrypts(args) && is_new).then(|| source.for_new(&ca_key));
    Ok((Passphrase::Absent, new.transpose()?))
}

/// Removes the revocation list of a CA that was replaced: a gate that reads it would let no client of the new one in.
fn drop_previous_list(
    paths: &Paths,
    authority: &Authority,
    output: &mut Output<'_>,
) -> Result<(), CertsError> {
    let Ok(lists) = IssuedList::read_all(&paths.crl) else {
        return Ok(());
    };
    if lists.iter().any(|(list, _)| list.is_of(authority)) {
        return Ok(());
    }
    fs::remove_file(&paths.crl).map_err(|error| CertsError::io("remove", &paths.crl, error))?;
    output.line(format!(
        "removed {}, the revocation list of the previous CA",
        paths.crl.display()
    ));
    Ok(())
}

pub(super) fn server(args: &Server, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (sans, grant) = server_names(&args.san)?;
    let existing = Existing::from_force(args.force);
    let (mut store, passphrase) = super::open(&args.ca)?;
    let option = dir_option(&args.ca.dir.dir);
    // Who gives names wants other names, which a renewal would not bring.
    let hint = match args.san.is_empty() {
        true => format!(
            "`dockgate certs renew server{option}` renews it; --force replaces it and its key"
        ),
        false => format!(
            "`dockgate certs server --san {} --force{option}` replaces it and its key; a renewal keeps its names",
            shell_word(&args.san.join(","))
        ),
    };
    for path in [&store.paths.server_cert, &store.paths.server_key] {
        refuse_existing(path, existing, &hint)?;
    }
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let authority = authorities.signs(Purpose::Server, &store.index, now());
    let made = store.make_server(
        authority,
        &grant,
        &sans,
        Days::from_option(args.days, SERVER_DAYS),
        args.key_type,
        existing,
    )?;
    if !store.paths.ca.is_file() {
        store.put_ca(authority, None, Existing::Keep)?;
    }
    describe_server(output, &store.paths, &made);
    output.next(serve_line(&store.paths));
    Ok(())
}

fn new_authority(args: &Init) -> Result<Authority, CertsError> {
    let common_name = match &args.ca_name {
        Some(given) => {
            name::check_attribute("--ca-name", given)?;
            given.clone()
        }
        None => default_ca_name()?,
    };
    Authority::create(
        &common_name,
        PrivateKey::generate(args.key_type)?,
        args.ca_days,
    )
}

fn describe_server(output: &mut Output<'_>, paths: &Paths, made: &Made) {
    output.line(format!(
        "made a server certificate, good until {}",
        timestamp(made.info.not_after)
    ));
    output.line(format!("  certificate  {}", paths.server_cert.display()));
    output.line(format!("  key          {}", paths.server_key.display()));
    output.line(format!("  names        {}", names(&made.info.sans)));
}

fn serve_line(paths: &Paths) -> String {
    let path = |path: &std::path::Path| shell_word(&path.to_string_lossy()).into_owned();
    format!(
        "dockgate serve --tlscacert {} --tlscert {} --tlskey {}",
        path(&paths.ca),
        path(&paths.server_cert),
        path(&paths.server_key)
    )
}

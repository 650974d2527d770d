//! `certs client` and `certs bundle`.

use std::path::{Path, PathBuf};

use super::bundle::{self, BundleFiles};
use super::{authorities, dir_option};
use crate::cli::certs::{Bundle, ClientArgs};
use crate::command::output::Output;
use pki::{
    CertsError, Purpose,
    crl::IssuedList,
    issue::{CLIENT_DAYS, Days, now},
    name,
    place::StorePlace,
    san,
    store::{ClientRequest, Store, inspect_file},
    timestamp,
    write::{Existing, refuse_existing},
};
use text::escape::shell_word;

#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) fn client(args: &ClientArgs, output: &mut Output<'_>) -> Result<(), CertsError> {
    name::check(&args.name)?;
    for (option, value) in [("--o", &args.o), ("--ou", &args.ou)] {
        value
            .as_deref()
            .map_or(Ok(()), |value| name::check_attribute(option, value))?;
    }
    let uris = args
        .uri
        .iter()
        .map(|uri| san::parse_uri(uri))
        .collect::<Result<Vec<_>, _>>()?;
    let existing = Existing::from_force(args.force);
    let (mut store, passphrase) = super::open(&args.ca)?;
    let home = store.paths.client(&args.name);
    let option = dir_option(&args.ca.dir.dir);
    let hint = match is_revoked(&store, &home) {
        true => format!(
            "the one that is there is revoked; `dockgate certs client {} --force{option}` makes another one",
            shell_word(&args.name)
        ),
        false => format!(
            "`dockgate certs renew {}{option}` renews it; --force replaces it",
            shell_word(&args.name)
        ),
    };
    let target = args.out.as_ref().unwrap_or(&home);
    // Everything that could be in the way is looked at before anything is signed.
    for path in ["cert.pem", "key.pem", "ca.pem"]
        .map(|file| target.join(file))
        .iter()
        .chain(&args.bundle)
    {
        refuse_existing(path, existing, &hint)?;
    }
    let grant = store.grant_client(&args.name, existing)?;
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let authority = authorities.signs(Purpose::Client, &store.index, now());
    let request = ClientRequest {
        organization: args.o.as_deref(),
        organizational_unit: args.ou.as_deref(),
        uris: &uris,
        days: Days::from_option(args.days, CLIENT_DAYS),
        key_type: args.key_type,
    };
    let (made, key) = store.sign_client(authority, &grant, &request)?;
    let address = bundle::address_from_here(args.host.as_deref(), &store.paths);
    if args.stdout {
        output.stand_aside();
    }
    output.line(format!(
        "made a client certificate, good until {}",
        timestamp(made.info.not_after)
    ));
    super::granted(output, &made.info);
    output.line(format!("  serial       {}", made.info.serial));
    let files = || {
        Ok::<_, CertsError>(BundleFiles {
            ca: authorities.current.trust_pem(),
            cert: made.chain_pem.clone(),
            key: key.to_pem()?,
        })
    };
    if let Some(path) = &args.bundle {
        files()?.write(path, &bundle::readme(&args.name, &address), existing)?;
        store.put_client(&home, &authorities.current, &made.chain_pem, None, existing)?;
        output.line(format!(
            "  bundle       {} (holds the only copy of the key)",
            path.display()
        ));
        output.next(format!(
            "copy it to the client's machine, then: tar -xf {} && {}",
            file_name(path),
            bundle::context_line(&args.name, &address, "")
        ));
    } else if args.stdout {
        let secret = files()?.to_pem();
        store.put_client(&home, &authorities.current, &made.chain_pem, None, existing)?;
        output.secret(&secret);
        output.line("  key, certificate and CA were printed; the key is kept nowhere else");
    } else {
        store.put_client(
            target,
            &authorities.current,
            &made.chain_pem,
            Some(&key),
            existing,
        )?;
        output.line(format!(
            "  directory    {} (ca.pem, cert.pem, key.pem)",
            target.display()
        ));
        output.next(use_line(&address, target));
        if args.out.is_none() {
            output.line(format!(
                "or, for another machine: dockgate certs bundle {}{option}",
                shell_word(&args.name)
            ));
        }
    }
    Ok(())
}

/// Whether the certificate in a client's directory was taken back.
fn is_revoked(store: &Store, home: &Path) -> bool {
    inspect_file(&home.join("cert.pem"))
        .is_ok_and(|(_, info)| store.index.revocation(&info.serial).is_some())
}

/// A certificate that nobody would be let in with is not packed.
fn usable(name: &str, home: &Path, place: &StorePlace) -> Result<(), CertsError> {
    let paths = &place.paths()?;
    let (_, info) = inspect_file(&home.join("cert.pem"))?;
    let listed = match paths.crl.is_file() {
        true => IssuedList::read(&paths.crl)?
            .entries
            .iter()
            .any(|entry| entry.serial == info.serial),
        false => false,
    };
    let (name, option) = (shell_word(name), paths.option());
    if listed || place.index()?.revocation(&info.serial).is_some() {
        return Err(CertsError::refused(
            format!(
                "the certificate of {name} (serial {}) is revoked",
                info.serial
            ),
            format!("make another one with `dockgate certs client {name} --force{option}`"),
        ));
    }
    if now() >= info.not_after {
        return Err(CertsError::refused(
            format!(
                "the certificate of {name} expired on {}",
                timestamp(info.not_after)
            ),
            format!("renew it with `dockgate certs renew {name}{option}`"),
        ));
    }
    Ok(())
}

pub(super) fn bundle(args: &Bundle, output: &mut Output<'_>) -> Result<(), CertsError> {
    name::check(&args.name)?;
    let place = super::place(&args.dir)?;
    let paths = place.paths()?;
    let home = paths.client(&args.name);
    if !home.join("cert.pem").is_file() {
        return Err(CertsError::refused(
            format!("there is no client {:?} in {:?}", args.name, paths.clients),
            format!(
                "make it with `dockgate certs client {}{}`",
                shell_word(&args.name),
                dir_option(&args.dir.dir)
            ),
        ));
    }
    usable(&args.name, &home, &place)?;
    let address = bundle::address(args.host.as_deref(), &paths);
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.tar", args.name)));
    BundleFiles::read(&home, &args.name, &paths.option())?.write(
        &out,
        &bundle::readme(&args.name, &address),
        Existing::from_force(args.force),
    )?;
    output.line(format!(
        "packed {} with ca.pem, cert.pem, key.pem and README.txt; it holds a secret key",
        out.display()
    ));
    let context = bundle::context_line(&args.name, &address, "");
    if out.extension().is_some_and(|extension| extension == "tar") {
        output.next(format!(
            "copy it to the client's machine, then: tar -xf {} && {context}",
            file_name(&out)
        ));
    } else {
        output.next(format!(
            "copy it to the client's machine, then, in that directory: {context}"
        ));
    }
    if address.contains("//HOST:") {
        output.line("(write the gate's address in place of HOST, or give --host tcp://…)");
    }
    Ok(())
}

/// The paste-ready line that uses a client's directory.
fn use_line(address: &str, dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.into());
    format!(
        "DOCKER_HOST={address} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} docker version",
        shell_word(&dir.to_string_lossy())
    )
}

fn file_name(path: &Path) -> String {
    shell_word(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned()
}

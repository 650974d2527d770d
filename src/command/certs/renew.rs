//! `certs renew`: the same identity with new dates, by the same CA, with the same key unless a new one is asked for.

use std::path::{Path, PathBuf};

use super::{authorities, dir_option, list::present, list_days};
use crate::cli::certs::Renew;
use crate::command::output::Output;
use pki::{
    Certificate, CertsError, Purpose,
    auto::public_key,
    crl::{self, IssuedList},
    event::IssuedKind,
    issue::{Days, Leaf, Sans, SubjectName, now},
    key::{KeyType, PrivateKey},
    rollover::Authorities,
    store::{Grant, Store, inspect_file},
    timestamp,
    write::{self, Existing, FileMode},
};
use text::escape::shell_word;

/// A certificate to renew and where its key lies.
struct RenewTarget {
    kind: IssuedKind,
    name: String,
    certificate: PathBuf,
    key: PathBuf,
}

#[expect(clippy::too_many_lines, reason = "sequence")]
pub(super) fn renew(args: &Renew, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (mut store, passphrase) = super::open(&args.ca)?;
    let targets = targets(args, &store)?;
    let due = |info: &Certificate| !args.if_due || now() >= info.renewal_due();
    // A list may name what the index does not know: another tool can have revoked with the same CA.
    let crl = match store.paths.crl.is_file() {
        true => Some(IssuedList::read(&store.paths.crl)?),
        false => None,
    };
    let crl_due = args.all
        && crl
            .as_ref()
            .is_some_and(|crl| !args.if_due || crl.is_due(now()));
    let mut wanted = Vec::new();
    for target in targets {
        let (_, info) = inspect_file(&target.certificate)?;
        let listed = |crl: &IssuedList| crl.entries.iter().any(|entry| entry.serial == info.serial);
        let revoked =
            store.index.revocation(&info.serial).is_some() || crl.as_ref().is_some_and(listed);
        if revoked && !args.all {
            return Err(CertsError::refused(
                format!("{:?} (serial {}) is revoked", target.name, info.serial),
                format!(
                    "make a new one with `dockgate certs {}{} --force`",
                    match target.kind {
                        IssuedKind::Server => "server".to_owned(),
                        _ => format!("client {}", shell_word(&target.name)),
                    },
                    dir_option(&args.ca.dir.dir)
                ),
            ));
        }
        if !revoked && due(&info) {
            wanted.push(target);
        }
    }
    // During a rollover the server stays with the previous CA until no client is left that trusts it alone.
    wanted.sort_by_key(|target| target.kind == IssuedKind::Server);
    if wanted.is_empty() && !crl_due {
        output.line("nothing is due");
        return Ok(());
    }
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let mut failures = Vec::new();
    for target in &wanted {
        match renew_one(args, &mut store, &authorities, target) {
            Ok(line) => output.line(line),
            Err(error) if !args.all => return Err(error),
            // One bad certificate must not let the others expire.
            Err(error) => failures.push(format!("{}: {error}", target.name)),
        }
    }
    if crl_due {
        let days = list_days(None, &store.paths)?;
        for authority in authorities.iter() {
            let list = crl::publish(&mut store, authority, days)?;
            output.line(format!(
                "signed {} again, number {}",
                store.paths.crl.display(),
                list.number_text
            ));
        }
    }
    if wanted
        .iter()
        .any(|target| target.kind == IssuedKind::Server)
    {
        output.next("dockgate reads the new server certificate within --reload-interval, or at once by `dockgate reload`");
    }
    if !failures.is_empty() {
        return Err(CertsError::refused(
            format!(
                "{} of {} certificates could not be renewed: {}",
                failures.len(),
                wanted.len(),
                failures.join("; ")
            ),
            "renew them one by one to see what each needs",
        ));
    }
    Ok(())
}

fn targets(args: &Renew, store: &Store) -> Result<Vec<RenewTarget>, CertsError> {
    let paths = &store.paths;
    let all = || {
        present(paths)
            .into_iter()
            .filter(|(kind, ..)| *kind != IssuedKind::Ca)
            .map(|(kind, name, certificate)| {
                let key = if kind == IssuedKind::Server {
                    paths.server_key.clone()
                } else {
                    certificate.with_file_name("key.pem")
                };
                RenewTarget {
                    kind,
                    name,
                    certificate,
                    key,
                }
            })
    };
    let Some(wanted) = &args.target else {
        return Ok(all().collect());
    };
    if let Some(target) = all().find(|target| target.name == *wanted) {
        return Ok(vec![target]);
    }
    let path = Path::new(wanted);
    if path.is_file() {
        let (_, info) = inspect_file(path)?;
        let server = info.permits(Purpose::Server) && !info.permits(Purpose::Client);
        let name = info.common_name.unwrap_or_else(|| info.serial.clone());
        return Ok(vec![RenewTarget {
            kind: if server {
                IssuedKind::Server
            } else {
                IssuedKind::Client
            },
            name: if server { "server".into() } else { name },
            certificate: path.into(),
            key: path.with_file_name(
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .replace("cert", "key"),
            ),
        }]);
    }
    let known: Vec<_> = all().map(|target| target.name).collect();
    Err(CertsError::refused(
        format!("there is no certificate {wanted:?} in {:?}", paths.dir),
        format!(
            "known are: {}; see `dockgate certs list{}`",
            if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            },
            dir_option(&paths.dir)
        ),
    ))
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn renew_one(
    args: &Renew,
    store: &mut Store,
    authorities: &Authorities,
    target: &RenewTarget,
) -> Result<String, CertsError> {
    let (old, info) = inspect_file(&target.certificate)?;
    if info.is_ca {
        return Err(CertsError::refused(
            format!(
                "{:?} is a CA; renewing it would not reach the clients that trust it",
                target.certificate
            ),
            "`dockgate certs rollover` replaces a CA without a gap",
        ));
    }
    if authorities.issuer_of(&info).is_none() {
        return Err(CertsError::refused(
            format!(
                "{:?} was issued by {}, not by {}",
                target.certificate,
                info.issuer,
                authorities.current.info().subject
            ),
            "name the CA that issued it with --ca-cert FILE --ca-key FILE",
        ));
    }
    let grant = match target.kind {
        IssuedKind::Server => Grant::server().choosing(store.index.chosen(&info.serial)),
        _ => Grant::held(&target.name)?,
    };
    let subject = info.details.subject.clone();
    let sans = info.details.raw_sans.clone();
    let leaf = Leaf {
        role: if target.kind == IssuedKind::Server {
            Purpose::Server
        } else {
            Purpose::Client
        },
        subject: SubjectName::Exact(&subject),
        sans: Sans::Exact(sans.as_deref()),
        days: Days::from_option(args.days, lifetime(&info)),
        rsa: info.key.starts_with("RSA"),
    };
    let authority = authorities.signs(leaf.role, &store.index, now());
    let made = if args.new_key {
        let key = PrivateKey::generate(same_kind(&info.key))?;
        let made = store.sign(authority, &leaf, &key, &grant)?;
        write::write(
            &target.key,
            key.to_pem()?.as_bytes(),
            FileMode::Secret,
            Existing::Replace,
        )?;
        made
    } else {
        store.sign(authority, &leaf, &public_key(&old)?, &grant)?
    };
    write::write(
        &target.certificate,
        made.chain_pem.as_bytes(),
        FileMode::Public,
        Existing::Replace,
    )?;
    let bundle = target.certificate.with_file_name("ca.pem");
    if authorities.previous().is_some() && bundle.starts_with(&store.paths.clients) {
        let text = authorities.current.trust_pem();
        write::write(
            &bundle,
            text.as_bytes(),
            FileMode::Public,
            Existing::Replace,
        )?;
    }
    let key = if args.new_key {
        "a new key"
    } else {
        "the same key"
    };
    Ok(format!(
        "renewed {} ({}) with {key}, good until {}; the old one (serial {}) stays good until {}",
        target.name,
        super::granted_names(&made.info).join(", "),
        timestamp(made.info.not_after),
        info.serial,
        timestamp(info.not_after)
    ))
}

/// As many whole days as the old certificate had.
fn lifetime(info: &Certificate) -> u32 {
    u32::try_from((info.not_after - info.not_before).whole_days())
        .unwrap_or(1)
        .max(1)
}

fn same_kind(key: &str) -> KeyType {
    match key {
        "RSA 4096" => KeyType::Rsa4096,
        key if key.starts_with("RSA") => KeyType::Rsa2048,
        "ECDSA P-384" | "ECDSA P-521" => KeyType::P384,
        "Ed25519" => KeyType::Ed25519,
        _ => KeyType::P256,
    }
}

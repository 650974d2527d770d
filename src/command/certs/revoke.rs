//! `certs revoke` and `certs crl`.

use std::{collections::BTreeSet, path::Path};

use super::{authorities, list_days};
use crate::cli::certs::{Allow, Crl as CrlArgs, Revoke};
use crate::command::output::Output;
use enroll::rules::{self, InvitationState};
use pki::{
    CertsError, Purpose,
    crl::{self, IssuedList},
    event::{HOLD, IndexEvent, IndexRevocation, Issued, IssuedKind},
    issue::now,
    rollover::Authorities,
    store::{Store, inspect_file},
    timestamp,
};

pub(super) fn revoke(args: &Revoke, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (mut store, passphrase) = super::open(&args.ca)?;
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let days = list_days(args.crl_days, &store.paths)?;
    // Where the CA's key is elsewhere, so is its list.
    let elsewhere = authorities.current.is_elsewhere();
    if !elsewhere {
        publishable(&store, &authorities, days)?;
    }
    let serials = serials(args, &store, &authorities)?;
    let invited = serials
        .iter()
        .any(|serial| came_by_invitation(serial, &store));
    let what = args.target.as_deref().unwrap_or("server");
    let done = match elsewhere {
        true => "ended the renewal of",
        false => "revoked",
    };
    let mut ended = Vec::new();
    for serial in serials {
        let known = store.index.revocation(&serial);
        if let Some(revoked) = known.filter(|it| it.reason != HOLD) {
            output.line(format!(
                "serial {serial} was revoked on {} already",
                revoked.at
            ));
            continue;
        }
        store.index.append(IndexEvent::Revoked(IndexRevocation {
            at: timestamp(now()),
            serial: serial.clone(),
            reason: args.reason.word().into(),
            issuer_key_id: issuer(&serial, &store, &authorities),
        }))?;
        output.line(format!("{done} {what}, serial {serial}"));
        ended.push(serial);
    }
    uninvite(what, &mut store, output)?;
    if elsewhere {
        let serials = ended.join(", ");
        output.line(format!(
            "the CA's key is elsewhere, so gates let it in until the CA's own list has it: revoke there {serials}"
        ));
        return Ok(());
    }
    let lists = publish(&mut store, &authorities, days)?;
    describe(output, &store, &lists);
    if args.server && invited {
        output.line(format!(
            "clients do not read revocation lists: stop that gate, and invite it again with `dockgate invite NAME --server --san HOST{}`",
            store.paths.option()
        ));
    } else if args.server {
        output.line(format!(
            "clients do not read revocation lists: make another pair with `dockgate certs server --force{}`",
            store.paths.option()
        ));
    }
    Ok(())
}

pub(super) fn allow(args: &Allow, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (mut store, passphrase) = super::open(&args.ca)?;
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let days = list_days(args.crl_days, &store.paths)?;
    let elsewhere = authorities.current.is_elsewhere();
    if !elsewhere {
        publishable(&store, &authorities, days)?;
    }
    for serial in rules::allow(&mut store, &args.name, now())? {
        output.line(format!("{}, serial {serial}, is good again", args.name));
    }
    if elsewhere {
        output.line("the CA's key is elsewhere: if the CA has revoked it, it has to lift that too");
        return Ok(());
    }
    let lists = publish(&mut store, &authorities, days)?;
    describe(output, &store, &lists);
    Ok(())
}

pub(super) fn crl(args: &CrlArgs, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (mut store, passphrase) = super::open(&args.ca)?;
    let authorities = authorities(&args.ca, &store.paths, &passphrase)?;
    let days = list_days(args.days, &store.paths)?;
    let lists = publish(&mut store, &authorities, days)?;
    describe(output, &store, &lists);
    Ok(())
}

/// Whether a certificate was asked for over the network.
fn came_by_invitation(serial: &str, store: &Store) -> bool {
    let mut issued = store.index.issued();
    issued.any(|it| it.serial == serial && it.enrolled.is_some())
}

/// Whether each CA's list can be signed, asked before anything is recorded.
fn publishable(store: &Store, authorities: &Authorities, days: u32) -> Result<(), CertsError> {
    authorities
        .iter()
        .try_for_each(|authority| crl::publishable(store, authority, days).map(drop))
}

pub(super) fn publish(
    store: &mut Store,
    authorities: &Authorities,
    days: u32,
) -> Result<Vec<IssuedList>, CertsError> {
    let publish = |authority| crl::publish(store, authority, days);
    authorities.iter().map(publish).collect()
}

/// The CA whose list a serial number belongs on; none where it may be either's, which puts it on both.
fn issuer(serial: &str, store: &Store, authorities: &Authorities) -> Option<String> {
    let issued = store.index.issued().find(|issued| issued.serial == serial);
    match issued {
        Some(issued) => issued.issuer_key_id.clone(),
        None if authorities.previous().is_some() => None,
        None => authorities.current.info().subject_key_id.clone(),
    }
}

/// Takes back the open invitations of a name that was revoked: they would bring it in again.
fn uninvite(name: &str, store: &mut Store, output: &mut Output<'_>) -> Result<(), CertsError> {
    let open: Vec<String> = store
        .index
        .invitations()
        .filter(|it| it.name == name)
        .filter(|it| rules::state(&store.index, it, now()) == InvitationState::Open)
        .map(|it| it.id.clone())
        .collect();
    for id in open {
        rules::withdraw(store, &id)?;
        output.line(format!("took back invitation {id} of {name}"));
    }
    Ok(())
}

fn describe(output: &mut Output<'_>, store: &Store, lists: &[IssuedList]) {
    let path = store.paths.crl.display();
    for list in lists {
        let until = list.next_update.map(timestamp).unwrap_or_default();
        output.line(format!(
            "signed {path}, number {}, {} revoked, good until {until}",
            list.number_text,
            list.entries.len()
        ));
    }
    output.next(format!("a gate of this directory reads it within 20 s, or at once by `dockgate reload`; for any other, copy {path} to where that gate has it"));
    output.line(format!(
        "before it expires: dockgate certs crl{} (or renew --all --if-due from a timer)",
        store.paths.option()
    ));
}

/// The serial numbers that are meant. A name means every certificate a client of that name still has: a renewal leaves the
/// earlier one valid, and taking back only the latest would let the holder in with the other. What is a server's is only meant
/// with `--server`, however it is named.
#[expect(clippy::too_many_lines, reason = "sequence")]
fn serials(
    args: &Revoke,
    store: &Store,
    authorities: &Authorities,
) -> Result<Vec<String>, CertsError> {
    let kind = if args.server {
        IssuedKind::Server
    } else {
        IssuedKind::Client
    };
    let Some(target) = args
        .target
        .as_deref()
        .filter(|name| !args.server || *name != "server")
    else {
        let serials = by_name(kind, "server", store, authorities)?;
        return match serials.is_empty() {
            true => Err(CertsError::refused(
                format!(
                    "there is no server certificate of this CA in {:?}",
                    store.paths.dir
                ),
                "name it by its serial number or file",
            )),
            false => Ok(serials),
        };
    };
    if args.server {
        let serials = by_name(kind, target, store, authorities)?;
        if !serials.is_empty() {
            return Ok(serials);
        }
    } else {
        if target == "server" {
            return Err(CertsError::refused(
                "the server is not a client, and a name means clients only",
                format!(
                    "`dockgate certs revoke --server{}` takes its certificates back",
                    store.paths.option()
                ),
            ));
        }
        let serials = by_name(kind, target, store, authorities)?;
        if !serials.is_empty() {
            return Ok(serials);
        }
    }
    let path = Path::new(target);
    let serial = if path.is_file() {
        from_file(path, authorities)?
    } else {
        serial_number(target, store).ok_or_else(|| unknown(target, store))?
    };
    let is = kind_of(&serial, path, store);
    if is == Some(IssuedKind::Ca) {
        return Err(CertsError::refused(
            format!("serial {serial} is the CA's; its own list cannot revoke it"),
            "take it out of --tlscacert instead",
        ));
    }
    if is.is_some_and(|is| is != kind) {
        let (whose, option) = match kind {
            IssuedKind::Client => ("a server's", " --server"),
            _ => ("a client's", ""),
        };
        return Err(CertsError::refused(
            format!("serial {serial} is {whose}"),
            format!(
                "`dockgate certs revoke{option} {serial}{}` takes it back",
                store.paths.option()
            ),
        ));
    }
    Ok(vec![serial])
}

/// Every certificate of a name that has not expired: in the index, and where it lies.
fn by_name(
    kind: IssuedKind,
    name: &str,
    store: &Store,
    authorities: &Authorities,
) -> Result<Vec<String>, CertsError> {
    let now = now();
    let is_ours = |issued: &Issued| {
        let mut ours = authorities.iter();
        ours.any(|it| {
            it.info().subject_key_id == issued.issuer_key_id
                // A CA elsewhere may leave it out.
                || it.is_elsewhere() && issued.issuer_key_id.is_none()
        })
    };
    let mut serials: Vec<_> = store
        .index
        .issued()
        .filter(|issued| issued.kind == kind && issued.name == name && issued.is_alive(now))
        .filter(|issued| is_ours(issued))
        .map(|issued| issued.serial.clone())
        .collect();
    for (_, _, path) in super::list::present(&store.paths)
        .into_iter()
        .filter(|(is, held, _)| *is == kind && held == name)
    {
        serials.push(from_file(&path, authorities)?);
    }
    let mut seen = BTreeSet::new();
    serials.retain(|serial| seen.insert(serial.clone()));
    Ok(serials)
}

/// What a certificate is, by the index or else by what it may be used for.
fn kind_of(serial: &str, path: &Path, store: &Store) -> Option<IssuedKind> {
    let issued = store.index.issued().find(|issued| issued.serial == serial);
    if let Some(issued) = issued {
        return Some(issued.kind);
    }
    let read = |path: &Path| Some(inspect_file(path).ok()?.1);
    let info = read(path).or_else(|| {
        super::list::present(&store.paths)
            .into_iter()
            .filter_map(|(.., path)| read(&path))
            .find(|info| info.serial == serial)
    })?;
    Some(
        match info.permits(Purpose::Server) && !info.permits(Purpose::Client) {
            _ if info.is_ca => IssuedKind::Ca,
            true => IssuedKind::Server,
            false => IssuedKind::Client,
        },
    )
}

fn unknown(target: &str, store: &Store) -> CertsError {
    let mut known: Vec<_> = store
        .index
        .issued()
        .filter(|issued| issued.kind == IssuedKind::Client)
        .map(|issued| issued.name.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    let near = known
        .iter()
        .copied()
        .filter(|name| text::nearest(target, [*name]).is_some())
        .collect::<Vec<_>>()
        .join(", ");
    CertsError::refused(
        format!(
            "{target:?} is neither a client with a certificate that is still good, nor a serial number in hex, nor a file"
        ),
        if near.is_empty() && target.bytes().all(|b| b.is_ascii_hexdigit()) {
            format!(
                "if it is a short serial number, write 0x{target}; names are in `dockgate certs list{}`",
                store.paths.option()
            )
        } else if near.is_empty() {
            format!("see `dockgate certs list{}`", store.paths.option())
        } else {
            format!("did you mean {near}?")
        },
    )
}

/// A serial number in hex, as tools print it. Short words such as `ada` or `c1` are hex too and more likely a name
/// mistyped: they count only when issued here, or when written as numbers are (`0x01`, `01:02`).
fn serial_number(target: &str, store: &Store) -> Option<String> {
    let lower = target.to_ascii_lowercase();
    let hex = lower.strip_prefix("0x").unwrap_or(&lower).replace(':', "");
    let plain = hex.len() == target.len();
    if hex.is_empty() || hex.len() > 42 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // Leading zeros are a matter of taste among tools that print serials.
    let bare = hex.trim_start_matches('0');
    let serial = match bare.len() {
        0 => "00".to_owned(),
        even if even.is_multiple_of(2) => bare.to_owned(),
        _ => format!("0{bare}"),
    };
    let known = store.index.issued().any(|issued| issued.serial == serial);
    (known || !plain || hex.len() >= 16).then_some(serial)
}

fn from_file(path: &Path, authorities: &Authorities) -> Result<String, CertsError> {
    let (_, info) = inspect_file(path)?;
    let mut ours = authorities.iter();
    if !ours.any(|it| it.info().subject == info.issuer) {
        return Err(CertsError::refused(
            format!(
                "{path:?} was issued by {}, not by {}",
                info.issuer,
                authorities.current.info().subject
            ),
            "only the CA that issued a certificate can revoke it; name it with --ca-cert FILE --ca-key FILE",
        ));
    }
    let mut ours = authorities.iter();
    if ours.any(|it| it.info().sha256 == info.sha256) {
        return Err(CertsError::refused(
            format!("{path:?} is the CA itself; its own list cannot revoke it"),
            "take it out of --tlscacert instead",
        ));
    }
    Ok(info.serial)
}

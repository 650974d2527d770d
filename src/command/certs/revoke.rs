//! `certs revoke` and `certs crl`.

use std::path::Path;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Output, authority, dir_option};
use crate::cli::certs::{Crl as CrlArgs, Revoke};
use pki::{
    CertsError,
    crl::{self, Crl},
    index::{Event, Kind, Revoked},
    inspect::timestamp,
    issue::{Authority, now},
    store::{Store, inspect_file},
};

pub(super) fn revoke(args: &Revoke) -> Result<Output, CertsError> {
    let mut store = Store::open(&args.ca.dir.dir)?;
    let authority = authority(&args.ca, &store.paths)?;
    let serials = serials(&args.target, &store, &authority)?;
    let mut output = Output::default();
    for serial in serials {
        if let Some(revoked) = store.index.revocation(&serial) {
            output.line(format!(
                "serial {serial} was revoked on {} already",
                revoked.at
            ));
            continue;
        }
        store.index.append(Event::Revoked(Revoked {
            at: timestamp(now()),
            serial: serial.clone(),
            reason: args.reason.word().into(),
            issuer_key_id: authority.info().subject_key_id.clone(),
        }))?;
        output.line(format!("revoked {}, serial {serial}", args.target));
    }
    let list = crl::publish(&mut store, &authority, args.crl_days)?;
    describe(&mut output, &store, &list);
    Ok(output)
}

pub(super) fn crl(args: &CrlArgs) -> Result<Output, CertsError> {
    let mut store = Store::open(&args.ca.dir.dir)?;
    let authority = authority(&args.ca, &store.paths)?;
    let list = crl::publish(&mut store, &authority, args.days)?;
    let mut output = Output::default();
    describe(&mut output, &store, &list);
    Ok(output)
}

fn describe(output: &mut Output, store: &Store, list: &Crl) {
    let path = store.paths.crl.display();
    let until = list.next_update.map(timestamp).unwrap_or_default();
    output.line(format!(
        "signed {path}, number {}, {} revoked, good until {until}",
        list.number_text,
        list.entries.len()
    ));
    output.next(format!("serve with --tlscrl {path}; a running dockgate reads it within --reload-interval, or at once on SIGHUP"));
    output.line(format!(
        "before it lapses: dockgate certs crl{} (or renew --all --if-due from a timer)",
        dir_option(&store.paths.dir)
    ));
}

/// The serial numbers a word stands for. A name stands for every certificate of that name that has not expired:
/// a renewal leaves the earlier one valid, and taking back only the latest would let the holder in with the other.
fn serials(target: &str, store: &Store, authority: &Authority) -> Result<Vec<String>, CertsError> {
    let path = Path::new(target);
    if path.is_file() {
        return from_file(path, authority).map(|serial| vec![serial]);
    }
    let now = now();
    let alive =
        |not_after: &str| OffsetDateTime::parse(not_after, &Rfc3339).is_ok_and(|end| end > now);
    let mut serials: Vec<_> = store
        .index
        .issued()
        .filter(|issued| {
            issued.kind != Kind::Ca && issued.name == target && alive(&issued.not_after)
        })
        .filter(|issued| issued.issuer_key_id == authority.info().subject_key_id)
        .map(|issued| issued.serial.clone())
        .collect();
    let own = store.paths.client(target).join("cert.pem");
    if own.is_file() && pki::name::check(target).is_ok() {
        serials.push(from_file(&own, authority)?);
    }
    serials.dedup();
    if !serials.is_empty() {
        return Ok(serials);
    }
    if let Some(serial) = serial_number(target, store) {
        return Ok(vec![serial]);
    }
    let mut known: Vec<_> = store
        .index
        .issued()
        .filter(|issued| issued.kind == Kind::Client)
        .map(|issued| issued.name.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    let near = known
        .iter()
        .copied()
        .filter(|name| strsim::damerau_levenshtein(name, target) <= 2)
        .collect::<Vec<_>>()
        .join(", ");
    Err(CertsError::refused(
        format!(
            "{target:?} is neither a client with a certificate that is still good, nor a serial number in hex, nor a file"
        ),
        if near.is_empty() && target.bytes().all(|b| b.is_ascii_hexdigit()) {
            format!(
                "if it is a short serial number, write 0x{target}; names are in `dockgate certs list{}`",
                dir_option(&store.paths.dir)
            )
        } else if near.is_empty() {
            format!("see `dockgate certs list{}`", dir_option(&store.paths.dir))
        } else {
            format!("did you mean {near}?")
        },
    ))
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

fn from_file(path: &Path, authority: &Authority) -> Result<String, CertsError> {
    let (_, info) = inspect_file(path)?;
    if info.issuer != authority.info().subject {
        return Err(CertsError::refused(
            format!(
                "{path:?} was issued by {}, not by {}",
                info.issuer,
                authority.info().subject
            ),
            "only the CA that issued a certificate can revoke it; name it with --ca-cert FILE --ca-key FILE",
        ));
    }
    if info.sha256 == authority.info().sha256 {
        return Err(CertsError::refused(
            format!("{path:?} is the CA itself; its own list cannot revoke it"),
            "take it out of --tlscacert instead",
        ));
    }
    Ok(info.serial)
}

//! `certs rollover`: a new CA for a whole fleet without a gap.

use super::list_days;
use crate::cli::certs::RolloverArgs;
use crate::command::output::Output;
use enroll::rules::{self, InvitationState};
use pki::{
    CRL_DAYS, Certificate, CertsError, Passphrase, PassphraseSource,
    event::{Invitation, Issued, IssuedKind},
    issue::now,
    name,
    place::no_ca,
    rollover::{self, Authorities, NextCa},
    store::{Paths, Store},
    timestamp,
};
use text::Align;

pub(super) fn rollover(args: &RolloverArgs, output: &mut Output<'_>) -> Result<(), CertsError> {
    let dir = &args.dir.dir;
    let place = super::place(&args.dir)?;
    if place.store().is_none() && !Paths::of(dir).ca.is_file() {
        return Err(no_ca(dir, ""));
    }
    let source = PassphraseSource::from_option(args.passphrase_file.clone());
    let passphrase = source.for_opening(&Paths::of(dir).ca_key)?;
    let mut store = match args.finish {
        true => place.open_to_finish()?,
        false => place.open()?,
    };
    if !store.paths.ca.is_file() {
        return Err(no_ca(dir, ""));
    }
    let authorities = Authorities::load(&store.paths, &passphrase)?;
    match (authorities.previous(), args.finish) {
        (None, false) => begin(args, &mut store, &passphrase, output),
        (Some(previous), false) => {
            output.line(format!(
                "{} takes the place of {}",
                authorities.current.info().subject,
                previous.info().subject
            ));
            told(&store, previous.info(), output);
            Ok(())
        }
        (previous, true) => {
            let previous = previous.map(|it| it.info().clone());
            finish(args, &mut store, &passphrase, previous.as_ref(), output)
        }
    }
}

fn begin(
    args: &RolloverArgs,
    store: &mut Store,
    passphrase: &Passphrase,
    output: &mut Output<'_>,
) -> Result<(), CertsError> {
    if let Some(given) = &args.ca_name {
        name::check_attribute("--ca-name", given)?;
    }
    let wanted = NextCa {
        name: args.ca_name.as_deref(),
        key_type: args.key_type,
        days: args.ca_days,
        wait_secs: args.wait,
    };
    let days = list_days(None, &store.paths)?;
    let authorities = rollover::begin(store, passphrase, &wanted)?;
    lists(store, &authorities, days)?;
    let next = authorities.current.info();
    output.line(format!(
        "made the next CA, {}, good until {}",
        next.subject,
        timestamp(next.not_after)
    ));
    output.line(format!("  SHA-256      {}", next.sha256));
    output.line(format!(
        "  trusted      both, in {}",
        store.paths.ca.display()
    ));
    if let Some(rollover) = store.index.rollover() {
        output.line(format!(
            "  clients      get certificates of it from {} on",
            rollover.from
        ));
    }
    output.line("  gates        get certificates of it once every client trusts it");
    output.next("dockgate reload, at each gate that has no signer");
    if let Some(previous) = authorities.previous() {
        told(store, previous.info(), output);
    }
    Ok(())
}

/// Whom the previous CA still serves.
fn told(store: &Store, previous: &Certificate, output: &mut Output<'_>) {
    let left = rollover::left(&store.index, previous, now());
    let open = invitations(store);
    let option = store.paths.option();
    if left.is_empty() && open.is_empty() {
        output.line("every certificate that was issued here is of the next CA; a client that still has old files would be left out: hand out what was renewed in the directory first");
        output.next(format!("dockgate certs rollover --finish{option}"));
        return;
    }
    list(&left, &open, output);
    output.line("what joined renews itself; `dockgate certs renew --all` renews what lies in the directory, and its ca.pem has to be handed out with it");
    output.next(format!(
        "dockgate certs rollover{option}, until nobody is left"
    ));
}

/// The open invitations whose tokens name the previous CA.
fn invitations(store: &Store) -> Vec<&Invitation> {
    let since = store.index.rollover().map(|it| it.at.as_str());
    let invitations = store.index.invitations();
    invitations
        .filter(|it| since.is_some_and(|since| it.at.as_str() < since))
        .filter(|it| rules::state(&store.index, it, now()) == InvitationState::Open)
        .collect()
}

fn list(left: &[&Issued], open: &[&Invitation], output: &mut Output<'_>) {
    let row = |cells: [&str; 4]| cells.map(str::to_owned);
    let mut rows = vec![row(["NAME", "KIND", "ENDS", "SERIAL"])];
    for it in left {
        let kind = match it.kind {
            IssuedKind::Server if it.enrolled.is_some() => "gate",
            IssuedKind::Server => "server",
            _ => "client",
        };
        rows.push(row([&it.name, kind, &it.not_after, &it.serial]));
    }
    for it in open {
        rows.push(row([&it.name, "invited", &it.expires, &it.id]));
    }
    output.table(&rows, &[Align::Left; 4]);
}

fn finish(
    args: &RolloverArgs,
    store: &mut Store,
    passphrase: &Passphrase,
    previous: Option<&Certificate>,
    output: &mut Output<'_>,
) -> Result<(), CertsError> {
    if let Some(previous) = previous {
        let left = rollover::left(&store.index, previous, now());
        let open = invitations(store);
        let count = left.len() + open.len();
        if count > 0 {
            list(&left, &open, output);
        }
        if count > 0 && !args.force {
            return Err(CertsError::refused(
                format!("{count} would be left out"),
                "wait until they have renewed, or renew, revoke or take them back; --force leaves them out",
            ));
        }
    }
    let days = list_days(None, &store.paths)?;
    let current = Authorities::alone(rollover::finish(store, passphrase)?);
    lists(store, &current, days)?;
    let current = current.current.info();
    output.line(format!("{} alone is trusted now", current.subject));
    if let Some(previous) = previous {
        output.line(format!("the key of {} is destroyed", previous.subject));
    }
    output.next("dockgate reload, at each gate that has no signer");
    Ok(())
}

/// Signs the lists for as long as the signer beside them does, which would leave them as they are.
fn lists(store: &mut Store, authorities: &Authorities, days: u32) -> Result<(), CertsError> {
    if days != CRL_DAYS && store.paths.crl.is_file() {
        super::revoke::publish(store, authorities, days)?;
    }
    Ok(())
}

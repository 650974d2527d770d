//! `dockgate invite`: makes, lists and takes back invitations. The token is all that goes to standard output.

use serde::Serialize;

use super::certs::place;
use crate::cli::enrol::{InviteArgs, InviteCommand, InviteList, InviteRevoke};
use crate::command::output::{Exit, Failure, Output};
use crate::signer::SignerAbout;
use enroll::rules::{self, InvitationState, NewInvitation};
use enroll::{SignerAddress, SignerPin, Token};
use pki::event::IssuedKind;
use pki::issue::now;
use pki::place::no_ca;
use pki::san::{self, San};
use pki::store::{Paths, inspect_file};
use pki::write::Existing;
use pki::{CertsError, name};
use text::Align;

pub(super) fn run(args: &InviteArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    match &args.command {
        Some(InviteCommand::List(args)) => list(args, output),
        Some(InviteCommand::Revoke(args)) => revoke(args, output),
        None => invite(args, output),
    }?;
    Ok(Exit::OK)
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn invite(args: &InviteArgs, output: &mut Output<'_>) -> Result<(), CertsError> {
    let given = args.name.as_deref().unwrap_or_default();
    for (option, value) in [("--o", &args.o), ("--ou", &args.ou)] {
        value
            .as_deref()
            .map_or(Ok(()), |value| name::check_attribute(option, value))?;
    }
    let dir = &args.dir.dir;
    let place = place(&args.dir)?;
    let paths = place.paths()?;
    let about = SignerAbout::read(dir)?;
    let signer = address(args, about.as_ref(), &paths)?;
    let ca = paths
        .ca
        .is_file()
        .then(|| inspect_file(&paths.ca))
        .transpose()?;
    let Some((_, ca)) = ca else {
        return Err(no_ca(dir, ""));
    };
    if args.pin {
        let pin = SignerPin {
            signer,
            ca_sha256: ca.details.sha256,
        };
        output.secret(format!("{pin}\n").as_bytes());
        output.next("in a job of CI: dockgate join PIN --oidc-token-file FILE");
        return Ok(());
    }
    let sans = names(args, given)?;
    let own = san::parse_all(&about.map(|about| about.names).unwrap_or_default())?;
    let wanted = NewInvitation {
        kind: match args.server {
            true => IssuedKind::Server,
            false => IssuedKind::Client,
        },
        name: given,
        organization: args.o.as_deref(),
        organizational_unit: args.ou.as_deref(),
        sans: &sans,
        life_secs: args.life,
        ttl_secs: args.ttl,
        uses: args.uses,
        existing: Existing::from_force(args.force),
        signer: &own,
    };
    let (invitation, secret) = rules::invite(&mut place.open()?, &wanted)?;
    let token = Token {
        signer,
        ca_sha256: ca.details.sha256,
        id: invitation.id.clone(),
        secret,
    };
    let mut line = token.expose();
    line.push('\n');
    output.secret(line.as_bytes());
    output.line(format!(
        "invited {given}, until {}, for {}; invitation {}",
        invitation.expires,
        match invitation.uses {
            1 => "one certificate".to_owned(),
            uses => format!("{uses} certificates"),
        },
        invitation.id
    ));
    output.next(match args.server {
        true => "give the token to the gate's host, and there: dockgate join --server -",
        false => "give the token to them, and there: dockgate join -",
    });
    Ok(())
}

fn address(
    args: &InviteArgs,
    about: Option<&SignerAbout>,
    paths: &Paths,
) -> Result<SignerAddress, CertsError> {
    let said = args
        .signer
        .as_deref()
        .or(about.map(|about| about.address.as_str()));
    let Some(said) = said else {
        return Err(CertsError::refused(
            format!(
                "no signer has run in {:?}, so the token cannot say where it is",
                paths.dir
            ),
            format!(
                "start `dockgate signer{0}` or `dockgate serve --auto-certs DIR --enroll tcp://:2378`, or give --signer HOST:PORT",
                paths.option()
            ),
        ));
    };
    SignerAddress::parse(said).ok_or_else(|| {
        CertsError::refused(
            format!("--signer {said:?} is not an address"),
            "write --signer HOST:PORT",
        )
    })
}

fn names(args: &InviteArgs, given: &str) -> Result<Vec<San>, CertsError> {
    if !args.server {
        return args.uri.iter().map(|uri| san::parse_uri(uri)).collect();
    }
    match args.san.is_empty() {
        true => Ok(San::parse(given).into_iter().collect()),
        false => san::parse_all(&args.san),
    }
}

/// One invitation.
#[derive(Serialize)]
struct InvitationRow {
    id: String,
    name: String,
    kind: IssuedKind,
    status: &'static str,
    expires: String,
    used: usize,
    uses: u32,
}

fn list(args: &InviteList, output: &mut Output<'_>) -> Result<(), CertsError> {
    let index = place(&args.dir)?.index()?;
    let rows: Vec<_> = index
        .invitations()
        .map(|it| (rules::state(&index, it, now()), it))
        .filter(|(state, _)| args.all || *state == InvitationState::Open)
        .map(|(state, it)| InvitationRow {
            id: it.id.clone(),
            name: it.name.clone(),
            kind: it.kind,
            status: state.id(),
            expires: it.expires.clone(),
            used: index.uses(&it.id).count(),
            uses: it.uses,
        })
        .collect();
    if args.json {
        output.json(&serde_json::json!({ "invitations": rows }));
        return Ok(());
    }
    if rows.is_empty() {
        output.line("no invitation is open");
        return Ok(());
    }
    let head = ["ID", "NAME", "KIND", "STATUS", "USED", "ENDS"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let kind = enroll::message::kind_word(row.kind).to_owned();
        let used = format!("{}/{}", row.used, row.uses);
        [
            row.id.clone(),
            row.name.clone(),
            kind,
            row.status.to_owned(),
            used,
            row.expires.clone(),
        ]
    });
    let table: Vec<_> = std::iter::once(head).chain(cells).collect();
    output.table(&table, &[Align::Left; 6]);
    Ok(())
}

fn revoke(args: &InviteRevoke, output: &mut Output<'_>) -> Result<(), CertsError> {
    let mut store = place(&args.dir)?.open()?;
    let open: Vec<String> = store
        .index
        .invitations()
        .filter(|it| it.name == args.target)
        .filter(|it| rules::state(&store.index, it, now()) == InvitationState::Open)
        .map(|it| it.id.clone())
        .collect();
    let ids = match open.is_empty() {
        true => vec![args.target.clone()],
        false => open,
    };
    for id in ids {
        let taken = rules::withdraw(&mut store, &id)?;
        output.line(format!("took back invitation {id} of {}", taken.name));
        if store.index.uses(&id).next().is_some() {
            output.line("a certificate has come of it already, and stays good");
            output.next(format!("dockgate certs revoke {}", taken.name));
        }
    }
    Ok(())
}

//! `certs deny`: what every gate of a signer refuses, whatever the revocation lists say.

use super::{is_elsewhere, place};
use crate::cli::certs::Deny;
use crate::command::output::Output;
use pki::{
    CertsError,
    denied::{has_room, target},
    event::{DeniedEntry, IndexEvent},
    issue::now,
    timestamp,
};

pub(super) fn deny(args: &Deny, output: &mut Output<'_>) -> Result<(), CertsError> {
    let Some(text) = &args.target else {
        let (_, denied) = place(&args.dir)?.index()?.denied();
        if denied.is_empty() {
            output.line("nothing is denied");
        }
        for what in &denied {
            output.row(words(what));
        }
        return Ok(());
    };
    let what = target(text)?;
    let mut store = place(&args.dir)?.open()?;
    let is_denied = store.index.is_denied(&what);
    let at = timestamp(now());
    match (args.lift, is_denied) {
        (false, true) => {
            output.line(format!("{} is denied already", words(&what)));
            return Ok(());
        }
        (true, false) => {
            return Err(CertsError::refused(
                format!("{} is not on the deny list", words(&what)),
                format!(
                    "`dockgate certs deny{}` shows the list",
                    store.paths.option()
                ),
            ));
        }
        (false, false) => {
            has_room(&store.index)?;
            store.index.append(IndexEvent::Denied {
                at,
                what: what.clone(),
            })?;
        }
        (true, true) => store.index.append(IndexEvent::Undenied {
            at,
            what: what.clone(),
        })?,
    }
    output.line(match args.lift {
        true => format!("{} is not denied any more", words(&what)),
        false => format!("denied {}", words(&what)),
    });
    output.line(match is_elsewhere(&store.paths.dir)? {
        true => "the CA's key is elsewhere, so that no list is signed: its renewal alone ends; gates have deny-serials and deny-spki-sha256",
        false => "the signer of this directory signs the list and tells its gates; gates without a signer have deny-serials and deny-spki-sha256",
    });
    Ok(())
}

fn words(what: &DeniedEntry) -> String {
    match what {
        DeniedEntry::Serial(serial) => format!("serial {serial}"),
        DeniedEntry::Key(key) => format!("public key {key}"),
    }
}

//! The store that the CA of a gate has its index in: whether it answers, and whether it is of the CA that the gate trusts.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::store::StoreArgs;
use crate::config::Config;
use crate::finding::Finding;
use crate::signer::store_place;
use pki::place::JoinedStore;
use pki::shared::StoreCondition;
use pki::{CertsError, pem};

/// What is to be said of the stores that the directories of the gate's CAs have joined; nothing where none has.
pub(crate) fn findings(config: &Config, offline: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.enroll.is_none() && config.auto_certs.is_none() && config.tls.is_none() {
        return found;
    }
    let ca = config.tls_paths().ca;
    let dirs: BTreeSet<&Path> = (ca.parent().into_iter())
        .chain(config.auto_certs.iter().map(|it| it.dir.as_path()))
        .collect();
    for dir in dirs {
        let joined = match JoinedStore::read(dir) {
            Ok(None) => continue,
            Ok(Some(joined)) => joined,
            Err(fault) => {
                found.push(failed(&fault));
                continue;
            }
        };
        if config.enroll.is_some() {
            found.push(
                Finding::fatal(format!(
                    "{dir:?} has joined a store, and serve --enroll keeps its index in the directory"
                ))
                .hint("start `dockgate signer` as a service of its own for it, and give the gate its certificates with `dockgate serve --enrolled DIR`"),
            );
        }
        found.extend(exposed(&joined));
        if !offline {
            found.push(match ask(dir) {
                Ok(condition) => told(&ca, &joined, &condition),
                Err(fault) => failed(&fault),
            });
        }
    }
    found
}

/// That others can read the password of the store.
fn exposed(joined: &JoinedStore) -> Option<Finding> {
    let file = joined.exposed_password()?;
    let text = format!(
        "every user of this host can read {}, the file of the store's password",
        file.display()
    );
    Some(Finding::warning(text).hint(format!(
        "chmod o-r {}, and give the database's user another password",
        file.display()
    )))
}

fn ask(dir: &Path) -> Result<StoreCondition, CertsError> {
    let place = store_place(dir, &StoreArgs::default())?;
    place.store().map_or_else(
        || {
            Err(CertsError::refused(
                format!("{dir:?} has left its store"),
                "",
            ))
        },
        |store| store.examine(),
    )
}

/// Certificates and gates work without the store, so nothing of it keeps a gate from starting.
fn failed(fault: &CertsError) -> Finding {
    let text = crate::error::report(fault);
    let finding = Finding::warning(text);
    match fault.hint() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn told(ca: &Path, joined: &JoinedStore, condition: &StoreCondition) -> Finding {
    let text = format!("the store {} answers: {}", joined.store, condition.server);
    let Some(stored) = &condition.ca else {
        return Finding::ok(format!("{text}, without a CA"));
    };
    let trusted = pem::certificates(ca).unwrap_or_default();
    let stored = pem::read(stored.as_bytes()).unwrap_or_default();
    let missing = stored
        .iter()
        .any(|block| trusted.iter().all(|it| it.as_ref() != &block.der[..]));
    match missing {
        false => Finding::ok(format!("{text}, and has the CA of this gate")),
        true => Finding::error(format!(
            "{text}, and has a CA that this gate does not trust: {} lacks it",
            ca.display()
        ))
        .hint("after a rollover bring the CA's files here, or run a command such as `dockgate certs list` with this directory, which brings ca.pem; then `dockgate reload`"),
    }
}

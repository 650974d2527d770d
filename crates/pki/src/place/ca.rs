//! Whether the CA of a directory is the one that a store has.

use std::path::Path;

use super::{JoinedStore, StorePlace};
use crate::{
    Certificate, CertsError, pem,
    rollover::{next_ca, next_key, previous_ca},
    store::Paths,
    write,
};

/// How the CA of a directory is to that of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CaMatch {
    /// The same, or one of the two has none.
    Same,
    /// Here is a copy without a key, which follows.
    Follows,
    /// A rollover was cut short here after the store had it.
    Begun,
    /// A rollover has ended in the store, and not here.
    Ended,
    /// Another one.
    Other {
        /// The store's.
        stored: String,
        /// The directory's.
        own: String,
    },
    /// Here is a certificate without a key, and the store has none that it could be a copy of.
    Unknown(String),
    /// The key of the store's CA is in the directories of its signers, and of the one here it is elsewhere.
    NotElsewhere,
}

impl CaMatch {
    pub(super) fn of(
        place: &StorePlace,
        paths: &Paths,
        stored: Option<&str>,
    ) -> Result<Self, CertsError> {
        let Some(stored) = stored else {
            // Another CA may come into the store, which it would follow.
            let is_unknown = !place.elsewhere && paths.ca.is_file() && !paths.ca_key.is_file();
            return Ok(match is_unknown {
                true => Self::Unknown(told(&of_file(&paths.ca)?)),
                false => Self::Same,
            });
        };
        if place.elsewhere {
            return Ok(Self::NotElsewhere);
        }
        if !paths.ca.is_file() {
            return Ok(Self::Same);
        }
        let (own, stored) = (of_file(&paths.ca)?, certificates(stored.as_bytes()));
        let other = || Self::Other {
            stored: told(&stored),
            own: told(&own),
        };
        let shares = own.iter().any(|it| stored.contains(it));
        if !paths.ca_key.is_file() {
            return Ok(match own == stored {
                true => Self::Same,
                // What has never come from this store is somebody else's.
                false if shares || place.has_joined()? => Self::Follows,
                false => other(),
            });
        }
        // One that was cut short before the store had it changes nothing.
        let (next, previous) = (next_ca(paths), previous_ca(paths));
        let is_next = next_key(paths).is_file() && next.is_file();
        if is_next && shares && first(&next)?.as_ref() == stored.first() {
            return Ok(Self::Begun);
        }
        if own == stored {
            return Ok(Self::Same);
        }
        if previous.is_file()
            && let Some(gone) = first(&previous)?
            && own.iter().filter(|it| **it != gone).eq(&stored)
        {
            return Ok(Self::Ended);
        }
        Ok(other())
    }

    /// That the directory can be used with the store.
    pub(super) fn usable(&self, dir: &Path, said: &JoinedStore) -> Result<(), CertsError> {
        let (why, hint) = match self {
            Self::Same | Self::Follows | Self::Begun => return Ok(()),
            Self::Ended => (
                format!("a rollover has ended in the store, and not in {dir:?}"),
                "`dockgate certs rollover --finish` ends it here as well (docs/tasks/several-signers.md)",
            ),
            Self::Other { stored, own } => (
                format!("the store has another CA than {dir:?}: {stored}, not {own}"),
                "after a rollover on another host bring its CA's files here (docs/tasks/several-signers.md); another CA needs a store of its own",
            ),
            Self::Unknown(own) => (
                format!(
                    "{dir:?} has the certificate of a CA without its key, {own}, and the store has no CA yet"
                ),
                "bring the CA's key here, or remove its certificate: it comes from the store once a host with the key has joined",
            ),
            Self::NotElsewhere => (
                format!(
                    "the store is of a CA whose key its signers have, and --signer-command signs for {dir:?}"
                ),
                "a CA whose key is elsewhere needs a store of its own",
            ),
        };
        Err(CertsError::Unavailable {
            doing: "use",
            store: said.store.clone(),
            source: why.into(),
            hint,
        })
    }
}

/// A CA in words: its first certificate.
fn told(cas: &[Vec<u8>]) -> String {
    let first = cas.first().map(|der| Certificate::read(der));
    match first {
        Some(Ok(ca)) => format!("{} (SHA-256 {})", ca.subject, ca.sha256),
        _ => "one that cannot be read".to_owned(),
    }
}

fn certificates(text: &[u8]) -> Vec<Vec<u8>> {
    let blocks = pem::read(text).unwrap_or_default();
    let ders = blocks.into_iter().map(|block| block.der.to_vec());
    ders.collect()
}

fn of_file(path: &Path) -> Result<Vec<Vec<u8>>, CertsError> {
    Ok(certificates(&write::read(path)?))
}

fn first(path: &Path) -> Result<Option<Vec<u8>>, CertsError> {
    Ok(of_file(path)?.into_iter().next())
}

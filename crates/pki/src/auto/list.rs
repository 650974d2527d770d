//! The revocation list of a directory that a gate keeps by itself: signed again when two thirds of its life are over, because a
//! list that has ended keeps everybody out.

use std::fmt;

use time::OffsetDateTime;

use crate::{
    CertsError, Passphrase,
    crl::{self, IssuedList},
    pem,
    place::{JoinedStore, StorePlace},
    rollover::Authorities,
    store::Paths,
    timestamp,
};

/// What became of a revocation list that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListCare {
    /// It was signed again.
    Signed {
        /// Its number.
        number: String,
        /// When it ends.
        until: Option<OffsetDateTime>,
    },
    /// It was kept; worth a warning.
    Kept {
        /// When it ends, after which nobody is let in.
        until: Option<OffsetDateTime>,
        /// Why it was kept.
        because: String,
    },
}

impl ListCare {
    /// Whether an operator has to do something about it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }
}

impl fmt::Display for ListCare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |until: Option<OffsetDateTime>| until.map(timestamp).unwrap_or_default();
        match self {
            Self::Signed { number, until } => write!(
                f,
                "signed the revocation list again, number {number}, good until {}",
                end(*until)
            ),
            Self::Kept { until, because } => write!(
                f,
                "kept the revocation list, which lets nobody in after {}: {because}",
                end(*until)
            ),
        }
    }
}

/// Signs the list again when it is due. A fault keeps no gate from serving: it is told.
pub(super) fn ensure(paths: &Paths, now: OffsetDateTime) -> Option<ListCare> {
    // One that cannot be read is told by what reads it for its entries.
    let list = IssuedList::read(&paths.crl).ok()?;
    if !list.is_due(now) {
        return None;
    }
    let signed = match JoinedStore::read(&paths.dir) {
        Ok(None) => sign(paths, now),
        Ok(Some(_)) => Err(CertsError::refused(
            format!(
                "its index is in a store; `dockgate certs crl{}` signs it again",
                paths.option()
            ),
            "",
        )),
        Err(error) => Err(error),
    };
    match signed {
        // Another process was faster, or it is the list of another CA, which another one signs.
        Ok(None) => None,
        Ok(Some(list)) => Some(ListCare::Signed {
            number: list.number_text,
            until: list.next_update,
        }),
        Err(error) => Some(ListCare::Kept {
            until: list.next_update,
            because: explain(&error),
        }),
    }
}

fn sign(paths: &Paths, now: OffsetDateTime) -> Result<Option<IssuedList>, CertsError> {
    key_at_hand(paths)?;
    let mut store = StorePlace::directory(&paths.dir).open()?;
    let authorities = Authorities::load(&store.paths, &Passphrase::Absent)?;
    let mut signed = None;
    for authority in authorities.iter() {
        // Read again now that nobody else writes: of two CAs each has a list, or none.
        let lists = IssuedList::read_all(&store.paths.crl)?;
        let mut of_it = lists.iter().filter(|(list, _)| list.is_of(authority));
        if of_it.any(|(list, _)| list.is_due(now)) {
            signed = Some(crl::publish(&mut store, authority, crate::CRL_DAYS)?);
        }
    }
    Ok(signed)
}

/// That the CA's key is here and opens without a passphrase. Looked at before the lock is taken: where it is not, nothing will
/// be written.
pub(super) fn key_at_hand(paths: &Paths) -> Result<(), CertsError> {
    let key = &paths.ca_key;
    let why = match key.is_file() {
        false => "is not here",
        true if pem::is_encrypted(key)? => "needs a passphrase",
        true => return Ok(()),
    };
    Err(CertsError::refused(format!("the CA key {key:?} {why}"), ""))
}

/// An error with its cause.
pub(super) fn explain(error: &CertsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

//! The directory of the CA as the signer looks after it without being asked. What is here only writes what can be made again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use pki::crl::{self, IssuedList};
use pki::issue::{Authority, now};
use pki::store::Store;
use pki::{CertsError, denied, rollover, write};
use tracing::{debug, error, info};

use super::super::cas::{FileStamp, TrustedCas, ca_stamps, fitting, own_certificate, stamp};
use super::{Desk, LIST_DAYS, TrustDocument};
use crate::error;

/// How often the revocation list is signed again.
const LIST_AGE: time::Duration = time::Duration::days(1);

impl Desk {
    /// What has to be done from time to time: the lists, the signer's own certificate where it needs no command. Each step is
    /// taken whatever becomes of the others: a certificate that cannot be renewed now must not keep a revocation from the gates.
    /// The first fault is returned, further ones are logged. Blocks.
    pub(in crate::signer) fn look(&self) -> Result<(), CertsError> {
        let external = self.external.as_ref();
        let mut outcome = external.map_or(Ok(()), |external| external.take_over(&self.paths));
        let mut also = |step: Result<(), CertsError>| match (&outcome, step) {
            (Err(_), Err(fault)) => {
                error!(error = %error::report(&fault), "The directory of the CA cannot be looked after");
            }
            (_, Ok(())) => {}
            (Ok(()), fault) => outcome = fault,
        };
        // What the store has comes before what this host would make of it.
        also(self.place.paths().map(drop));
        also(self.look_at_cas());
        if external.is_none() {
            also(self.renew_own());
            let trusted = self.trusted();
            for authority in trusted.authorities.iter() {
                also(self.sign_list(authority));
            }
            also(self.refresh(&trusted));
            also(self.sign_denied(&trusted));
        }
        self.tell_gates();
        outcome
    }

    /// Holds the directory for a step with the CAs that were read last; nothing where a rollover came between, to which the next
    /// look sees.
    fn held<T>(
        &self,
        step: impl FnOnce(&mut Store) -> Result<T, CertsError>,
    ) -> Result<Option<T>, CertsError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = self.place.open()?;
        match self.knows_cas() {
            true => step(&mut store).map(Some),
            false => Ok(None),
        }
    }

    fn sign_list(&self, authority: &Authority) -> Result<(), CertsError> {
        if !self.list_is_due(authority)? {
            return Ok(());
        }
        let list = self.held(|store| crl::publish(store, authority, LIST_DAYS))?;
        if let Some(list) = list {
            info!(
                ca = authority.info().subject,
                number = list.number_text,
                revoked = list.entries.len(),
                "Signed the revocation list"
            );
        }
        Ok(())
    }

    fn refresh(&self, trusted: &TrustedCas) -> Result<(), CertsError> {
        self.held(|store| rollover::refresh(store, &trusted.authorities))?;
        Ok(())
    }

    fn sign_denied(&self, trusted: &TrustedCas) -> Result<(), CertsError> {
        let by = &trusted.authorities.current;
        self.held(|store| denied::publish(store, by))?;
        Ok(())
    }

    /// Every file that decides what is known here or told: others may write them, such as `certs revoke`.
    pub(in crate::signer) fn stamps(&self) -> Vec<FileStamp> {
        let paths = &self.paths;
        let lists = [paths.index.clone(), paths.crl.clone(), denied::path(paths)];
        let external = self.external.iter();
        let given = external.flat_map(|it| std::iter::once(&it.ca).chain(&it.crl));
        let lists = lists.iter().chain(given).map(|path| stamp(path));
        let news = (0, 0, self.news.load(Ordering::Relaxed), 0);
        let files = ca_stamps(paths).into_iter().chain(lists);
        files.chain([news]).collect()
    }

    /// Size of the index. Blocks.
    pub(in crate::signer) fn index_bytes(&self) -> Result<u64, CertsError> {
        match self.place.store() {
            Some(store) => Ok(store.view()?.bytes),
            None => Ok(self.paths.index.metadata().map_or(0, |it| it.len())),
        }
    }

    /// Whether others share what is written here.
    pub(in crate::signer) fn has_company(&self) -> bool {
        self.place.store().is_some()
    }

    /// Asks the store for what others have written. Blocks.
    pub(in crate::signer) fn ask_store(&self) -> Result<(), CertsError> {
        if let Some(store) = self.place.store() {
            let change = store.view()?.change;
            self.news.store(change, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has all looked after once more, since the store was lost for a while. A change has no such number.
    pub(in crate::signer) fn forget_news(&self) {
        self.news.store(-1, Ordering::Relaxed);
    }

    fn list_is_due(&self, authority: &Authority) -> Result<bool, CertsError> {
        let index = self.index()?;
        if !self.paths.crl.is_file() {
            // Where further CAs are trusted, a first list would leave out those that have none.
            let alone = authority.trusted().count() == 1 && authority.info().self_issued;
            return Ok(alone || index.revoked().next().is_some());
        }
        let lists = IssuedList::read_all(&self.paths.crl)?;
        let Some((list, _)) = lists.into_iter().find(|(list, _)| list.is_of(authority)) else {
            return Ok(true);
        };
        let listed: HashSet<&str> = list.entries.iter().map(|it| it.serial.as_str()).collect();
        let judged = index.judged();
        let ours = authority.info().subject_key_id.as_ref();
        let missing = index
            .revoked()
            .filter(|it| it.issuer_key_id.is_none() || it.issuer_key_id.as_ref() == ours)
            .any(|it| {
                judged.revocation(&it.serial).is_some() && !listed.contains(it.serial.as_str())
            });
        let lifted = list
            .entries
            .iter()
            .any(|entry| entry.is_on_hold() && judged.is_allowed_again(&entry.serial));
        let now = now();
        let old = now - list.signed_at() >= LIST_AGE;
        let ends = list
            .next_update
            .is_none_or(|end| end - now < time::Duration::days(i64::from(LIST_DAYS) - 2));
        Ok(missing || lifted || old && ends)
    }

    /// Tells gates what they are to trust now, if that has changed.
    pub(super) fn tell_gates(&self) {
        let text = |path: &Path| {
            let bytes = write::read(path).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let document = TrustDocument {
            ca: self.trusted().authorities.current.trust_pem(),
            crl: text(&self.paths.crl),
            denied: text(&denied::path(&self.paths)),
        };
        // Lists and CAs that do not belong together would be refused: the next look tells both.
        if !self.knows_cas() {
            return;
        }
        self.trust.send_if_modified(|known| {
            let changed = **known != document;
            if changed {
                *known = Arc::new(document);
                debug!("What gates are told has changed");
            }
            changed
        });
    }

    /// Whether the signer's own certificate is made by a command, which may take its time.
    pub(in crate::signer) fn is_elsewhere(&self) -> bool {
        self.external.is_some()
    }

    /// Whether the signer's own certificate has to be made again, or presented with other CAs.
    pub(in crate::signer) fn own_is_due(&self) -> Result<bool, CertsError> {
        let trusted = self.trusted();
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        let fits = fitting(&self.paths, &trusted.authorities, &self.names)?;
        Ok(fits.is_none() || serving.1 != trusted.authorities.certificates())
    }

    /// Makes the signer's own certificate again if it is due, and presents it with the CAs of now.
    pub(in crate::signer) fn renew_own(&self) -> Result<(), CertsError> {
        if !self.own_is_due()? {
            return Ok(());
        }
        let trusted = self.trusted();
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = own_certificate(&self.place, &trusted.authorities, &self.names);
        let serving =
            serving.map_err(|error| CertsError::crypto("renew the signer's certificate", error))?;
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) =
            (serving, trusted.authorities.certificates());
        Ok(())
    }
}

//! Chains whose signatures were checked a moment ago: a client that connects anew for every command costs one signature
//! check each time instead of two or more.
//!
//! Why this cannot let anybody in who would be refused: what chain verification answers depends on the bytes presented, the
//! trusted CAs, the revocation lists and the time. A memo belongs to one verifier, so the CAs and the lists are fixed: a
//! reload begins with an empty memo. The key is a SHA-256 over every byte presented. Time enters only through windows, each
//! an interval (of a certificate: notBefore to notAfter, RFC 5280 §4.1.2.5; of a list: up to nextUpdate, §5.1.2.5), so what
//! was accepted at `from` is accepted until the first of them ends; of all presented certificates, all CAs in force then and
//! all lists, used or not.
//! Refusals are not remembered, and the proof that the peer holds the key (CertificateVerify, RFC 8446 §4.4.3) is asked for
//! every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use pki::identity::Identity;

/// Chains kept at once; one more and all are forgotten, which costs time and nothing else.
const MOST: usize = 4096;

/// What names a chain.
type Key = [u8; 32];

/// What is remembered of a chain. Seconds since the Unix epoch, both ends included.
#[derive(Debug)]
struct Accepted {
    from: u64,
    until: u64,
    /// Who it is, which depends on the same bytes and CAs.
    identity: Option<Arc<Identity>>,
}

/// The chains that one verifier has accepted.
#[derive(Debug)]
pub struct Memo {
    accepted: Mutex<HashMap<Key, Accepted>>,
    /// The last second at which every list is current.
    lists_until: u64,
}

impl Memo {
    /// An empty memo for a verifier with these revocation lists.
    #[must_use]
    pub fn new(crls: &[CertificateRevocationListDer<'_>]) -> Self {
        let until = |der: &CertificateRevocationListDer<'_>| {
            let (_, list) = CertificateRevocationList::from_der(der.as_ref()).ok()?;
            // A list counts as lapsed in the second that its nextUpdate names.
            u64::try_from(list.next_update()?.timestamp() - 1).ok()
        };
        Self {
            accepted: Mutex::default(),
            // A list whose end cannot be told is lapsed for this purpose: nothing is remembered.
            lists_until: crls
                .iter()
                .map(|der| until(der).unwrap_or(0))
                .min()
                .unwrap_or(u64::MAX),
        }
    }

    /// Names a chain by all its bytes.
    #[must_use]
    pub fn key(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Key {
        let mut context = Context::new(&SHA256);
        for certificate in std::iter::once(leaf).chain(intermediates) {
            context.update(&(certificate.len() as u64).to_be_bytes());
            context.update(certificate);
        }
        let mut key = Key::default();
        key.copy_from_slice(context.finish().as_ref());
        key
    }

    /// Whether the chain was accepted, and would be at `now`.
    #[must_use]
    pub fn holds(&self, key: &Key, now: UnixTime) -> bool {
        let now = now.as_secs();
        self.accepted()
            .get(key)
            .is_some_and(|it| (it.from..=it.until).contains(&now))
    }

    /// Remembers that the chain was accepted at `now`, by CAs that are in force until the second `cas_until`.
    pub fn keep(
        &self,
        key: Key,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        cas_until: u64,
    ) {
        let ends = std::iter::once(leaf).chain(intermediates).map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            u64::try_from(certificate.validity().not_after.timestamp()).ok()
        });
        // What cannot be read has no end that could be told, so it is not remembered.
        let Some(ends) = ends.collect::<Option<Vec<_>>>() else {
            return;
        };
        let first = self.lists_until.min(cas_until);
        let until = ends.into_iter().fold(first, u64::min);
        let from = now.as_secs();
        if from > until {
            return;
        }
        let mut accepted = self.accepted();
        if accepted.len() >= MOST && !accepted.contains_key(&key) {
            accepted.clear();
        }
        let identity = None;
        accepted.insert(
            key,
            Accepted {
                from,
                until,
                identity,
            },
        );
    }

    /// Whose chain it is, if that is known.
    #[must_use]
    pub fn identity(&self, key: &Key) -> Option<Arc<Identity>> {
        self.accepted().get(key)?.identity.clone()
    }

    /// Remembers whose chain it is, if the chain is remembered.
    pub fn know(&self, key: &Key, identity: &Arc<Identity>) {
        if let Some(it) = self.accepted().get_mut(key) {
            it.identity = Some(identity.clone());
        }
    }

    fn accepted(&self) -> MutexGuard<'_, HashMap<Key, Accepted>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

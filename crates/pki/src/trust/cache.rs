//! Chains that were admitted a moment ago: a client that connects again for every command costs one signature check each
//! time instead of two or more.
//!
//! Why this cannot let anybody in who would be refused: what [`super::TrustStore::admit`] answers depends on the bytes
//! presented, the trusted CAs, the revocation lists, the deny list and the time. A cache belongs to one store, so all but
//! the bytes and the time are fixed: a reload begins with an empty cache. The key is a SHA-256 over every byte presented.
//! Time enters only through ends of validity (of a certificate: notAfter, RFC 5280 §4.1.2.5; of a list: nextUpdate,
//! §5.1.2.5), so a path that was accepted at `from` is accepted until the first end of what it rests on
//! ([`Admitted::until`]).
//! Refusals are not remembered, and the proof that the peer holds the key (CertificateVerify, RFC 8446 §4.4.3) is asked
//! for every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;

use super::Admitted;

/// Chains kept at once; one more and all are forgotten, which costs time and nothing else.
pub(crate) const MOST: usize = 4096;

/// What names a chain.
pub(crate) type ChainKey = [u8; 32];

/// The chains that one store has admitted, each with the second it was admitted at.
#[derive(Debug, Default)]
pub(crate) struct ChainCache {
    admitted: Mutex<HashMap<ChainKey, (i64, Arc<Admitted>)>>,
}

impl ChainCache {
    /// Names a chain by all its bytes.
    pub(crate) fn key(chain: &[CertificateDer<'_>]) -> ChainKey {
        let mut context = Context::new(&SHA256);
        for certificate in chain {
            context.update(&(certificate.len() as u64).to_be_bytes());
            context.update(certificate);
        }
        let mut key = ChainKey::default();
        key.copy_from_slice(context.finish().as_ref());
        key
    }

    /// What was admitted, if it would be at `now`.
    pub(crate) fn get(&self, key: &ChainKey, now: i64) -> Option<Arc<Admitted>> {
        let admitted = self.admitted();
        let (from, it) = admitted.get(key)?;
        (*from..=it.until).contains(&now).then(|| it.clone())
    }

    /// Remembers what was admitted at `now`.
    pub(crate) fn keep(&self, key: ChainKey, now: i64, it: &Arc<Admitted>) {
        let mut admitted = self.admitted();
        if admitted.len() >= MOST && !admitted.contains_key(&key) {
            admitted.clear();
        }
        admitted.insert(key, (now, it.clone()));
    }

    fn admitted(&self) -> MutexGuard<'_, HashMap<ChainKey, (i64, Arc<Admitted>)>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

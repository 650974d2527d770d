//! What the revocation lists say of a certificate, given the key that signed it.
//!
//! A list counts for the CA whose key signed it: the name alone does not tell, since two CAs may share one. Of several
//! lists of one CA, whatever any list in time revokes is revoked, and the newest decides whether the CA's lists are still
//! in time, so that a list out of time beside a current one closes nothing. When there is any list at all, a CA without
//! one vouches for nobody.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rustls_pki_types::{CertificateRevocationListDer, SignatureVerificationAlgorithm};

use super::certificate::{Certificate, timestamp};
use super::list::RevocationList;
use super::serial::Serial;
use super::{der, key_kind};

/// Answers about signatures that are kept; beyond that all are forgotten, which costs time and nothing else.
const REMEMBERED: usize = 4096;

/// All lists of one generation of trust.
#[derive(Debug, Default)]
pub struct Revocation {
    lists: Vec<SignedList>,
    /// Whether a list was signed by a key, by the list's place and the key's digest. Asked only for keys of CAs that a
    /// trusted CA vouches for.
    signed: Mutex<HashMap<(usize, [u8; 32]), bool>>,
}

#[derive(Debug)]
struct SignedList {
    list: RevocationList,
    der: CertificateRevocationListDer<'static>,
    serials: HashSet<Serial>,
}

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RevocationStatus {
    /// Not revoked, and that holds until this second, included.
    Good { until: i64 },
    /// A list of its issuer names it.
    Revoked,
    /// Nobody can tell, for this reason.
    Unknown(String),
}

/// How a list is used, for its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It decides whether its CA's lists are in time, and what it names is revoked.
    Decides,
    /// A newer one decides; what it names is revoked while it is in time.
    Older,
    /// It was signed by no key of a CA that is known.
    NoIssuer,
}

impl Revocation {
    /// Reads the lists.
    ///
    /// # Errors
    /// A sentence for people, when one cannot be read.
    pub fn read(lists: Vec<CertificateRevocationListDer<'static>>) -> Result<Self, String> {
        let listed = |der: CertificateRevocationListDer<'static>| {
            let mut list = RevocationList::read(&der)?;
            let entries = std::mem::take(&mut list.entries);
            let serials = entries.into_iter().map(|entry| entry.serial).collect();
            Ok(SignedList { list, der, serials })
        };
        Ok(Self {
            lists: lists
                .into_iter()
                .map(listed)
                .collect::<Result<_, String>>()?,
            signed: Mutex::default(),
        })
    }

    /// Whether no list was given. Revocation is not checked then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// What the lists say of `certificate`, which `issuer` signed.
    pub(crate) fn status(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        now: i64,
    ) -> RevocationStatus {
        let of_name = |it: &&SignedList| it.list.issuer_raw == certificate.details.issuer;
        let named = self.lists.iter().enumerate();
        let named: Vec<_> = named.filter(|(_, it)| of_name(it)).collect();
        let own: Vec<_> = named
            .iter()
            .filter(|(place, it)| self.is_signed_by(*place, it, issuer, algorithms))
            .map(|(_, it)| *it)
            .collect();
        let name = &issuer.subject;
        if own.is_empty() {
            return RevocationStatus::Unknown(if named.is_empty() {
                format!("there is no revocation list of {name:?}")
            } else {
                format!(
                    "another key than that of {name:?} signed the revocation lists of this name"
                )
            });
        }
        if !issuer.may("cRLSign") {
            return RevocationStatus::Unknown(format!(
                "the keyUsage of CA {name:?} lacks cRLSign, so its revocation list does not count"
            ));
        }
        let serial = &certificate.details.serial;
        if own
            .iter()
            .any(|it| it.list.is_in_time(now) && it.serials.contains(serial))
        {
            return RevocationStatus::Revoked;
        }
        let covering = own.iter().filter(|it| it.covers(certificate));
        match newest(covering.map(|it| &it.list)) {
            None => RevocationStatus::Unknown(format!(
                "the revocation lists of {name:?} are partial and none covers this certificate"
            )),
            Some(list) if !list.is_in_time(now) => RevocationStatus::Unknown(format!(
                "the newest revocation list of {name:?} ({}) ended on {}",
                list.title(),
                timestamp(list.next_update)
            )),
            Some(list) => RevocationStatus::Good {
                until: list.next_update.unix_timestamp() - 1,
            },
        }
    }

    /// How each list is used, in order, when these CAs are trusted.
    #[must_use]
    pub fn uses(
        &self,
        cas: &[&Certificate],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Vec<(&RevocationList, Use)> {
        let signer = |place: usize, it: &SignedList| {
            cas.iter().find(|ca| {
                ca.details.subject == it.list.issuer_raw
                    && self.is_signed_by(place, it, ca, algorithms)
            })
        };
        let places = self.lists.iter().enumerate();
        let signers: Vec<_> = places.map(|(place, it)| signer(place, it)).collect();
        let uses = self.lists.iter().zip(&signers).map(|(it, signer)| {
            let Some(signer) = signer else {
                return (&it.list, Use::NoIssuer);
            };
            let rivals = self.lists.iter().zip(&signers).filter(|(other, by)| {
                by.is_some_and(|by| by.details.spki == signer.details.spki)
                    && other.list.scope == it.list.scope
            });
            let decides = newest(rivals.map(|(other, _)| &other.list))
                .is_some_and(|newest| std::ptr::eq(newest, &raw const it.list));
            (&it.list, if decides { Use::Decides } else { Use::Older })
        });
        uses.collect()
    }

    /// Whether a list of this CA's name was signed by its key.
    pub(crate) fn has_one_of(
        &self,
        ca: &Certificate,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        self.lists.iter().enumerate().any(|(place, it)| {
            it.list.issuer_raw == ca.details.subject && self.is_signed_by(place, it, ca, algorithms)
        })
    }

    /// How many certificates a list names.
    #[must_use]
    pub fn count(&self, list: &RevocationList) -> usize {
        let found = self
            .lists
            .iter()
            .find(|it| std::ptr::eq(&raw const it.list, list));
        found.map_or(0, |it| it.serials.len())
    }

    fn is_signed_by(
        &self,
        place: usize,
        it: &SignedList,
        issuer: &Certificate,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let key = (place, issuer.details.spki_sha256);
        let known = || self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(&key) {
            return *answer;
        }
        let answer = der::signed(&it.der)
            .is_some_and(|signed| key_kind::verifies(&issuer.details.spki, &signed, algorithms));
        let mut known = known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, answer);
        answer
    }
}

impl SignedList {
    fn covers(&self, certificate: &Certificate) -> bool {
        let scope = &self.list.scope;
        if certificate.is_ca && scope.only_users || !certificate.is_ca && scope.only_cas {
            return false;
        }
        scope.points.as_ref().is_none_or(|points| {
            let own = &certificate.details.distribution_points;
            own.iter().any(|point| points.contains(point))
        })
    }
}

/// The newest by number. A list without one is compared by the time it was made.
fn newest<'l>(lists: impl Iterator<Item = &'l RevocationList>) -> Option<&'l RevocationList> {
    let (numbered, others): (Vec<_>, Vec<_>) = lists.partition(|it| it.number.is_some());
    let numbered = numbered.into_iter().max_by_key(|it| {
        let number = it.number.as_deref().unwrap_or_default();
        let start = number
            .iter()
            .position(|byte| *byte != 0)
            .unwrap_or(number.len());
        let number = number.get(start..).unwrap_or_default();
        (number.len(), number, it.this_update)
    });
    let other = others.into_iter().max_by_key(|it| it.this_update);
    numbered
        .into_iter()
        .chain(other)
        .max_by_key(|it| it.this_update)
}

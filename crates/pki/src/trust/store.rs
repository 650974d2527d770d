//! The one computation of trust: [`TrustStore::admit`].
//!
//! It builds one path from the presented leaf to a configured CA such that every certificate of it satisfies everything
//! at once: signatures, dates, basic constraints, usages, name constraints (rustls-webpki), the rules that library leaves
//! out ([`super::rules`]), the revocation lists ([`super::revocation`]) and the deny list. A path that fails any of them
//! is left for the next, so a cross-signed intermediate or a renewed CA counts where it may and only there. All that
//! have to know what the gate would say ask here: handshakes, live connections at a reload, `certs show`, `policy
//! explain`, `check` and `doctor`.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, TrustAnchor,
    UnixTime,
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::cache::ChainCache;
use super::certificate::{Certificate, Purpose};
use super::explain::{PresentedChain, unusable, version};
use super::identity::Identity;
use super::refusal::{Rejection, RejectionReason};
use super::revocation::{Revocation, RevocationStatus};
use super::rules::{JudgedPath, RuleFault};
use super::{Serial, key_kind};

/// Certificates refused by name, whatever their CA says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    /// Serial numbers. They count for a client's certificate and for CAs between it and a configured one.
    pub serials: HashSet<Serial>,
    /// SHA-256 digests of the SubjectPublicKeyInfo. They count for every certificate of a path.
    pub spki_sha256: HashSet<[u8; 32]>,
}

/// The signature algorithms of the cryptographic library that speaks TLS.
#[derive(Clone, Debug)]
pub struct Algorithms {
    /// For signatures of certificates and lists.
    pub certificates: Vec<&'static dyn SignatureVerificationAlgorithm>,
    /// For the signature of a peer in the handshake.
    pub handshake: Vec<&'static dyn SignatureVerificationAlgorithm>,
}

/// A chain that was let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// The last second, since the Unix epoch, at which all that it rests on is in force.
    pub until: i64,
    /// The configured CA it leads to, as text.
    pub ca: String,
}

/// Whom a generation of trust lets in.
#[derive(Debug)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    /// The certificates of `anchors`, in the same order.
    cas: Vec<Certificate>,
    revocation: Revocation,
    denied: DenyList,
    algorithms: Algorithms,
    purpose: Purpose,
    cache: ChainCache,
}

impl TrustStore {
    /// Trusts these CAs, with their revocation lists: when there is one, every issuer must have one.
    ///
    /// # Errors
    /// A sentence for people, when there is no CA, or a CA or a list cannot be read.
    pub fn new(
        cas: &[CertificateDer<'_>],
        lists: Vec<CertificateRevocationListDer<'static>>,
        denied: DenyList,
        algorithms: Algorithms,
    ) -> Result<Self, String> {
        if cas.is_empty() {
            return Err("there is no CA".to_owned());
        }
        let mut anchors = Vec::new();
        let mut read = Vec::new();
        for (position, der) in cas.iter().enumerate() {
            let fail = |what: &str| format!("CA certificate {}: {what}", position + 1);
            read.push(Certificate::read(der).map_err(|error| fail(&error))?);
            let anchor = anchor_from_trusted_cert(der);
            anchors.push(
                anchor
                    .map_err(|_| fail("its encoding is damaged"))?
                    .to_owned(),
            );
        }
        let revocation =
            Revocation::read(lists).map_err(|error| format!("revocation list: {error}"))?;
        Ok(Self {
            anchors,
            cas: read,
            revocation,
            denied,
            algorithms,
            purpose: Purpose::Client,
            cache: ChainCache::default(),
        })
    }

    /// Judges certificates for another purpose than that of clients.
    #[must_use]
    pub fn judging(mut self, purpose: Purpose) -> Self {
        (self.purpose, self.cache) = (purpose, ChainCache::default());
        self
    }

    /// The configured CAs.
    #[must_use]
    pub fn cas(&self) -> &[Certificate] {
        &self.cas
    }

    /// The revocation lists, and how each is used.
    #[must_use]
    pub fn lists(&self) -> Vec<(&super::RevocationList, super::Use)> {
        let cas: Vec<_> = self.cas.iter().collect();
        self.revocation.uses(&cas, &self.algorithms.certificates)
    }

    /// Whether one of the revocation lists is this CA's.
    #[must_use]
    pub fn has_list_of(&self, ca: &Certificate) -> bool {
        self.revocation
            .has_one_of(ca, &self.algorithms.certificates)
    }

    /// How many certificates one of these lists names.
    #[must_use]
    pub fn revoked_by(&self, list: &super::RevocationList) -> usize {
        self.revocation.count(list)
    }

    /// Whom this chain, leaf first, lets in at `now`.
    ///
    /// # Errors
    /// Why it lets in nobody.
    pub fn admit(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<Admitted>, Box<Rejection>> {
        let seconds = seconds(now);
        let key = ChainCache::key(chain);
        if let Some(admitted) = self.cache.get(&key, seconds) {
            return Ok(admitted);
        }
        let Some((leaf, others)) = chain.split_first() else {
            return Err(refuse(
                (RejectionReason::Invalid, "there is none".to_owned()),
                None,
            ));
        };
        let read = Certificate::read(leaf)
            .map_err(|what| refuse((RejectionReason::Invalid, format!("it is {what}")), None))?;
        let admitted = self
            .judge(leaf, &read, others, now)
            .map_err(|fault| refuse(fault, Identity::of(&read).ok()))?;
        let admitted = Arc::new(admitted);
        self.cache.keep(key, seconds, &admitted);
        Ok(admitted)
    }

    fn judge(
        &self,
        der: &CertificateDer<'_>,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Admitted, RuleFault> {
        let damaged = || {
            (
                RejectionReason::Invalid,
                "its encoding is damaged".to_owned(),
            )
        };
        let readable = || others.iter().filter_map(|der| Certificate::read(der).ok());
        let cas: Vec<_> = self.cas.iter().collect();
        let usable =
            |it: &Certificate| key_kind::is_usable(&it.details.spki, &self.algorithms.certificates);
        let explain = |error: &webpki::Error| {
            let others: Vec<_> = readable().collect();
            PresentedChain {
                leaf,
                others: &others,
                cas: &cas,
                usable: &usable,
                now,
            }
            .explain(error)
        };
        if leaf.details.version != 3 {
            return Err(version(leaf));
        }
        let end_entity = EndEntityCert::try_from(der).map_err(|error| explain(&error))?;
        let found = RefCell::new(None);
        let refused = RefCell::new(None);
        let look = |path: &VerifiedPath<'_>| match self.path(leaf, path, seconds(now)) {
            Ok(admitted) => {
                *found.borrow_mut() = Some(admitted);
                Ok(())
            }
            Err(fault) => {
                // The first path tried is the one people mean.
                refused.borrow_mut().get_or_insert(fault);
                Err(webpki::Error::UnknownIssuer)
            }
        };
        let judged = end_entity.verify_for_usage(
            &self.algorithms.certificates,
            &self.anchors,
            others,
            now,
            match self.purpose {
                Purpose::Client => KeyUsage::client_auth(),
                Purpose::Server => KeyUsage::server_auth(),
            },
            None,
            Some(&look),
        );
        match (judged, found.into_inner()) {
            (Ok(_), Some(admitted)) => Ok(admitted),
            (Ok(_), None) => Err(damaged()),
            (Err(error), _) => Err(refused.into_inner().unwrap_or_else(|| explain(&error))),
        }
    }

    /// Judges one path that rustls-webpki has found good.
    fn path(
        &self,
        leaf: &Certificate,
        path: &VerifiedPath<'_>,
        now: i64,
    ) -> Result<Admitted, RuleFault> {
        let read = |der: &CertificateDer<'_>| {
            Certificate::read(der).map_err(|what| {
                (
                    RejectionReason::Invalid,
                    format!("one of its CAs is {what}"),
                )
            })
        };
        let between = path.intermediate_certificates();
        let between: Vec<_> = between
            .map(|it| read(&it.der()))
            .collect::<Result<_, _>>()?;
        let place = self
            .anchors
            .iter()
            .position(|it| std::ptr::eq(it, path.anchor()));
        let anchor = place.and_then(|place| self.cas.get(place));
        let anchor = anchor.ok_or((RejectionReason::UnknownIssuer, String::new()))?;
        let certificates: Vec<_> = std::iter::once(leaf)
            .chain(&between)
            .chain(std::iter::once(anchor))
            .collect();
        JudgedPath {
            certificates: &certificates,
            purpose: self.purpose,
        }
        .check(now)?;
        let listed = self.revoked(&certificates, now)?;
        self.deny(&certificates)?;
        if !key_kind::is_usable(&leaf.details.spki, &self.algorithms.handshake) {
            return Err(unusable(leaf, false));
        }
        let mut identity =
            Identity::of(leaf).map_err(|error| (RejectionReason::Invalid, error.to_string()))?;
        identity.issuer_spki = certificates.get(1).map(|it| it.details.spki_sha256);
        let ends = certificates.iter().map(|it| it.not_after.unix_timestamp());
        Ok(Admitted {
            identity: Arc::new(identity),
            until: ends.chain(listed).min().unwrap_or(i64::MIN),
            ca: anchor.subject.clone(),
        })
    }

    /// Asks the lists about every certificate below the anchor; the last second at which they say the same.
    fn revoked(&self, certificates: &[&Certificate], now: i64) -> Result<Option<i64>, RuleFault> {
        if self.revocation.is_empty() {
            return Ok(None);
        }
        let mut until = None;
        for pair in certificates.windows(2) {
            let [certificate, issuer] = pair else {
                continue;
            };
            let algorithms = &self.algorithms.certificates;
            match self.revocation.status(certificate, issuer, algorithms, now) {
                RevocationStatus::Good { until: end } => {
                    until = Some(until.map_or(end, |it: i64| it.min(end)));
                }
                RevocationStatus::Revoked if std::ptr::eq(*certificate, certificates[0]) => {
                    return Err((RejectionReason::Revoked, String::new()));
                }
                RevocationStatus::Revoked => {
                    let detail = format!("its CA {:?} is", certificate.subject);
                    return Err((RejectionReason::Revoked, detail));
                }
                RevocationStatus::Unknown(detail) => {
                    return Err((RejectionReason::RevocationUnknown, detail));
                }
            }
        }
        Ok(until)
    }

    fn deny(&self, certificates: &[&Certificate]) -> Result<(), RuleFault> {
        for (position, it) in certificates.iter().enumerate() {
            // The configured CAs were chosen by hand, and their numbers mean nothing among those of their clients.
            let by_serial = position + 1 < certificates.len()
                && self.denied.serials.contains(&it.details.serial);
            if by_serial || self.denied.spki_sha256.contains(&it.details.spki_sha256) {
                let detail = if position == 0 {
                    String::new()
                } else {
                    format!("its CA {:?} is", it.subject)
                };
                return Err((RejectionReason::DenyListed, detail));
            }
        }
        Ok(())
    }
}

fn refuse((reason, detail): RuleFault, identity: Option<Identity>) -> Box<Rejection> {
    Box::new(Rejection {
        reason,
        detail,
        identity,
    })
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

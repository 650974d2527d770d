//! Whose key signed a client certificate: policies may pin it (`issuer_spki`), and with several CAs a name alone does not tell.
//! And whether the CA it leads to is in force.
//!
//! The answer is the path that rustls-webpki builds to a configured CA, as it did when the chain was verified: a client may
//! present what it likes beside its leaf, a CA of the true issuer's name and key among it, and only what is on the path counts.

use std::ops::RangeInclusive;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use pki::identity::sha256;

/// The configured CAs.
#[derive(Debug, Default)]
pub struct Issuers {
    known: Vec<Issuer>,
    /// CAs that could not be read; what only they vouch for is not let in on their word.
    unread: usize,
}

#[derive(Debug)]
struct Issuer {
    anchor: TrustAnchor<'static>,
    /// SHA-256 of the SubjectPublicKeyInfo, which the anchor itself holds without its ASN.1 header.
    pin: [u8; 32],
    /// Seconds since the Unix epoch, both ends included. A trust anchor has no dates of its own (RFC 5280 §6.1.1 (d)).
    validity: RangeInclusive<i64>,
}

impl Issuer {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        let validity = cert.validity();
        Some(Self {
            anchor: anchor_from_trusted_cert(der).ok()?.to_owned(),
            pin: sha256(cert.public_key().raw),
            validity: validity.not_before.timestamp()..=validity.not_after.timestamp(),
        })
    }
}

impl Issuers {
    /// Those of a CA file.
    #[must_use]
    pub fn of(cas: &[CertificateDer<'_>]) -> Self {
        let known: Vec<_> = cas.iter().filter_map(Issuer::read).collect();
        let unread = cas.len() - known.len();
        Self { known, unread }
    }

    /// Whether a chain that was verified at `now` ends at a CA that is itself within its validity, as Go (hence dockerd)
    /// demands and rustls-webpki does not.
    #[must_use]
    pub fn in_force(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let current = self.current(now);
        (self.unread == 0 && current.len() == self.known.len())
            || path(leaf, intermediates, &current, now, |_| ()).is_some()
    }

    /// The last second of the CAs that are in force at `now`: what was said then holds no longer.
    #[must_use]
    pub fn until(&self, now: UnixTime) -> u64 {
        let now = seconds(now);
        let current = self.known.iter().filter(|it| it.validity.contains(&now));
        let ends = current.map(|it| u64::try_from(*it.validity.end()).unwrap_or(0));
        ends.min().unwrap_or(0)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the CA that signed a verified leaf. Checks signatures, within webpki's bounds;
    /// remember what it says.
    #[must_use]
    pub fn spki(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Option<[u8; 32]> {
        let now = UnixTime::now();
        path(leaf, intermediates, &self.current(now), now, |path| {
            if let Some(issuer) = path.intermediate_certificates().next() {
                return Some(sha256(&issuer.subject_public_key_info()));
            }
            let issuer = self.known.iter().find(|it| it.anchor == *path.anchor())?;
            Some(issuer.pin)
        })?
    }

    fn current(&self, now: UnixTime) -> Vec<TrustAnchor<'static>> {
        let now = seconds(now);
        let current = self.known.iter().filter(|it| it.validity.contains(&now));
        current.map(|it| it.anchor.clone()).collect()
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// What `seen` says of the path from a leaf to one of the anchors, if there is one.
fn path<T>(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
    seen: impl FnOnce(&VerifiedPath<'_>) -> T,
) -> Option<T> {
    let leaf = EndEntityCert::try_from(leaf).ok()?;
    let path = leaf
        .verify_for_usage(
            aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .all,
            anchors,
            intermediates,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .ok()?;
    Some(seen(&path))
}

#[cfg(test)]
mod tests;

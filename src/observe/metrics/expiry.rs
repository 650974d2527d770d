//! When the gate's own certificates and lists end.

use rustls::pki_types::CertificateDer;

use pki::{Certificate, TrustStore, Use, Validity};
use time::OffsetDateTime;

/// Ends of validity and the moments of the first warnings, in seconds since the Unix epoch, the earliest of each role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// When something ends, by role.
    pub ends: Vec<(&'static str, i64)>,
    /// From when the gate warns of it, by role.
    pub warned_from: Vec<(&'static str, i64)>,
}

impl Expiry {
    /// Reads them off; what cannot be read has been refused elsewhere.
    #[must_use]
    pub fn of(cert_chain: &[CertificateDer<'_>], store: &TrustStore) -> Self {
        let leaf = cert_chain.first();
        let server = leaf.and_then(|der| Certificate::read(der).ok());
        let lists = store.lists();
        let lists = lists.iter().filter(|(_, used)| *used != Use::Older);
        let roles: [(_, Vec<Validity>); 3] = [
            ("server", server.iter().map(Certificate::validity).collect()),
            (
                "ca",
                store.cas().iter().map(Certificate::validity).collect(),
            ),
            ("crl", lists.map(|(list, _)| list.validity()).collect()),
        ];
        let first = |moment: fn(&Validity) -> OffsetDateTime| {
            let of = roles.iter().filter_map(|(role, all)| {
                let first = all.iter().map(moment).min()?;
                Some((*role, first.unix_timestamp()))
            });
            of.collect()
        };
        Self {
            ends: first(|it| it.until),
            warned_from: first(Validity::warned_from),
        }
    }
}

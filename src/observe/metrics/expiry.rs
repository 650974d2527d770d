//! When the gate's own certificates and lists lapse.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// Ends of validity in seconds since the Unix epoch, the earliest of each role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The server's leaf.
    pub server: Option<i64>,
    /// The client CAs.
    pub ca: Option<i64>,
    /// The revocation lists (`nextUpdate`).
    pub crl: Option<i64>,
}

impl Expiry {
    /// Reads them off; what cannot be read has been refused elsewhere.
    #[must_use]
    pub fn of(
        cert_chain: &[CertificateDer<'_>],
        client_ca: &[CertificateDer<'_>],
        crls: &[CertificateRevocationListDer<'_>],
    ) -> Self {
        let end = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der)
                .ok()
                .map(|(_, cert)| cert.validity().not_after.timestamp())
        };
        let next = |der: &CertificateRevocationListDer<'_>| {
            CertificateRevocationList::from_der(der.as_ref())
                .ok()
                .and_then(|(_, list)| list.next_update())
                .map(|at| at.timestamp())
        };
        Self {
            server: cert_chain.first().and_then(end),
            ca: client_ca.iter().filter_map(end).min(),
            crl: crls.iter().filter_map(next).min(),
        }
    }
}

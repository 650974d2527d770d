//! When the gate's own certificates and lists end.

use rustls::pki_types::CertificateDer;

use pki::{Certificate, TrustStore, Use};

/// Ends of validity in seconds since the Unix epoch, the earliest of each role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The server's leaf.
    pub server: Option<i64>,
    /// The client CAs.
    pub ca: Option<i64>,
    /// The revocation lists that decide (`nextUpdate`).
    pub crl: Option<i64>,
}

impl Expiry {
    /// Reads them off; what cannot be read has been refused elsewhere.
    #[must_use]
    pub fn of(cert_chain: &[CertificateDer<'_>], store: &TrustStore) -> Self {
        let leaf = cert_chain.first();
        let server = leaf.and_then(|der| Certificate::read(der).ok());
        let lists = store.lists();
        let lists = lists.iter().filter(|(_, used)| *used != Use::Older);
        Self {
            server: server.map(|it| it.not_after.unix_timestamp()),
            ca: store
                .cas()
                .iter()
                .map(|ca| ca.not_after.unix_timestamp())
                .min(),
            crl: lists
                .map(|(list, _)| list.next_update.unix_timestamp())
                .min(),
        }
    }
}

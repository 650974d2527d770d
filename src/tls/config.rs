//! Builds one generation of trust: the rustls server configuration and the verifier behind it.
//!
//! Each reload builds a new generation; a changed clone would share state with the old one. There is no session resumption:
//! a resumed session is not verified again, so an expired or revoked certificate would live on in it.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

use super::verify::{self, ClientVerifier};
use crate::observe::metrics::Expiry;
use pki::{Algorithms, DenyList, TrustStore};

/// What a generation of trust is made from.
#[derive(Debug)]
pub struct Material {
    /// The server's chain, leaf first.
    pub cert_chain: Vec<CertificateDer<'static>>,
    /// The private key of that leaf.
    pub key: PrivateKeyDer<'static>,
    /// The CAs whose client certificates are let in.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Revocation lists; when there is one, every client's issuer must have one.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// The deny list.
    pub denied: DenyList,
}

/// One generation of trust.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Who is let in.
    pub store: Arc<TrustStore>,
    /// When its parts end, for the gauges.
    pub expiry: Expiry,
    provider: Arc<CryptoProvider>,
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    server: Arc<SingleCertAndKey>,
}

/// Material that rustls refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TrustError {
    what: &'static str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn fault<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> TrustError {
    move |source| TrustError {
        what,
        source: Some(source.into()),
    }
}

impl TrustError {
    /// What the CAs and lists of clients have wrong.
    pub(crate) fn of_clients(what: String) -> Self {
        fault("the client CA or its revocation lists cannot be used")(what)
    }
}

impl Trust {
    /// Builds a generation.
    ///
    /// # Errors
    /// When a CA certificate cannot serve as trust anchor, no CA is given, a CRL cannot be read, or the key does not fit.
    pub fn build(material: Material) -> Result<Self, TrustError> {
        let provider = Arc::new(provider());
        let chain = &material.cert_chain;
        let certified = CertifiedKey::from_der(chain.clone(), material.key, &provider).map_err(
            fault("the server certificate and its key do not go together"),
        )?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(fault("TLS versions"))?;
        let store = trust_store(&material.client_ca, material.crls, material.denied).map_err(
            fault("the client CA or its revocation lists cannot be used"),
        )?;
        let expiry = Expiry::of(chain, &store);
        Ok(Self {
            store: Arc::new(store),
            expiry,
            provider,
            builder,
            server: Arc::new(certified.into()),
        })
    }

    /// The server side of one handshake, and its verifier, which keeps what the handshake found.
    #[must_use]
    pub fn handshake(&self) -> (Arc<ServerConfig>, Arc<ClientVerifier>) {
        let supported = self.provider.signature_verification_algorithms;
        let verifier = Arc::new(ClientVerifier::new(self.store.clone(), supported));
        let mut server = self
            .builder
            .clone()
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(self.server.clone());
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.ignore_client_order = true;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        (Arc::new(server), verifier)
    }
}

/// Trust in these CAs, judged with the cryptography that dockgate serves with.
///
/// # Errors
/// A sentence, when there is no CA, or a CA or a list cannot be read.
pub fn trust_store(
    cas: &[CertificateDer<'_>],
    lists: Vec<CertificateRevocationListDer<'static>>,
    denied: DenyList,
) -> Result<TrustStore, String> {
    let supported = provider().signature_verification_algorithms;
    TrustStore::new(cas, lists, denied, verify::algorithms(&supported))
}

/// The signature algorithms that dockgate accepts, SHA-1 not among them.
#[must_use]
pub fn algorithms() -> Algorithms {
    verify::algorithms(&provider().signature_verification_algorithms)
}

/// AES-128-GCM first: it is what Docker's own clients prefer, and bulk streams cost a quarter less than with AES-256.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    }
}

//! Builds one generation of trust: the rustls server configuration and the verifier behind it.
//!
//! Each reload builds a new generation; a changed clone would share state with the old one. There is no session resumption:
//! a resumed session is not verified again, so an expired or revoked certificate would live on in it.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::issuer::Issuers;
use super::verify::{Denied, GateVerifier, Memo};
use crate::observe::metrics::Expiry;

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
    pub denied: Denied,
}

/// One generation of trust.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For handshakes.
    pub server: Arc<ServerConfig>,
    /// For judging live connections again.
    pub verifier: Arc<GateVerifier>,
    /// When its parts lapse, for the gauges.
    pub expiry: Expiry,
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

impl Trust {
    /// Builds a generation.
    ///
    /// # Errors
    /// When a CA certificate cannot serve as trust anchor, there is none, a CRL cannot be read, or the key does not fit.
    pub fn build(material: Material) -> Result<Self, TrustError> {
        let provider = Arc::new(provider());
        let expiry = Expiry::of(&material.cert_chain, &material.client_ca, &material.crls);
        let issuers = Issuers::of(&material.client_ca);
        let mut roots = RootCertStore::empty();
        for ca in material.client_ca {
            roots.add(ca).map_err(fault(
                "a client CA certificate cannot serve as trust anchor",
            ))?;
        }
        let memo = Memo::new(&material.crls);
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if !material.crls.is_empty() {
            // Unknown status and a lapsed list both refuse: fail closed, since a revoked client would gain from either.
            verifier = verifier
                .with_crls(material.crls)
                .enforce_revocation_expiration();
        }
        let inner = verifier
            .build()
            .map_err(fault("the client CA or its CRLs cannot be used"))?;
        let verifier = Arc::new(GateVerifier::new(inner, material.denied, issuers, memo));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(fault("TLS versions"))?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(material.cert_chain, material.key)
            .map_err(fault(
                "the server certificate and its key do not go together",
            ))?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.ignore_client_order = true;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            server: Arc::new(server),
            verifier,
            expiry,
        })
    }
}

/// AES-128-GCM first: it is what Docker's own clients prefer, and bulk streams cost a quarter less than with AES-256.
fn provider() -> CryptoProvider {
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

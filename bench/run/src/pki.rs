//! Throwaway certificates for one run: a CA, a server (ECDSA P-256 and RSA-2048) and some clients (ECDSA P-256).

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};

/// Which key the server shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerKey {
    /// ECDSA on P-256: what dockgate makes.
    Ecdsa,
    /// RSA with 2,048 bits: what many older guides make.
    Rsa,
}

/// Client certificates, used in turn: thousands of connections come from several clients, and dockgate bounds what one may
/// open.
pub(crate) const CLIENTS: usize = 8;

/// Where the files of one run are.
pub(crate) struct Pki {
    /// The trust anchor of both sides.
    pub(crate) ca: PathBuf,
    directory: PathBuf,
}

impl Pki {
    /// Makes everything in `directory`.
    pub(crate) fn make(directory: &Path) -> Result<Self, String> {
        make(directory)
            .map_err(|e| format!("cannot make certificates in {}: {e}", directory.display()))
    }

    /// The server's certificate.
    pub(crate) fn server_cert(&self, key: ServerKey) -> PathBuf {
        self.directory
            .join(format!("server-{}-cert.pem", label(key)))
    }

    /// The server's key.
    pub(crate) fn server_key(&self, key: ServerKey) -> PathBuf {
        self.directory
            .join(format!("server-{}-key.pem", label(key)))
    }

    /// The certificate of a client, by its number.
    pub(crate) fn client_cert(&self, client: usize) -> PathBuf {
        self.directory.join(format!("client-{client}-cert.pem"))
    }

    /// The key of a client, by its number.
    pub(crate) fn client_key(&self, client: usize) -> PathBuf {
        self.directory.join(format!("client-{client}-key.pem"))
    }

    /// Certificate and key in one file, as HAProxy wants them.
    pub(crate) fn server_both(&self, key: ServerKey) -> PathBuf {
        self.directory
            .join(format!("server-{}-both.pem", label(key)))
    }
}

fn label(key: ServerKey) -> &'static str {
    match key {
        ServerKey::Ecdsa => "ecdsa",
        ServerKey::Rsa => "rsa",
    }
}

fn make(directory: &Path) -> Result<Pki, Box<dyn std::error::Error>> {
    let mut params = named("dockgate bench CA", &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer =
        CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;
    let pki = Pki {
        ca: directory.join("ca.pem"),
        directory: directory.to_path_buf(),
    };
    fs::write(&pki.ca, issuer.pem())?;
    for (key, algorithm) in [
        (ServerKey::Ecdsa, &PKCS_ECDSA_P256_SHA256),
        (ServerKey::Rsa, &PKCS_RSA_SHA256),
    ] {
        let pair = KeyPair::generate_for(algorithm)?;
        let mut params = named("localhost", &["localhost", "127.0.0.1"])?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = params.signed_by(&pair, &issuer)?.pem();
        fs::write(pki.server_cert(key), &cert)?;
        fs::write(pki.server_key(key), pair.serialize_pem())?;
        fs::write(pki.server_both(key), cert + &pair.serialize_pem())?;
    }
    for client in 0..CLIENTS {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = named(&format!("bench {client}"), &[])?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&pair, &issuer)?.pem();
        fs::write(pki.client_cert(client), cert)?;
        fs::write(pki.client_key(client), pair.serialize_pem())?;
    }
    Ok(pki)
}

fn named(common_name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

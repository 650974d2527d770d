//! A throwaway CA, a server, and clients by name.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a client presents.
pub(crate) struct Credential {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// The suite's certificates.
pub(crate) struct Pki {
    ca: Issuer<'static, KeyPair>,
    pub(crate) ca_der: CertificateDer<'static>,
    /// `ca.pem`, `server-cert.pem`, `server-key.pem`.
    pub(crate) dir: PathBuf,
}

impl Pki {
    /// Makes a CA, named after `dir`, and a server in it.
    pub(crate) fn create(dir: &Path) -> Self {
        Self::named(dir, &dir.display().to_string())
    }

    /// The same, where the CA has this name.
    pub(crate) fn named(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).expect("a CA");
        fs::write(dir.join("ca.pem"), cert.pem()).expect("written");
        let pki = Self {
            ca_der: cert.der().clone(),
            ca: Issuer::new(params, key),
            dir: dir.to_owned(),
        };
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("names");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let cert = server.signed_by(&key, &pki.ca).expect("a server");
        fs::write(dir.join("server-cert.pem"), cert.pem()).expect("written");
        fs::write(dir.join("server-key.pem"), key.serialize_pem()).expect("written");
        pki
    }

    /// A client with this common name and serial number.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Credential {
        self.client_with(name, serial, |_| {})
    }

    /// The same, with more in its certificate.
    pub(crate) fn client_with(
        &self,
        name: &str,
        serial: u64,
        more: impl FnOnce(&mut CertificateParams),
    ) -> Credential {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial.into());
        more(&mut params);
        let cert = params.signed_by(&key, &self.ca).expect("a client");
        Credential {
            chain: vec![cert.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }
}

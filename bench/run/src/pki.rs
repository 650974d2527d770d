//! Throwaway certificates for one run, by the tests' CA: a server (ECDSA P-256 and RSA-2048) and some clients (ECDSA P-256).

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_RSA_SHA256};
use testkit::pki::{Credential, Pki};

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

/// The certificates of one run.
pub(crate) struct BenchPki {
    /// The trust anchor of both sides.
    pub(crate) ca: PathBuf,
    made: Pki,
    clients: Vec<Credential>,
}

impl BenchPki {
    /// Makes everything in `directory`.
    pub(crate) fn make(directory: &Path) -> Result<Self, String> {
        let made = Pki::named(directory, "dockgate bench CA");
        let clients =
            (0..CLIENTS).map(|client| made.client(&format!("bench {client}"), 10 + client as u64));
        let pki = Self {
            ca: directory.join("ca.pem"),
            clients: clients.collect(),
            made,
        };
        let failed = |e: &dyn std::fmt::Display| {
            format!("cannot make certificates in {}: {e}", directory.display())
        };
        pki.rsa_server().map_err(|e| failed(&e))?;
        for key in [ServerKey::Ecdsa, ServerKey::Rsa] {
            let read = |path| fs::read_to_string(path).map_err(|e| failed(&e));
            let both = read(pki.server_cert(key))? + &read(pki.server_key(key))?;
            fs::write(pki.server_both(key), both).map_err(|e| failed(&e))?;
        }
        Ok(pki)
    }

    /// The same names as the other server's, with the other kind of key.
    fn rsa_server(&self) -> Result<(), Box<dyn std::error::Error>> {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&pair, &self.made.issuer)?;
        fs::write(self.server_cert(ServerKey::Rsa), cert.pem())?;
        fs::write(self.server_key(ServerKey::Rsa), pair.serialize_pem())?;
        Ok(())
    }

    fn file(&self, key: ServerKey, kind: &str) -> PathBuf {
        let name = match key {
            ServerKey::Ecdsa => "server",
            ServerKey::Rsa => "server-rsa",
        };
        self.made.dir.join(format!("{name}-{kind}.pem"))
    }

    /// The server's certificate.
    pub(crate) fn server_cert(&self, key: ServerKey) -> PathBuf {
        self.file(key, "cert")
    }

    /// The server's key.
    pub(crate) fn server_key(&self, key: ServerKey) -> PathBuf {
        self.file(key, "key")
    }

    /// Certificate and key in one file, as HAProxy wants them.
    pub(crate) fn server_both(&self, key: ServerKey) -> PathBuf {
        self.file(key, "both")
    }

    /// The CA's certificate, and what a client presents, by its number.
    pub(crate) fn client(
        &self,
        client: usize,
    ) -> (rustls::pki_types::CertificateDer<'static>, Credential) {
        (self.made.ca.clone(), self.clients[client % CLIENTS].clone())
    }
}

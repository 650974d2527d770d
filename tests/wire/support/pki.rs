//! A throwaway CA, one server and one client certificate, shared by all tests of the process.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) struct Pki {
    ca: String,
    cert: String,
    key: String,
    pub(crate) client: Arc<rustls::ClientConfig>,
}

impl Pki {
    pub(crate) fn shared() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(Self::make)
    }

    fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "wire CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = |name: &str, usage| {
            let mut params =
                CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let (server, server_key) = leaf("wire server", ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = leaf("wire client", ExtendedKeyUsagePurpose::ClientAuth);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from(client.der().to_vec())],
                PrivateKeyDer::try_from(client_key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.resumption = Resumption::disabled();
        Self {
            ca: ca.pem(),
            cert: server.pem(),
            key: server_key.serialize_pem(),
            client: Arc::new(config),
        }
    }

    /// Writes the server's three files, and gives the flags that name them.
    pub(crate) fn write(&self, dir: &Path) -> Vec<String> {
        let mut flags = Vec::new();
        for (flag, name, text) in [
            ("--tlscacert", "ca.pem", &self.ca),
            ("--tlscert", "cert.pem", &self.cert),
            ("--tlskey", "key.pem", &self.key),
        ] {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            flags.extend([flag.to_owned(), path.display().to_string()]);
        }
        flags
    }
}

//! A throwaway CA, a server, and clients by name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};

use crate::programs::{dockgate, said};

/// What a client presents.
pub struct Credential {
    /// Its common name.
    pub name: String,
    /// Its chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credential {
    /// From rcgen's parts.
    pub fn of(name: &str, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self {
            name: name.to_owned(),
            chain,
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    /// From the `cert.pem` and `key.pem` of a directory.
    #[track_caller]
    pub fn read(folder: &Path, name: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).expect("a chain");
        Self {
            name: name.to_owned(),
            chain: chain.collect::<Result<_, _>>().expect("certificates"),
            key: PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key"),
        }
    }

    /// The `ca.pem` beside them.
    #[track_caller]
    pub fn ca(folder: &Path) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a CA")
    }

    /// What the gate reads of it.
    pub fn identity(&self) -> ::pki::identity::Identity {
        ::pki::identity::Identity::from_der(&self.chain[0]).expect("a certificate")
    }
}

/// A CA with its server in a directory, and the clients it makes.
pub struct Pki {
    /// With `ca.pem`, `server-cert.pem` and `server-key.pem`.
    pub dir: PathBuf,
    /// The CA's certificate.
    pub ca: CertificateDer<'static>,
    /// The CA with its key.
    pub issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes a CA, named after `dir`, and a server in it.
    pub fn create(dir: &Path) -> Self {
        Self::named(dir, &dir.display().to_string())
    }

    /// The same, where the CA has this name.
    pub fn named(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key).expect("a CA");
        let pki = Self {
            dir: dir.to_owned(),
            ca: cert.der().clone(),
            issuer: Issuer::new(params, key),
        };
        pki.write("ca.pem", &cert.pem());
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("names");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let cert = server.signed_by(&key, &pki.issuer).expect("a server");
        pki.write("server-cert.pem", &cert.pem());
        pki.write("server-key.pem", &key.serialize_pem());
        pki
    }

    /// A CA and a server by `dockgate certs init`, with everything that keeps beside them.
    #[track_caller]
    pub fn by_dockgate(dir: &Path, name: &str) -> Self {
        let at = dir.to_str().expect("UTF-8");
        certs(&["init", "--dir", at, "--san", "localhost", "--ca-name", name]);
        Self::in_directory(dir)
    }

    /// The CA whose certificate and key are in a directory.
    #[must_use]
    pub fn in_directory(dir: &Path) -> Self {
        let pem = fs::read_to_string(dir.join("ca.pem")).expect("a CA");
        let key = fs::read_to_string(dir.join("ca-key.pem")).expect("its key");
        let key = KeyPair::from_pem(&key).expect("a key");
        Self {
            dir: dir.to_owned(),
            ca: CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate"),
            issuer: Issuer::from_ca_cert_pem(&pem, key).expect("an issuer"),
        }
    }

    /// The text of one of its files.
    #[track_caller]
    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).expect(file)
    }

    /// Writes one of its files, readable by its owner alone.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        fs::write(&path, text).expect(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode 0600");
    }

    /// The options of `serve` that name the server's three files.
    pub fn options(&self) -> [String; 6] {
        let path = |file: &str| self.dir.join(file).display().to_string();
        [
            "--tlscacert".into(),
            path("ca.pem"),
            "--tlscert".into(),
            path("server-cert.pem"),
            "--tlskey".into(),
            path("server-key.pem"),
        ]
    }

    /// `dockgate certs COMMAND …` in its directory, which must work.
    #[track_caller]
    pub fn certs(&self, arguments: &[&str]) {
        let mut all = arguments.to_vec();
        all.extend(["--dir", self.dir.to_str().expect("UTF-8")]);
        certs(&all);
    }

    /// A client by `dockgate certs client`.
    #[track_caller]
    pub fn client_by_dockgate(&self, name: &str, options: &[&str]) -> Credential {
        self.certs(&[&["client", name], options].concat());
        Credential::read(&self.dir.join("clients").join(name), name)
    }

    /// A client of this common name and serial number.
    pub fn client(&self, name: &str, serial: u64) -> Credential {
        self.client_with(name, |params| params.serial_number = Some(serial.into()))
    }

    /// A client with more in its certificate, or less.
    pub fn client_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Credential {
        let mut params = leaf(name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a client");
        Credential::of(name, vec![cert.der().clone()], &key)
    }

    /// A revocation list of this number that names `revoked` and is to be replaced at `until`.
    pub fn list(
        &self,
        number: u64,
        revoked: &[&Credential],
        until: OffsetDateTime,
    ) -> rcgen::CertificateRevocationList {
        let since = OffsetDateTime::now_utc() - Duration::days(2);
        self.list_since(since, number, revoked, until)
    }

    /// The same list as if it had been made at `since`.
    pub fn list_since(
        &self,
        since: OffsetDateTime,
        number: u64,
        revoked: &[&Credential],
        until: OffsetDateTime,
    ) -> rcgen::CertificateRevocationList {
        let now = OffsetDateTime::now_utc();
        let serial = |who: &&Credential| {
            let hex = who.identity().serial.clone();
            let even = if hex.len() % 2 == 1 {
                format!("0{hex}")
            } else {
                hex
            };
            data_encoding::HEXLOWER
                .decode(even.as_bytes())
                .expect("hex")
        };
        let params = CertificateRevocationListParams {
            this_update: since,
            next_update: until,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|who| RevokedCertParams {
                    serial_number: SerialNumber::from(serial(who)),
                    revocation_time: now - Duration::hours(1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list")
    }

    /// How a client that trusts this CA connects, over any version of TLS.
    pub fn config(&self, who: Option<&Credential>) -> Arc<ClientConfig> {
        client_config(
            std::slice::from_ref(&self.ca),
            who,
            rustls::DEFAULT_VERSIONS,
        )
    }
}

/// How a client connects that trusts `roots` and presents `who`, without resumption.
pub fn client_config(
    roots: &[CertificateDer<'static>],
    who: Option<&Credential>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).expect("a trust anchor");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(store);
    let mut config = match who {
        Some(who) => builder
            .with_client_auth_cert(who.chain.clone(), who.key.clone_key())
            .expect("a credential"),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// A client certificate's parameters: in force since two days, for sixty more.
pub fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(2);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(60);
    params.use_authority_key_identifier_extension = true;
    params
}

/// Runs `dockgate certs …`, which must work.
#[track_caller]
pub fn certs(arguments: &[&str]) {
    let output = dockgate()
        .arg("certs")
        .args(arguments)
        .output()
        .expect("start dockgate");
    assert!(
        output.status.success(),
        "certs {arguments:?}: {}",
        said(&output)
    );
}

//! A CA made by `dockgate certs`, its clients, and odd certificates under the same CA by rcgen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// What a client presents.
pub(crate) struct Credential {
    pub(crate) name: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Credential {
    /// From rcgen's parts.
    pub(crate) fn of(name: &str, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self {
            name: name.to_owned(),
            chain,
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    /// What the gate calls it.
    pub(crate) fn identity(&self) -> pki::identity::Identity {
        pki::identity::Identity::from_der(&self.chain[0]).expect("a certificate")
    }
}

/// A CA and all that `dockgate certs` keeps beside it.
pub(crate) struct Pki {
    pub(crate) dir: PathBuf,
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// Runs `dockgate certs`, which must work.
#[track_caller]
pub(crate) fn certs(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .env_clear()
        .arg("certs")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("dockgate runs");
    assert!(output.status.success(), "certs {arguments:?}: {output:?}");
}

impl Pki {
    /// `dockgate certs init` in `dir`.
    pub(crate) fn create(dir: &Path, name: &str) -> Self {
        let at = dir.to_str().expect("text");
        certs(&["init", "--dir", at, "--san", "localhost", "--ca-name", name]);
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
    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).expect(file)
    }

    /// `dockgate certs COMMAND ARGUMENT` here.
    pub(crate) fn certs(&self, arguments: &[&str]) {
        let mut all = arguments.to_vec();
        all.extend(["--dir", self.dir.to_str().expect("text")]);
        certs(&all);
    }

    /// A client by `dockgate certs client`.
    pub(crate) fn client(&self, name: &str, options: &[&str]) -> Credential {
        self.certs(&[&["client", name], options].concat());
        let folder = self.dir.join("clients").join(name);
        let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).expect("a chain");
        Credential {
            name: name.to_owned(),
            chain: chain.collect::<Result<_, _>>().expect("certificates"),
            key: PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key"),
        }
    }

    /// A client that `dockgate certs` would not make.
    pub(crate) fn odd(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Credential {
        let mut params = leaf(name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Credential::of(name, vec![cert.der().clone()], &key)
    }

    /// A revocation list that names `revoked` and lapses at `until`.
    pub(crate) fn list(
        &self,
        number: u64,
        revoked: &[&Credential],
        until: OffsetDateTime,
    ) -> rcgen::CertificateRevocationList {
        let now = OffsetDateTime::now_utc();
        let serial = |who: &&Credential| {
            let hex = who.identity().serial.clone();
            let hex = if hex.len() % 2 == 1 {
                format!("0{hex}")
            } else {
                hex
            };
            data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex")
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::days(2),
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
}

/// A client certificate's parameters.
pub(crate) fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(2);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(60);
    params.use_authority_key_identifier_extension = true;
    params
}

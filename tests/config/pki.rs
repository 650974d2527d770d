//! Throwaway certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dockgate::config::TlsPaths;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

pub(crate) struct DoctorPki {
    dir: TempDir,
    pub(crate) ca: CertifiedIssuer<'static, KeyPair>,
    pub(crate) key: KeyPair,
    pub(crate) server: Certificate,
}

impl DoctorPki {
    /// A CA and a server certificate in one directory, in the layout of Docker's guide.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub(crate) fn with(
        ca: impl FnOnce(&mut CertificateParams),
        server: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca_params("Test CA");
        ca(&mut params);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "gate");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        lasting(&mut params, 0, 100);
        server(&mut params);
        let key = KeyPair::generate().unwrap();
        let server = params.signed_by(&key, &ca).unwrap();
        let pki = Self {
            dir: TempDir::new().unwrap(),
            ca,
            key,
            server,
        };
        pki.write("ca.pem", pki.ca.pem());
        pki.write("server-cert.pem", pki.server.pem());
        pki.write("server-key.pem", pki.key.serialize_pem());
        pki
    }

    pub(crate) fn paths(&self) -> TlsPaths {
        TlsPaths {
            ca: self.path("ca.pem"),
            cert: self.path("server-cert.pem"),
            key: self.path("server-key.pem"),
            crl: Vec::new(),
            crl_if_present: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A revocation list in force that names these certificates.
    pub(crate) fn crl_of(
        &self,
        revoked: Vec<RevokedCertParams>,
    ) -> rcgen::CertificateRevocationList {
        self.list(60, revoked)
    }

    /// An empty revocation list whose next update is due in some days.
    pub(crate) fn crl(&self, days: i64) -> rcgen::CertificateRevocationList {
        self.list(days, Vec::new())
    }

    fn list(&self, days: i64, revoked: Vec<RevokedCertParams>) -> rcgen::CertificateRevocationList {
        let now = OffsetDateTime::now_utc();
        CertificateRevocationListParams {
            this_update: now - Duration::days(30),
            next_update: now + Duration::days(days),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.ca)
        .unwrap()
    }
}

pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, -1, 1000);
    params
}

/// Valid from `from` to `to` days from now.
pub(crate) fn lasting(params: &mut CertificateParams, from: i64, to: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now + Duration::days(from) - Duration::minutes(5);
    params.not_after = now + Duration::days(to);
}

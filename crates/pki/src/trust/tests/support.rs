//! CAs, clients and lists around one moment.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use time::OffsetDateTime;

use super::super::{Admitted, Algorithms, DenyList, Rejection, RejectionReason, TrustStore};

/// 2030-01-01, the moment around which the certificates here are valid.
pub(super) const NOON: u64 = 1_893_456_000;

pub(super) type Der = CertificateDer<'static>;
pub(super) type ListDer = CertificateRevocationListDer<'static>;

pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub(super) fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).expect("in range"))
        .expect("in range")
}

/// A CA.
pub(super) struct TestCa {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) der: Der,
}

pub(super) fn params(name: &str, until: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(NOON - 1000);
    params.not_after = date(until);
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn ca_params(name: &str, until: u64) -> CertificateParams {
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A CA, by another one or by itself.
pub(super) fn authority(name: &str, until: u64, above: Option<&TestCa>) -> TestCa {
    authority_of(ca_params(name, until), above)
}

/// The same from given parameters.
pub(super) fn authority_of(params: CertificateParams, above: Option<&TestCa>) -> TestCa {
    let key = KeyPair::generate().expect("a key");
    with_key(params, key, above)
}

/// The same with a given key.
pub(super) fn with_key(params: CertificateParams, key: KeyPair, above: Option<&TestCa>) -> TestCa {
    let cert = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    }
    .expect("a certificate");
    TestCa {
        der: cert.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

pub(super) fn leaf_params(name: &str, until: u64) -> CertificateParams {
    let mut params = params(name, until);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from(vec![7]));
    params
}

pub(super) fn leaf(name: &str, until: u64, by: &TestCa) -> Der {
    leaf_of(&leaf_params(name, until), by)
}

pub(super) fn leaf_of(params: &CertificateParams, by: &TestCa) -> Der {
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, &by.issuer).expect("a certificate");
    cert.der().clone()
}

/// A critical or other extension with these contents.
pub(super) fn extension(oid: &[u64], contents: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, contents.to_vec());
    extension.set_criticality(critical);
    extension
}

/// A list with this number, until then, that names these serial numbers.
pub(super) fn list(number: u64, next: u64, revoked: &[u8], by: &TestCa) -> ListDer {
    let params = CertificateRevocationListParams {
        this_update: date(NOON - 1000 + number),
        next_update: date(next),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(vec![*serial]),
                revocation_time: date(NOON - 1000),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&by.issuer).expect("a list").der().clone()
}

pub(super) fn algorithms() -> Algorithms {
    let all = webpki::ALL_VERIFICATION_ALGS.to_vec();
    Algorithms {
        certificates: all.clone(),
        handshake: all,
    }
}

pub(super) fn store(cas: &[&TestCa], lists: Vec<ListDer>) -> TrustStore {
    denying(cas, lists, DenyList::default())
}

pub(super) fn denying(cas: &[&TestCa], lists: Vec<ListDer>, denied: DenyList) -> TrustStore {
    let ders: Vec<_> = cas.iter().map(|ca| ca.der.clone()).collect();
    TrustStore::new(&ders, lists, denied, algorithms()).expect("a store")
}

/// Admits a leaf with what comes with it.
pub(super) fn ask(
    store: &TrustStore,
    leaf: &Der,
    above: &[&TestCa],
    now: u64,
) -> Result<Arc<Admitted>, Box<Rejection>> {
    let above = above.iter().map(|ca| ca.der.clone());
    let chain: Vec<_> = std::iter::once(leaf.clone()).chain(above).collect();
    store.admit(&chain, at(now))
}

/// The reason of a refusal.
#[track_caller]
pub(super) fn reason(asked: Result<Arc<Admitted>, Box<Rejection>>) -> RejectionReason {
    asked.expect_err("it must be refused").reason
}

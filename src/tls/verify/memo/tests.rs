//! Time is given to the verifier, so its edges are tested to the second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DistinguishedName, Error, RootCertStore};
use time::OffsetDateTime;

use super::super::{Denied, GateVerifier, Reason};
use super::{MOST, Memo};
use crate::tls::issuer::Issuers;
use crate::tls::signatures;

/// 2030-01-01, the moment around which the certificates here are valid.
const NOON: u64 = 1_893_456_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).expect("in range"))
        .expect("in range")
}

/// The real verifier, and how often it was asked.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ClientCertVerifier>,
    asked: AtomicUsize,
}

impl ClientCertVerifier for Counting {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.asked.fetch_add(1, SeqCst);
        self.inner.verify_client_cert(leaf, intermediates, now)
    }

    signatures::left_to!(inner);
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn params(name: &str, until: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.not_before = date(NOON - 1000);
    params.not_after = date(until);
    params
}

fn authority(name: &str, until: u64, above: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let cert = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    }
    .expect("a certificate");
    Authority {
        der: cert.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

fn leaf(name: &str, until: u64, by: &Authority) -> CertificateDer<'static> {
    let mut params = params(name, until);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(vec![7]));
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, &by.issuer).expect("a certificate");
    cert.der().clone()
}

fn list(next: u64, by: &Authority) -> CertificateRevocationListDer<'static> {
    let params = CertificateRevocationListParams {
        this_update: date(NOON - 1000),
        next_update: date(next),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&by.issuer).expect("a list").der().clone()
}

/// A verifier that trusts `root`, and what counts its work.
fn verifier(
    root: &Authority,
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> (GateVerifier, Arc<Counting>) {
    trusting(&[root], crls)
}

/// The same with several CAs.
fn trusting(
    cas: &[&Authority],
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> (GateVerifier, Arc<Counting>) {
    let mut roots = RootCertStore::empty();
    let ders: Vec<_> = cas.iter().map(|ca| ca.der.clone()).collect();
    for der in &ders {
        roots.add(der.clone()).expect("a trust anchor");
    }
    let memo = Memo::new(&crls);
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    if !crls.is_empty() {
        builder = builder.with_crls(crls).enforce_revocation_expiration();
    }
    let counting = Arc::new(Counting {
        inner: builder.build().expect("a verifier"),
        asked: AtomicUsize::new(0),
    });
    let gate = GateVerifier::new(
        counting.clone(),
        Denied::default(),
        Issuers::of(&ders),
        memo,
    );
    (gate, counting)
}

impl Counting {
    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

#[test]
fn a_chain_is_verified_once_and_every_other_chain_for_itself() {
    let root = authority("root", NOON + 1000, None);
    let (gate, counting) = verifier(&root, Vec::new());
    let (one, two) = (
        leaf("one", NOON + 500, &root),
        leaf("two", NOON + 500, &root),
    );
    for _ in 0..3 {
        gate.judge(&one, &[], at(NOON)).expect("one is good");
    }
    assert_eq!(counting.asked(), 1);
    gate.judge(&two, &[], at(NOON)).expect("two is good");
    assert_eq!(counting.asked(), 2);
    // The same leaf with other certificates beside it is another chain.
    gate.judge(&one, std::slice::from_ref(&root.der), at(NOON))
        .expect("one is good");
    assert_eq!(counting.asked(), 3);
}

#[test]
fn a_leaf_is_refused_in_the_second_after_its_end_though_it_was_remembered() {
    let root = authority("root", NOON + 1000, None);
    let (gate, counting) = verifier(&root, Vec::new());
    let one = leaf("one", NOON + 500, &root);
    gate.judge(&one, &[], at(NOON)).expect("good");
    gate.judge(&one, &[], at(NOON + 500))
        .expect("its last second");
    assert_eq!(counting.asked(), 1);
    let refused = gate.judge(&one, &[], at(NOON + 501)).expect_err("over");
    assert_eq!(refused.0.reason, Reason::Expired);
    // A clock that goes back is believed, but not from memory.
    gate.judge(&one, &[], at(NOON - 1))
        .expect("still valid then");
    let refused = gate
        .judge(&one, &[], at(NOON - 1001))
        .expect_err("before its time");
    assert_eq!(refused.0.reason, Reason::NotYetValid);
}

#[test]
fn an_intermediate_that_ends_first_ends_what_was_remembered() {
    let root = authority("root", NOON + 1000, None);
    let middle = authority("middle", NOON + 100, Some(&root));
    let one = leaf("one", NOON + 500, &middle);
    let (gate, counting) = verifier(&root, Vec::new());
    let above = [middle.der.clone()];
    gate.judge(&one, &above, at(NOON)).expect("good");
    gate.judge(&one, &above, at(NOON + 100))
        .expect("the last second");
    assert_eq!(counting.asked(), 1);
    let refused = gate.judge(&one, &above, at(NOON + 101)).expect_err("over");
    assert_eq!(refused.0.reason, Reason::Expired);
}

#[test]
fn a_ca_that_ends_ends_what_it_vouched_for_and_nothing_else() {
    let (old, new) = (
        authority("old", NOON + 100, None),
        authority("new", NOON + 1000, None),
    );
    let (by_old, by_new) = (leaf("one", NOON + 500, &old), leaf("two", NOON + 500, &new));
    let (gate, counting) = trusting(&[&old, &new], Vec::new());
    for one in [&by_old, &by_new] {
        gate.judge(one, &[], at(NOON)).expect("good");
        gate.judge(one, &[], at(NOON + 100))
            .expect("the last second");
    }
    assert_eq!(counting.asked(), 2);
    let refused = gate.judge(&by_old, &[], at(NOON + 101)).expect_err("over");
    assert_eq!(refused.0.reason, Reason::IssuerExpired);
    for _ in 0..2 {
        gate.judge(&by_new, &[], at(NOON + 101)).expect("good");
    }
    assert_eq!(counting.asked(), 4);
    // What it signed for another CA goes no further either, and presenting the old one with the leaf does not revive it.
    let above = [old.der.clone()];
    let refused = gate
        .judge(&by_old, &above, at(NOON + 101))
        .expect_err("over");
    assert_eq!(refused.0.reason, Reason::IssuerExpired);
    // Before its time it vouches for nobody either: the leaf's own dates say the same here, so it is one with longer ones.
    let (late, early) = (
        authority("late", NOON + 1000, None),
        params("early", NOON + 500),
    );
    let key = KeyPair::generate().expect("a key");
    let mut early = early;
    early.not_before = date(NOON - 5000);
    let early = early.signed_by(&key, &late.issuer).expect("a certificate");
    let (gate, _) = verifier(&late, Vec::new());
    let refused = gate
        .judge(early.der(), &[], at(NOON - 1001))
        .expect_err("too early");
    assert_eq!(refused.0.reason, Reason::IssuerExpired);
    gate.judge(early.der(), &[], at(NOON - 1000)).expect("now");
}

#[test]
fn a_renewed_ca_of_the_same_key_vouches_on() {
    let old = authority("one ca", NOON + 100, None);
    let mut renewed = params("one ca", NOON + 1000);
    renewed.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    renewed.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let renewed = renewed
        .self_signed(old.issuer.key())
        .expect("a certificate");
    let new = Authority {
        der: renewed.der().clone(),
        issuer: Issuer::new(params("unused", NOON), KeyPair::generate().expect("a key")),
    };
    let one = leaf("one", NOON + 500, &old);
    let (gate, _) = trusting(&[&old, &new], Vec::new());
    gate.judge(&one, &[], at(NOON + 101))
        .expect("by the new one");
    let (gate, _) = trusting(&[&old], Vec::new());
    gate.judge(&one, &[], at(NOON + 101)).expect_err("over");
}

#[test]
fn a_list_that_lapses_ends_what_was_remembered() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let (gate, counting) = verifier(&root, vec![list(NOON + 50, &root)]);
    gate.judge(&one, &[], at(NOON)).expect("good");
    gate.judge(&one, &[], at(NOON + 49))
        .expect("the last second");
    assert_eq!(counting.asked(), 1);
    let refused = gate.judge(&one, &[], at(NOON + 50)).expect_err("lapsed");
    assert_eq!(refused.0.reason, Reason::RevocationUnknown);
}

#[test]
fn a_refusal_is_not_remembered_and_neither_is_what_is_not_a_certificate() {
    let root = authority("root", NOON + 1000, None);
    let stranger = authority("stranger", NOON + 1000, None);
    let (gate, counting) = verifier(&root, Vec::new());
    let theirs = leaf("theirs", NOON + 500, &stranger);
    for _ in 0..2 {
        let refused = gate.judge(&theirs, &[], at(NOON)).expect_err("not ours");
        assert_eq!(refused.0.reason, Reason::UnknownIssuer);
    }
    assert_eq!(counting.asked(), 2);
    let memo = Memo::new(&[]);
    let junk = CertificateDer::from(vec![1, 2, 3]);
    let key = Memo::key(&junk, &[]);
    memo.keep(key, &junk, &[], at(NOON), u64::MAX);
    assert!(!memo.holds(&key, at(NOON)));
}

#[test]
fn who_it_is_is_read_once_for_each_chain() {
    let root = authority("root", NOON + 1000, None);
    let (gate, _) = verifier(&root, Vec::new());
    let (one, two) = (
        leaf("one", NOON + 500, &root),
        leaf("two", NOON + 500, &root),
    );
    for der in [&one, &two] {
        gate.judge(der, &[], at(NOON)).expect("good");
    }
    let who = |der| gate.identify(der, &[]).expect("readable");
    assert!(Arc::ptr_eq(&who(&one), &who(&one)));
    assert_eq!(who(&one).common_names, ["one"]);
    assert_eq!(who(&two).common_names, ["two"]);
    // What was never accepted is read, and not kept.
    let (stranger, _) = verifier(&root, Vec::new());
    let read = || stranger.identify(&one, &[]).expect("readable");
    assert!(!Arc::ptr_eq(&read(), &read()));
}

#[test]
fn certificates_do_not_run_into_each_other_in_a_key() {
    let der = |bytes: &[u8]| CertificateDer::from(bytes.to_vec());
    let keys = [
        Memo::key(&der(b"ab"), &[der(b"c")]),
        Memo::key(&der(b"a"), &[der(b"bc")]),
        Memo::key(&der(b"abc"), &[]),
        Memo::key(&der(b"abc"), &[der(b"")]),
    ];
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key));
    }
}

#[test]
fn it_never_holds_more_than_its_bound() {
    let root = authority("root", NOON + 1000, None);
    let one = leaf("one", NOON + 500, &root);
    let memo = Memo::new(&[]);
    for n in 0..=MOST {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        memo.keep(key, &one, &[], at(NOON), u64::MAX);
        assert!(memo.holds(&key, at(NOON)));
        assert!(memo.accepted().len() <= MOST);
    }
}

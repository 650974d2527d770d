//! Who signed a leaf, among CAs of one name and with whatever a client presents beside it.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer as Signer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;

use super::Issuers;
use pki::identity::Identity;

struct Ca {
    signer: Signer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ca(name: &str, above: Option<&Ca>) -> Ca {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let cert = match above {
        Some(above) => params.signed_by(&key, &above.signer),
        None => params.self_signed(&key),
    }
    .expect("a certificate");
    Ca {
        der: cert.der().clone(),
        signer: Signer::new(params, key),
    }
}

fn leaf(by: &Ca) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let cert = params("a client").signed_by(&key, &by.signer);
    cert.expect("a certificate").der().clone()
}

fn pin(ca: &Ca) -> Option<[u8; 32]> {
    Some(Identity::from_der(&ca.der).expect("readable").spki)
}

/// The same name and key bits in a SubjectPublicKeyInfo that says another curve; whoever made it could not sign it.
fn rewrapped(ca: &Ca) -> CertificateDer<'static> {
    const PRIME256V1: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut der = ca.der.to_vec();
    let at = der
        .windows(PRIME256V1.len())
        .position(|window| window == PRIME256V1)
        .expect("a P-256 key");
    der[at + 7] = 6;
    der.into()
}

#[test]
fn the_signer_is_told_from_another_ca_of_its_name() {
    let (one, two) = (ca("CA", None), ca("CA", None));
    let issuers = Issuers::of(&[one.der.clone(), two.der.clone()]);
    assert_eq!(issuers.spki(&leaf(&one), &[]), pin(&one));
    assert_eq!(issuers.spki(&leaf(&two), &[]), pin(&two));
    assert_eq!(
        issuers.spki(&leaf(&two), std::slice::from_ref(&one.der)),
        pin(&two)
    );
    assert_eq!(issuers.spki(&leaf(&ca("stranger", None)), &[]), None);
}

#[test]
fn an_intermediate_counts_if_a_configured_ca_vouches_for_it() {
    let root = ca("root", None);
    let middle = ca("middle", Some(&root));
    let low = ca("low", Some(&middle));
    let issuers = Issuers::of(std::slice::from_ref(&root.der));
    let leaf = leaf(&low);
    for chain in [
        [low.der.clone(), middle.der.clone()],
        [middle.der.clone(), low.der.clone()],
    ] {
        assert_eq!(issuers.spki(&leaf, &chain), pin(&low));
    }
    assert_eq!(issuers.spki(&leaf, std::slice::from_ref(&low.der)), None);
}

#[test]
fn a_forged_wrapping_of_the_true_issuers_key_does_not_change_who_it_was() {
    let root = ca("root", None);
    let middle = ca("middle", Some(&root));
    let issuers = Issuers::of(std::slice::from_ref(&root.der));
    let (leaf, forged) = (leaf(&middle), rewrapped(&middle));
    let readable = Identity::from_der(&forged).expect("still a certificate");
    assert_ne!(Some(readable.spki), pin(&middle));
    let chain = [forged.clone(), middle.der.clone()];
    assert_eq!(issuers.spki(&leaf, &chain), pin(&middle));
    assert_eq!(issuers.spki(&leaf, &[forged]), None);
}

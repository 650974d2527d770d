//! Rules about CAs that decide who is let in, with real handshakes: the attack, and the honest case beside it.

use std::path::Path;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use testkit::gate::Files;
use testkit::pki::{Credential, Pki, leaf};

/// A certificate that may issue others by its basic constraints, with these usages.
fn issuing(name: &str, usages: Vec<KeyUsagePurpose>, by: &Pki, dir: &Path) -> Pki {
    let key = KeyPair::generate().expect("a key");
    let mut params = leaf(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = usages;
    let cert = params.signed_by(&key, &by.issuer).expect("a certificate");
    Pki {
        dir: dir.to_owned(),
        ca: cert.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

fn below(ca: &Pki, name: &str) -> Credential {
    let mut who = ca.client_with(name, |_| {});
    who.chain.push(ca.ca.clone());
    who
}

#[test]
fn a_client_whose_certificate_says_ca_cannot_issue_another_client() {
    let setup = Files::new();
    let dir = setup.path("root");
    std::fs::create_dir(&dir).expect("create root/");
    let root = Pki::named(&dir, "root");
    let bob = issuing("bob", vec![KeyUsagePurpose::DigitalSignature], &root, &dir);
    let team = issuing("team", vec![KeyUsagePurpose::KeyCertSign], &root, &dir);
    let any = issuing("any", Vec::new(), &root, &dir);
    testkit::gate::replace(
        &setup.path("live/ca.pem"),
        root.text("ca.pem") + &setup.pki.text("ca.pem"),
    );
    let gate = setup.start("");
    let mark = gate.mark();
    assert_eq!(gate.refuses(&below(&bob, "admin")), (42, "invalid".into()));
    let line = gate.said(mark, "Handshake refused");
    let error = line["error"].as_str().expect("a text");
    assert!(
        error.contains("keyUsage of CA \"CN=bob\" lacks keyCertSign")
            && error.contains("\"admin\""),
        "{line}"
    );
    gate.connect(&below(&team, "admin")).ping();
    gate.connect(&below(&any, "admin")).ping();
}

#[test]
fn a_client_is_not_let_in_by_a_ca_certificate_of_its_own() {
    let setup = Files::new();
    let ca = setup.pki.client_with("ca-client", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let plain = setup.pki.client_with("plain-client", |_| {});
    let gate = setup.start("");
    let mark = gate.mark();
    assert_eq!(gate.refuses(&ca), (42, "invalid".into()));
    let line = gate.said(mark, "Handshake refused");
    let error = line["error"].as_str().expect("a text");
    assert!(error.contains("no CA is let in as a client"), "{line}");
    gate.connect(&plain).ping();
}

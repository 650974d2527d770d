//! CAs that end: as in Go's verifier, and so in dockerd's, one outside its own validity vouches for nobody.

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use testkit::client::TlsClient;
use testkit::gate::{Files, replace};
use testkit::pki::{Credential, leaf};

/// A CA that ends then, in PEM, and a client of it that does not.
fn authority(until: OffsetDateTime) -> (String, Credential) {
    let mut params = leaf("short CA");
    params.extended_key_usages.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_after = until;
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let cert = leaf("cid").signed_by(&key, &issuer).expect("a certificate");
    (pem, Credential::of("cid", vec![cert.der().clone()], &key))
}

#[test]
fn a_ca_that_expires_takes_its_clients_along_and_nobody_elses() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let (pem, cid) = authority(OffsetDateTime::now_utc() + Duration::seconds(10));
    replace(&setup.path("live/ca.pem"), setup.pki.text("ca.pem") + &pem);
    let gate = setup.start("");
    let mark = gate.mark();
    let mut live = gate.connect(&bob);
    let ends = [gate.connect(&cid), gate.connect(&cid).hijacked()].map(TlsClient::end);
    for end in ends {
        end.join().expect("cut");
    }
    let line = gate.said(
        mark,
        "A client CA has expired; no client of it is let in until a new one comes",
    );
    assert_eq!(line["cut"], 2, "{line}");
    for line in gate.cut(mark, 2) {
        let why = line["error"].as_str().expect("a text");
        assert!(why.contains("outside its own validity"), "{line}");
    }
    assert_eq!(gate.refuses(&cid).1, "issuer_expired");
    live.ping();
    gate.connect(&bob).ping();
}

#[test]
fn a_ca_that_had_expired_before_the_start_lets_nobody_in() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    let (pem, cid) = authority(OffsetDateTime::now_utc() - Duration::days(1));
    replace(&setup.path("live/ca.pem"), setup.pki.text("ca.pem") + &pem);
    let gate = setup.start("");
    // The alert that a TLS library calls "certificate expired" (RFC 8446 §6.2).
    assert_eq!(gate.refuses(&cid), (45, "issuer_expired".into()));
    gate.connect(&bob).ping();
}

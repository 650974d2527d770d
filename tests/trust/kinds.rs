//! Every kind of client certificate over both versions of TLS: let in, or refused with its alert and its log line.

use std::path::Path;

use pki::pem::encode_certificates;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::version::{TLS12, TLS13};
use time::{Duration, OffsetDateTime};

use testkit::gate::{Files, replace};
use testkit::pki::{Credential, Pki, leaf};

/// A refusal: the alert over both versions, the reason in the log, and words of its explanation.
type ExpectedRefusal = (u8, &'static str, &'static str);

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn each_kind_of_certificate_over_each_version_gets_its_outcome() {
    let setup = Files::new();
    let now = OffsetDateTime::now_utc();
    let pki = &setup.pki;
    let other = Pki::by_dockgate(&setup.path("other"), "another CA");
    let plain =
        |kind: &str| pki.client_by_dockgate(&format!("{kind}-client"), &["--key-type", kind]);
    let revoked = pki.client_by_dockgate("revoked-client", &[]);
    let denied = pki.client_by_dockgate("denied-client", &[]);
    pki.certs(&["revoke", "revoked-client"]);
    let root = authority("root", BasicConstraints::Unconstrained, None, &pki.dir);
    let (middle, mut lists) = behind_an_intermediate("middle-client", &root);
    // The CA of `dockgate certs` allows no CA below it.
    let (deep, list) = behind_an_intermediate("deep-client", pki);
    lists += &list;
    lists += &empty_list(&root);
    let cas = pki.text("ca.pem") + &encode_certificates([&root.ca]);
    replace(&setup.path("live/ca.pem"), cas);
    let kinds: Vec<(Credential, Option<ExpectedRefusal>)> = vec![
        (plain("p256"), None),
        (plain("p384"), None),
        (plain("rsa2048"), None),
        (plain("rsa4096"), None),
        (plain("ed25519"), None),
        (middle, None),
        (deep, Some((42, "invalid", "pathLenConstraint"))),
        (
            pki.client_with("expired-client", |leaf| {
                leaf.not_after = now - Duration::hours(1);
            }),
            Some((45, "expired", "has expired")),
        ),
        (
            pki.client_with("early-client", |leaf| {
                leaf.not_before = now + Duration::hours(1);
            }),
            Some((45, "not_yet_valid", "compare the clocks")),
        ),
        (
            pki.client_with("server-client", |leaf| {
                leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            Some((42, "wrong_usage", "clientAuth")),
        ),
        (
            other.client_by_dockgate("stranger-client", &[]),
            Some((48, "unknown_issuer", "not issued by the configured CA")),
        ),
        (revoked, Some((44, "revoked", "is revoked"))),
        (denied, Some((44, "deny_listed", "deny list"))),
    ];
    let deny = &kinds.last().expect("the denied one").0;
    // The other CAs' own lists: with lists, every issuer of the chain must have one.
    let settings = format!(
        "deny-serials = [\"{}\"]\ntlscrl = [\"ca/crl.pem\", \"middle.pem\"]\n",
        deny.identity().serial
    );
    std::fs::write(setup.path("middle.pem"), lists).expect("written");
    let gate = setup.start(&settings);
    let mut wrong = Vec::new();
    for (who, refusal) in &kinds {
        for (version, tls) in [("1.3", &TLS13), ("1.2", &TLS12)] {
            let mark = gate.mark();
            let name = &who.name;
            match (gate.try_connect(Some(who), tls), refusal) {
                (Ok(mut client), None) => client.ping(),
                (Err(refused), Some((alert, reason, words))) => {
                    if refused.alert != Some(*alert) {
                        wrong.push(format!("{name} over {version}: {refused:?}, not {alert}"));
                    }
                    let line = gate.said(mark, "Handshake refused");
                    let error = line["error"].as_str().expect("a text");
                    let (serial, peer) = (&who.identity().serial, line["client.addr"].as_str());
                    assert_eq!(line["reason"], *reason, "{name} over {version}: {line}");
                    for part in [words, name.as_str(), serial] {
                        assert!(error.contains(part), "{part:?} is not in {line}");
                    }
                    assert!(peer.is_some_and(|peer| peer.starts_with("127.0.0.1:")));
                }
                (Ok(_), Some(_)) => wrong.push(format!("{name} over {version} was let in")),
                (Err(refused), None) => {
                    wrong.push(format!("{name} over {version} was refused: {refused:?}"));
                }
            }
        }
    }
    // Without a certificate: there is no name to log, but a hint what to set.
    for tls in [&TLS13, &TLS12] {
        let mark = gate.mark();
        let refused = gate.try_connect(None, tls).err().expect("refused");
        if refused.alert != Some(116) {
            wrong.push(format!("no certificate: {refused:?}"));
        }
        let line = gate.said(mark, "Handshake refused");
        assert_eq!(line["reason"], "no_certificate", "{line}");
        let error = line["error"].as_str().expect("a text");
        assert!(error.contains("DOCKER_CERT_PATH"), "{line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A CA that rcgen makes, by another one or by itself.
fn authority(name: &str, limit: BasicConstraints, above: Option<&Pki>, dir: &Path) -> Pki {
    let key = KeyPair::generate().expect("a key");
    let mut params = leaf(name);
    params.is_ca = IsCa::Ca(limit);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages.clear();
    let cert = match above {
        Some(above) => params.signed_by(&key, &above.issuer),
        None => params.self_signed(&key),
    };
    Pki {
        dir: dir.to_owned(),
        ca: cert.expect("a CA").der().clone(),
        issuer: Issuer::new(params, key),
    }
}

/// A client of an intermediate CA, and the list of that one.
fn behind_an_intermediate(name: &str, above: &Pki) -> (Credential, String) {
    let limit = BasicConstraints::Constrained(0);
    let middle = authority(&format!("CA of {name}"), limit, Some(above), &above.dir);
    let mut who = middle.client_with(name, |_| {});
    who.chain.push(middle.ca.clone());
    (who, empty_list(&middle))
}

fn empty_list(of: &Pki) -> String {
    let until = OffsetDateTime::now_utc() + Duration::days(60);
    of.list(1, &[], until).pem().expect("PEM")
}

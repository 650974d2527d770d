//! Certificates that are wrong, on either side.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::{client, doctor, fails};
use crate::pki::{DoctorPki, lasting};
use crate::server::{EngineServer, TLS12, TLS13};

/// What makes a certificate wrong.
type ParamsChange = fn(&mut CertificateParams);

#[test]
fn the_server_certificate_is_judged_in_words() {
    let cases: [(ParamsChange, &str, &str); 4] = [
        (
            |p| p.subject_alt_names.truncate(0),
            "is valid for no names at all, not for \"localhost\"",
            "use one of its names, or on the server",
        ),
        (
            |p| lasting(p, -9, -1),
            "expired; the certificate on ",
            "on the server: `dockgate certs renew server`",
        ),
        (
            |p| lasting(p, 2, 9),
            "is not valid before",
            "one of the clocks is wrong",
        ),
        (
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "has an extendedKeyUsage without serverAuth",
            "on the server: `dockgate certs server --force`",
        ),
    ];
    for (change, words, hint) in cases {
        let pki = DoctorPki::with(|_| {}, change);
        let url = EngineServer::default().start(&pki, &pki);
        fails(&url, client(&pki, |_| {}), "tls", words, hint);
    }
    let pki = DoctorPki::with(
        |_| {},
        |p| {
            p.subject_alt_names.remove(0);
        },
    );
    let url = EngineServer::default().start(&pki, &pki);
    let words = "is valid for only IP:127.0.0.1, not for \"localhost\"";
    fails(
        &url,
        client(&pki, |_| {}),
        "tls",
        words,
        "use one of its names, or on the server",
    );
    let (pki, other) = (
        DoctorPki::new(),
        DoctorPki::with(
            |p| p.distinguished_name.push(DnType::CommonName, "Other CA"),
            |_| {},
        ),
    );
    let url = EngineServer::default().start(&other, &pki);
    fails(
        &url,
        client(&pki, |_| {}),
        "tls",
        &format!(
            "was issued by CN=Other CA, which {} does not contain",
            pki.path("ca.pem").display()
        ),
        "take ca.pem from that server",
    );
}

#[test]
fn a_server_with_the_subject_of_its_ca_is_warned_of_unless_key_identifiers_tell_them_apart() {
    for (identified, warned) in [(false, true), (true, false)] {
        let pki = DoctorPki::with(
            |_| {},
            |p| {
                p.distinguished_name = DistinguishedName::new();
                p.distinguished_name.push(DnType::CommonName, "Test CA");
                p.use_authority_key_identifier_extension = true;
                if identified {
                    p.is_ca = IsCa::ExplicitNoCa;
                }
            },
        );
        let url = EngineServer::default().start(&pki, &pki);
        let (code, text) = doctor(Some(&url), client(&pki, |_| {}), false);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = "has the same subject as its CA and no key identifiers";
        assert_eq!((code, text.contains(words)), (0, warned), "{text}");
    }
}

#[test]
fn the_servers_verdict_on_the_client_is_put_in_words() {
    let (pki, other) = (
        DoctorPki::new(),
        DoctorPki::with(
            |p| p.distinguished_name.push(DnType::CommonName, "Other CA"),
            |_| {},
        ),
    );
    for versions in [TLS13, TLS12] {
        // TLS 1.2 servers judge in the handshake, TLS 1.3 servers after it.
        let step = if versions[0].version == rustls::ProtocolVersion::TLSv1_2 {
            "tls"
        } else {
            "api"
        };
        let url = EngineServer {
            versions,
            ..EngineServer::default()
        }
        .start(&pki, &other);
        let words = "the server does not trust the CA of the client certificate (CN=ci, issued by CN=Test CA)";
        fails(
            &url,
            client(&pki, |_| {}),
            step,
            words,
            "ask for a certificate from the server's CA",
        );
        let url = EngineServer {
            versions,
            revoked: true,
            ..EngineServer::default()
        }
        .start(&pki, &pki);
        let words = "has revoked or denied the client certificate (CN=ci, serial 4f3a)";
        fails(
            &url,
            client(&pki, |_| {}),
            step,
            words,
            "ask the people who run the gate",
        );
    }
}

#[test]
fn the_clients_own_files_are_looked_at_first() {
    let pki = DoctorPki::new();
    let url = "tcp://localhost:1";
    fails(
        url,
        client(&pki, |p| lasting(p, -9, -1)),
        "files",
        "expired on",
        "ask for a new one",
    );
    fails(
        url,
        client(&pki, |p| lasting(p, 2, 9)),
        "files",
        "is not valid before",
        "set the clock",
    );
    let server_usage = |p: &mut CertificateParams| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    fails(
        url,
        client(&pki, server_usage),
        "files",
        "has an extendedKeyUsage without clientAuth",
        "is it a server certificate?",
    );
    let args = client(&pki, |_| {});
    pki.write("key.pem", KeyPair::generate().unwrap().serialize_pem());
    fails(
        url,
        args,
        "files",
        "does not belong to the certificate in",
        "the two come from different runs",
    );
    let args = client(&pki, |_| {}).with("tlscert", "/none/cert.pem");
    fails(
        url,
        args,
        "files",
        "cannot be read: No such file",
        "name --tlscacert, --tlscert and --tlskey",
    );
}

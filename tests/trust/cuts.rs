//! Who loses trust is cut within a second of the reload, hijacked sessions included; a neighbour notices nothing.

use std::fs;
use std::time::Instant;

use time::{Duration, OffsetDateTime};

use testkit::client::TlsClient;
use testkit::gate::{ByFile, Files};
use testkit::pki::{Credential, Pki};

/// How soon after a reload a client that lost trust must be cut.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(1);

/// How often the gate looks at the clock.
const EXPIRY_TICK: std::time::Duration = std::time::Duration::from_secs(1);

/// The files of a gate, and two clients that it knows.
fn two_clients() -> (Files, Credential, Credential) {
    let setup = Files::new();
    let [eve, bob] = ["eve", "bob"].map(|name| setup.pki.client_by_dockgate(name, &[]));
    (setup, eve, bob)
}

/// One idle keep-alive connection and one hijacked session.
fn both(gate: &ByFile, who: &Credential) -> [TlsClient; 2] {
    [gate.connect(who), gate.connect(who).hijacked()]
}

/// Both connections of `victim` end within a second of what `change` gives the time of, and not before it begins, and are
/// logged with `reason` and `words`; those of `neighbour` live on. Gives the moments of the two ends.
#[track_caller]
fn cuts(
    gate: &ByFile,
    victim: &Credential,
    neighbour: &Credential,
    (reason, words): (&str, &str),
    change: impl FnOnce(&ByFile) -> Instant,
) -> [Instant; 2] {
    let mark = gate.mark();
    let [mut idle, mut session] = both(gate, neighbour);
    let ends = both(gate, victim).map(TlsClient::end);
    let began = Instant::now();
    let changed = change(gate);
    let ends = ends.map(|end| end.join().expect("an end"));
    for ended in ends {
        assert!(ended >= began, "cut {:?} too early", began - ended);
        // The gate cuts first and says so then.
        let after = ended.saturating_duration_since(changed);
        assert!(after < AT_ONCE, "cut {after:?} after the reload");
    }
    let cut = gate.cut(mark, 2);
    let mut running: Vec<_> = cut
        .iter()
        .map(|line| {
            let client = line["client.id"].as_str().expect("an identity");
            assert!(client.contains(&victim.name), "{line}");
            assert_eq!(line["reason"], reason, "{line}");
            let why = line["error"].as_str().expect("a text");
            assert!(why.contains(words), "{words:?} in {line}");
            assert_eq!(line["level"], "warn", "{line}");
            (
                line["op"].as_str().expect("an operation").to_owned(),
                line["path"].as_str().expect("a path").to_owned(),
                line["busy"].as_bool().expect("a flag"),
            )
        })
        .collect();
    running.sort();
    assert_eq!(
        running,
        [
            ("exec.start".into(), "/v1.51/exec/e1/start".into(), true),
            ("system.ping".into(), "/_ping".into(), false)
        ]
    );
    idle.ping();
    session.echo("still here");
    assert_eq!(gate.cut(mark, 2).len(), 2, "nobody else was cut");
    ends
}

#[test]
fn a_revoked_certificate_is_cut_by_sighup_and_refused_afterwards() {
    let (setup, eve, bob) = two_clients();
    setup.pki.certs(&["crl"]);
    let gate = setup.start("tlscrl = [\"ca/crl.pem\"]\n");
    cuts(&gate, &eve, &bob, ("untrusted", "is revoked"), |gate| {
        gate.pki.certs(&["revoke", "eve"]);
        let (at, line) = gate.reload();
        assert_eq!(line["cut"], 2, "{line}");
        at
    });
    assert_eq!(gate.refuses(&eve), (44, "revoked".into()));
}

#[test]
fn a_revoked_certificate_is_cut_by_polling() {
    let (setup, eve, bob) = two_clients();
    setup.pki.certs(&["crl"]);
    let gate = setup.start("tlscrl = [\"ca/crl.pem\"]\nreload-interval = \"200ms\"\n");
    cuts(&gate, &eve, &bob, ("untrusted", "is revoked"), |gate| {
        let mark = gate.mark();
        gate.pki.certs(&["revoke", "eve"]);
        gate.logged(mark, |line| line["message"] == "Reloaded").0
    });
}

#[test]
fn a_certificate_denied_by_serial_is_cut_and_comes_back_when_the_line_goes() {
    let (setup, eve, bob) = two_clients();
    let gate = setup.start("");
    cuts(&gate, &eve, &bob, ("untrusted", "deny list"), |gate| {
        gate.configure(&format!("deny-serials = [\"{}\"]\n", eve.identity().serial));
        gate.reload().0
    });
    assert_eq!(gate.refuses(&eve), (44, "deny_listed".into()));
    gate.configure("");
    gate.reload();
    gate.connect(&eve).ping();
}

#[test]
fn a_key_denied_by_its_fingerprint_is_cut_whatever_certificate_it_is_in() {
    let (setup, eve, bob) = two_clients();
    let gate = setup.start("");
    cuts(&gate, &eve, &bob, ("untrusted", "deny list"), |gate| {
        let key = data_encoding::HEXLOWER.encode(&eve.identity().spki);
        gate.configure(&format!("deny-spki-sha256 = [\"{key}\"]\n"));
        gate.reload().0
    });
    // The same key under a new serial number.
    gate.pki.certs(&["renew", "eve"]);
    let chain = fs::read(gate.path("ca/clients/eve/cert.pem")).expect("renewed");
    let renewed = Credential {
        chain: vec![rustls::pki_types::pem::PemObject::from_pem_slice(&chain).expect("PEM")],
        name: "eve".into(),
        key: eve.key.clone_key(),
    };
    assert_ne!(renewed.identity().serial, eve.identity().serial);
    assert_eq!(gate.refuses(&renewed), (44, "deny_listed".into()));
}

#[test]
fn a_ca_that_left_the_bundle_takes_its_clients_along() {
    let setup = Files::new();
    let second = Pki::by_dockgate(&setup.path("second"), "second CA");
    let (eve, bob) = (
        second.client_by_dockgate("eve", &[]),
        setup.pki.client_by_dockgate("bob", &[]),
    );
    let first = setup.pki.text("ca.pem");
    fs::write(
        setup.path("live/ca.pem"),
        first.clone() + &second.text("ca.pem"),
    )
    .expect("written");
    let gate = setup.start("");
    let words = ("untrusted", "not issued by the configured CA");
    cuts(&gate, &eve, &bob, words, |gate| {
        gate.put("live/ca.pem", &first);
        gate.reload().0
    });
    assert_eq!(gate.refuses(&eve), (48, "unknown_issuer".into()));
}

#[test]
fn a_certificate_that_expires_in_mid_connection_is_cut_without_a_reload() {
    let setup = Files::new();
    let bob = setup.pki.client_by_dockgate("bob", &[]);
    // A certificate names whole seconds.
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    let end = now.expect("a time") + Duration::seconds(10);
    let eve = setup.pki.client_with("eve", |leaf| leaf.not_after = end);
    let gate = setup.start("");
    // It is valid to the end of the second that it names (RFC 5280 §4.1.2.5).
    let over = Instant::now() + (end + Duration::seconds(1) - OffsetDateTime::now_utc());
    let words = ("expired", "the client certificate expired");
    for ended in cuts(&gate, &eve, &bob, words, |_| over + EXPIRY_TICK) {
        assert!(ended >= over, "cut {:?} before the end", over - ended);
    }
    assert_eq!(gate.refuses(&eve), (45, "expired".into()));
}

#[test]
fn a_client_without_a_role_is_cut() {
    let (setup, eve, bob) = two_clients();
    let policy = |roles: &[(&str, &str)]| {
        let client = |(name, role): &(&str, &str)| {
            format!("[[client]]\nmatch = {{ cn = \"{name}\" }}\nrole = \"{role}\"\n")
        };
        "version = 1\n".to_owned() + &roles.iter().map(client).collect::<String>()
    };
    let before = policy(&[("eve", "admin"), ("bob", "admin")]);
    fs::write(setup.path("policy.toml"), before).expect("written");
    let gate = setup.start("policy = \"policy.toml\"\n");
    cuts(
        &gate,
        &eve,
        &bob,
        ("role_lost", "no role any more"),
        |gate| {
            gate.put("policy.toml", policy(&[("bob", "admin")]));
            gate.reload().0
        },
    );
}

//! Expiry is announced before it comes, once, with the days left; `--auto-certs` renews the server and the revocation list, and nothing else.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use testkit::gate::{ByFile, Files, replace};
use testkit::pki::{Credential, Pki, leaf};

fn warned(what: &str, name: &str) -> impl Fn(&Value) -> bool {
    let (what, name) = (what.to_owned(), name.to_owned());
    move |line| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.ends_with("expires soon"))
            && line["what"] == what.as_str()
            && line["name"].as_str().is_some_and(|n| n.contains(&name))
    }
}

/// Makes CA, server certificate and list of a directory, which live for `life`, end in `left`.
fn ending(setup: &Files, life: Duration, left: Duration) -> Pki {
    let end = OffsetDateTime::now_utc() + left;
    let begin = end - life;
    let key = KeyPair::generate().expect("a key");
    let mut params = leaf("short CA");
    params.not_before = begin;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages.clear();
    params.not_after = end;
    let cert = params.self_signed(&key).expect("a CA");
    replace(&setup.path("live/ca.pem"), cert.pem());
    let pki = Pki {
        dir: setup.pki.dir.clone(),
        ca: cert.der().clone(),
        issuer: Issuer::new(params, key),
    };
    let mut server = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    server.distinguished_name = leaf("short server").distinguished_name;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.not_before = begin;
    server.not_after = end;
    let key = KeyPair::generate().expect("a key");
    let cert = server.signed_by(&key, &setup.pki.issuer).expect("a server");
    replace(&setup.path("live/server-cert.pem"), cert.pem());
    replace(&setup.path("live/server-key.pem"), key.serialize_pem());
    let list = pki.list_since(begin, 1, &[], end).pem().expect("PEM");
    replace(&setup.path("list.pem"), list);
    pki
}

#[test]
fn server_ca_and_list_are_announced_once_each_with_the_days_left() {
    let (year, week) = (Duration::days(365), Duration::days(7));
    for (life, left, days) in [
        (year, Duration::hours(29 * 24 + 12), 29),
        (year, Duration::hours(6 * 24 + 12), 6),
        (year, Duration::hours(12), 0),
        (week, Duration::hours(36), 1),
        (week, Duration::hours(10), 0),
    ] {
        let setup = Files::new();
        ending(&setup, life, left);
        let gate = setup.start("tlscrl = [\"list.pem\"]\n");
        let ends = [
            ("server", "short server"),
            ("ca", "short CA"),
            ("crl", "short CA"),
        ];
        for (what, name) in ends {
            let (_, line) = gate.logged(0, warned(what, name));
            assert_eq!(line["days_left"], days, "{line}");
            assert_eq!(line["level"], "warn", "{line}");
        }
        // Looking again says nothing again.
        gate.reload();
        gate.reload();
        for (what, name) in ends {
            assert_eq!(gate.lines(0, warned(what, name)).len(), 1, "{what}");
        }
    }
    // With time left, nothing is said.
    for (life, left) in [
        (year, Duration::days(31)),
        (week, Duration::days(6)),
        (Duration::HOUR, Duration::minutes(50)),
    ] {
        let setup = Files::new();
        ending(&setup, life, left);
        let gate = setup.start("tlscrl = [\"list.pem\"]\n");
        gate.reload();
        let said = gate.lines(0, |line| line["level"] == "warn");
        assert!(said.is_empty(), "{life}: {said:#?}");
    }
}

#[test]
fn each_client_seen_is_announced_once_with_the_days_left() {
    let setup = Files::new();
    let now = OffsetDateTime::now_utc();
    let client = |name: &str, life: Duration, left: Duration| {
        setup.pki.client_with(name, |leaf| {
            leaf.not_after = now + left;
            leaf.not_before = leaf.not_after - life;
        })
    };
    let (year, week) = (Duration::days(365), Duration::days(7));
    let clients: Vec<(Credential, Option<i64>)> = vec![
        (
            client("has-a-month", year, Duration::hours(29 * 24 + 12)),
            Some(29),
        ),
        (
            client("has-a-week", year, Duration::hours(6 * 24 + 12)),
            Some(6),
        ),
        (client("has-a-day", year, Duration::hours(12)), Some(0)),
        (client("has-time", year, Duration::days(31)), None),
        // One that joined renews itself before the first warning.
        (client("has-joined", week, Duration::days(6)), None),
        (client("is-due", week, Duration::days(2)), None),
        (
            client("was-not-renewed", week, Duration::hours(36)),
            Some(1),
        ),
    ];
    let gate = setup.start("");
    for _ in 0..3 {
        for (who, _) in &clients {
            gate.connect(who).ping();
        }
    }
    gate.reload();
    for (who, days) in &clients {
        let lines = gate.lines(0, warned("client", &who.name));
        let said: Vec<_> = lines
            .iter()
            .map(|line| line["days_left"].as_i64())
            .collect();
        let wanted: Vec<_> = days.iter().map(|days| Some(*days)).collect();
        assert_eq!(said, wanted, "{}", who.name);
    }
}

/// What `--auto-certs` must never touch: everything but the server's certificate and its index.
fn untouchables(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = ["ca.pem", "ca-key.pem"]
        .map(|name| dir.join(name))
        .into_iter();
    let clients = fs::read_dir(dir.join("clients")).expect("clients");
    let folders = clients.map(|entry| entry.expect("an entry").path());
    let all = files.chain(folders.flat_map(|folder| {
        let inside = fs::read_dir(folder).expect("a client");
        inside
            .map(|entry| entry.expect("a file").path())
            .collect::<Vec<_>>()
    }));
    let mut all: Vec<_> = all
        .map(|path| (path.display().to_string(), fs::read(&path).expect("read")))
        .collect();
    all.sort();
    assert!(all.len() >= 5, "{}", all.len());
    all
}

fn admin(dir: &Path) -> Credential {
    use rustls::pki_types::pem::PemObject;
    let folder = dir.join("clients/admin");
    Credential {
        name: "admin".into(),
        chain: vec![PemObject::from_pem_file(folder.join("cert.pem")).expect("a certificate")],
        key: PemObject::from_pem_file(folder.join("key.pem")).expect("a key"),
    }
}

/// The server certificate the gate shows, by the program that made the automatic certificates.
fn shown(gate: &ByFile, dir: &Path) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    let ca = rustls::pki_types::CertificateDer::from_pem_file(dir.join("ca.pem")).expect("a CA");
    let who = admin(dir);
    let client = testkit::TlsClient::admitted(
        gate.addr,
        testkit::pki::client_config(&[ca], Some(&who), &[&rustls::version::TLS13]),
    );
    client.expect("let in").server().to_vec()
}

fn names(cert: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    cert.windows(name.len()).any(|window| window == name)
}

#[test]
fn automatic_certificates_follow_the_names_and_leave_ca_and_clients_alone() {
    let setup = Files::new();
    let settings = |names: &str| format!("auto-certs = \"auto\"\nsans = [{names}]\n");
    let mut gate = setup.start(&settings("\"one.example\""));
    let dir = gate.path("auto");
    let before = untouchables(&dir);
    let first = shown(&gate, &dir);
    assert!(names(&first, "one.example") && !names(&first, "two.example"));
    // A name more, by a reload.
    let mark = gate.mark();
    gate.configure(&settings("\"one.example\", \"two.example\""));
    gate.hang_up();
    gate.logged(mark, |line| {
        line["message"].as_str().is_some_and(|m| {
            m.starts_with("renewed the server certificate") && m.contains("two.example")
        })
    });
    gate.wait(mark, 2, |line| line["message"] == "Reloaded");
    let second = shown(&gate, &dir);
    assert!(names(&second, "one.example") && names(&second, "two.example"));
    assert_eq!(untouchables(&dir), before);
    // And one more, by a restart.
    gate.restart(&settings("\"two.example\", \"three.example\""));
    assert!(names(&shown(&gate, &dir), "three.example"));
    assert_eq!(untouchables(&dir), before);
    // The same names again renew nothing.
    let third = shown(&gate, &dir);
    gate.restart(&settings("\"two.example\", \"three.example\""));
    assert_eq!(shown(&gate, &dir), third);
}

#[test]
fn automatic_certificates_sign_their_revocation_list_again_with_and_without_a_restart() {
    let setup = Files::new();
    let settings = |names: &str| format!("auto-certs = \"auto\"\nsans = [{names}]\n");
    let mut gate = setup.start(&settings("\"one.example\""));
    let dir = gate.path("auto");
    let pki = Pki::in_directory(&dir);
    let (gone, now) = (pki.client("gone", 77), OffsetDateTime::now_utc());
    // Two thirds of its life are over: a gate that keeps it lets nobody in soon.
    let due = |number: u64| {
        let since = now - Duration::days(50);
        let list = pki.list_since(since, number, &[&gone], now + Duration::days(10));
        replace(&dir.join("crl.pem"), list.pem().expect("PEM"));
    };
    let ends = || {
        let list = pki::crl::IssuedList::read(&dir.join("crl.pem")).expect("a list");
        let end = list.next_update.expect("an end") - now;
        (end.whole_days(), list.entries.len(), list.number_text)
    };
    due(5);
    gate.restart(&settings("\"one.example\""));
    assert_eq!((ends().1, ends().2), (1, "6".to_owned()));
    assert!(ends().0 >= 59, "{:?}", ends());
    shown(&gate, &dir);
    // One that is not due is left alone.
    gate.restart(&settings("\"one.example\""));
    assert_eq!(ends().2, "6");
    // A change of the names has the running gate look after the directory at once, as it does each minute.
    due(7);
    let mark = gate.mark();
    gate.configure(&settings("\"one.example\", \"two.example\""));
    gate.hang_up();
    gate.logged(mark, |line| {
        let message = line["message"].as_str();
        message.is_some_and(|it| it.starts_with("signed the revocation list again, number 8"))
    });
    assert!(ends().0 >= 59 && ends().1 == 1, "{:?}", ends());
}

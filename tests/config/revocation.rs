//! Revocation lists, and noticing that any file has changed.

use std::fs;

use dockgate::config::TlsPaths;
use dockgate::finding::Severity;
use dockgate::tls::files;
use rcgen::{
    CertificateRevocationListParams, CertifiedIssuer, DnType, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::pki::{DoctorPki, ca_params};
use crate::tls::refused;

#[test]
fn revocation_lists_are_read_from_pem_der_and_directories() {
    let pki = DoctorPki::new();
    let list = pki.crl(60);
    let with = |crl: &[&str]| TlsPaths {
        crl: crl.iter().map(|name| pki.path(name)).collect(),
        ..pki.paths()
    };
    pki.write("crl.pem", list.pem().unwrap());
    pki.write("crl.der", list.der());
    pki.write("crls/a.pem", list.pem().unwrap());
    pki.write("crls/b.crl", list.der());
    pki.write("crls/..data/ignored", "not a list");
    assert_eq!(
        files::load(&with(&["crl.pem", "crl.der"]))
            .unwrap()
            .crls
            .len(),
        2
    );
    assert_eq!(files::load(&with(&["crls"])).unwrap().crls.len(), 2);

    let absent = with(&["absent.pem"]);
    assert!(
        refused(&absent).0.contains("cannot be read: No such file"),
        "a list that is named must be there"
    );
    let optional = TlsPaths {
        crl_if_present: Some(pki.path("absent.pem")),
        ..pki.paths()
    };
    assert_eq!(files::load(&optional).unwrap().crls.len(), 0);
    let optional = TlsPaths {
        crl_if_present: Some(pki.path("crl.pem")),
        ..pki.paths()
    };
    assert_eq!(files::load(&optional).unwrap().crls.len(), 1);
    let path = pki.write("bad.der", &list.der()[..60]);
    assert!(
        refused(&with(&["bad.der"]))
            .0
            .starts_with(&format!("CRL file {path:?} cannot be decoded: "))
    );
    pki.write("cert.pem", pki.server.pem());
    assert!(
        refused(&with(&["cert.pem"]))
            .0
            .ends_with("is a certificate where a certificate revocation list was expected")
    );
}

#[test]
fn a_lapsed_list_is_an_error_and_a_foreign_one_a_warning() {
    let pki = DoctorPki::new();
    pki.write("crl.pem", pki.crl(-1).pem().unwrap());
    let paths = TlsPaths {
        crl: vec![pki.path("crl.pem")],
        ..pki.paths()
    };
    let look = || {
        files::inspect(
            &files::load(&paths).unwrap(),
            &paths,
            OffsetDateTime::now_utc(),
        )
    };
    let last = look().pop().unwrap();
    assert!(
        last.severity == Severity::Error && last.text.contains("ended on"),
        "{last}"
    );
    let other = DoctorPki::with(
        |p| p.distinguished_name.push(DnType::CommonName, "Other CA"),
        |_| {},
    );
    pki.write("crl.pem", other.crl(60).pem().unwrap());
    let text = look().iter().map(ToString::to_string).collect::<String>();
    assert!(
        text.contains("belongs to no certificate in tlscacert"),
        "{text}"
    );
}

/// A list of this number, which ended or ends in some days and revokes so many.
fn numbered(ca: &Issuer<'_, KeyPair>, number: u64, days: i64, revoked: u64) -> String {
    let now = OffsetDateTime::now_utc();
    let entry = |serial: u64| RevokedCertParams {
        serial_number: SerialNumber::from(1000 + serial),
        revocation_time: now - Duration::days(1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: now - Duration::days(30),
        next_update: now + Duration::days(days),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: (0..revoked).map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(ca).unwrap().pem().unwrap()
}

/// What check says of these lists, one finding a line, and whether any of it is an error.
fn said(pki: &DoctorPki, lists: &[String]) -> (String, bool) {
    let write = |(at, list): (usize, &String)| pki.write(&format!("list-{at}.pem"), list);
    let paths = TlsPaths {
        crl: lists.iter().enumerate().map(write).collect(),
        ..pki.paths()
    };
    let material = files::load(&paths).unwrap();
    let found = files::inspect(&material, &paths, OffsetDateTime::now_utc());
    let is_error = found.iter().any(|it| it.severity == Severity::Error);
    let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
    (lines.join("\n"), is_error)
}

#[test]
fn of_two_lists_of_one_ca_the_newest_number_counts_whatever_the_order_and_check_says_which() {
    let pki = DoctorPki::new();
    let ca = &*pki.ca;
    for swap in [false, true] {
        let look =
            |old: String, new: String| said(&pki, &if swap { [new, old] } else { [old, new] });
        let (text, is_error) = look(numbered(ca, 1, 30, 3), numbered(ca, 2, 60, 1));
        assert!(!is_error, "{text}");
        assert_eq!(
            text.matches("a newer one counts; what this one revokes is revoked until")
                .count(),
            1,
            "{text}"
        );
        assert_eq!(
            text.matches(": 1 revoked, valid until").count(),
            1,
            "{text}"
        );
        // One that has ended beside a current one closes nothing.
        let (text, is_error) = look(numbered(ca, 1, -3, 3), numbered(ca, 2, 60, 1));
        assert!(!is_error && text.contains("; a newer one counts"), "{text}");
        assert_eq!(
            text.matches(": 1 revoked, valid until").count(),
            1,
            "{text}"
        );
        // The newest has ended, and an older one has not: the newest decides.
        let (text, is_error) = look(numbered(ca, 1, 60, 3), numbered(ca, 2, -3, 1));
        assert!(
            is_error && text.contains(": its clients are refused"),
            "{text}"
        );
        assert_eq!(text.matches("a newer one counts").count(), 1, "{text}");
    }
}

#[test]
fn each_of_several_cas_has_its_own_list_also_where_they_share_a_name_and_check_says_whose_is_missing()
 {
    for name in ["Test CA", "Other CA"] {
        let pki = DoctorPki::new();
        let another =
            CertifiedIssuer::self_signed(ca_params(name), KeyPair::generate().unwrap()).unwrap();
        pki.write("ca.pem", pki.ca.pem() + &another.pem());
        let [one, two] = [&*pki.ca, &*another].map(|ca| numbered(ca, 1, 60, 1));
        let (text, is_error) = said(&pki, &[one.clone(), two.clone()]);
        assert!(!is_error, "{text}");
        assert_eq!(
            text.matches(": 1 revoked, valid until").count(),
            2,
            "{text}"
        );
        for (list, missing) in [(one, &another), (two, &pki.ca)] {
            let (text, is_error) = said(&pki, &[list]);
            assert!(is_error, "{text}");
            let refused = text
                .lines()
                .find(|line| line.contains("has no CRL while another has one"))
                .unwrap_or_else(|| panic!("{text}"));
            let digest = pki::Certificate::read(missing.der()).unwrap().sha256;
            let twin = name == "Test CA";
            assert_eq!(refused.contains(&digest), twin, "{digest}: {refused}");
            assert!(
                twin || refused.contains(if std::ptr::eq(missing, &pki.ca) {
                    "Test CA"
                } else {
                    "Other CA"
                }),
                "{refused}"
            );
        }
    }
}

#[test]
fn of_several_server_pairs_none_is_picked_by_chance() {
    let pki = DoctorPki::new();
    let other = DoctorPki::with(
        |_| {},
        |p| {
            p.distinguished_name
                .push(DnType::CommonName, "another gate");
        },
    );
    // Two keys: refused, with what to do.
    pki.write(
        "server-key.pem",
        pki.key.serialize_pem() + &other.key.serialize_pem(),
    );
    let (text, hint) = refused(&pki.paths());
    assert!(text.contains("2 private keys"), "{text}");
    assert_eq!(hint, "keep the one that belongs to the certificate");
    // Two certificates: the first is the server's, and check says that the next did not issue it.
    pki.write("server-cert.pem", pki.server.pem() + &other.server.pem());
    pki.write("server-key.pem", pki.key.serialize_pem());
    let (text, is_error) = said(&pki, &[]);
    assert!(
        !is_error && text.contains("after the one issued by CN=Test CA comes CN=another gate"),
        "{text}"
    );
    // The key of the second: refused.
    pki.write("server-key.pem", other.key.serialize_pem());
    assert!(refused(&pki.paths()).0.contains("but to number 2"));
}

#[test]
fn a_snapshot_changes_with_contents_and_with_nothing_else() {
    let pki = DoctorPki::new();
    let paths = TlsPaths {
        crl: vec![pki.path("crls")],
        crl_if_present: Some(pki.path("crl.pem")),
        ..pki.paths()
    };
    fs::create_dir(pki.path("crls")).unwrap();
    let mut last = files::snapshot(&paths);
    assert_eq!(last, files::snapshot(&paths));
    pki.write("ca.pem", pki.ca.pem());
    assert_eq!(
        last,
        files::snapshot(&paths),
        "written again with the same contents"
    );
    let mut changed = |what: &str| {
        let now = files::snapshot(&paths);
        assert_ne!(now, last, "{what}");
        last = now;
    };
    pki.write("crl.pem", pki.crl(1).pem().unwrap());
    changed("a list appeared");
    pki.write("crls/one.pem", pki.crl(1).pem().unwrap());
    changed("a list appeared in the directory");
    fs::remove_file(pki.path("server-key.pem")).unwrap();
    changed("the key went away");
    // Kubernetes: the name stays, the link behind it moves.
    pki.write("v1/ca.pem", pki.ca.pem());
    pki.write("v2/ca.pem", pki.server.pem());
    fs::remove_file(pki.path("ca.pem")).unwrap();
    std::os::unix::fs::symlink(pki.path("v1/ca.pem"), pki.path("ca.pem")).unwrap();
    assert_eq!(last, files::snapshot(&paths), "same contents behind a link");
    fs::remove_file(pki.path("ca.pem")).unwrap();
    std::os::unix::fs::symlink(pki.path("v2/ca.pem"), pki.path("ca.pem")).unwrap();
    assert_ne!(last, files::snapshot(&paths));
}

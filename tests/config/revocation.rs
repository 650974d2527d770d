//! Revocation lists, and noticing that any file has changed.

use std::fs;

use dockgate::config::TlsPaths;
use dockgate::finding::Severity;
use dockgate::tls::files;
use rcgen::DnType;
use time::OffsetDateTime;

use crate::pki::Pki;
use crate::tls::refused;

#[test]
fn revocation_lists_are_read_from_pem_der_and_directories() {
    let pki = Pki::new();
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
    let pki = Pki::new();
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
    let other = Pki::with(
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

#[test]
fn a_snapshot_changes_with_contents_and_with_nothing_else() {
    let pki = Pki::new();
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

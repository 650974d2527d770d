//! Certificate, key and CRL files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use data_encoding::BASE64;
use dockgate::config::TlsPaths;
use dockgate::finding::{Finding, Severity};
use dockgate::tls::files;
use pkcs8::PrivateKeyInfoRef;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ED25519,
    PKCS_RSA_SHA256,
};
use time::OffsetDateTime;

use crate::pki::{DoctorPki, ca_params, lasting};

pub(crate) fn refused(paths: &TlsPaths) -> (String, String) {
    let err = files::load(paths).expect_err("the files were accepted");
    (err.to_string(), err.hint().unwrap_or_default())
}

fn findings(pki: &DoctorPki) -> Vec<Finding> {
    let paths = pki.paths();
    files::inspect(
        &files::load(&paths).unwrap(),
        &paths,
        OffsetDateTime::now_utc(),
    )
}

/// The findings that are not ok.
fn faults(pki: &DoctorPki) -> Vec<(Severity, String)> {
    let found = findings(pki)
        .into_iter()
        .filter(|finding| finding.severity > Severity::Ok);
    found
        .map(|finding| (finding.severity, finding.text))
        .collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        BASE64.encode(der)
    )
}

#[test]
fn a_good_set_loads_and_every_finding_is_ok() {
    let pki = DoctorPki::new();
    let material = files::load(&pki.paths()).unwrap();
    assert_eq!(
        (
            material.cert_chain.len(),
            material.client_ca.len(),
            material.crls.len()
        ),
        (1, 1, 0)
    );
    assert_eq!(faults(&pki), []);
    let texts: Vec<String> = findings(&pki)
        .into_iter()
        .map(|finding| finding.text)
        .collect();
    let ca = pki::Certificate::read(&material.client_ca[0]).unwrap();
    assert!(
        texts[0].contains("client CA \"CN=Test CA\"") && texts[0].contains(&ca.sha256),
        "{texts:?}"
    );
    assert!(
        texts[1].contains("DNS:localhost IP:127.0.0.1, valid until "),
        "{texts:?}"
    );
    assert!(
        !format!("{material:?}").contains(&format!("{:?}", pki.key.serialize_der())),
        "the key is in the debug text"
    );
}

#[test]
fn every_key_form_is_read() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
        &PKCS_RSA_SHA256,
    ] {
        let pki = DoctorPki::new();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &pki.ca)
            .unwrap();
        pki.write("server-cert.pem", cert.pem());
        pki.write("server-key.pem", key.serialize_pem());
        files::load(&pki.paths()).unwrap();

        // The older forms are what PKCS#8 wraps.
        let pkcs8 = key.serialize_der();
        let inner = PrivateKeyInfoRef::try_from(&pkcs8[..])
            .unwrap()
            .private_key
            .as_bytes();
        let old = if *algorithm == PKCS_RSA_SHA256 {
            pem("RSA PRIVATE KEY", inner)
        } else if *algorithm == PKCS_ED25519 {
            continue;
        } else {
            // openssl writes the curve's parameters before the key.
            pem("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
                + &pem("EC PRIVATE KEY", inner)
        };
        pki.write("server-key.pem", old);
        files::load(&pki.paths()).unwrap();
    }
}

#[test]
fn bundles_chains_comments_crlf_and_bom_are_read() {
    let pki = DoctorPki::new();
    let old =
        rcgen::CertifiedIssuer::self_signed(ca_params("Old CA"), KeyPair::generate().unwrap())
            .unwrap();
    let bundle = format!(
        "\u{feff}subject=CN = Old CA\n{}# the new one\n{}",
        old.pem(),
        pki.ca.pem()
    )
    .replace('\n', "\r\n");
    pki.write("ca.pem", bundle);
    pki.write("server-cert.pem", pki.server.pem() + &pki.ca.pem());
    let material = files::load(&pki.paths()).unwrap();
    assert_eq!(
        (material.client_ca.len(), material.cert_chain.len()),
        (2, 2)
    );
    assert_eq!(faults(&pki), []);
    pki.write("server-cert.pem", pki.server.pem() + &old.pem());
    let (severity, text) = &faults(&pki)[0];
    assert_eq!(*severity, Severity::Warning);
    assert!(
        text.ends_with("after the one issued by CN=Test CA comes CN=Old CA"),
        "{text}"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused_and_both_files_are_named() {
    let pki = DoctorPki::new();
    let key = pki.write(
        "server-key.pem",
        KeyPair::generate().unwrap().serialize_pem(),
    );
    let (text, hint) = refused(&pki.paths());
    let cert = pki.path("server-cert.pem");
    assert_eq!(
        text,
        format!("server key file {key:?} does not belong to the certificate in {cert:?}")
    );
    assert!(hint.contains("dockgate certs renew server"), "{hint}");
}

#[test]
fn a_leaf_is_not_a_ca() {
    let pki = DoctorPki::new();
    let ca = pki.write("ca.pem", pki.ca.pem() + &pki.server.pem());
    assert_eq!(
        refused(&pki.paths()).0,
        format!("client CA file {ca:?} contains \"CN=gate\", which is not a CA")
    );
    // Not even when it signed itself.
    let mut params = CertificateParams::new(vec!["me".to_owned()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name.push(DnType::CommonName, "me");
    pki.write(
        "ca.pem",
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem(),
    );
    assert!(refused(&pki.paths()).0.ends_with("which is not a CA"));
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn wrong_files_are_called_by_what_they_are() {
    let pki = DoctorPki::new();
    let (cert, key) = (pki.server.pem(), pki.key.serialize_pem());
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----\n";
    let cases: [(&str, Vec<u8>, &str, &str); 12] = [
        (
            "server-key.pem",
            cert.clone().into(),
            "is a certificate where a private key was expected",
            "were tlscert and tlskey swapped?",
        ),
        (
            "server-cert.pem",
            key.clone().into(),
            "is a private key where a certificate was expected",
            "swapped",
        ),
        (
            "server-cert.pem",
            pem("CERTIFICATE REQUEST", b"x").into(),
            "is a certificate request (CSR) where a certificate was expected",
            "",
        ),
        (
            "server-key.pem",
            pem("ENCRYPTED PRIVATE KEY", b"x").into(),
            "is encrypted, which is not supported",
            "openssl pkey -in",
        ),
        (
            "server-key.pem",
            encrypted.into(),
            "is encrypted, which is not supported",
            "openssl pkey -in",
        ),
        (
            "server-key.pem",
            (key.clone() + &key).into(),
            "contains 2 private keys; expected one",
            "keep the one",
        ),
        (
            "server-cert.pem",
            pki.server.der().to_vec(),
            "is DER; expected PEM",
            "openssl x509 -inform der",
        ),
        ("ca.pem", b" \n".to_vec(), "is empty", "dockgate certs init"),
        (
            "ca.pem",
            b"hello\n".to_vec(),
            "contains no certificates",
            "dockgate certs init",
        ),
        (
            "ca.pem",
            vec![b'#'; files::MAX_BYTES + 1],
            "is larger than 1048576 bytes",
            "",
        ),
        (
            "server-cert.pem",
            pem("CERTIFICATE", b"not a certificate").into(),
            "cannot be decoded: certificate 1: ",
            "",
        ),
        (
            "server-key.pem",
            pem("PRIVATE KEY", b"not a key").into(),
            "has a key that cannot be used: ",
            "ECDSA",
        ),
    ];
    for (name, contents, expected, advice) in cases {
        let pki = DoctorPki::new();
        let path = pki.write(name, contents);
        let (text, hint) = refused(&pki.paths());
        assert!(text.contains(&format!("{path:?} {expected}")), "{text}");
        assert!(hint.contains(advice), "{text}: {hint}");
    }
    fs::remove_file(pki.path("ca.pem")).unwrap();
    assert!(
        refused(&pki.paths())
            .0
            .contains("cannot be read: No such file")
    );
    fs::create_dir(pki.path("ca.pem")).unwrap();
    let (text, hint) = refused(&pki.paths());
    assert!(
        text.ends_with("is a directory") && hint.starts_with("Docker makes a directory"),
        "{text}: {hint}"
    );
}

#[test]
fn what_clients_would_refuse_is_an_error_and_what_nears_its_end_a_warning() {
    let server = |change: fn(&mut CertificateParams)| faults(&DoctorPki::with(|_| {}, change));
    let ca = |change: fn(&mut CertificateParams)| faults(&DoctorPki::with(change, |_| {}));
    let cases = [
        (
            server(|p| lasting(p, -10, -1)),
            Severity::Error,
            "every client refuses it",
        ),
        (
            server(|p| lasting(p, 1, 2)),
            Severity::Error,
            "is not valid before",
        ),
        (
            server(|p| lasting(p, -10, 5)),
            Severity::Warning,
            "in 4 days",
        ),
        (
            server(|p| p.subject_alt_names.clear()),
            Severity::Error,
            "has no subject alternative name",
        ),
        (
            server(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Severity::Error,
            "has an extendedKeyUsage without serverAuth",
        ),
        (
            ca(|p| lasting(p, -10, -1)),
            Severity::Error,
            "no client can connect",
        ),
        (ca(|p| lasting(p, -10, 5)), Severity::Warning, "expires on"),
    ];
    for (found, severity, words) in cases {
        assert_eq!(found.len(), 1, "{words}: {found:?}");
        assert!(
            found[0].0 == severity && found[0].1.contains(words),
            "{words}: {found:?}"
        );
    }
}

#[test]
fn a_short_life_is_no_warning_before_its_last_third() {
    for (from, to, warns) in [
        (0, 7, false),
        (-4, 3, false),
        (-6, 1, true),
        (-20, 10, true),
        (-300, 31, false),
        (-300, 29, true),
    ] {
        let pki = DoctorPki::with(move |p| lasting(p, from, to), move |p| lasting(p, from, to));
        let found = faults(&pki);
        let ends = found
            .iter()
            .filter(|(_, text)| text.contains("expires on 20"));
        assert_eq!(
            ends.count(),
            if warns { 2 } else { 0 },
            "{from} {to}: {found:?}"
        );
    }
}

#[test]
fn the_hint_for_what_joined_names_the_command_that_renews_it() {
    let pki = DoctorPki::with(|_| {}, |p| lasting(p, -6, 1));
    let hints = |paths: &TlsPaths| -> Vec<String> {
        let material = files::load(paths).expect("load");
        let found = files::inspect(&material, paths, OffsetDateTime::now_utc());
        found
            .into_iter()
            .filter_map(|finding| finding.hint)
            .collect()
    };
    assert_eq!(
        hints(&pki.paths()),
        ["renew it with `dockgate certs renew server`"]
    );
    let joined = pki.path("joined");
    fs::create_dir_all(joined.join("gate")).unwrap();
    fs::write(joined.join("enrolled.json"), "{}").unwrap();
    let mut paths = pki.paths();
    for (from, name) in [(&mut paths.cert, "cert.pem"), (&mut paths.key, "key.pem")] {
        let to = joined.join("gate").join(name);
        fs::copy(&*from, &to).unwrap();
        *from = to;
    }
    let dir = joined.canonicalize().unwrap();
    assert_eq!(
        hints(&paths),
        [format!("renew it with `dockgate renew {}`", dir.display())]
    );
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let pki = DoctorPki::new();
    for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(pki.path("server-key.pem"), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            faults(&pki)
                .iter()
                .any(|(_, text)| text.contains("can be read by everybody")),
            warns,
            "{mode:o}"
        );
    }
}

/// The classic of nginx's recipes: `openssl x509 -req` without extensions makes version 1.
#[test]
fn a_server_certificate_of_version_1_is_refused_with_its_cure() {
    let pki = DoctorPki::new();
    let paths = pki.paths();
    let (cert, key) = (paths.cert.display(), paths.key.display());
    let extensions = pki.write("extensions", "subjectAltName=DNS:localhost\n");
    let sign = |more: &str| {
        let line = format!(
            "openssl req -new -key {key} -subj /CN=localhost | openssl x509 -req -signkey {key} -days 30 -out {cert} {more}"
        );
        let output = testkit::programs::external("sh", &["-ec", &line])?;
        Some(output.status.success())
    };
    if testkit::programs::external("openssl", &["version"]).is_none() {
        return;
    }
    assert_eq!(sign(""), Some(true));
    // OpenSSL 3.2 and newer make version 3 by themselves.
    if pki::store::inspect_file(&paths.cert)
        .expect("a certificate")
        .1
        .details
        .version
        == 1
    {
        let (said, hint) = refused(&paths);
        assert!(
            said.contains("is of X.509 version 1; expected version 3"),
            "{said}"
        );
        assert!(hint.contains("openssl x509 -req -extfile FILE"), "{hint}");
    }
    assert_eq!(
        sign(&format!("-extfile {}", extensions.display())),
        Some(true)
    );
    files::load(&paths).expect("version 3 is taken");
}

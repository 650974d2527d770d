//! `certs show` judges as the gate does: the CA's own dates, and lists for every certificate of the chain.

use std::{fs, path::Path, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use time::{Duration, OffsetDateTime};

use super::support::{arg, done, external, text};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial.into());
    params
}

fn ca_params(name: &str, serial: u64) -> CertificateParams {
    let mut params = params(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A client certificate of `ca` in `dir`, with what is between them.
fn client(dir: &Path, ca: &Ca, between: &str) -> String {
    let mut params = params("ci", 7);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = params.signed_by(&key(), ca).expect("signed");
    let path = dir.join("leaf.pem");
    fs::write(&path, leaf.pem() + between).expect("written");
    arg(&path).to_owned()
}

#[test]
fn a_ca_outside_its_own_validity_vouches_for_nobody() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ca = dir.path().join("ca.pem");
    for (from, to, said) in [
        (2020, 2021, "its CA \"CN=old CA\" expired on 2021-01-01"),
        (
            4000,
            4001,
            "its CA \"CN=old CA\" is not valid before 4000-01-01",
        ),
        (2020, 4000, "dockgate would let it in as ci"),
    ] {
        let mut params = ca_params("old CA", 1);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("a CA");
        fs::write(&ca, issuer.pem()).expect("written");
        let leaf = client(dir.path(), &issuer, "");
        let shown = done(dir.path(), &["show", &leaf, "--ca-cert", arg(&ca)]);
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn a_revoked_ca_between_is_found_by_its_own_list() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = CertifiedIssuer::self_signed(ca_params("root", 1), key()).expect("a CA");
    let between = CertifiedIssuer::signed_by(ca_params("between", 2), key(), &root).expect("a CA");
    let now = OffsetDateTime::now_utc();
    let list = |issuer: &Ca, serials: &[u64]| {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: now - Duration::days(1),
            next_update: now + Duration::days(30),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(issuer)
        .and_then(|list| list.pem())
        .expect("a list")
    };
    fs::write(dir.path().join("ca.pem"), root.pem()).expect("written");
    let leaf = client(dir.path(), &between, &between.pem());
    for (serials, said) in [
        (
            &[2][..],
            "dockgate would refuse it: its CA \"CN=between\" is revoked",
        ),
        (&[9], "dockgate would let it in as ci"),
    ] {
        let lists = list(&between, &[]) + &list(&root, serials);
        fs::write(dir.path().join("crl.pem"), lists).expect("written");
        let shown = done(dir.path(), &["show", &leaf, "--dir", arg(dir.path())]);
        assert!(shown.contains(said), "{shown}");
    }
    // As in the gate: a list for the leaf alone does not say that the CA between is still good.
    fs::write(dir.path().join("crl.pem"), list(&between, &[])).expect("written");
    let shown = done(dir.path(), &["show", &leaf, "--dir", arg(dir.path())]);
    assert!(
        shown.contains("there is no revocation list of \"CN=root\""),
        "{shown}"
    );
}

#[test]
fn the_pin_is_shown_as_policies_and_deny_lists_take_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ca = CertifiedIssuer::self_signed(ca_params("root", 1), key()).expect("a CA");
    let leaf = client(dir.path(), &ca, "");
    let json = done(dir.path(), &["show", "--json", &leaf]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let (pin, hex) = (&json[0]["spki"], &json[0]["spki_sha256"]);
    let (pin, hex) = (pin.as_str().expect("text"), hex.as_str().expect("text"));
    let digest = dockgate::config::value::sha256(hex).expect("hex");
    assert_eq!(policy::pin(pin), Some(digest));
    assert_eq!(dockgate::config::value::sha256(pin), Ok(digest));
    let shown = done(dir.path(), &["show", &leaf]);
    assert!(
        shown.contains(&format!("SPKI           {pin}\n")),
        "{shown}"
    );
}

/// A CA and a server certificate of one subject, which key identifiers tell apart or nothing does.
fn one_subject(dir: &Path, identified: bool) {
    let write = |name: &str, pem: String| fs::write(dir.join(name), pem).expect("written");
    let mut authority = ca_params("docker", 1);
    authority.key_identifier_method = KeyIdMethod::Sha256;
    let ca = CertifiedIssuer::self_signed(authority, key()).expect("a CA");
    let (mut server, server_key) = (params("docker", 2), key());
    let name = "docker.example".try_into().expect("a name");
    server.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // OpenSSL compares the CA's identifier with the certificate's own, so that one alone says nothing.
    server.use_authority_key_identifier_extension = true;
    if identified {
        server.is_ca = IsCa::ExplicitNoCa;
    }
    let leaf = server.signed_by(&server_key, &ca).expect("signed");
    write("ca.pem", ca.pem());
    write("server-cert.pem", leaf.pem());
    write("server-key.pem", server_key.serialize_pem());
}

#[test]
fn a_server_with_the_subject_of_its_ca_is_told_by_check_and_show_as_openssl_judges() {
    for (identified, told) in [(false, true), (true, false)] {
        let dir = tempfile::tempdir().expect("temporary directory");
        one_subject(dir.path(), identified);
        let path = |name: &str| dir.path().join(name);
        let (ca, leaf) = (path("ca.pem"), path("server-cert.pem"));
        if let Some(output) = external("openssl", &["verify", "-CAfile", arg(&ca), arg(&leaf)]) {
            assert_eq!(output.status.success(), !told, "{}", text(&output));
        }
        let files = [
            "--tlscacert=ca.pem",
            "--tlscert=server-cert.pem",
            "--tlskey=server-key.pem",
            "--host=tcp://127.0.0.1:0",
            "--control-socket=off",
        ];
        let show = ["certs", "show", "server-cert.pem", "--ca-cert", "ca.pem"];
        for command in [&["check", "--offline"][..], &show] {
            let mut process = Command::new(env!("CARGO_BIN_EXE_dockgate"));
            process.args(command).current_dir(dir.path());
            if command[0] != "certs" {
                process.args(files);
            }
            let said = text(&process.output().expect("dockgate must start"));
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_told = ["the same subject as its CA", "key identifiers"]
                .iter()
                .all(|words| said.contains(words));
            assert_eq!(is_told, told, "{command:?}: {said}");
        }
    }
}

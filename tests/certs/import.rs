//! CAs made by others: every form of key, names that are more than one CN, key identifiers of any derivation.

use std::path::Path;

use super::support::{arg, done, inspect_file, openssl_accepts, ran, refused};

/// Makes a CA with openssl: `convert` turns the PKCS#8 key into the form under test.
fn foreign_ca(dir: &Path, algorithm: &[&str], convert: &[&str], subject: &str, ski: &str) -> bool {
    let (raw, key, ca) = (
        dir.join("raw.pem"),
        dir.join("theirs-key.pem"),
        dir.join("theirs.pem"),
    );
    let mut generate = vec!["genpkey", "-out", arg(&raw)];
    generate.extend(algorithm);
    if !ran("openssl", &generate) {
        return false;
    }
    let mut args = convert.to_vec();
    args.extend(["-in", arg(&raw), "-out", arg(&key)]);
    ran("openssl", &args);
    let config = dir.join("ca.cnf");
    let text = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier={ski}\n"
    );
    std::fs::write(&config, text).expect("write");
    ran(
        "openssl",
        &[
            "req",
            "-x509",
            "-new",
            "-utf8",
            "-multivalue-rdn",
            "-config",
            arg(&config),
            "-key",
            arg(&raw),
            "-days",
            "400",
            "-subj",
            subject,
            "-out",
            arg(&ca),
        ],
    )
}

const CA: [&str; 4] = ["--ca-cert", "theirs.pem", "--ca-key", "theirs-key.pem"];

#[test]
fn every_form_of_key_signs() {
    let ec = ["-algorithm", "EC", "-pkeyopt"];
    let p256 = [ec[0], ec[1], ec[2], "ec_paramgen_curve:P-256"];
    let p384 = [ec[0], ec[1], ec[2], "ec_paramgen_curve:P-384"];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let ed25519 = ["-algorithm", "ED25519"];
    let table: [(&str, &[&str], &[&str]); 7] = [
        ("RSA PKCS#8", &rsa, &["pkcs8", "-topk8", "-nocrypt"]),
        ("RSA PKCS#1", &rsa, &["rsa", "-traditional"]),
        ("P-256 PKCS#8", &p256, &["pkcs8", "-topk8", "-nocrypt"]),
        ("P-256 SEC1", &p256, &["ec"]),
        ("P-384 PKCS#8", &p384, &["pkcs8", "-topk8", "-nocrypt"]),
        ("P-384 SEC1", &p384, &["ec"]),
        ("Ed25519 PKCS#8", &ed25519, &["pkcs8", "-topk8", "-nocrypt"]),
    ];
    for (name, algorithm, convert) in table {
        let dir = tempfile::tempdir().expect("temporary directory");
        if !foreign_ca(dir.path(), algorithm, convert, "/CN=Their CA", "hash") {
            return;
        }
        let mut args = vec!["init", "--san", "docker.example"];
        args.extend(CA);
        let said = done(dir.path(), &args);
        assert!(
            said.contains("took over the CA CN=Their CA"),
            "{name}: {said}"
        );
        let mut args = vec!["client", "ci"];
        args.extend(CA);
        done(dir.path(), &args);
        let certs = dir.path().join("certs");
        openssl_accepts(
            &dir.path().join("theirs.pem"),
            &certs.join("server-cert.pem"),
            "sslserver",
            &[],
        );
        openssl_accepts(
            &certs.join("ca.pem"),
            &certs.join("clients/ci/cert.pem"),
            "sslclient",
            &[],
        );
        assert!(
            !certs.join("ca-key.pem").exists(),
            "their key is not copied"
        );
        let said = refused(dir.path(), &["client", "other"]);
        assert!(
            said.contains("nothing can be signed") && said.contains("--ca-cert FILE --ca-key FILE"),
            "{said}"
        );
    }
}

#[test]
fn issuer_name_and_key_identifier_are_the_cas_own_byte_for_byte() {
    let rsa = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    // Two DCs, two OUs, a multi-valued RDN, letters beyond ASCII; an identifier that is no hash of anything.
    let subjects = [
        "/DC=example/DC=corp/OU=Ops/OU=PKI/CN=Root",
        "/C=DE/O=Beispiel+OU=Prüfung/CN=Wurzel",
        "/CN=plain",
    ];
    for subject in subjects {
        let dir = tempfile::tempdir().expect("temporary directory");
        if !foreign_ca(
            dir.path(),
            &rsa,
            &["pkcs8", "-topk8", "-nocrypt"],
            subject,
            "00112233445566778899",
        ) {
            return;
        }
        let mut args = vec!["init", "--san", "docker.example"];
        args.extend(CA);
        done(dir.path(), &args);
        let mut args = vec!["client", "ci"];
        args.extend(CA);
        done(dir.path(), &args);
        let mut args = vec!["revoke", "ci"];
        args.extend(CA);
        done(dir.path(), &args);
        let certs = dir.path().join("certs");
        let server = inspect_file(&certs.join("server-cert.pem"));
        assert_eq!(
            server.authority_key_id.as_deref(),
            Some("00112233445566778899")
        );
        let (ca, crl) = (dir.path().join("theirs.pem"), certs.join("crl.pem"));
        openssl_accepts(
            &ca,
            &certs.join("server-cert.pem"),
            "sslserver",
            &["-crl_check", "-CRLfile", arg(&crl)],
        );
        // rustls compares the same bytes: its verdict goes through `show`.
        let mut args = vec!["show", "certs/server-cert.pem", "--ca-cert", "theirs.pem"];
        let said = done(dir.path(), &args);
        assert!(said.contains("good to serve with"), "{subject}: {said}");
        args[1] = "certs/clients/ci/cert.pem";
        args.truncate(2);
        let said = done(dir.path(), &args);
        assert!(said.contains("it is revoked"), "{subject}: {said}");
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn an_intermediate_signs_and_travels_with_the_leaf() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| dir.path().join(name);
    if !foreign_ca(
        dir.path(),
        &["-algorithm", "ED25519"],
        &["pkcs8", "-topk8", "-nocrypt"],
        "/CN=Root",
        "hash",
    ) {
        return;
    }
    let (root, root_key) = (path("root.pem"), path("raw.pem"));
    std::fs::copy(path("theirs.pem"), &root).expect("copy");
    let (key, csr, mid, ext) = (
        path("theirs-key.pem"),
        path("mid.csr"),
        path("mid.pem"),
        path("ext"),
    );
    std::fs::write(&ext, "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n").expect("write");
    ran(
        "openssl",
        &[
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            arg(&key),
            "-out",
            arg(&csr),
            "-subj",
            "/CN=Mid",
        ],
    );
    ran(
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            arg(&csr),
            "-CA",
            arg(&root),
            "-CAkey",
            arg(&root_key),
            "-CAcreateserial",
            "-days",
            "300",
            "-extfile",
            arg(&ext),
            "-out",
            arg(&mid),
        ],
    );
    let bundle = [
        std::fs::read(&mid).expect("mid"),
        std::fs::read(&root).expect("root"),
    ]
    .concat();
    std::fs::write(path("theirs.pem"), bundle).expect("write");
    let mut args = vec!["client", "ci"];
    args.extend(CA);
    done(dir.path(), &args);
    let cert = path("certs/clients/ci/cert.pem");
    let pem = std::fs::read_to_string(&cert).expect("chain");
    assert_eq!(
        pem.matches("BEGIN CERTIFICATE").count(),
        2,
        "leaf and intermediate, not the root"
    );
    openssl_accepts(&root, &cert, "sslclient", &["-untrusted", arg(&cert)]);
    let said = done(
        dir.path(),
        &["show", "certs/clients/ci/cert.pem", "--ca-cert", "root.pem"],
    );
    assert!(said.contains("dockgate would let it in as ci"), "{said}");
}

#[test]
fn what_is_not_a_ca_with_its_key_is_refused_by_name() {
    let dir = super::support::initialised();
    done(dir.path(), &["client", "ci"]);
    let ca = [
        "--ca-cert",
        "certs/ca.pem",
        "--ca-key",
        "certs/server-key.pem",
    ];
    let said = refused(dir.path(), &[&["client", "x"], &ca[..]].concat());
    assert!(
        said.contains("whose key is another one") && said.contains("certs/ca.pem"),
        "{said}"
    );
    let leaf = [
        "--ca-cert",
        "certs/server-cert.pem",
        "--ca-key",
        "certs/server-key.pem",
    ];
    let said = refused(dir.path(), &[&["client", "x"], &leaf[..]].concat());
    assert!(said.contains("is not a CA (basicConstraints)"), "{said}");
    let swapped = ["--ca-cert", "certs/ca-key.pem", "--ca-key", "certs/ca.pem"];
    let said = refused(dir.path(), &[&["client", "x"], &swapped[..]].concat());
    assert!(
        said.contains("holds a PRIVATE KEY block, expected a CERTIFICATE"),
        "{said}"
    );
}

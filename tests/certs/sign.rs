//! Requests for keys that were made elsewhere.

use std::path::Path;

use pki::inspect::Role;

use super::support::{arg, done, initialised, inspect_file, openssl_accepts, ran, refused};

/// A request made by openssl in `dir`; false without openssl.
fn request(dir: &Path, name: &str, key: &[&str], subject: &str, extensions: &[&str]) -> bool {
    let (csr, secret) = (
        dir.join(format!("{name}.csr")),
        dir.join(format!("{name}.key")),
    );
    let mut args = vec![
        "req",
        "-new",
        "-nodes",
        "-keyout",
        arg(&secret),
        "-out",
        arg(&csr),
        "-subj",
        subject,
    ];
    args.extend(key);
    extensions
        .iter()
        .for_each(|extension| args.extend(["-addext", extension]));
    ran("openssl", &args)
}

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];

#[test]
fn every_kind_of_key_gets_a_strict_certificate_for_its_role() {
    let dir = initialised();
    let ca = dir.path().join("certs/ca.pem");
    let kinds: [(&str, &[&str]); 4] = [
        ("p256", &P256),
        ("p384", &P384),
        ("rsa", &["-newkey", "rsa:2048"]),
        ("ed25519", &["-newkey", "ed25519"]),
    ];
    for (name, key) in kinds {
        if !request(
            dir.path(),
            name,
            key,
            &format!("/DC=example/DC=corp/O=Example/CN={name}"),
            &[],
        ) {
            return;
        }
        done(dir.path(), &["sign", &format!("{name}.csr"), "--client"]);
        let signed = dir.path().join(format!("{name}.crt.pem"));
        openssl_accepts(&ca, &signed, "sslclient", &[]);
        let info = inspect_file(&signed);
        assert_eq!(
            info.subject,
            format!("DC=example, DC=corp, O=Example, CN={name}"),
            "the subject as requested"
        );
        assert!(info.permits(Role::Client) && !info.permits(Role::Server));
        assert!(done(dir.path(), &["show", arg(&signed)]).contains("would let it in"));
        done(dir.path(), &["revoke", name]);
        assert!(done(dir.path(), &["show", arg(&signed)]).contains("it is revoked"));
    }
    request(
        dir.path(),
        "server",
        &P256,
        "/CN=docker2",
        &[
            "subjectAltName=DNS:docker2.example,IP:192.0.2.9",
            "extendedKeyUsage=serverAuth",
        ],
    );
    done(dir.path(), &["sign", "server.csr", "--out", "docker2.pem"]);
    openssl_accepts(
        &ca,
        &dir.path().join("docker2.pem"),
        "sslserver",
        &["-verify_ip", "192.0.2.9"],
    );
}

#[test]
fn what_a_request_may_not_ask_for_is_refused() {
    let dir = initialised();
    if !request(dir.path(), "unsaid", &P256, "/CN=x", &[]) {
        return;
    }
    let said = refused(dir.path(), &["sign", "unsaid.csr"]);
    assert!(
        said.contains("does not say whether") && said.contains("hint: give --server or --client"),
        "{said}"
    );
    let said = refused(dir.path(), &["sign", "unsaid.csr", "--server"]);
    assert!(
        said.contains("without a subject alternative name"),
        "{said}"
    );
    request(
        dir.path(),
        "ca",
        &P256,
        "/CN=x",
        &["basicConstraints=critical,CA:TRUE"],
    );
    let said = refused(dir.path(), &["sign", "ca.csr", "--client"]);
    assert!(said.contains("a request for a CA"), "{said}");
    request(dir.path(), "anonymous", &P256, "/O=x", &[]);
    let said = refused(dir.path(), &["sign", "anonymous.csr", "--client"]);
    assert!(said.contains("no common name"), "{said}");
    let said = refused(dir.path(), &["sign", "certs/ca.pem", "--client"]);
    assert!(said.contains("expected a CERTIFICATE REQUEST"), "{said}");
    // A bit of the signature turned over: whoever asks must have the key.
    let text = std::fs::read_to_string(dir.path().join("unsaid.csr")).expect("request");
    let at = text.find("\n-----END").expect("end") - 6;
    let other = if text.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    std::fs::write(
        dir.path().join("forged.csr"),
        format!("{}{other}{}", &text[..at], &text[at + 1..]),
    )
    .expect("write");
    let said = refused(dir.path(), &["sign", "forged.csr", "--client"]);
    assert!(
        said.contains("signature does not fit") || said.contains("cannot be read"),
        "{said}"
    );
    assert!(!dir.path().join("forged.crt.pem").exists());
}

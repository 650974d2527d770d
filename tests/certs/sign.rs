//! Requests for keys that were made elsewhere.

use std::path::Path;

use pki::Purpose;

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

#[expect(clippy::too_many_lines, reason = "scenario")]
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
        let csr = format!("{name}.csr");
        done(
            dir.path(),
            &["sign", &csr, "--client", "--name", name, "--o", "Example"],
        );
        let signed = dir.path().join(format!("{name}.crt.pem"));
        openssl_accepts(&ca, &signed, "sslclient", &[]);
        let info = inspect_file(&signed);
        assert_eq!(
            info.subject,
            format!("O=Example, CN={name}"),
            "what the operator gave, and nothing of the request"
        );
        assert!(info.permits(Purpose::Client) && !info.permits(Purpose::Server));
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
    let names = "docker2.example,192.0.2.9";
    done(
        dir.path(),
        &[
            "sign",
            "server.csr",
            "--server",
            "--san",
            names,
            "--out",
            "docker2.pem",
            "--force",
        ],
    );
    openssl_accepts(
        &ca,
        &dir.path().join("docker2.pem"),
        "sslserver",
        &["-verify_ip", "192.0.2.9"],
    );
}

#[test]
fn what_a_request_may_not_be_is_refused() {
    let dir = initialised();
    if !request(dir.path(), "plain", &P256, "/CN=x", &[]) {
        return;
    }
    request(
        dir.path(),
        "ca",
        &P256,
        "/CN=x",
        &["basicConstraints=critical,CA:TRUE"],
    );
    let sign = |csr: &str| refused(dir.path(), &["sign", csr, "--client", "--name", "x"]);
    let said = sign("ca.csr");
    assert!(said.contains("a request for a CA"), "{said}");
    let said = sign("certs/ca.pem");
    assert!(said.contains("expected a CERTIFICATE REQUEST"), "{said}");
    // A bit of the signature turned over: the one who asks must have the key.
    let text = std::fs::read_to_string(dir.path().join("plain.csr")).expect("request");
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
    let said = sign("forged.csr");
    assert!(
        said.contains("signature does not fit") || said.contains("cannot be read"),
        "{said}"
    );
    assert!(!dir.path().join("forged.crt.pem").exists());
}

/// The command that a hint prints between backticks.
fn hinted(said: &str) -> Vec<String> {
    let command = said.split('`').nth(1).expect("a command in the hint");
    assert!(command.starts_with("dockgate certs "), "{said}");
    command.split(' ').skip(2).map(str::to_owned).collect()
}

#[test]
fn name_and_kind_are_the_operators_and_the_hint_leads_there() {
    let dir = initialised();
    if !request(dir.path(), "bob", &P256, "/CN=bob", &[]) {
        return;
    }
    let said = refused(dir.path(), &["sign", "bob.csr"]);
    assert!(said.contains("give --client or --server"), "{said}");
    let hint = hinted(&said);
    let said = refused(dir.path(), &["sign", "bob.csr", "--client"]);
    assert!(
        said.contains("the name of the client is not taken"),
        "{said}"
    );
    assert_eq!(hinted(&said), hint);
    let said = refused(dir.path(), &["sign", "bob.csr", "--server"]);
    assert!(
        said.contains("without a subject alternative name"),
        "{said}"
    );
    assert!(!dir.path().join("bob.crt.pem").exists());
    let args: Vec<&str> = hint.iter().map(String::as_str).collect();
    assert!(done(dir.path(), &args).contains("  name         bob"));
    assert_eq!(
        inspect_file(&dir.path().join("bob.crt.pem")).subject,
        "CN=bob"
    );

    // A server's request leads to a server's certificate, where the operator repeats it.
    request(
        dir.path(),
        "gate",
        &P256,
        "/CN=x",
        &[
            "subjectAltName=DNS:gate.example,IP:192.0.2.9",
            "extendedKeyUsage=serverAuth",
        ],
    );
    let said = refused(dir.path(), &["sign", "gate.csr"]);
    assert!(
        said.contains("--server --san gate.example,192.0.2.9"),
        "{said}"
    );
    let mut args = hinted(&said);
    args.push("--force".into());
    let said = done(
        dir.path(),
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert!(
        said.contains("names        DNS:gate.example")
            && said.contains("names        IP:192.0.2.9"),
        "{said}"
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn nothing_that_a_request_asks_for_is_granted_unless_the_operator_says_it_too() {
    let dir = initialised();
    let wishes = [
        "subjectAltName=URI:spiffe://example.org/admin,DNS:localhost,email:root@example.org",
        "extendedKeyUsage=serverAuth,clientAuth",
    ];
    if !request(
        dir.path(),
        "greedy",
        &P256,
        "/O=Corp/OU=admins/OU=builders/CN=admin",
        &wishes,
    ) {
        return;
    }
    let said = done(
        dir.path(),
        &[
            "sign",
            "greedy.csr",
            "--client",
            "--name",
            "bob",
            "--ou",
            "builders",
            "--uri",
            "spiffe://example.org/bob",
        ],
    );
    for granted in [
        "name         bob",
        "OU           builders",
        "names        URI:spiffe://example.org/bob",
    ] {
        assert!(said.contains(granted), "{granted}: {said}");
    }
    for refused in [
        "O=Corp",
        "OU=admins",
        "CN=admin",
        "URI:spiffe://example.org/admin",
        "DNS:localhost",
        "use as a server",
    ] {
        let line = said
            .lines()
            .find(|line| line.starts_with("not granted"))
            .expect("a line");
        assert!(
            line.contains(refused)
                && !line.contains("OU=builders")
                && !line.contains("use as a client"),
            "{refused}: {line}"
        );
    }
    let info = inspect_file(&dir.path().join("greedy.crt.pem"));
    assert_eq!(info.subject, "OU=builders, CN=bob");
    assert_eq!(
        info.sans
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["URI:spiffe://example.org/bob"]
    );
    assert!(info.permits(Purpose::Client) && !info.permits(Purpose::Server));
    // The other way round: a client's request becomes a server's certificate with the operator's names alone.
    done(
        dir.path(),
        &[
            "sign",
            "greedy.csr",
            "--server",
            "--san",
            "gate.example",
            "--out",
            "gate.pem",
            "--force",
        ],
    );
    let info = inspect_file(&dir.path().join("gate.pem"));
    assert_eq!(info.subject, "CN=gate.example");
    assert_eq!(info.sans.len(), 1);
    assert!(info.permits(Purpose::Server) && !info.permits(Purpose::Client));
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn reserved_odd_and_given_names_are_not_given_by_any_command() {
    let dir = initialised();
    if !request(dir.path(), "x", &P256, "/CN=x", &[]) {
        return;
    }
    let odd = [
        "ca",
        "CA",
        "server",
        "Server",
        "crl",
        "",
        " ",
        " bob",
        "-bob",
        ".bob",
        "a/b",
        "a\\b",
        "a\nb",
        "a\u{1b}[2Jb",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{a0}b",
        "a\u{ad}b",
        "\u{feff}bob",
        "bob,OU=admins",
        "CN=bob",
        "a:b",
        "0123456789abcdef",
        &"x".repeat(65),
    ];
    for name in odd {
        for command in [
            &["sign", "x.csr", "--client", "--name"][..],
            &["client", "--"],
        ] {
            let mut args: Vec<&str> = command.to_vec();
            let equals = format!("--name={name}");
            match args.last() {
                Some(&"--name") => {
                    args.pop();
                    args.push(&equals);
                }
                _ => args.push(name),
            }
            let said = refused(dir.path(), &args);
            assert!(said.contains("client name"), "{args:?}: {said}");
            assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
        }
    }
    assert!(!dir.path().join("x.crt.pem").exists());
    done(dir.path(), &["client", "ada"]);
    // Given names, by every way to give one, and in any case.
    for name in ["ada", "Ada"] {
        for args in [
            &["sign", "x.csr", "--client", "--name", name][..],
            &["client", name, "--out", "elsewhere"],
            &["client", name, "--stdout"],
            &["client", name, "--bundle", "x.tar"],
        ] {
            let said = refused(dir.path(), args);
            assert!(
                said.contains("is given") || said.contains("already exists"),
                "{args:?}: {said}"
            );
        }
    }
    let said = refused(
        dir.path(),
        &["sign", "x.csr", "--server", "--san", "x.example"],
    );
    assert!(said.contains("there is a server certificate"), "{said}");
    // A neighbour is free, a second of the name only when asked for, and a name that was taken back is free again.
    done(dir.path(), &["sign", "x.csr", "--client", "--name", "adam"]);
    done(
        dir.path(),
        &["sign", "x.csr", "--client", "--name", "ada", "--force"],
    );
    done(dir.path(), &["revoke", "ada"]);
    done(
        dir.path(),
        &[
            "sign", "x.csr", "--client", "--name", "ada", "--out", "y.pem",
        ],
    );
}

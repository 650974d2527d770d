//! For any certificate and any key, `certs show` with the gate's configuration says what the handshake says.
//!
//! Keys that the gate cannot use are made by openssl, which is needed where the engine suite is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::gate::{ByFile, Files, replace};
use testkit::programs::{dockgate, missing, said};

/// Runs openssl in `dir`; `None` where it is not installed and need not be.
#[track_caller]
fn openssl(dir: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("openssl");
    match command.args(arguments).current_dir(dir).output() {
        Ok(output) => Some(output),
        Err(_) => {
            missing("openssl");
            None
        }
    }
}

/// A certificate and how its key is made.
struct AgreementCase {
    name: &'static str,
    key: &'static [&'static str],
    /// Arguments of `openssl req -new`.
    request: &'static [&'static str],
    /// The extensions of the certificate; without any it is one of version 1.
    extensions: &'static str,
    /// Words that its refusal must have; without any it is let in.
    refused: Option<&'static str>,
}

const P256: &[&str] = &[
    "genpkey",
    "-algorithm",
    "EC",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
];
const CLIENT: &str = "extendedKeyUsage=clientAuth";

const CASES: &[AgreementCase] = &[
    AgreementCase {
        name: "p256",
        key: P256,
        request: &[],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "p384",
        key: &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
        ],
        request: &[],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "p521",
        key: &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-521",
        ],
        request: &[],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "secp256k1",
        key: &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp256k1",
        ],
        request: &[],
        extensions: CLIENT,
        refused: Some("a key that cannot be used (ECDSA secp256k1)"),
    },
    AgreementCase {
        name: "explicit",
        key: &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-pkeyopt",
            "ec_param_enc:explicit",
        ],
        request: &[],
        extensions: CLIENT,
        refused: Some("ECDSA with explicit parameters"),
    },
    AgreementCase {
        name: "rsa1024",
        key: &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
        ],
        request: &[],
        extensions: CLIENT,
        refused: Some("a key that cannot be used (RSA 1024)"),
    },
    AgreementCase {
        name: "rsa2040",
        key: &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2040",
        ],
        request: &[],
        extensions: CLIENT,
        refused: Some("a key that cannot be used (RSA 2040)"),
    },
    AgreementCase {
        name: "rsa2048",
        key: &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        request: &[],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "rsa-pss",
        key: &[
            "genpkey",
            "-algorithm",
            "RSA-PSS",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        request: &[],
        extensions: CLIENT,
        refused: Some("a key that cannot be used (RSA-PSS)"),
    },
    AgreementCase {
        name: "ed25519",
        key: &["genpkey", "-algorithm", "ED25519"],
        request: &[],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "ed448",
        key: &["genpkey", "-algorithm", "ED448"],
        request: &[],
        extensions: CLIENT,
        refused: Some("a key that cannot be used (Ed448)"),
    },
    AgreementCase {
        name: "version-one",
        key: P256,
        request: &[],
        extensions: "",
        refused: Some("X.509 version 1"),
    },
    AgreementCase {
        name: "authority",
        key: P256,
        request: &[],
        extensions: "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=clientAuth",
        refused: Some("no CA is let in as a client"),
    },
    AgreementCase {
        name: "no-usage",
        key: P256,
        request: &[],
        extensions: "subjectAltName=DNS:no-usage",
        refused: None,
    },
    AgreementCase {
        name: "server-usage",
        key: P256,
        request: &[],
        extensions: "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:server-usage",
        refused: Some("extended key usage"),
    },
    AgreementCase {
        name: "any-usage",
        key: P256,
        request: &[],
        extensions: "extendedKeyUsage=anyExtendedKeyUsage",
        refused: Some("extended key usage"),
    },
    AgreementCase {
        name: "critical",
        key: P256,
        request: &[],
        extensions: "extendedKeyUsage=clientAuth\n1.2.3.4=critical,ASN1:NULL",
        refused: Some("critical extension 1.2.3.4"),
    },
    AgreementCase {
        name: "policies",
        key: P256,
        request: &[],
        extensions: "extendedKeyUsage=clientAuth\ncertificatePolicies=critical,1.2.3.4",
        refused: Some("critical extension certificatePolicies"),
    },
    // "MASK:…" chooses the string types: T.61, BMP and universal strings for what is not ASCII.
    AgreementCase {
        name: "teletex",
        key: P256,
        request: &["-config", "teletex.cnf"],
        extensions: CLIENT,
        refused: None,
    },
    AgreementCase {
        name: "bmp",
        key: P256,
        request: &["-config", "bmp.cnf"],
        extensions: CLIENT,
        refused: None,
    },
];

/// Makes a client; `None` where openssl is not there.
fn client(dir: &Path, case: &AgreementCase) -> Option<PathBuf> {
    let name = case.name;
    let (key, csr, cert) = (
        format!("{name}.key"),
        format!("{name}.csr"),
        format!("{name}.pem"),
    );
    let run = |arguments: &[&str]| {
        let output = openssl(dir, arguments)?;
        assert!(output.status.success(), "{name}: {}", said(&output));
        Some(())
    };
    let made = [case.key, &["-out", &key]].concat();
    run(&made)?;
    let subject = format!("/CN={name} ü");
    let mut request = vec![
        "req", "-new", "-utf8", "-key", &key, "-out", &csr, "-subj", &subject,
    ];
    request.extend(case.request);
    run(&request)?;
    let mut sign = vec![
        "x509",
        "-req",
        "-in",
        &csr,
        "-CA",
        "ca/ca.pem",
        "-CAkey",
        "ca/ca-key.pem",
        "-days",
        "30",
        "-out",
        &cert,
    ];
    let file = format!("{name}.ext");
    if !case.extensions.is_empty() {
        std::fs::write(dir.join(&file), case.extensions).expect("written");
        sign.extend(["-extfile", &file]);
    }
    run(&sign)?;
    Some(dir.join(cert))
}

/// Whether the gate answers a request of this client, by openssl, which can use every key.
fn connects(gate: &ByFile, dir: &Path, name: &str, version: &str) -> bool {
    use std::io::Write;
    let address = gate.addr.to_string();
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-no_ign_eof",
            version,
            "-connect",
            &address,
        ])
        .args([
            "-cert",
            &format!("{name}.pem"),
            "-key",
            &format!("{name}.key"),
        ])
        .current_dir(dir)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut input = child.stdin.take().expect("a pipe");
    // It may be refused before it has sent anything.
    let _ = input.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    String::from_utf8_lossy(&output.stdout).contains("200 OK")
}

#[test]
fn show_with_the_gates_configuration_says_what_the_handshake_says() {
    let setup = Files::new();
    let dir = setup.path("");
    let masks = [("teletex", "MASK:0x4"), ("bmp", "MASK:0x800")];
    for (name, mask) in masks {
        let text = format!("[req]\nstring_mask = {mask}\ndistinguished_name = dn\n[dn]\n");
        std::fs::write(setup.path(&format!("{name}.cnf")), text).expect("written");
    }
    let mut clients = Vec::new();
    for case in CASES {
        let Some(path) = client(&dir, case) else {
            return;
        };
        clients.push((case, path));
    }
    let denied = pki_serial(&clients[0].1);
    let config = setup.path("dockgate.toml");
    let gate = setup.start(&format!("deny-serials = [\"00{denied}\"]\n"));
    let mut wrong = Vec::new();
    for (case, path) in &clients {
        let mut command = dockgate();
        command
            .args(["certs", "show", "--config-file"])
            .arg(&config);
        let output = command.arg(path).output().expect("dockgate runs");
        let text = said(&output);
        let expected = if std::ptr::eq(*case, &CASES[0]) {
            Some("on the deny list")
        } else {
            case.refused
        };
        let shown = match expected {
            Some(words) => text.contains("dockgate would refuse it: ") && text.contains(words),
            None => text.contains("dockgate would let it in as "),
        };
        if !shown {
            wrong.push(format!("{}: show says {text}", case.name));
        }
        for version in ["-tls1_3", "-tls1_2"] {
            let let_in = connects(&gate, &dir, case.name, version);
            if let_in != expected.is_none() {
                wrong.push(format!("{} over {version}: let in: {let_in}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn pki_serial(path: &Path) -> String {
    use rustls::pki_types::pem::PemObject;
    let der = rustls::pki_types::CertificateDer::from_pem_file(path).expect("a certificate");
    pki::Certificate::read(&der).expect("readable").serial
}

/// The same over lists, policies and what comes with a leaf, where the answer changes with the configuration.
#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn show_follows_the_configuration_that_the_gate_has() {
    let setup = Files::new();
    let ann = setup.pki.client_by_dockgate("ann", &[]);
    let config = setup.path("dockgate.toml");
    let leaf = setup.path("ca/clients/ann/cert.pem");
    let show = |extra: &[&str]| {
        let mut command = dockgate();
        let output = command
            .args(["certs", "show"])
            .arg(&leaf)
            .args(extra)
            .output()
            .expect("dockgate runs");
        said(&output)
    };
    let with = ["--config-file", config.to_str().expect("text")];
    let policy = setup.path("policy.toml");
    std::fs::write(
        &policy,
        "version = 1\n\n[[client]]\nname = \"the ann\"\nmatch = { cn = [\"ann\"] }\nrole = \"read-only\"\n",
    )
    .expect("written");
    let gate = setup.start("");
    assert!(
        show(&with).contains("would let it in as ann, with full access (no policy)"),
        "{}",
        show(&with)
    );
    gate.connect(&ann).ping();
    gate.configure("policy = \"policy.toml\"\n");
    let said_now = show(&with);
    assert!(
        said_now.contains("with the role \"read-only\" of the entry \"the ann\""),
        "{said_now}"
    );
    let dir = gate.path("ca");
    let by_file = show(&[
        "--dir",
        dir.to_str().expect("text"),
        "--policy",
        policy.to_str().expect("text"),
    ]);
    assert!(by_file.contains("with the role \"read-only\""), "{by_file}");
    assert!(
        by_file.contains("no deny list and no policy, the policy"),
        "{by_file}"
    );
    let pin = &ann.identity().spki;
    let pin: String = pin.iter().map(|byte| format!("{byte:02X}")).collect();
    gate.configure(&format!("deny-spki-sha256 = [\"{pin}\"]\n"));
    let said_now = show(&with);
    assert!(
        said_now.contains("would refuse it: it is on the deny list"),
        "{said_now}"
    );
    replace(&gate.path("policy.toml"), "[[client]]\n");
    gate.configure("policy = \"policy.toml\"\n");
    assert!(
        show(&with).contains("dockgate check --config-file"),
        "{}",
        show(&with)
    );
}

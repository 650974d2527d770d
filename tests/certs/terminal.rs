//! What certificates, requests and policies say reaches no terminal as it is, from any command.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use crate::support::text;

/// A line feed that forges a row, a screen that is cleared, a text that runs backwards, and their C1 and DEL forms.
const ODD: &str = "x\nok forged\r\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\u{2066}";

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, ODD);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{name}{ODD}"));
    params.use_authority_key_identifier_extension = true;
    params
}

/// A directory as another tool could have left it: every name in it is odd.
fn odd_directory(root: &Path) {
    let certs = root.join("certs");
    let client = certs.join("clients/odd");
    fs::create_dir_all(&client).expect("create directories");
    let key = || KeyPair::generate().expect("a key");
    let (ca_key, server_key, client_key) = (key(), key(), key());
    let mut ca = params("ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("a CA").pem();
    let issuer = Issuer::from_params(&ca, &ca_key);
    let leaf = |name: &str, key: &KeyPair, sans: &[&str]| {
        let mut leaf = params(name);
        let san = |san: &&str| (*san).try_into().map(rcgen::SanType::DnsName);
        leaf.subject_alt_names = sans
            .iter()
            .map(san)
            .collect::<Result<_, _>>()
            .expect("names");
        leaf.signed_by(key, &issuer).expect("a certificate").pem()
    };
    let files = [
        ("ca.pem", ca_pem.clone()),
        ("ca-key.pem", ca_key.serialize_pem()),
        (
            "server-cert.pem",
            leaf("server", &server_key, &["localhost"]),
        ),
        ("server-key.pem", server_key.serialize_pem()),
        ("clients/odd/cert.pem", leaf("odd", &client_key, &[])),
        ("clients/odd/key.pem", client_key.serialize_pem()),
        ("clients/odd/ca.pem", ca_pem),
    ];
    for (name, pem) in files {
        fs::write(certs.join(name), pem).expect("write");
    }
    let mut bob = params("bob");
    bob.use_authority_key_identifier_extension = false;
    let request = bob.serialize_request(&client_key).expect("a request");
    fs::write(root.join("odd.csr"), request.pem().expect("PEM")).expect("write");
    let policy = format!(
        "version = 1\n[[client]]\nname = {ODD:?}\nmatch = {{ cn = {ODD:?} }}\nrole = \"read-only\"\n"
    );
    let policy = policy
        .replace("\\u{1b}", "\\u001b")
        .replace("\\u{9b}", "\\u009b")
        .replace("\\u{7f}", "\\u007f");
    let policy = policy
        .replace("\\u{202e}", "\\u202e")
        .replace("\\u{2028}", "\\u2028")
        .replace("\\u{2066}", "\\u2066");
    fs::write(root.join("policy.toml"), policy).expect("write");
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn no_command_prints_what_a_terminal_obeys_or_a_row_that_a_name_forged() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    odd_directory(dir.path());
    let serve = [
        "--tlscacert=certs/ca.pem",
        "--tlscert=certs/server-cert.pem",
        "--tlskey=certs/server-key.pem",
        "--host=tcp://192.0.2.1:1",
        "--control-socket=off",
    ];
    let with = |words: &[&'static str]| [words, &serve].concat();
    let commands = [
        vec!["certs", "list"],
        vec!["certs", "list", "--json"],
        vec!["certs", "show", "certs/clients/odd/cert.pem"],
        vec!["certs", "show", "certs/ca.pem", "--json"],
        vec!["certs", "sign", "odd.csr"],
        vec!["certs", "sign", "odd.csr", "--client", "--name", "bob"],
        vec!["certs", "sign", "odd.csr", "--client", "--name", ODD],
        vec!["certs", "renew", "odd"],
        vec!["certs", "renew", "--all"],
        vec!["certs", "client", "ada"],
        vec!["certs", "bundle", "odd"],
        vec![
            "certs",
            "server",
            "--force",
            "--ca-cert",
            "certs/clients/odd/cert.pem",
            "--ca-key",
            "certs/clients/odd/key.pem",
        ],
        vec!["certs", "revoke", "certs/clients/odd/cert.pem"],
        with(&["check", "--offline"]),
        with(&["check", "--offline", "--policy=policy.toml"]),
        with(&["doctor"]),
        with(&["doctor", "--json"]),
        with(&["serve", "--log-format=text"]),
        with(&["serve", "--log-format=json"]),
        vec!["policy", "check", "policy.toml"],
        vec!["policy", "check", "policy.toml", "--json"],
        vec![
            "policy",
            "explain",
            "policy.toml",
            "GET",
            "/_ping",
            "--cert",
            "certs/clients/odd/cert.pem",
        ],
        vec![
            "policy",
            "explain",
            "policy.toml",
            "GET",
            "/_ping",
            "--cn",
            ODD,
        ],
        vec![ODD],
        vec!["doctor", ODD],
        vec!["kick", ODD],
        vec!["ps", "--control-socket", ODD],
    ];
    let mut quoted = 0;
    for args in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
            .args(&args)
            .current_dir(dir.path())
            .env_remove("DOCKGATE_CERTS_DIR")
            .stdin(Stdio::null())
            .output()
            .expect("dockgate must start");
        let said = text(&output);
        let bad = |c: char| c != '\n' && ::text::escape::is_unsafe(c);
        assert!(!said.contains(bad), "{args:?}: {said:?}");
        // clap repeats its own user's argument on lines of its own; nobody else's text does.
        let own = args.len() == 1 || args[0] == "kick";
        assert!(
            own || !said
                .lines()
                .any(|line| line.trim_start().starts_with("ok forged")),
            "{args:?}: {said}"
        );
        quoted += usize::from(said.contains("forged"));
    }
    assert!(quoted > 12, "the odd names were shown {quoted} times only");
}

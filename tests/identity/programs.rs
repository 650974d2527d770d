//! curl and openssl alone, as docs/reference/signer.md has it: the page's own lines are run.

use std::path::Path;
use std::process::Command;

use enroll::Token;
use testkit::programs::{external, said};

use crate::support::*;

/// The shell lines of a section of the page.
fn lines(section: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/reference/signer.md")).expect("the page");
    let (_, rest) = page
        .split_once(&format!("\n## {section}\n"))
        .expect("the section");
    let section = rest.split("\n## ").next().expect("its text");
    let code = section.split("```").nth(1).expect("its lines");
    code.strip_prefix("sh\n")
        .expect("lines for a shell")
        .to_owned()
}

#[test]
fn curl_and_openssl_alone_enrol_and_renew_as_documented() {
    for (program, version) in [
        ("bash", "--version"),
        ("openssl", "version"),
        ("curl", "--version"),
    ] {
        if external(program, &[version]).is_none() {
            return;
        }
    }
    let dir = directory();
    let signer = SignerProcess::start(dir.path(), &[]);
    let address = format!("localhost:{}", signer.addr.port());
    let token = invite(dir.path(), &["ci", "--signer", &address]);
    let parsed = Token::parse(&token).expect("a token");
    let home = tempfile::tempdir().expect("a home");
    let shell = |script: &str, token: &str| {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .env("TOKEN", token)
            .current_dir(home.path())
            .output()
            .expect("start bash");
        assert!(output.status.success(), "{script}\n{}", said(&output));
        said(&output)
    };
    let enrol = lines("Enrol with curl and openssl");
    shell(&enrol, &token);
    let first = inspect(&home.path().join("cert.pem"));
    assert_eq!(first.subject, "CN=ci");
    assert_eq!(mode(&home.path().join("key.pem")), 0o600);
    let renew = lines("Renew with curl and openssl");
    shell(&renew, "");
    let second = inspect(&home.path().join("cert.pem"));
    assert_eq!(second.subject, "CN=ci");
    assert_ne!(
        (&first.serial, &first.spki_sha256),
        (&second.serial, &second.spki_sha256)
    );
    shell(&renew, "");
    // While one CA takes the place of another, both groups of lines bring both.
    done(dir.path(), &["certs", "rollover", "--wait", "1s"]);
    signer
        .log
        .wait(0, 1, |line| line["message"] == "The CA has changed");
    shell(&renew, "");
    let cas = || pki::pem::certificates(&home.path().join("ca.pem")).expect("the CAs");
    assert!(cas().len() >= 2);
    shell(&enrol, &invite(dir.path(), &["ci2", "--signer", &address]));
    assert!(cas().len() >= 2);
    // With a CA that is not the token's, the lines stop before the secret is used.
    let mut wrong = parsed;
    wrong.ca_sha256 = [0; 32];
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &enrol])
        .env("TOKEN", &*wrong.expose())
        .current_dir(home.path())
        .output()
        .expect("start bash");
    assert!(!output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("401"), "{}", said(&output));
}

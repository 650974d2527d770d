//! `--signer-command`: a CA whose key is elsewhere signs, and its answer is used only if it is what was asked for.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use testkit::TlsClient;
use testkit::pki::client_config;
use testkit::programs::{external, said};

use crate::support::*;

/// Signs with openssl what it is asked, or something else if a file says so.
const SIGN: &str = r#"#!/usr/bin/env python3
import json, os, subprocess, sys, tempfile
asked = json.load(sys.stdin)
mode = "mode" if asked["kind"] == "client" else "mode-server"
mode = open(mode).read().strip() if os.path.exists(mode) else "good"
if mode == "wait":
    os.mkdir("begun")
    open("hold").read()
work = tempfile.mkdtemp()
def write(name, text):
    with open(f"{work}/{name}", "w") as file:
        file.write(text)
    return f"{work}/{name}"
def openssl(*words):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout
csr = write("csr.pem", asked["csr"])
if mode == "key":
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{work}/key.pem", "-subj", "/CN=x", "-out", csr)
parts = [f"/O={it}" for it in asked["organizations"]] + [f"/OU={it}" for it in asked["organizational_units"]]
subject = "".join(parts) + "/CN=" + ("mallory" if mode == "subject" else asked["common_name"])
sans = asked["sans"] + (["DNS:extra.example"] if mode == "sans" else [])
usage = ["serverAuth"] if mode == "usage" else asked["extended_key_usage"]
extensions = [
    "basicConstraints=critical,CA:" + ("TRUE" if mode == "ca" else "FALSE"),
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=" + ",".join(usage),
    "authorityKeyIdentifier=" + ("issuer:always" if mode == "issuer-number" else "keyid"),
    "subjectKeyIdentifier=hash",
]
if sans:
    extensions.append("subjectAltName=" + ",".join(sans))
days = 4000 if mode == "end" else max(1, asked["life_secs"] // 86400)
ca = "other" if mode == "issuer" else "company"
if mode == "forged":
    named = openssl("x509", "-in", "company/ca.pem", "-noout", "-subject", "-nameopt", "multiline").split("= ")[-1].strip()
    ca = work
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{ca}/ca-key.pem", "-out", f"{ca}/ca.pem", "-subj", f"/CN={named}")
if mode == "nothing":
    sys.exit(0)
if mode == "failure":
    sys.exit("the HSM does not answer")
sys.stdout.write(openssl(
    "x509", "-req", "-in", csr, "-CA", f"{ca}/ca.pem", "-CAkey", f"{ca}/ca-key.pem", "-days", str(days),
    "-subj", subject, "-extfile", write("extensions", "\n".join(extensions)),
))
"#;

/// A signer whose CA is the one in `company`, of which it has no key.
pub(crate) fn signer(dir: &Path) -> SignerProcess {
    SignerProcess::start(
        dir,
        &[
            "--dir",
            "state",
            "--signer-command",
            "./sign",
            "--ca",
            "company/ca.pem",
            "--crl",
            "company/crl.pem",
        ],
    )
}

pub(crate) fn company() -> Option<tempfile::TempDir> {
    external("openssl", &["version"])?;
    external("python3", &["--version"])?;
    let dir = tempfile::tempdir().expect("create a temporary directory");
    for name in ["company", "other"] {
        done(
            dir.path(),
            &["certs", "init", "--dir", name, "--san", "localhost"],
        );
    }
    done(dir.path(), &["certs", "crl", "--dir", "company"]);
    fs::write(dir.path().join("sign"), SIGN).expect("write the command");
    fs::set_permissions(dir.path().join("sign"), fs::Permissions::from_mode(0o700)).expect("chmod");
    answers(dir.path(), "good");
    Some(dir)
}

/// Begins to join.
fn joining(home: &Path, token: &str) -> Child {
    let mut child = command(home)
        .args(["join", "-", "--renew", "none"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start dockgate");
    let stdin = child.stdin.take();
    writeln!(stdin.expect("a pipe"), "{token}").expect("write the token");
    child
}

/// What the command answers for clients from now on.
fn answers(dir: &Path, mode: &str) {
    fs::write(dir.join("mode"), mode).expect("write the mode");
}

#[test]
fn a_company_ca_signs_by_a_command_and_the_signer_never_has_its_key() {
    let Some(dir) = company() else { return };
    let home = tempfile::tempdir().expect("a home");
    let _signer = signer(dir.path());
    assert!(!dir.path().join("state/ca-key.pem").exists());
    let token = invite(dir.path(), &["alice", "--ou", "builders", "--dir", "state"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let own = joined(home.path(), "localhost");
    let first = inspect(&own.join("docker/cert.pem"));
    assert_eq!(first.subject, "OU=builders, CN=alice");
    let ca = fs::read_to_string(dir.path().join("company/ca.pem")).expect("the CA");
    let trusted = fs::read_to_string(own.join("docker/ca.pem")).expect("what came with it");
    assert!(trusted.contains(ca.trim()), "cacerts has the company's CA");
    // It renews too, and the command is asked for the same names.
    done(
        home.path(),
        &["renew", "--force", own.to_str().expect("text")],
    );
    let second = inspect(&own.join("docker/cert.pem"));
    assert_eq!(second.subject, first.subject);
    assert_ne!(second.spki_sha256, first.spki_sha256);
    // A gate gets the company's list as it is.
    let token = invite(
        dir.path(),
        &[
            "docker2",
            "--server",
            "--san",
            "docker2.example",
            "--dir",
            "state",
        ],
    );
    let output = join(home.path(), &token, &["--server", "--dir", "gate"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        fs::read(home.path().join("gate/trust/crl.pem")).expect("the list"),
        fs::read(dir.path().join("company/crl.pem")).expect("the company's list")
    );
    let names = inspect(&home.path().join("gate/gate/cert.pem")).sans;
    assert_eq!(names[0].to_string(), "DNS:docker2.example");
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_and_the_invitation_unused() {
    let Some(dir) = company() else { return };
    let home = tempfile::tempdir().expect("a home");
    let signer = signer(dir.path());
    let token = invite(dir.path(), &["alice", "--dir", "state"]);
    for (mode, reason) in [
        ("key", "another key than the request's"),
        ("subject", "expected \"CN=alice\""),
        ("sans", "DNS:extra.example"),
        ("usage", "serverAuth"),
        ("ca", "expected CA:FALSE"),
        ("issuer", "in the name of"),
        ("forged", "did not issue"),
        ("end", "at the latest"),
        ("nothing", "has not answered with a certificate"),
        ("failure", "the HSM does not answer"),
    ] {
        answers(dir.path(), mode);
        let mark = signer.log.mark();
        let output = join(home.path(), &token, &["--renew", "none"]);
        let text = said(&output);
        assert!(text.contains("(500)"), "{mode}: {text}");
        signer.log.after(mark, |line| {
            line["message"] == "A certificate cannot be issued"
                && line["error"].as_str().is_some_and(|it| it.contains(reason))
        });
        assert!(
            !text.contains(reason),
            "the reason is the log's: {mode}: {text}"
        );
    }
    answers(dir.path(), "good");
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn who_leaves_while_a_command_signs_for_another_has_not_used_its_invitation() {
    let Some(dir) = company() else { return };
    if external("mkfifo", &["--version"]).is_none() {
        return;
    }
    let homes = [(); 2].map(|()| tempfile::tempdir().expect("a home"));
    let signer = signer(dir.path());
    let tokens = ["alice", "bob"].map(|name| invite(dir.path(), &[name, "--dir", "state"]));
    let fifo = dir.path().join("hold");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("start mkfifo").success());
    // The command reads until this end is closed.
    let hold = File::options().read(true).write(true).open(&fifo);
    answers(dir.path(), "wait");
    let mut alice = joining(homes[0].path(), &tokens[0]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !dir.path().join("begun").exists() {
        assert!(Instant::now() < deadline, "the command was not started");
        thread::sleep(Duration::from_millis(5));
    }
    answers(dir.path(), "good");
    let mark = signer.log.mark();
    let mut bob = joining(homes[1].path(), &tokens[1]);
    signer.log.said(mark, "A request waits for its turn");
    let mark = signer.log.mark();
    bob.kill().expect("kill it");
    bob.wait().expect("its end");
    signer.log.said(mark, "A connection to the signer failed");
    drop(hold);
    assert!(alice.wait().expect("its end").success());
    let again = join(homes[1].path(), &tokens[1], &["--renew", "none"]);
    assert!(again.status.success(), "{}", said(&again));
}

#[test]
fn a_command_that_is_down_keeps_no_revocation_from_the_gates_and_is_tried_again() {
    let Some(dir) = company() else { return };
    let signer = signer(dir.path());
    let list = || {
        let ca = CertificateDer::from_pem_file(dir.path().join("company/ca.pem"));
        let config = client_config(&[ca.expect("the CA")], None, rustls::DEFAULT_VERSIONS);
        let mut client = TlsClient::connect(signer.addr, config).expect("connect");
        client.ask("GET", "/crl").body
    };
    let first = list();
    let mark = signer.log.mark();
    fs::write(dir.path().join("mode-server"), "failure").expect("break the command");
    fs::remove_file(dir.path().join("state/signer-cert.pem")).expect("remove it");
    signer
        .log
        .said(mark, "The directory of the CA cannot be looked after");
    let mark = signer.log.mark();
    done(dir.path(), &["certs", "crl", "--dir", "company"]);
    signer.log.said(mark, "What gates are told has changed");
    let new = pki::pem::read(&fs::read(dir.path().join("company/crl.pem")).expect("the list"));
    let new = new.expect("a list").swap_remove(0);
    assert_ne!(list(), first);
    assert_eq!(list(), *new.der);
    // It works again, and nothing else changes.
    let mark = signer.log.mark();
    fs::remove_file(dir.path().join("mode-server")).expect("mend the command");
    signer.log.said(mark, "Made the signer's own certificate");
}

#[test]
fn a_certificate_without_the_key_identifier_of_its_ca_is_not_made_again_and_again() {
    let Some(dir) = company() else { return };
    let home = tempfile::tempdir().expect("a home");
    fs::write(dir.path().join("mode-server"), "issuer-number").expect("write the mode");
    let signer = signer(dir.path());
    // Each of these changes the index, which the signer looks at.
    for name in ["alice", "bob"] {
        let mark = signer.log.mark();
        let token = invite(dir.path(), &[name, "--dir", "state"]);
        let output = join(home.path(), &token, &["--renew", "none", "--context", name]);
        assert!(output.status.success(), "{}", said(&output));
        signer.log.said(mark, "Issued a certificate");
    }
    let index = fs::read_to_string(dir.path().join("state/index.jsonl")).expect("the index");
    let own = index
        .lines()
        .filter(|it| it.contains("\"name\":\"signer\""));
    assert_eq!(own.count(), 1, "{index}");
}

#[test]
fn a_signer_with_a_command_needs_the_ca_and_signs_nothing_itself() {
    let Some(dir) = company() else { return };
    let text = said(&run(dir.path(), &["signer", "--signer-command", "./sign"]));
    assert!(text.contains("--ca"), "{text}");
    let text = refused(
        dir.path(),
        &[
            "signer",
            "--dir",
            "state",
            "--signer-command",
            "./absent",
            "--ca",
            "company/ca.pem",
        ],
    );
    assert!(text.contains("./absent"), "{text}");
}

#[test]
fn the_command_of_the_page_signs_as_it_is_written() {
    let Some(dir) = company() else { return };
    if external("jq", &["--version"]).is_none() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/signer.md");
    let page = fs::read_to_string(page).expect("the page");
    let script = page
        .split("```sh\n")
        .find(|part| part.starts_with("#!/bin/sh"))
        .and_then(|part| part.split("```").next());
    fs::write(dir.path().join("sign"), script.expect("a script")).expect("write it");
    let home = tempfile::tempdir().expect("a home");
    let _signer = signer(dir.path());
    let token = invite(
        dir.path(),
        &[
            "alice",
            "--ou",
            "builders",
            "--uri",
            "spiffe://example/alice",
            "--dir",
            "state",
        ],
    );
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let made = inspect(&joined(home.path(), "localhost").join("docker/cert.pem"));
    assert_eq!(made.subject, "OU=builders, CN=alice");
    assert_eq!(made.sans[0].to_string(), "URI:spiffe://example/alice");
}

/// The options of a signer whose CA is the company's, beside a store.
#[cfg(feature = "postgres")]
fn beside<'a>(dir: &'a str, url: &'a str) -> [&'a str; 10] {
    let company = ["--ca", "company/ca.pem", "--crl", "company/crl.pem"];
    let [ca, ca_file, crl, crl_file] = company;
    let command = ["--signer-command", "./sign"];
    let [sign, program] = command;
    [
        "--dir", dir, sign, program, ca, ca_file, crl, crl_file, "--store", url,
    ]
}

#[cfg(feature = "postgres")]
#[test]
fn a_list_of_a_ca_elsewhere_stays_with_each_signer_beside_a_store() {
    let Some(server) = testkit::postgres::postgres() else {
        return;
    };
    let Some(dir) = company() else { return };
    let other = tempfile::tempdir().expect("a directory");
    let copied = Command::new("cp")
        .args(["-a", "."])
        .arg(other.path())
        .current_dir(dir.path())
        .status();
    assert!(copied.expect("start cp").success());
    let database = server.create();
    let url = server.url(&database);
    let hosts = [dir.path(), other.path()];
    let signers = hosts.map(|host| SignerProcess::start(host, &beside("state", &url)));
    let list = |dir: &Path, name: &str| fs::read(dir.join(name)).expect("a list");
    // The company's list comes to one host first: each tells its own, whatever the other does.
    let mark = signers[0].log.mark();
    done(dir.path(), &["certs", "crl", "--dir", "company"]);
    signers[0].log.said(mark, "What gates are told has changed");
    let home = tempfile::tempdir().expect("a home");
    for (host, name) in hosts.into_iter().zip(["alice", "bob"]) {
        let token = invite(host, &[name, "--dir", "state"]);
        let output = join(home.path(), &token, &["--renew", "none", "--context", name]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let own = hosts.map(|host| {
        done(host, &["certs", "list", "--dir", "state"]);
        let own = list(host, "company/crl.pem");
        assert_eq!(list(host, "state/crl.pem"), own);
        own
    });
    assert_ne!(own[0], own[1]);
    let documents = "SELECT count(*) FROM dockgate.documents";
    assert_eq!(server.sql(&database, documents), "0");
}

#[cfg(feature = "postgres")]
#[test]
fn a_list_and_a_ca_of_a_store_whose_signers_have_the_key_are_no_place_for_a_command() {
    let Some(server) = testkit::postgres::postgres() else {
        return;
    };
    let Some(dir) = company() else { return };
    let url = server.url(&server.create());
    let own = tempfile::tempdir().expect("a directory");
    let init = ["certs", "init", "--san", "localhost", "--store", &url];
    done(own.path(), &init);
    let words = [&["signer", "--san", "localhost"][..], &beside("new", &url)].concat();
    let text = refused(dir.path(), &words);
    assert!(text.contains("needs a store of its own"), "{text}");
}

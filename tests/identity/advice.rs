//! What commands say about a CA's certificates when a signer, a rollover or a CA elsewhere makes the plain answer wrong.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use testkit::programs::said;

use crate::external::{company, signer};
use crate::support::*;

/// Joins as a context of its own; where its files are.
fn member(home: &Path, dir: &str, ca: &Path, name: &str) -> String {
    let token = invite(ca, &[name, "--dir", dir]);
    let output = join(home, &token, &["--renew", "none", "--context", name]);
    assert!(output.status.success(), "{}", said(&output));
    joined(home, name).display().to_string()
}

#[test]
fn with_a_ca_elsewhere_revoke_and_allow_do_what_can_be_done_here_and_say_the_rest() {
    let Some(dir) = company() else { return };
    let (dir, home) = (dir.path(), tempfile::tempdir().expect("a home"));
    let home = home.path();
    let signer = signer(dir);
    let alice = member(home, "state", dir, "alice");
    let bob = member(home, "state", dir, "bob");
    // A copy is found out; its serial numbers are for the CA.
    let copy = home.join("copy").display().to_string();
    let copied = std::process::Command::new("cp")
        .args(["-a", &alice, &copy])
        .status();
    assert!(copied.expect("cp").success());
    done(home, &["renew", "--force", &alice]);
    let said = refused(home, &["renew", "--force", &copy]);
    assert!(said.contains("a copy of it"), "{said}");
    let serial = inspect(&joined(home, "alice").join("docker/cert.pem")).serial;
    signer.log.after(0, |line| {
        line["message"]
            .as_str()
            .is_some_and(|it| it.contains("until they are revoked at the CA"))
            && line["serials"]
                .as_str()
                .is_some_and(|it| it.contains(&serial))
    });
    let said = refused(home, &["renew", "--force", &alice]);
    assert!(said.contains("revoked"), "{said}");
    let said = done(dir, &["certs", "allow", "alice", "--dir", "state"]);
    assert!(
        said.contains("is good again") && said.contains("has to lift that too"),
        "{said}"
    );
    done(home, &["renew", "--force", &alice]);
    // Revoking ends the renewal, takes invitations back, and says what is left to do.
    invite(dir, &["bob", "--force", "--dir", "state"]);
    let serial = inspect(&joined(home, "bob").join("docker/cert.pem")).serial;
    let said = done(dir, &["certs", "revoke", "bob", "--dir", "state"]);
    assert!(said.contains(&format!("revoke there {serial}")), "{said}");
    assert!(said.contains("took back invitation"), "{said}");
    assert!(!said.contains("revoked bob"), "{said}");
    let said = refused(home, &["renew", "--force", &bob]);
    assert!(said.contains("revoked"), "{said}");
    let said = done(dir, &["certs", "list", "--dir", "state"]);
    assert!(
        said.contains("unlisted") && said.contains("revoke them there"),
        "{said}"
    );
    let said = refused(dir, &["certs", "client", "carol", "--dir", "state"]);
    assert!(said.contains("the CA's key is elsewhere"), "{said}");
    let said = refused(dir, &["certs", "crl", "--dir", "state"]);
    assert!(said.contains("the CA's key is elsewhere"), "{said}");
}

#[test]
fn after_a_rollover_no_certificate_of_the_old_ca_is_called_unlisted() {
    let dir = directory_alone();
    let dir = dir.path();
    for name in ["alice", "bob"] {
        done(dir, &["certs", "client", name]);
    }
    done(dir, &["certs", "revoke", "bob"]);
    done(dir, &["certs", "rollover", "--wait", "1s"]);
    let said = done(dir, &["certs", "list"]);
    assert!(
        !said.contains("unlisted") && !said.contains("old-ca"),
        "{said}"
    );
    let index = pki::index::Index::read(&dir.join("certs/index.jsonl")).expect("the index");
    let from = index.rollover().expect("a rollover").from();
    while time::OffsetDateTime::now_utc() <= from {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // One run renews clients and then the server, which stays with the old CA as long as a client needs it.
    done(dir, &["certs", "renew", "--all"]);
    let of = |name: &str| inspect(&dir.join("certs").join(name));
    let next = of("ca.pem");
    assert_eq!(of("clients/alice/cert.pem").issuer, next.subject);
    assert_eq!(of("server-cert.pem").issuer, next.subject);
    done(dir, &["certs", "rollover", "--finish", "--force"]);
    let said = done(dir, &["certs", "list"]);
    assert!(!said.contains("unlisted"), "{said}");
    assert!(said.contains("old-ca"), "{said}");
    let row = |name: &str| {
        said.lines()
            .filter(|it| it.starts_with(name))
            .collect::<Vec<_>>()
    };
    let bob = row("bob");
    assert!(
        !bob.is_empty() && bob.iter().all(|it| it.contains("revoked")),
        "{said}"
    );
    assert!(row("alice").iter().any(|it| it.contains(" ok ")), "{said}");
    // What is revoked of the new one is on its list.
    done(dir, &["certs", "revoke", "alice"]);
    let said = done(dir, &["certs", "list"]);
    assert!(!said.contains("unlisted"), "{said}");
}

#[test]
fn a_revocation_beside_a_signer_is_good_for_as_long_as_the_signers_own_lists() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let dir = dir.path();
    let days = || {
        let list = pki::crl::IssuedList::read(&dir.join("certs/crl.pem")).expect("the list");
        let left = list.next_update.expect("an end") - pki::issue::now();
        (left + time::Duration::HOUR).whole_days()
    };
    done(dir, &["certs", "client", "carol"]);
    done(dir, &["certs", "revoke", "carol"]);
    assert_eq!(days(), 60);
    let signer = SignerProcess::start(dir, &[]);
    member(home.path(), "certs", dir, "alice");
    done(dir, &["certs", "revoke", "alice"]);
    assert_eq!(days(), 7);
    done(dir, &["certs", "crl"]);
    assert_eq!(days(), 7);
    done(dir, &["certs", "rollover"]);
    assert_eq!(days(), 7);
    drop(signer);
    done(dir, &["certs", "rollover", "--finish", "--force"]);
    assert_eq!(days(), 7);
    done(dir, &["certs", "crl", "--days", "30"]);
    assert_eq!(days(), 30);
    // One that ran long ago, or never signed a list, renews none.
    std::fs::remove_file(dir.join("certs/crl.pem")).expect("remove it");
    done(dir, &["certs", "crl"]);
    assert_eq!(days(), 60);
}

#[test]
fn a_gate_that_was_invited_is_replaced_by_an_invitation_and_a_server_of_files_by_files() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let (dir, home) = (dir.path(), home.path());
    let _signer = SignerProcess::start(dir, &[]);
    let token = invite(dir, &["docker2", "--server", "--san", "docker2.example"]);
    let output = join(home, &token, &["--server", "--dir", "gate"]);
    assert!(output.status.success(), "{}", said(&output));
    let said = done(dir, &["certs", "revoke", "--server", "docker2"]);
    assert!(said.contains("dockgate invite NAME --server"), "{said}");
    assert!(!said.contains("certs server --force"), "{said}");
    let said = done(dir, &["certs", "revoke", "--server"]);
    assert!(said.contains("certs server --force"), "{said}");
}

#[test]
fn a_signer_that_was_given_no_name_says_so() {
    let dir = directory_alone();
    for (options, says) in [(&[][..], true), (&["--san", "localhost"][..], false)] {
        let mut child = command(dir.path())
            .args(["signer", "--listen", "tcp://127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the signer");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines: Vec<_> = stdout.lines().take(2).map_while(Result::ok).collect();
        child.kill().expect("stop it");
        child.wait().expect("its end");
        assert!(lines[0].starts_with("signer listens on "), "{lines:?}");
        assert_eq!(
            lines[1].contains("this machine's own name"),
            says,
            "{lines:?}"
        );
    }
}

#[test]
fn a_second_join_for_a_host_says_which_certificate_it_replaces() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let joins = |name: &str| {
        let token = invite(dir.path(), &[name]);
        let output = join(home.path(), &token, &["--renew", "none"]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    assert!(!joins("alice").contains("replaced"));
    let said = joins("bob");
    assert!(
        said.contains("replaced     the certificate of CN=alice"),
        "{said}"
    );
    assert!(said.contains("--context"), "{said}");
}

#[test]
fn a_second_join_keeps_the_gate_of_the_context() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let id = data_encoding::HEXLOWER.encode(&pki::identity::sha256(b"office"));
    let meta = home.path().join(".docker/contexts/meta").join(id);
    let joins = |name: &str, host: &[&str], wanted: &str| {
        let token = invite(dir.path(), &[name]);
        let args = [&["--renew", "none", "--context", "office"], host].concat();
        let output = join(home.path(), &token, &args);
        assert!(output.status.success(), "{}", said(&output));
        let meta = std::fs::read_to_string(meta.join("meta.json")).expect("the context");
        assert!(meta.contains(&format!("{wanted:?}")), "{meta}");
        said(&output)
    };
    let signer = SignerProcess::start(dir.path(), &[]);
    joins("alice", &[], "tcp://localhost:2376");
    drop(signer);
    // Nobody chose the gate on the signer's host.
    let _signer = SignerProcess::start(dir.path(), &["--gate", "tcp://docker.example:2376"]);
    let said = joins("bob", &[], "tcp://docker.example:2376");
    assert!(!said.contains("keeps its gate"), "{said}");
    let host = ["--host", "tcp://docker.example:9999"];
    joins("carol", &host, "tcp://docker.example:9999");
    let said = joins("dave", &[], "tcp://docker.example:9999");
    assert!(
        said.contains("keeps its gate, and the signer says tcp://docker.example:2376"),
        "{said}"
    );
    let host = ["--host", "tcp://docker.example:2376"];
    let said = joins("erin", &host, "tcp://docker.example:2376");
    assert!(!said.contains("keeps its gate"), "{said}");
}

/// Makes the certificates of a name in the index older, as if they had been issued these many days ago.
fn age(dir: &Path, name: &str, days: i64) {
    let path = dir.join("certs/index.jsonl");
    let text = std::fs::read_to_string(&path).expect("the index");
    let older = |line: &str| {
        let mut event: serde_json::Value = serde_json::from_str(line).expect("a line");
        if event["event"] == "issued" && event["name"] == name {
            for field in ["at", "not_after"] {
                let at = event[field].as_str().expect("a time");
                let format = &time::format_description::well_known::Rfc3339;
                let at = time::OffsetDateTime::parse(at, format).expect("a time");
                event[field] = pki::timestamp(at - time::Duration::days(days)).into();
            }
        }
        format!("{event}\n")
    };
    let lines: String = text.lines().map(older).collect();
    std::fs::write(&path, lines).expect("write it");
}

#[test]
fn metrics_check_and_doctor_count_members_and_name_who_does_not_renew() {
    let (dir, home) = (directory_alone(), tempfile::tempdir().expect("a home"));
    let dir = dir.path();
    let signer = SignerProcess::start(dir, &[]);
    for name in ["alice", "bob"] {
        member(home.path(), "certs", dir, name);
    }
    invite(dir, &["carol"]);
    drop(signer);
    // Six of seven days are over.
    age(dir, "alice", 6);
    let file = dir.join("dockgate.prom");
    let signer = SignerProcess::start(dir, &["--metrics-file", "dockgate.prom"]);
    let said = signer.log.said(0, "Certificates are not renewed");
    assert_eq!(
        (&said["client.id"], &said["count"]),
        (&"alice".into(), &1.into())
    );
    let page = testkit::eventually(|| std::fs::read_to_string(&file).map_err(|it| it.to_string()));
    for line in [
        "# TYPE dockgate_signer_members gauge",
        "dockgate_signer_members{kind=\"client\"} 2",
        "dockgate_signer_members{kind=\"server\"} 0",
        "dockgate_signer_renewals_overdue{kind=\"client\"} 1",
        "dockgate_signer_invitations_open 1",
        "dockgate_signer_certificates_on_hold 0",
        "dockgate_signer_index_bytes_max 67108864",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}: {page}");
    }
    assert!(
        page.contains("dockgate_signer_list_expiry_timestamp_seconds 1"),
        "{page}"
    );
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/signer.md");
    let reference = std::fs::read_to_string(reference).expect("the reference");
    let named = page.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    for name in named.filter_map(|it| it.split(' ').next()) {
        assert!(
            reference.contains(&format!("`{name}")),
            "{name} is not on the page"
        );
    }
    let check = [
        "check",
        "--offline",
        "--auto-certs",
        "certs",
        "--enroll",
        "tcp://:2378",
    ];
    let said = said_of(dir, &check);
    assert!(
        said.contains("2 members of the signer and 1 invitation open"),
        "{said}"
    );
    assert!(said.contains("1 certificate not renewed in time"), "{said}");
    assert!(said.contains("alice ends "), "{said}");
    assert!(!said.contains("bob ends "), "{said}");
}

fn said_of(dir: &Path, args: &[&str]) -> String {
    said(&run(dir, args))
}

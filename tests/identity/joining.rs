//! `dockgate join` and `renew`, from the invitation to the docker context.

use std::fs;

use pki::Purpose;
use serde_json::Value;
use testkit::programs::said;

use crate::support::*;

#[test]
fn three_commands_lead_from_a_signer_to_a_docker_context() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &["--gate", "tcp://docker.example:2376"]);
    let token = invite(dir.path(), &["alice", "--ou", "builders"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(!text.contains(&token), "{text}");
    let own = joined(home.path(), "localhost");
    let files = own.join("docker");
    let certificate = inspect(&files.join("cert.pem"));
    assert_eq!(certificate.subject, "OU=builders, CN=alice");
    assert!(certificate.permits(Purpose::Client) && !certificate.permits(Purpose::Server));
    let life = certificate.not_after - certificate.not_before;
    assert_eq!(life, time::Duration::days(7) + pki::trust::BACKDATE);
    assert_eq!(mode(&files.join("key.pem")), 0o600);
    assert_eq!((mode(&own), mode(&files)), (0o700, 0o700));
    // The context, as the docker CLI keeps it.
    let id = data_encoding::HEXLOWER.encode(&pki::identity::sha256(b"localhost"));
    let docker = home.path().join(".docker");
    let meta =
        fs::read(docker.join("contexts/meta").join(&id).join("meta.json")).expect("the context");
    let meta: Value = serde_json::from_slice(&meta).expect("JSON");
    assert_eq!(meta["Name"], "localhost");
    assert_eq!(
        meta["Endpoints"]["docker"]["Host"],
        "tcp://docker.example:2376"
    );
    let tls = docker.join("contexts/tls").join(&id).join("docker");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        assert_eq!(
            fs::read(tls.join(name)).expect("through the context"),
            fs::read(files.join(name)).expect(name)
        );
    }
    let config = fs::read_to_string(docker.join("config.json")).expect("the CLI's configuration");
    assert!(
        config.contains("\"currentContext\": \"localhost\""),
        "{config}"
    );
    let again = join(home.path(), &token, &["--renew", "none"]);
    assert!(
        !again.status.success() && said(&again).contains("401"),
        "{}",
        said(&again)
    );
    let listed = done(dir.path(), &["certs", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let row = listed["certificates"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["name"] == "alice");
    assert_eq!(row.expect("alice")["generation"], 1, "{listed}");
}

#[test]
fn the_docker_cli_itself_reads_the_context() {
    let Some(_) = testkit::programs::external("docker", &["--version"]) else {
        return;
    };
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice"]);
    let output = join(
        home.path(),
        &token,
        &["--renew", "none", "--context", "office"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let docker = std::process::Command::new("docker")
        .args(["context", "inspect"])
        .env("HOME", home.path())
        .env_remove("DOCKER_CONFIG")
        .env_remove("DOCKER_HOST")
        .output()
        .expect("start docker");
    let text = said(&docker);
    assert!(docker.status.success(), "{text}");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found[0]["Name"], "office");
    assert_eq!(
        found[0]["Endpoints"]["docker"]["Host"],
        "tcp://localhost:2376"
    );
    assert_eq!(
        found[0]["TLSMaterial"]["docker"],
        serde_json::json!(["ca.pem", "cert.pem", "key.pem"]),
        "{text}"
    );
}

#[test]
fn a_context_that_somebody_else_made_is_left_alone_and_the_invitation_unused() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice"]);
    let id = data_encoding::HEXLOWER.encode(&pki::identity::sha256(b"localhost"));
    let meta = home.path().join(".docker/contexts/meta").join(id);
    fs::create_dir_all(&meta).expect("a context");
    fs::write(meta.join("meta.json"), "{}").expect("a context");
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(
        said(&output).contains("not made by dockgate join"),
        "{}",
        said(&output)
    );
    assert_eq!(
        fs::read_to_string(meta.join("meta.json")).expect("the context"),
        "{}"
    );
    // Its own name, and a configuration elsewhere, with a context that was chosen before.
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).expect("a directory");
    fs::write(
        elsewhere.join("config.json"),
        "{\"currentContext\":\"desktop\"}",
    )
    .expect("a configuration");
    let output = command(home.path())
        .args(["join", &token, "--renew", "none", "--context", "office"])
        .env("DOCKER_CONFIG", &elsewhere)
        .output()
        .expect("start dockgate");
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("docker --context office ps"),
        "{}",
        said(&output)
    );
    assert!(elsewhere.join("dockgate/office/docker/key.pem").is_file());
    let config = fs::read_to_string(elsewhere.join("config.json")).expect("the configuration");
    assert!(config.contains("desktop"), "{config}");
}

#[test]
fn a_renewal_replaces_key_and_certificate_together_and_only_when_it_is_due() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice", "--life", "1d"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    let own = joined(home.path(), "localhost");
    let path = own.to_str().expect("a path");
    let read = |name: &str| fs::read(own.join("docker").join(name)).expect("a file");
    let (cert, key) = (read("cert.pem"), read("key.pem"));
    assert!(done(home.path(), &["renew", path]).contains("not due before"));
    assert_eq!(
        (read("cert.pem"), read("key.pem")),
        (cert.clone(), key.clone())
    );
    for _ in 0..3 {
        done(home.path(), &["renew", path, "--force"]);
    }
    assert!(read("cert.pem") != cert && read("key.pem") != key);
    let certificate = inspect(&own.join("docker/cert.pem"));
    let pair = pki::key::PrivateKey::load(&own.join("docker/key.pem"), &pki::Passphrase::Absent)
        .expect("the key");
    assert_eq!(certificate.details.spki, pair.spki());
    assert_eq!(mode(&own.join("docker/key.pem")), 0o600);
    let left: Vec<_> = fs::read_dir(&own)
        .expect("the directory")
        .map(|it| it.expect("an entry").file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name == "next" || name == "next-key.pem"),
        "{left:?}"
    );
    let listed = done(dir.path(), &["certs", "list"]);
    assert!(
        listed.lines().any(|line| line.contains("alice")
            && line.contains(&certificate.serial)
            && line.contains('4')),
        "{listed}"
    );
}

#[test]
fn a_certificate_of_seconds_renews_itself_as_long_as_it_is_watched() {
    // (However late a loaded machine is, a renewal is forgiven.)
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let signer = SignerProcess::start(dir.path(), &["--life", "8s", "--renew-late", "60s"]);
    let token = invite(dir.path(), &["alice"]);
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(
        said(&output).contains("shorter than a day"),
        "{}",
        said(&output)
    );
    let own = joined(home.path(), "localhost");
    let mut watch = command(home.path())
        .args(["renew", "--watch"])
        .arg(&own)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("start dockgate");
    signer
        .log
        .wait(0, 2, |line| line["message"] == "Renewed a certificate");
    watch.kill().expect("stop it");
    watch.wait().expect("its end");
}

#[test]
fn a_copy_is_found_out_and_the_whole_line_is_on_hold_until_it_is_allowed() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice"]);
    assert!(
        join(home.path(), &token, &["--renew", "none"])
            .status
            .success()
    );
    let own = joined(home.path(), "localhost");
    let copy = home.path().join("copy");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(&own)
        .arg(&copy)
        .status();
    assert!(copied.expect("cp").success());
    done(
        home.path(),
        &["renew", "--force", own.to_str().expect("a path")],
    );
    let said = refused(
        home.path(),
        &["renew", "--force", copy.to_str().expect("a path")],
    );
    assert!(
        said.contains("a copy of it, or it came out of a backup"),
        "{said}"
    );
    signer.log.wait(0, 1, |line| {
        line["level"] == "warn" && line["client.id"] == "alice"
    });
    let said = refused(
        home.path(),
        &["renew", "--force", own.to_str().expect("a path")],
    );
    assert!(said.contains("revoked"), "{said}");
    let list = done(dir.path(), &["certs", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(
        list["crl"]["revoked"].as_array().expect("a list").len(),
        2,
        "{list}"
    );
    done(dir.path(), &["certs", "allow", "alice"]);
    done(
        home.path(),
        &["renew", "--force", own.to_str().expect("a path")],
    );
    let said = refused(dir.path(), &["certs", "allow", "alice"]);
    assert!(said.contains("on hold"), "{said}");
}

#[test]
fn revoking_a_name_ends_it_by_one_word() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let token = invite(dir.path(), &["alice"]);
    assert!(
        join(home.path(), &token, &["--renew", "none"])
            .status
            .success()
    );
    let second = invite(dir.path(), &["alice", "--force"]);
    let said = done(dir.path(), &["certs", "revoke", "alice"]);
    assert!(said.contains("took back invitation"), "{said}");
    let own = joined(home.path(), "localhost");
    let renewal = refused(
        home.path(),
        &["renew", "--force", own.to_str().expect("a path")],
    );
    assert!(renewal.contains("revoked"), "{renewal}");
    let other = join(
        home.path(),
        &second,
        &["--renew", "none", "--context", "other"],
    );
    assert!(!other.status.success());
    let third = invite(dir.path(), &["alice"]);
    assert!(
        join(home.path(), &third, &["--renew", "none"])
            .status
            .success(),
        "a new invitation"
    );
}

#[test]
fn an_invitation_of_the_other_kind_is_not_used_up() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::start(dir.path(), &[]);
    let person = invite(dir.path(), &["alice"]);
    let gate = invite(dir.path(), &["docker2.example", "--server"]);
    let state = home.path().join("state");
    let state = state.to_str().expect("a path");
    let wrong = join(home.path(), &person, &["--server", "--dir", state]);
    assert!(
        said(&wrong).contains("without --server"),
        "{}",
        said(&wrong)
    );
    let wrong = join(home.path(), &gate, &["--renew", "none"]);
    assert!(said(&wrong).contains("join --server"), "{}", said(&wrong));
    assert!(
        join(home.path(), &person, &["--renew", "none"])
            .status
            .success()
    );
    let right = join(home.path(), &gate, &["--server", "--dir", state]);
    assert!(right.status.success(), "{}", said(&right));
    let certificate = inspect(&home.path().join("state/gate/cert.pem"));
    assert!(certificate.permits(Purpose::Server) && !certificate.permits(Purpose::Client));
    let names: Vec<_> = certificate.sans.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNS:docker2.example"]);
}

#[test]
fn invitations_are_listed_and_taken_back_and_no_gate_gets_the_signers_name() {
    let dir = directory();
    let said = refused(dir.path(), &["invite", "alice"]);
    assert!(said.contains("no signer has run"), "{said}");
    let _signer = SignerProcess::start(dir.path(), &[]);
    for name in ["ca", "server", "crl", "-x", "a/b"] {
        let output = run(dir.path(), &["invite", name]);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{name}"
        );
    }
    let said = refused(
        dir.path(),
        &["invite", "gate2", "--server", "--san", "localhost"],
    );
    assert!(said.contains("name of the signer itself"), "{said}");
    let token = invite(dir.path(), &["alice", "--uses", "3", "--ttl", "10m"]);
    let listed = done(dir.path(), &["invite", "list"]);
    assert!(
        listed.contains("alice") && listed.contains("0/3") && listed.contains("open"),
        "{listed}"
    );
    let secret = token.rsplit('.').next().expect("a secret");
    assert!(!listed.contains(secret));
    let index = index_text(dir.path());
    assert!(
        index.contains("alice") && !index.contains(secret),
        "{index}"
    );
    done(dir.path(), &["invite", "revoke", "alice"]);
    assert!(done(dir.path(), &["invite", "list"]).contains("no invitation is open"));
    assert!(done(dir.path(), &["invite", "list", "--all"]).contains("revoked"));
    let home = tempfile::tempdir().expect("a home");
    assert!(
        !join(home.path(), &token, &["--renew", "none"])
            .status
            .success()
    );
    refused(dir.path(), &["invite", "revoke", "nobody"]);
}

#[test]
fn a_token_that_did_not_come_is_told_from_one_that_is_damaged() {
    let home = tempfile::tempdir().expect("a home");
    for (given, wrong) in [
        ("", "standard input holds no token"),
        ("hello\n", "this is not an invitation's token"),
    ] {
        let file = home.path().join("token");
        fs::write(&file, given).expect("write");
        let output = testkit::programs::dockgate()
            .args(["join", "-"])
            .env("HOME", home.path())
            .stdin(fs::File::open(&file).expect("open"))
            .output()
            .expect("run dockgate");
        let text = said(&output);
        assert!(!output.status.success() && text.contains(wrong), "{text}");
        assert!(text.contains("hint: "), "{text}");
    }
}

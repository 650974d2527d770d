//! One host in one command, and several gates under one CA.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::pki::client_config;
use testkit::process::GateProcess;
use testkit::programs::{dockgate, said};
use testkit::{Credential, Daemon, TlsClient};

use crate::support::*;

/// A gate in front of a stand-in for the engine. Everything of it is in one directory.
pub(crate) struct FleetGate {
    pub(crate) process: GateProcess,
    _engine: Daemon,
    _dir: tempfile::TempDir,
}

pub(crate) fn gate(options: &[&str], change: impl FnOnce(&mut Command)) -> FleetGate {
    controlled("off", options, change)
}

/// The same with a control socket.
pub(crate) fn controlled(
    socket_of_control: &str,
    options: &[&str],
    change: impl FnOnce(&mut Command),
) -> FleetGate {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let socket = dir.path().join("docker.sock");
    let engine = Daemon::start(&socket);
    // The gate may become another user.
    for (path, mode) in [(dir.path(), 0o711), (socket.as_path(), 0o666)] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).expect("open the way to the engine");
    }
    let mut command = dockgate();
    command
        .args([
            "serve",
            "--host",
            "tcp://127.0.0.1:0",
            "--log-format",
            "json",
        ])
        .args([
            "--log-level",
            "debug",
            "--workers",
            "1",
            "--control-socket",
            socket_of_control,
        ])
        .arg(format!("--upstream=unix://{}", socket.display()))
        .args(options)
        .stdout(Stdio::null());
    change(&mut command);
    let process = GateProcess::spawn(&mut command);
    FleetGate {
        process,
        _engine: engine,
        _dir: dir,
    }
}

/// What one that joined presents.
pub(crate) fn credential(home: &Path, context: &str) -> (Credential, CertificateDer<'static>) {
    let files = joined(home, context).join("docker");
    let read = |name| CertificateDer::from_pem_file(files.join(name)).expect("a certificate");
    let who = Credential {
        name: "alice".into(),
        chain: vec![read("cert.pem")],
        key: PrivateKeyDer::from_pem_file(files.join("key.pem")).expect("a key"),
    };
    (who, read("ca.pem"))
}

pub(crate) fn connect(gate: &FleetGate, home: &Path, context: &str) -> std::io::Result<TlsClient> {
    let (who, ca) = credential(home, context);
    let config = client_config(&[ca], Some(&who), rustls::DEFAULT_VERSIONS);
    let mut client = TlsClient::connect(gate.process.addr, config)?;
    client.try_ping()?;
    Ok(client)
}

/// Begins a session, as `docker exec` has it.
pub(crate) fn session(client: &mut TlsClient) {
    client.send(testkit::client::EXEC_START);
    let head = client.head();
    assert!(head.contains("101"), "{head}");
}

/// The process that a gate started.
fn child(gate: &FleetGate) -> PathBuf {
    let pid = gate.process.child.id();
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("its children");
    let first = children.split_ascii_whitespace().next().expect("a child");
    PathBuf::from("/proc").join(first)
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn one_command_serves_and_signs_and_the_gate_cannot_read_the_cas_key() {
    let (dir, home) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a home"),
    );
    let certs = dir.path().join("certs");
    let certs = certs.to_str().expect("a path");
    // Another user must be able to pass: a temporary directory is its maker's alone.
    let open = fs::Permissions::from_mode(0o711);
    fs::set_permissions(dir.path(), open).expect("a way through");
    let is_root = rustix::process::geteuid().is_root();
    let user: &[&str] = if is_root {
        &["--user", "65534:65534"]
    } else {
        &[]
    };
    let options = [
        &[
            "--auto-certs",
            certs,
            "--enroll",
            "tcp://127.0.0.1:0",
            "--san",
            "localhost",
        ],
        user,
    ]
    .concat();
    let started = gate(&options, |_| {});
    let token = invite(dir.path(), &["alice"]);
    let begun = Instant::now();
    let output = join(home.path(), &token, &["--renew", "none"]);
    assert!(output.status.success(), "{}", said(&output));
    connect(&started, home.path(), "localhost").expect("let in");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    // The signer: no engine's socket, neither open nor by name.
    let signer = child(&started);
    let command = fs::read_to_string(signer.join("cmdline")).expect("its arguments");
    let environ = fs::read_to_string(signer.join("environ")).expect("its environment");
    assert!(
        command.contains("signer") && !command.contains("docker.sock"),
        "{command}"
    );
    assert!(!environ.contains("DOCKGATE"), "{environ}");
    let secret = token.rsplit('.').next().expect("a secret");
    assert!(!command.contains(secret) && !environ.contains(secret));
    // The gate: no right to the key, by user and by the kernel's rules.
    assert_eq!(mode(&dir.path().join("certs/ca-key.pem")), 0o600);
    let status = |process: &Path| fs::read_to_string(process.join("status")).expect("its status");
    let own = PathBuf::from("/proc").join(started.process.child.id().to_string());
    let uid = |status: &str| {
        status
            .lines()
            .find(|line| line.starts_with("Uid:"))
            .expect("a user")
            .to_owned()
    };
    if is_root {
        assert_eq!(uid(&status(&own)), "Uid:\t65534\t65534\t65534\t65534");
        assert_eq!(uid(&status(&signer)), "Uid:\t0\t0\t0\t0");
    }
    let kept = dir.path().join("certs/gate");
    let names: std::collections::BTreeSet<_> = fs::read_dir(&kept)
        .expect("its files")
        .map(|it| it.expect("a file").file_name())
        .collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["ca.pem", "cert.pem", "crl.pem", "key.pem"]
    );
    // One word ends it.
    let mut client = connect(&started, home.path(), "localhost").expect("let in");
    session(&mut client);
    done(dir.path(), &["certs", "revoke", "alice"]);
    client.ended();
    connect(&started, home.path(), "localhost")
        .map(drop)
        .expect_err("revoked");
    // The signer ends with the gate.
    drop(started);
    testkit::eventually(|| match signer.join("cmdline").exists() {
        true => Err("the signer goes on".to_owned()),
        false => Ok(()),
    });
}

#[test]
fn a_second_gate_is_enrolled_and_a_revocation_at_the_signer_ends_sessions_behind_it() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let signer = SignerProcess::named(dir.path(), "127.0.0.1", &[]);
    let token = invite(dir.path(), &["gate2", "--server", "--san", "localhost"]);
    let state = home.path().join("state");
    let path = state.to_str().expect("a path");
    let output = join(home.path(), &token, &["--server", "--dir", path]);
    assert!(output.status.success(), "{}", said(&output));
    let second = gate(&["--enrolled", path], |_| {});
    for name in ["alice", "bob"] {
        let token = invite(dir.path(), &[name]);
        let output = join(home.path(), &token, &["--renew", "none", "--context", name]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let checked = said(&run(
        home.path(),
        &["check", "--offline", "--enrolled", path],
    ));
    assert!(
        checked.contains("without its signer the gate lets clients in until"),
        "{checked}"
    );
    let mut alice = connect(&second, home.path(), "alice").expect("let in");
    let mut bob = connect(&second, home.path(), "bob").expect("let in");
    session(&mut alice);
    second
        .process
        .log
        .wait(0, 1, |line| line["message"] == "In the cage");
    let asked = Instant::now();
    done(dir.path(), &["certs", "revoke", "alice"]);
    let revoked = asked.elapsed();
    alice.ended();
    let took = asked.elapsed().saturating_sub(revoked);
    assert!(took.as_secs() < 5, "the signer tells it at once: {took:?}");
    bob.ping();
    connect(&second, home.path(), "alice")
        .map(drop)
        .expect_err("revoked");
    // Without the signer the gate goes on with what it knows.
    drop(signer);
    connect(&second, home.path(), "bob").expect("let in");
    connect(&second, home.path(), "alice")
        .map(drop)
        .expect_err("revoked");
}

#[test]
fn a_gates_certificate_opens_no_gate_and_no_enrolment() {
    let (dir, home) = (directory(), tempfile::tempdir().expect("a home"));
    let _signer = SignerProcess::named(dir.path(), "127.0.0.1", &[]);
    let token = invite(dir.path(), &["gate2", "--server", "--san", "localhost"]);
    let state = home.path().join("state");
    let path = state.to_str().expect("a path");
    assert!(
        join(home.path(), &token, &["--server", "--dir", path])
            .status
            .success()
    );
    let second = gate(&["--enrolled", path], |_| {});
    let own = state.join("gate");
    let read = |name| CertificateDer::from_pem_file(own.join(name)).expect("a certificate");
    let stolen = Credential {
        name: "gate2".into(),
        chain: vec![read("cert.pem")],
        key: PrivateKeyDer::from_pem_file(own.join("key.pem")).expect("a key"),
    };
    let config = client_config(&[read("ca.pem")], Some(&stolen), rustls::DEFAULT_VERSIONS);
    let tried =
        TlsClient::connect(second.process.addr, config).and_then(|mut client| client.try_ping());
    tried.expect_err("a gate is not a client");
    // It renews itself, with a new key.
    let before = inspect(&own.join("cert.pem"));
    done(home.path(), &["renew", "--force", path]);
    let after = inspect(&own.join("cert.pem"));
    assert_ne!(
        (&before.serial, &before.spki_sha256),
        (&after.serial, &after.spki_sha256)
    );
    // Revoked, it is told nothing any more.
    done(dir.path(), &["certs", "revoke", "--server", "gate2"]);
    let said = refused(home.path(), &["renew", "--force", path]);
    assert!(said.contains("revoked"), "{said}");
}

#[test]
fn settings_that_contradict_each_other_stop_the_gate() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |args: &[&str]| said(&run(dir.path(), &[&["check", "--offline"], args].concat()));
    assert!(check(&["--enroll", "tcp://:2378"]).contains("enroll is set without auto-certs"));
    assert!(check(&["--auto-certs", "a", "--enrolled", "b"]).contains("both set"));
    assert!(check(&["--enrolled", "b", "--tlscert", "c"]).contains("both set"));
    assert!(
        check(&["--auto-certs", "a", "--enroll", "2378"]).contains("expected tcp://ADDRESS:PORT")
    );
    for option in ["--enroll-config", "--enroll-metrics-file"] {
        for dir in ["--auto-certs", "--enrolled"] {
            let said = check(&[dir, "a", option, "file"]);
            let expected = format!("{} is set without enroll", &option[2..]);
            assert!(said.contains(&expected), "{said}");
        }
    }
    let both = [
        "--auto-certs",
        "a",
        "--enroll",
        "tcp://:2378",
        "--enroll-config",
        "rules",
    ];
    assert!(check(&both).contains("cannot use its configuration"));
    std::fs::write(dir.path().join("rules"), "").expect("write it");
    assert!(check(&both).contains("can use the rules of"));
    let fresh = check(&["--auto-certs", "a", "--enroll", "tcp://:2378"]);
    assert!(
        fresh.contains("the signer will make certificates"),
        "{fresh}"
    );
    assert!(
        fresh.contains("the cage alone keeps the gate from the CA's key"),
        "{fresh}"
    );
    let open = check(&[
        "--auto-certs",
        "a",
        "--enroll",
        "tcp://:2378",
        "--unsafe-no-cage=true",
    ]);
    assert!(
        open.contains("nothing keeps the gate from the CA's key"),
        "{open}"
    );
}

//! `--auto-certs`: what an empty directory gets, and what is left alone afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use pki::{
    Certificate, CertsError, Purpose,
    auto::{self, Action},
    san::San,
    store::Paths,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::support::{mode, openssl_accepts};

/// What was done, and where the files are.
struct AutoMade {
    ca: PathBuf,
    server_cert: PathBuf,
    server_key: PathBuf,
    client_dir: Option<PathBuf>,
    actions: Vec<Action>,
}

fn ensure(dir: &Path, names: &[String]) -> Result<AutoMade, CertsError> {
    let made = auto::ensure(dir, names)?;
    let paths = Paths::of(dir);
    Ok(AutoMade {
        ca: paths.ca,
        server_cert: paths.server_cert,
        server_key: paths.server_key,
        client_dir: made.client_dir,
        actions: made.actions,
    })
}

fn read(path: &Path) -> pki::Certificate {
    Certificate::read(&CertificateDer::from_pem_file(path).expect("a certificate"))
        .expect("readable")
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn an_empty_directory_gets_a_ca_a_server_and_a_first_client_within_a_second() {
    let root = tempfile::tempdir().expect("temporary directory");
    let dir = root.path().join("certs");
    let started = Instant::now();
    let made = ensure(&dir, &["docker.example".into(), "192.0.2.7".into()]).expect("certificates");
    assert!(
        started.elapsed().as_millis() < 1000,
        "took {:?}",
        started.elapsed()
    );

    assert!(
        matches!(
            made.actions[..],
            [
                Action::MadeCa { .. },
                Action::MadeClient { .. },
                Action::MadeServer { .. }
            ]
        ),
        "{:?}",
        made.actions
    );
    let server = read(&made.server_cert);
    for name in [
        "DNS:localhost",
        "DNS:docker.example",
        "IP:192.0.2.7",
        "IP:127.0.0.1",
        "IP:::1",
    ] {
        assert!(
            server.sans.iter().any(|san| san.to_string() == name),
            "{name} in {:?}",
            server.sans
        );
    }
    assert!(server.permits(Purpose::Server) && !server.permits(Purpose::Client));
    let client = made.client_dir.expect("a first client");
    let leaf = read(&client.join("cert.pem"));
    assert!(leaf.permits(Purpose::Client) && !leaf.permits(Purpose::Server));
    assert_eq!(leaf.common_name.as_deref(), Some("admin"));

    openssl_accepts(
        &made.ca,
        &made.server_cert,
        "sslserver",
        &["-verify_hostname", "docker.example"],
    );
    openssl_accepts(
        &made.ca,
        &made.server_cert,
        "sslserver",
        &["-verify_ip", "192.0.2.7"],
    );
    openssl_accepts(
        &client.join("ca.pem"),
        &client.join("cert.pem"),
        "sslclient",
        &[],
    );

    for key in [
        &made.server_key,
        &dir.join("ca-key.pem"),
        &client.join("key.pem"),
    ] {
        assert_eq!(mode(key), 0o600, "{key:?}");
    }
    for certificate in [
        &made.ca,
        &made.server_cert,
        &client.join("cert.pem"),
        &client.join("ca.pem"),
    ] {
        assert_eq!(mode(certificate), 0o644, "{certificate:?}");
    }
    assert_eq!((mode(&dir), mode(&client)), (0o700, 0o700));
}

#[test]
fn a_second_start_changes_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = ensure(dir.path(), &[]).expect("certificates");
    let before = fs::read(&first.server_cert).expect("server certificate");
    let second = ensure(dir.path(), &[]).expect("the same");
    assert!(second.actions.is_empty(), "{:?}", second.actions);
    assert_eq!(
        fs::read(&second.server_cert).expect("server certificate"),
        before
    );
    assert_eq!(second.client_dir, first.client_dir);
}

#[test]
fn a_new_name_renews_the_server_certificate_and_only_it_with_the_same_key() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = ensure(dir.path(), &["kept.example".into()]).expect("certificates");
    let client = first.client_dir.clone().expect("client").join("cert.pem");
    let untouched = [
        first.ca.clone(),
        first.server_key.clone(),
        dir.path().join("ca-key.pem"),
        client,
    ];
    let before: Vec<_> = untouched
        .iter()
        .map(|path| fs::read(path).expect("file"))
        .collect();
    let old = read(&first.server_cert);

    let second = ensure(dir.path(), &["new.example".into()]).expect("certificates");
    assert!(
        matches!(&second.actions[..], [Action::RenewedServer { reason }] if reason.contains("DNS:new.example")),
        "{:?}",
        second.actions
    );
    let new = read(&second.server_cert);
    assert_eq!(new.spki_sha256, old.spki_sha256, "same key");
    assert_ne!(new.serial, old.serial);
    for name in ["kept.example", "new.example"] {
        assert!(
            new.sans.contains(&San::Dns(name.into())),
            "{name} in {:?}",
            new.sans
        );
    }
    let after: Vec<_> = untouched
        .iter()
        .map(|path| fs::read(path).expect("file"))
        .collect();
    assert_eq!(before, after, "CA, keys and clients are never touched");
    openssl_accepts(
        &second.ca,
        &second.server_cert,
        "sslserver",
        &["-verify_hostname", "new.example"],
    );
}

#[test]
fn without_the_ca_key_a_due_certificate_is_kept_and_reported() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = ensure(dir.path(), &[]).expect("certificates");
    fs::remove_file(dir.path().join("ca-key.pem")).expect("remove the CA key");
    let before = fs::read(&first.server_cert).expect("server certificate");
    let second = ensure(dir.path(), &["new.example".into()]).expect("still serves");
    let [action] = &second.actions[..] else {
        panic!("{:?}", second.actions)
    };
    assert!(action.is_warning());
    assert!(
        action.to_string().contains("DNS:new.example") && action.to_string().contains("ca-key.pem"),
        "{action}"
    );
    assert_eq!(
        fs::read(&second.server_cert).expect("server certificate"),
        before
    );
}

#[test]
fn a_first_start_that_was_cut_short_is_carried_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = ensure(dir.path(), &[]).expect("certificates");
    let ca = fs::read(&first.ca).expect("CA");
    // As if the process had died before the server's files were written.
    fs::remove_file(&first.server_cert).expect("remove");
    fs::remove_file(&first.server_key).expect("remove");
    let second = ensure(dir.path(), &[]).expect("certificates");
    assert!(
        matches!(second.actions[..], [Action::MadeServer { .. }]),
        "{:?}",
        second.actions
    );
    assert_eq!(fs::read(&second.ca).expect("CA"), ca);
}

#[test]
fn half_a_set_of_someone_elses_files_is_an_error_not_a_start_over() {
    for have in ["server-key.pem", "server-cert.pem", "ca-key.pem"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join(have), "theirs").expect("write");
        let error = auto::ensure(dir.path(), &[]).expect_err(have);
        assert!(error.to_string().contains(have), "{error}");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("ca.pem")),
            "{error}"
        );
        assert_eq!(fs::read(dir.path().join(have)).expect("file"), b"theirs");
    }
}

#[test]
fn starts_at_the_same_moment_agree_on_one_ca() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let made: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ensure(dir.path(), &[]).expect("certificates")))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("no panic"))
            .collect()
    });
    let makers = made.iter().filter(|made| !made.actions.is_empty()).count();
    assert_eq!(makers, 1, "one makes them, the others find them");
    openssl_accepts(&made[0].ca, &made[0].server_cert, "sslserver", &[]);
}

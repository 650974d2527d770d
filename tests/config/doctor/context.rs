//! `dockgate doctor` without a target: it goes where the docker CLI of this user would go.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use dockgate::cli::{DoctorArgs, ServeArgs};
use dockgate::command::doctor;
use dockgate::command::output::Output;

fn said(env: &[(&str, &Path)]) -> (u8, String) {
    said_of(None, env)
}

fn said_of(target: Option<&str>, env: &[(&str, &Path)]) -> (u8, String) {
    let args = DoctorArgs {
        target: target.map(Into::into),
        json: false,
        timeout: "1s".into(),
        serve: ServeArgs::default(),
    };
    let env = env.iter().map(|(name, value)| {
        let value: OsString = value.as_os_str().to_owned();
        (OsString::from(name), value)
    });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = doctor::run(&args, env, &mut Output::to(&mut out, &mut err));
    out.extend(err);
    let text = String::from_utf8(out).expect("text");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (exit.expect("a walk").code(), text)
}

/// docker's directory with a context `far` at this address.
fn with_context(home: &Path, current: &str, host: &str) {
    let id = far();
    let meta = home.join(".docker/contexts/meta").join(&id);
    fs::create_dir_all(&meta).expect("make the context");
    let text = format!(
        r#"{{"Name":"far","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
    );
    fs::write(meta.join("meta.json"), text).expect("write the context");
    let config = format!(r#"{{"auths":{{}},"currentContext":"{current}"}}"#);
    fs::write(home.join(".docker/config.json"), config).expect("write the configuration");
}

fn far() -> String {
    use aws_lc_rs::digest;
    let id = digest::digest(&digest::SHA256, b"far");
    data_encoding::HEXLOWER.encode(id.as_ref())
}

#[test]
fn the_current_context_of_docker_is_examined_with_its_own_certificates() {
    let home = tempfile::tempdir().expect("a directory");
    with_context(home.path(), "far", "tcp://gate.example:2376");
    let (code, text) = said(&[("HOME", home.path())]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the docker context \"far\""), "{text}");
    assert!(text.contains("tcp://gate.example:2376"), "{text}");
    let tls = home.path().join(".docker/contexts/tls").join(far());
    assert!(text.contains(&tls.display().to_string()), "{text}");
}

#[test]
fn docker_host_comes_before_docker_context_and_that_before_the_configuration() {
    let home = tempfile::tempdir().expect("a directory");
    with_context(home.path(), "other", "tcp://by-context.example:2376");
    let certs = home.path().join("mine");
    let all = [
        ("HOME", home.path()),
        ("DOCKER_CONTEXT", Path::new("far")),
        ("DOCKER_CERT_PATH", certs.as_path()),
        ("DOCKER_HOST", Path::new("tcp://by-host.example:1")),
    ];
    let (_, text) = said(&all);
    assert!(
        text.contains("DOCKER_HOST is tcp://by-host.example:1"),
        "{text}"
    );
    assert!(text.contains(&certs.display().to_string()), "{text}");
    assert!(text.contains("DOCKER_TLS_VERIFY is not set"), "{text}");
    let (_, text) = said(&all[..2]);
    assert!(text.contains("by DOCKER_CONTEXT"), "{text}");
    assert!(text.contains("by-context.example"), "{text}");
    // The configuration names a context that is not there.
    let (code, text) = said(&all[..1]);
    assert!(code == 1 && text.contains("does not exist"), "{text}");
    assert!(text.contains("docker context ls"), "{text}");
}

#[test]
fn a_local_context_or_none_leaves_the_host_to_be_examined() {
    let home = tempfile::tempdir().expect("a directory");
    for (current, host) in [
        ("far", "unix:///run/x.sock"),
        ("default", "tcp://a.example:1"),
        ("", "tcp://a.example:1"),
    ] {
        with_context(home.path(), current, host);
        let (_, text) = said(&[("HOME", home.path())]);
        assert!(text.contains("configuration"), "{current} {host}: {text}");
        assert!(!text.contains("a.example"), "{current} {host}: {text}");
    }
    let (_, text) = said(&[
        ("HOME", home.path()),
        ("DOCKER_HOST", Path::new("ssh://me@far")),
    ]);
    assert!(text.contains("expected tcp://HOST:PORT"), "{text}");
}

#[test]
fn a_configuration_of_docker_that_cannot_be_read_is_said() {
    let home = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(home.path().join("own")).expect("a directory");
    fs::write(home.path().join("own/config.json"), "{").expect("write");
    let own = home.path().join("own");
    let (code, text) = said(&[("HOME", home.path()), ("DOCKER_CONFIG", &own)]);
    assert!(
        code == 1 && text.contains("config.json cannot be read"),
        "{text}"
    );
}

#[test]
fn an_address_is_examined_with_the_certificates_of_the_context_for_it() {
    let home = tempfile::tempdir().expect("a directory");
    with_context(home.path(), "default", "tcp://gate.example:2376");
    let tls = home.path().join(".docker/contexts/tls").join(far());
    let env = [("HOME", home.path())];
    let uses = |text: &str| text.contains(&tls.display().to_string());
    // A context without certificates is none for it.
    let (_, text) = said_of(Some("tcp://gate.example:2376"), &env);
    assert!(!uses(&text), "{text}");
    fs::create_dir_all(tls.join("docker")).expect("its directory");
    for target in ["tcp://gate.example:2376", "gate.example"] {
        let (code, text) = said_of(Some(target), &env);
        assert_eq!(code, 1, "{text}");
        assert!(uses(&text) && text.contains("context \"far\""), "{text}");
    }
    let (_, text) = said_of(Some("tcp://other.example:2376"), &env);
    assert!(!uses(&text), "{text}");
    let mine = home.path().join("mine");
    let (_, text) = said_of(
        Some("tcp://gate.example:2376"),
        &[("HOME", home.path()), ("DOCKER_CERT_PATH", &mine)],
    );
    assert!(!uses(&text) && text.contains("mine"), "{text}");
}

//! `owner-key`: needed by a policy with a scope, made once, and not readable by others.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use dockgate::cli::ServeArgs;
use dockgate::config::{self, Config};
use dockgate::error;
use dockgate::generation::{Generation, owner_key};

use crate::pki::DoctorPki;

const SCOPED: &str = "version = 1\n[[client]]\nmatch = { any = true }\nrole = \"team\"\n[role.team]\nbase = \"monitor\"\nscope = \"own\"\n";

fn configured(pki: &DoctorPki, settings: &str) -> Config {
    let file = pki.path("dockgate.toml");
    let path = |name: &str| pki.path(name).display().to_string();
    let text = format!(
        "tlscacert = {:?}\ntlscert = {:?}\ntlskey = {:?}\npolicy = {:?}\n{settings}",
        path("ca.pem"),
        path("server-cert.pem"),
        path("server-key.pem"),
        path("policy.toml")
    );
    fs::write(&file, text).unwrap();
    let args = ServeArgs {
        config_file: Some(file),
        ..ServeArgs::default()
    };
    config::load(&args, Vec::new()).unwrap()
}

/// What `dockgate check` says, with its exit code.
fn check(pki: &DoctorPki) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args([
            "check",
            "--config-file",
            pki.path("dockgate.toml").to_str().unwrap(),
        ])
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_policy_with_a_scope_needs_the_key_and_another_does_not() {
    let pki = DoctorPki::new();
    fs::write(pki.path("policy.toml"), SCOPED).unwrap();
    let config = configured(&pki, "");
    let fault = Generation::build(&config).unwrap_err();
    assert_eq!(
        error::report(&fault),
        "role \"team\" has a scope, and owner-key is not set"
    );
    assert!(fault.hint().unwrap().contains("owner-key = "));
    let (code, said) = check(&pki);
    assert!(
        code == 78 && said.contains("owner-key is not set"),
        "{code} {said}"
    );
    let plain = SCOPED.replace("scope = \"own\"\n", "");
    fs::write(pki.path("policy.toml"), plain).unwrap();
    assert!(Generation::build(&config).unwrap().owner_key.is_none());
}

#[test]
fn the_key_is_made_once_with_mode_0600_and_anything_else_is_refused() {
    let pki = DoctorPki::new();
    fs::write(pki.path("policy.toml"), SCOPED).unwrap();
    let config = configured(&pki, "owner-key = \"owner.key\"\n");
    let key = pki.path("owner.key");
    let (_, said) = check(&pki);
    assert!(
        said.contains("will be made at the first start") && !key.exists(),
        "{said}"
    );
    owner_key::ensure(&config).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&key).unwrap();
    assert!(text.len() == 65 && text.trim_end().bytes().all(|b| b.is_ascii_hexdigit()));
    owner_key::ensure(&config).unwrap();
    assert_eq!(fs::read_to_string(&key).unwrap(), text, "it is made once");
    let made = Generation::build(&config).unwrap().owner_key;
    assert_eq!(made, Generation::build(&config).unwrap().owner_key);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let fault = Generation::build(&config).unwrap_err();
    assert!(
        error::report(&fault).contains("has mode 0640, expected 0600"),
        "{fault}"
    );
    assert!(fault.hint().unwrap().starts_with("chmod 600 "));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "abc\n", &text[1..]] {
        fs::write(&key, wrong).unwrap();
        let fault = error::report(&Generation::build(&config).unwrap_err());
        assert!(
            fault.contains("expected 64 hexadecimal digits"),
            "{wrong}: {fault}"
        );
        assert!(
            !fault.contains(&text[1..60]),
            "the key is not quoted: {fault}"
        );
    }
    fs::remove_file(&key).unwrap();
    assert!(Generation::build(&config).is_err(), "a reload makes no key");
}

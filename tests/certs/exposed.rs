//! What anybody on the machine could change is warned of, by `check`, `doctor` and at start.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{initialised, text};

/// Runs a command that reads everything and cannot listen: the address is nobody's (TEST-NET-1).
fn said(dir: &Path, command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .args(command)
        .args([
            "--tlscacert=certs/ca.pem",
            "--tlscert=certs/server-cert.pem",
            "--tlskey=certs/server-key.pem",
        ])
        .args([
            "--tlscrl=lists",
            "--policy=rules/policy.toml",
            "--host=tcp://192.0.2.1:1",
            "--control-socket=off",
        ])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("dockgate must start");
    text(&output)
}

#[test]
fn world_writable_files_and_directories_are_warned_of_in_check_doctor_and_at_start() {
    let dir = initialised();
    let root = dir.path().canonicalize().expect("a path");
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(root.join(path), Permissions::from_mode(mode))
            .expect("change the mode");
    };
    for name in ["rules", "lists"] {
        fs::create_dir(root.join(name)).expect("create a directory");
        mode(name, 0o755);
    }
    let policy =
        "version = 1\n[[client]]\nname = \"a\"\nmatch = { any = true }\nrole = \"read-only\"\n";
    fs::write(root.join("rules/policy.toml"), policy).expect("write");
    let commands = [
        &["check", "--offline"][..],
        &["serve", "--log-format=json"],
        &["serve", "--log-format=text"],
        &["doctor"],
    ];
    for command in commands {
        let said = said(&root, command);
        assert!(
            !said.contains("anybody on this machine"),
            "{command:?}: {said}"
        );
    }
    for (path, open, shut, held) in [
        ("rules", 0o777, 0o755, "the policy"),
        ("rules/policy.toml", 0o646, 0o644, "the policy"),
        (
            "certs",
            0o777,
            0o700,
            "the client CA, the server certificate, the server key",
        ),
        ("certs/ca.pem", 0o666, 0o644, "the client CA"),
        ("lists", 0o1777, 0o755, "the revocation lists"),
    ] {
        mode(path, open);
        for command in commands {
            let said = said(&root, command);
            let place = root.join(path).display().to_string();
            assert!(
                said.contains("anybody on this machine can write to")
                    && said.contains(held)
                    && said.contains(&format!("chmod o-w {place}")),
                "{path}: {command:?}: {said}"
            );
            assert_eq!(said.matches("anybody on this machine").count(), 1, "{said}");
        }
        mode(path, shut);
    }
}

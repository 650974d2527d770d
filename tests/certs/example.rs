//! The two scripts of `certs-example/` make the same set, and both work.

use std::{path::Path, process::Command};

use pki::layout::{self, LayoutKind};

use super::support::{arg, done, external, inspect_file, mode, openssl_accepts, text};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/certs-example");

fn run(script: &str, target: &Path) -> bool {
    if script == "by-openssl.sh" && external("openssl", &["version"]).is_none() {
        return false;
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_dockgate"));
    let output = Command::new("sh")
        .arg(Path::new(EXAMPLE).join(script))
        .arg("docker.example")
        .arg(target)
        .env("DOCKGATE", bin)
        .output()
        .expect("sh");
    assert!(output.status.success(), "{script}: {}", text(&output));
    true
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn both_scripts_make_the_same_working_set_in_the_layout_of_dockers_guide() {
    let mut sets = Vec::new();
    for script in ["by-dockgate.sh", "by-openssl.sh"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let set = dir.path().join("set");
        if !run(script, &set) {
            continue;
        }
        let found = layout::find(&set).unwrap_or_else(|| panic!("{script} makes a whole set"));
        assert_eq!(
            (found.kind, found.client_dir.as_deref()),
            (LayoutKind::Guide, Some(set.as_path())),
            "{script}"
        );
        openssl_accepts(
            &found.ca,
            &found.server_cert,
            "sslserver",
            &["-verify_hostname", "docker.example"],
        );
        openssl_accepts(&found.ca, &set.join("cert.pem"), "sslclient", &[]);
        for key in ["ca-key.pem", "server-key.pem", "key.pem"] {
            assert_eq!(mode(&set.join(key)), 0o600, "{script}: {key}");
        }
        for (file, verdict) in [
            ("server-cert.pem", "good to serve with"),
            ("cert.pem", "would let it in"),
        ] {
            let said = done(
                dir.path(),
                &[
                    "show",
                    arg(&set.join(file)),
                    "--ca-cert",
                    arg(&set.join("ca.pem")),
                ],
            );
            assert!(said.contains(verdict), "{script}: {said}");
        }
        let server = inspect_file(&found.server_cert);
        let client = inspect_file(&set.join("cert.pem"));
        let mut sans: Vec<_> = server.sans.iter().map(ToString::to_string).collect();
        sans.sort();
        sets.push((
            script,
            sans,
            server.key,
            server.key_usage,
            server.extended_key_usage,
            client.common_name,
            client.key_usage,
            client.extended_key_usage,
        ));
        // A second run must not replace a key that is in use.
        let again = Command::new("sh")
            .arg(Path::new(EXAMPLE).join(script))
            .arg("docker.example")
            .arg(&set)
            .env("DOCKGATE", env!("CARGO_BIN_EXE_dockgate"))
            .output()
            .expect("sh");
        assert!(!again.status.success(), "{script} replaced what was there");
    }
    if let [one, other] = &sets[..] {
        assert_eq!(
            (&one.1, &one.2, &one.3, &one.4, &one.5, &one.6, &one.7),
            (
                &other.1, &other.2, &other.3, &other.4, &other.5, &other.6, &other.7
            )
        );
    } else {
        // Said already, by `external`; a set that was made and lost is a fault.
        assert_eq!(sets.len(), 1, "the set by dockgate");
    }
}

#[test]
fn no_key_can_be_committed_from_there() {
    let ignored =
        std::fs::read_to_string(Path::new(EXAMPLE).join(".gitignore")).expect(".gitignore");
    let kept: Vec<_> = ignored
        .lines()
        .filter(|line| line.starts_with('!'))
        .collect();
    assert!(
        ignored.lines().any(|line| line == "*"),
        "everything is ignored but what is named"
    );
    assert_eq!(
        kept,
        [
            "!.gitignore",
            "!README.md",
            "!by-dockgate.sh",
            "!by-openssl.sh"
        ]
    );
    for file in kept {
        let text = std::fs::read_to_string(Path::new(EXAMPLE).join(&file[1..])).expect(file);
        assert!(!text.contains("PRIVATE KEY-----"), "{file}");
    }
}

//! A release: what is refused before it is made, and what others find when they verify it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testkit::programs::{binary, external, said};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checkout of its own, with what a release takes of this one.
struct Checkout {
    dir: TempDir,
    key: PathBuf,
}

impl Checkout {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        for (variable, value) in [
            ("GIT_AUTHOR_NAME", "test"),
            ("GIT_AUTHOR_EMAIL", "test@example.com"),
            ("GIT_COMMITTER_NAME", "test"),
            ("GIT_COMMITTER_EMAIL", "test@example.com"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ] {
            command.env(variable, value);
        }
        let here = self.path("tree");
        let output = command
            .args(arguments)
            .current_dir(here)
            .env_remove("CARGO_TARGET_DIR")
            .output();
        output.unwrap_or_else(|e| panic!("{program}: {e}"))
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) {
        let output = self.run("git", arguments);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// `None` where a program that a release needs is missing.
    fn new() -> Option<Self> {
        for program in ["dpkg-deb", "rpmbuild", "git"] {
            external(program, &["--version"])?;
        }
        external("ssh-keygen", &["-?"])?;
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let key = dir.path().join("key");
        let checkout = Self { dir, key };
        let tree = checkout.path("tree");
        fs::create_dir(&tree).expect("create");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["Cargo.toml", "Cargo.lock", "config", "deploy"] {
            let from = root.join(name).display().to_string();
            let output = checkout.run("cp", &["-r", &from, "."]);
            assert!(output.status.success(), "{}", said(&output));
        }
        fs::write(
            tree.join("CHANGELOG.md"),
            format!("# Changes\n\n## {VERSION}\n\nThe first.\n"),
        )
        .expect("write");
        // In place of a build: packing a debug build would take most of the test's time.
        let program = checkout.path("program");
        fs::write(
            &program,
            format!("#!/bin/sh\nexec {} \"$@\"\n", binary().display()),
        )
        .expect("write");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        let path = checkout.key.display().to_string();
        let output = checkout.run(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-f", &path],
        );
        assert!(output.status.success(), "{}", said(&output));
        checkout.git(&["init", "-q"]);
        checkout.git(&["add", "-A"]);
        checkout.git(&["commit", "-qm", "release"]);
        Some(checkout)
    }

    fn make(&self, out: &str) -> Output {
        let key = self.key.display().to_string();
        let program = self.path("program").display().to_string();
        let out = self.path(out).display().to_string();
        self.run(
            "deploy/release/make",
            &[
                "--key",
                &key,
                "--binary",
                &program,
                "--sbom",
                "Cargo.lock",
                "--out",
                &out,
            ],
        )
    }

    fn verify(&self, signers: &str, out: &str) -> Output {
        let [signers, out] = [signers, out].map(|name| self.path(name).display().to_string());
        self.run("deploy/release/verify", &[&signers, &out])
    }

    #[track_caller]
    fn refused(&self, why: &str) {
        let output = self.make("none");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
        assert!(!self.path("none").exists(), "nothing is made");
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn a_release_is_made_of_a_tagged_clean_commit_and_verifies_until_a_byte_changes() {
    let Some(checkout) = Checkout::new() else {
        return;
    };
    let tag = format!("v{VERSION}");
    checkout.refused(&format!("HEAD is not the tag {tag}"));
    checkout.git(&["tag", &tag]);
    fs::write(checkout.path("tree/stray"), "").expect("write");
    checkout.refused("the work tree has changes");
    fs::remove_file(checkout.path("tree/stray")).expect("remove");
    checkout.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    checkout.refused(&format!("HEAD is not the tag {tag}"));
    checkout.git(&["reset", "-q", "--hard", &tag]);

    for out in ["one", "two"] {
        let made = checkout.make(out);
        assert!(made.status.success(), "{}", said(&made));
    }
    let again = checkout.make("one");
    assert!(said(&again).contains("exists already"), "{}", said(&again));
    // The same commit makes the same files.
    let sums =
        |out: &str| fs::read_to_string(checkout.path(&format!("{out}/SHA256SUMS"))).expect("sums");
    assert_eq!(sums("one"), sums("two"));
    let names = sums("one");
    for kind in [".deb", ".rpm", ".tar.gz", ".lock"] {
        assert!(
            names.lines().any(|line| line.ends_with(kind)),
            "{kind}: {names}"
        );
    }

    let public = fs::read_to_string(checkout.path("key.pub")).expect("the public key");
    fs::write(
        checkout.path("signers"),
        format!("releases@example.com {public}"),
    )
    .expect("write");
    let good = checkout.verify("signers", "one");
    assert!(good.status.success(), "{}", said(&good));
    // Somebody who downloads one file verifies one file.
    let lock = format!("one/dockgate-{VERSION}.lock");
    fs::remove_file(checkout.path(&lock)).expect("remove");
    assert!(checkout.verify("signers", "one").status.success());

    // Another signer is unknown.
    fs::write(
        checkout.path("others"),
        format!("other@example.com {}", other_key()),
    )
    .expect("write");
    let other = checkout.verify("others", "two");
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    // A file that changed, and sums that changed with it.
    let lock = checkout.path(&format!("two/dockgate-{VERSION}.lock"));
    let mut bytes = fs::read(&lock).expect("read");
    bytes.push(b'\n');
    fs::write(&lock, bytes).expect("write");
    let changed = checkout.verify("signers", "two");
    assert!(
        !changed.status.success() && said(&changed).contains(".lock: FAILED"),
        "{}",
        said(&changed)
    );
    let output = checkout.run(
        "sh",
        &[
            "-c",
            "cd ../two && rm SHA256SUMS && sha256sum dockgate* > SHA256SUMS",
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
    let forged = checkout.verify("signers", "two");
    assert!(!forged.status.success(), "{}", said(&forged));

    // A changelog that says nothing of the version.
    fs::write(
        checkout.path("tree/CHANGELOG.md"),
        "# Changes\n\n## Unreleased\n",
    )
    .expect("write");
    checkout.git(&["commit", "-qam", "no section"]);
    checkout.git(&["tag", "-f", &tag]);
    checkout.refused("CHANGELOG.md has no section");
}

fn other_key() -> String {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let path = dir.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .output();
    assert!(made.expect("ssh-keygen").status.success());
    fs::read_to_string(dir.path().join("key.pub")).expect("the public key")
}

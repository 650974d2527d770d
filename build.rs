//! Notes for `--version` what a binary was made of: the commit, the target and the TLS library.
//!
//! `DOCKGATE_COMMIT` names the commit where there is no repository, in packages and images. Nothing else of the machine or the
//! time goes into the binary, so that the same sources make the same one.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=DOCKGATE_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    let given = env::var("DOCKGATE_COMMIT").unwrap_or_default();
    let commit = match given.trim() {
        "" => of_repository().unwrap_or_else(|| "unknown".to_owned()),
        given => given.to_owned(),
    };
    let target = env::var("TARGET").unwrap_or_default();
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = |name: &str| locked(&lock, name).unwrap_or_else(|| "unknown".to_owned());
    // Cargo gives these to what it runs as well, where a name that begins with DOCKGATE_ would be a setting.
    println!("cargo:rustc-env=BUILT_FROM={commit}");
    println!("cargo:rustc-env=BUILT_FOR={target}");
    println!(
        "cargo:rustc-env=BUILT_WITH=rustls {}, aws-lc-rs {}",
        version("rustls"),
        version("aws-lc-rs")
    );
}

/// The commit that is checked out, if the sources are a repository's own and not a folder of another.
fn of_repository() -> Option<String> {
    let here = fs::canonicalize(".").ok()?;
    let top = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if top != here {
        return None;
    }
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}

/// The version of a package in the lock file.
fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

//! Running the binary and the judges.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs a program to its end; `None`, with a line that says so, when it is not installed.
pub(crate) fn external(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT RUN: {program} is not installed, so its judgement is missing here");
            None
        }
        Err(error) => panic!("cannot start {program}: {error}"),
    }
}

/// Both streams of a finished program, for assertions and their messages.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// `openssl verify -x509_strict` accepts `cert` under `ca` for `purpose` (`sslserver`, `sslclient`).
pub(crate) fn openssl_accepts(ca: &Path, cert: &Path, purpose: &str, extra: &[&str]) {
    let (ca, cert) = (
        ca.to_str().expect("utf-8 path"),
        cert.to_str().expect("utf-8 path"),
    );
    let mut args = vec!["verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca];
    args.extend(extra);
    args.push(cert);
    if let Some(output) = external("openssl", &args) {
        assert!(
            output.status.success(),
            "openssl {args:?}: {}",
            text(&output)
        );
    }
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("metadata").permissions().mode() & 0o7777
}

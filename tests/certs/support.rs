//! Running the binary and the judges.

use std::{
    path::Path,
    process::{Command, Output},
};

pub(crate) use testkit::programs::{external, said as text};

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

/// Runs `dockgate certs …` in a directory.
pub(crate) fn certs(dir: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("certs")
        .args(args)
        .current_dir(dir)
        .env_remove("DOCKGATE_CERTS_DIR")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("dockgate must start");
    testkit::words::assert_plain(&format!("dockgate certs {args:?}"), &text(&output));
    output
}

/// Runs a command that has to work; returns what it printed.
pub(crate) fn done(dir: &Path, args: &[&str]) -> String {
    let output = certs(dir, args);
    assert!(
        output.status.success(),
        "dockgate certs {args:?}: {}",
        text(&output)
    );
    text(&output)
}

/// Runs a command that has to fail; returns what it said.
pub(crate) fn refused(dir: &Path, args: &[&str]) -> String {
    let output = certs(dir, args);
    assert_eq!(
        output.status.code(),
        Some(1),
        "dockgate certs {args:?}: {}",
        text(&output)
    );
    text(&output)
}

/// Runs a program that has to work; false when it is not installed.
pub(crate) fn ran(program: &str, args: &[&str]) -> bool {
    let Some(output) = external(program, args) else {
        return false;
    };
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        text(&output)
    );
    true
}

/// The first certificate of a file, read.
pub(crate) fn inspect_file(path: &Path) -> pki::Certificate {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let der =
        CertificateDer::from_pem_file(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    pki::Certificate::read(&der).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// A directory with a CA and a server certificate for docker.example.
pub(crate) fn initialised() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    done(dir.path(), &["init", "--san", "docker.example"]);
    dir
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("utf-8 path")
}

/// A client's certificate for the key it has, by the CA in `certs`, that ended long ago.
pub(crate) fn expired(certs: &Path, name: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(certs.join(path)).expect("PEM");
    let ca_key = rcgen::KeyPair::from_pem(&read("ca-key.pem")).expect("the CA's key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).expect("the CA");
    let key = rcgen::KeyPair::from_pem(&read(&format!("clients/{name}/key.pem"))).expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params.use_authority_key_identifier_extension = true;
    let signed = params.signed_by(&key, &issuer).expect("a certificate");
    signed.pem()
}

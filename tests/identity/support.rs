//! A CA with a signer, and the commands of those who join.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use testkit::process::ProcessLog;
use testkit::programs::{dockgate, said};

/// A running signer. Dropping it kills it.
pub(crate) struct SignerProcess {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) log: Arc<ProcessLog>,
}

impl Drop for SignerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a CA in `certs`.
pub(crate) fn directory() -> TempDir {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let init = ["certs", "init", "--san", "localhost"];
    match database() {
        Some(url) => done(dir.path(), &[&init[..], &["--store", &url]].concat()),
        None => done(dir.path(), &init),
    };
    dir
}

/// The same with the index in the directory, on whatever the suite runs: the test looks at the index as a file.
pub(crate) fn directory_alone() -> TempDir {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    done(dir.path(), &["certs", "init", "--san", "localhost"]);
    dir
}

/// The URL of a new store, where the suite is asked to run on PostgreSQL.
fn database() -> Option<String> {
    std::env::var_os(testkit::postgres::WANTED)?;
    let server = testkit::postgres::postgres()?;
    Some(server.url(&server.create()))
}

/// The index of a directory, wherever it is.
pub(crate) fn index(dir: &Path) -> pki::index::Index {
    let place = dockgate::signer::store_place(&dir.join("certs"), &Default::default());
    place.and_then(|it| it.index()).expect("the index")
}

/// The same as text.
pub(crate) fn index_text(dir: &Path) -> String {
    format!("{:?}", index(dir))
}

impl SignerProcess {
    pub(crate) fn start(dir: &Path, options: &[&str]) -> Self {
        Self::named(dir, "localhost", options)
    }

    /// One whose clients know it by another name.
    pub(crate) fn named(dir: &Path, name: &str, options: &[&str]) -> Self {
        Self::changed(dir, name, options, |_| {})
    }

    /// One whose start is changed.
    pub(crate) fn changed(
        dir: &Path,
        name: &str,
        options: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = dockgate();
        command
            .args([
                "signer",
                "--listen",
                "tcp://127.0.0.1:0",
                "--san",
                name,
                "-l",
                "debug",
            ])
            .args(options)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("start the signer");
        let log = ProcessLog::follow(child.stderr.take().expect("a pipe"));
        let mut first = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut first)
            .expect("read its first line");
        let addr = first
            .strip_prefix("signer listens on ")
            .and_then(|rest| rest.split(',').next())
            .and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("it says {first:?}"));
        Self { child, addr, log }
    }
}

/// Runs dockgate in a directory.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir).args(args).output().expect("start dockgate")
}

/// Dockgate in a directory which is also its home.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = dockgate();
    command.current_dir(dir).env("HOME", dir);
    command
}

/// Runs a command that has to work; returns what it printed.
#[track_caller]
pub(crate) fn done(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(
        output.status.success(),
        "dockgate {args:?}: {}",
        said(&output)
    );
    said(&output)
}

/// Runs a command that has to fail; returns what it said.
#[track_caller]
pub(crate) fn refused(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert_eq!(
        output.status.code(),
        Some(1),
        "dockgate {args:?}: {}",
        said(&output)
    );
    said(&output)
}

/// Invites somebody; the token.
#[track_caller]
pub(crate) fn invite(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, &[&["invite"], args].concat());
    assert!(output.status.success(), "{}", said(&output));
    let token = String::from_utf8(output.stdout).expect("a token");
    assert_eq!(
        token.lines().count(),
        1,
        "the token alone is on standard output"
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains(token.trim()));
    token.trim().to_owned()
}

/// Joins with the token on standard input.
pub(crate) fn join(home: &Path, token: &str, args: &[&str]) -> Output {
    fed(home, &[&["join", "-"], args].concat(), token)
}

/// Runs a command that reads a line of standard input.
pub(crate) fn fed(home: &Path, args: &[&str], line: &str) -> Output {
    use std::io::Write;
    let mut child = command(home)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start dockgate");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that refuses early may not read it.
    let _ = writeln!(stdin, "{line}");
    drop(stdin);
    child.wait_with_output().expect("its output")
}

/// The TLS of a server that asks nobody for a certificate.
pub(crate) fn open_to_all(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a chain");
    Arc::new(config)
}

/// The directory of one that joined as `context`.
pub(crate) fn joined(home: &Path, context: &str) -> PathBuf {
    home.join(".docker/dockgate").join(context)
}

/// The first certificate of a file, read.
pub(crate) fn inspect(path: &Path) -> pki::Certificate {
    pki::store::inspect_file(path).expect("a certificate").1
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("metadata").permissions().mode() & 0o7777
}

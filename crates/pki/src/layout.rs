//! Where certificates lie in the directories people already have, so that they are used as they are.

use std::path::{Path, PathBuf};

use super::{Certificate, Purpose, pem};

/// Whose way of naming files a directory follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutKind {
    /// `{ca,server-cert,server-key}.pem`: Docker's own guide, and dockgate.
    Guide,
    /// `{ca-cert,server-cert,server-key}.pem`: kekru/docker-remote-api-tls.
    Kekru,
    /// `server/{ca,cert,key}.pem` with `ca/` and `client/` beside it: docker:dind's `/certs`.
    Dind,
}

/// The files of a server in a directory that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLayout {
    /// Whose way of naming.
    pub kind: LayoutKind,
    /// Certificates of the CA that clients are checked against.
    pub ca: PathBuf,
    /// The CA's key, where it is kept beside.
    pub ca_key: Option<PathBuf>,
    /// The server's certificate.
    pub server_cert: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The CA's revocation list, where there is one.
    pub crl: Option<PathBuf>,
    /// A directory that serves as `DOCKER_CERT_PATH`, where there is one.
    pub client_dir: Option<PathBuf>,
}

/// The file that says what a directory joined, in which `dockgate renew` looks after a certificate.
pub const JOINED: &str = "enrolled.json";

/// The directory that `dockgate renew` looks after, if a certificate's file came by `dockgate join`.
#[must_use]
pub fn joined(cert: &Path) -> Option<PathBuf> {
    // A docker context's directory is a link to it.
    let cert = cert.canonicalize().ok()?;
    let dir = cert.parent()?.parent()?;
    dir.join(JOINED).is_file().then(|| dir.to_path_buf())
}

/// Looks for a server's certificates in `dir`. `None` when it holds no complete set; a client's `{ca,cert,key}.pem` is
/// not mistaken for docker:dind's server directory, because its certificate is for clients only.
pub fn find(dir: &Path) -> Option<FoundLayout> {
    guide(dir, "ca.pem", LayoutKind::Guide)
        .or_else(|| guide(dir, "ca-cert.pem", LayoutKind::Kekru))
        .or_else(|| dind(dir))
}

fn guide(dir: &Path, ca: &str, kind: LayoutKind) -> Option<FoundLayout> {
    let clients = [
        dir.join("clients/admin"),
        dir.join("client"),
        dir.to_path_buf(),
    ];
    Some(FoundLayout {
        kind,
        ca: file(dir.join(ca))?,
        ca_key: file(dir.join("ca-key.pem")),
        server_cert: file(dir.join("server-cert.pem"))?,
        server_key: file(dir.join("server-key.pem"))?,
        crl: file(dir.join("crl.pem")),
        client_dir: clients.into_iter().find(|dir| is_client_dir(dir)),
    })
}

fn dind(dir: &Path) -> Option<FoundLayout> {
    // Either `/certs` was given or `/certs/server`.
    let (root, server) = match file(dir.join("server/cert.pem")) {
        Some(_) => (dir.to_path_buf(), dir.join("server")),
        None => (dir.parent()?.to_path_buf(), dir.to_path_buf()),
    };
    let server_cert = file(server.join("cert.pem"))?;
    let first = pem::certificates(&server_cert).ok()?.into_iter().next()?;
    if !Certificate::read(&first).ok()?.permits(Purpose::Server) {
        return None;
    }
    Some(FoundLayout {
        kind: LayoutKind::Dind,
        ca: file(server.join("ca.pem"))?,
        ca_key: file(root.join("ca/key.pem")),
        server_cert,
        server_key: file(server.join("key.pem"))?,
        crl: file(server.join("crl.pem")),
        client_dir: Some(root.join("client")).filter(|dir| is_client_dir(dir)),
    })
}

fn is_client_dir(dir: &Path) -> bool {
    ["ca.pem", "cert.pem", "key.pem"]
        .iter()
        .all(|name| dir.join(name).is_file())
}

fn file(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

//! How a certificate came to the file where it is, which says how the next one comes.

use std::path::{Path, PathBuf};

use pki::layout;
use pki::store::Paths;
use text::escape::shell_word;

/// Where a certificate's successor comes from. Advice is worded by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CertificateOrigin {
    /// `dockgate join` brought it into this directory.
    Joined(PathBuf),
    /// The signer beside the gate keeps it.
    BesideSigner,
    /// The CA of this directory (`--dir` as commands need it) made it, under this name.
    Made { name: String, option: String },
    /// It came by hand.
    Carried,
}

/// The name of a directory's own server in commands.
const SERVER: &str = "server";

impl CertificateOrigin {
    /// Of the certificate in a file.
    pub(crate) fn of(cert: &Path) -> Self {
        if let Some(dir) = layout::joined(cert) {
            return Self::Joined(dir);
        }
        let dirs = cert.ancestors().skip(1).take(3);
        let homes = dirs.map(|dir| match dir.as_os_str().is_empty() {
            true => Paths::of(Path::new(".")),
            false => Paths::of(dir),
        });
        let is = |path: &Path| path == cert || Path::new(".").join(cert) == path;
        for home in homes.filter(|home| home.ca_key.is_file()) {
            let option = home.option();
            if is(&home.server_cert) {
                let name = SERVER.to_owned();
                return Self::Made { name, option };
            }
            if is(&home.dir.join("gate/cert.pem")) {
                return Self::BesideSigner;
            }
            let name = cert.parent().and_then(Path::file_name);
            let name = name.and_then(|name| name.to_str()).unwrap_or_default();
            if is(&home.client(name).join("cert.pem")) {
                let name = name.to_owned();
                return Self::Made { name, option };
            }
        }
        Self::Carried
    }

    /// What renews a client's certificate that is, or is no longer, in force.
    pub(super) fn renewed_client(&self, is_in_force: bool) -> String {
        match self {
            Self::Made { name, option } => made_again(name, option),
            Self::Carried | Self::BesideSigner => {
                "ask for a new one: `dockgate certs renew NAME` on the server".to_owned()
            }
            Self::Joined(dir) => joined_again(dir, is_in_force),
        }
    }

    /// The same for a server's.
    pub(super) fn renewed_server(&self, is_in_force: bool) -> String {
        match self {
            Self::Made { name, option } => made_again(name, option),
            Self::Carried => "renew it with `dockgate certs renew server`".to_owned(),
            Self::BesideSigner => {
                "the signer beside the gate renews it: its log says why it has not".to_owned()
            }
            Self::Joined(dir) => joined_again(dir, is_in_force),
        }
    }

    /// What brings a client's certificate in the place of one that is refused.
    pub(crate) fn another_client(&self) -> String {
        match self {
            Self::Made { name, option } => {
                let name = shell_word(name);
                format!("make a new one with `dockgate certs client {name} --force{option}`")
            }
            Self::Carried | Self::BesideSigner => {
                "ask the people who run the gate for a new one: `dockgate certs client NAME --force`"
                    .to_owned()
            }
            Self::Joined(dir) => format!(
                "ask the people who run the signer for a new invitation: `dockgate invite NAME`; and bring it here with `dockgate join -{}`",
                context(dir)
            ),
        }
    }

    /// What brings a server's pair in the place of one that is not fit; `names` are options that choose its names.
    pub(super) fn another_server(&self, names: &str) -> String {
        match self {
            Self::Made { option, .. } => {
                format!("make another pair with `dockgate certs server{names} --force{option}`")
            }
            Self::Carried => {
                format!("make another pair with `dockgate certs server{names} --force`")
            }
            Self::BesideSigner => {
                "give the gate the names with --san and start it again: its signer makes another pair".to_owned()
            }
            Self::Joined(dir) => format!(
                "ask the people who run the signer for a new invitation: `dockgate invite NAME --server --san NAME`; and bring it here with `dockgate join --server - --dir {}`",
                shell_word(&dir.to_string_lossy())
            ),
        }
    }
}

fn made_again(name: &str, option: &str) -> String {
    let name = shell_word(name);
    format!("renew it with `dockgate certs renew {name}{option}`")
}

/// What joined renews itself, while it is good.
fn joined_again(dir: &Path, is_in_force: bool) -> String {
    let dir = dir.to_string_lossy();
    match is_in_force {
        true => format!("renew it with `dockgate renew {}`", shell_word(&dir)),
        false => format!(
            "`dockgate renew {}` works where the signer forgives (--renew-late); otherwise ask for a new invitation",
            shell_word(&dir)
        ),
    }
}

/// The option that makes `join` take the same place again.
fn context(dir: &Path) -> String {
    let is_of_a_context = dir.parent().and_then(Path::file_name) == Some("dockgate".as_ref());
    match dir.file_name().filter(|_| is_of_a_context) {
        Some(name) => format!(" --context {}", shell_word(&name.to_string_lossy())),
        None => String::new(),
    }
}

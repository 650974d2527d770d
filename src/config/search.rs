//! Where files are looked for when nobody names them.

use std::path::{Path, PathBuf};

/// The three files of a server, by the names that a known tool gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The CA whose clients are let in.
    pub ca: &'static str,
    /// The server's certificate chain.
    pub cert: &'static str,
    /// The server's private key.
    pub key: &'static str,
}

/// docker:dind's `/certs/server`.
pub const DIND: Layout = Layout {
    ca: "ca.pem",
    cert: "cert.pem",
    key: "key.pem",
};
/// Docker's guide "Protect the Docker daemon socket", and `dockgate certs`.
pub const GUIDE: Layout = Layout {
    ca: "ca.pem",
    cert: "server-cert.pem",
    key: "server-key.pem",
};
/// kekru/docker-remote-api-tls.
pub const KEKRU: Layout = Layout {
    ca: "ca-cert.pem",
    cert: "server-cert.pem",
    key: "server-key.pem",
};

/// The certificate revocation list beside them, taken when it is there.
pub const CRL: &str = "crl.pem";

/// The places searched; tests move the root.
#[derive(Debug, Clone)]
pub struct Places {
    /// The configuration file read when it exists.
    pub config_file: PathBuf,
    /// Directories searched for a server's certificates, first match wins.
    pub certs: Vec<(PathBuf, Layout)>,
}

impl Places {
    /// The usual places below `root` ("/" outside tests), the working directory and the home directory.
    pub fn below(root: &Path, working_dir: &Path, home: Option<&Path>) -> Self {
        let mut certs = vec![
            (root.join("certs/server"), DIND),
            (working_dir.join("certs"), GUIDE),
            (root.join("etc/dockgate/certs"), GUIDE),
            (root.join("etc/dockgate"), GUIDE),
            (root.join("etc/docker/certs"), GUIDE),
            (root.join("etc/docker"), GUIDE),
            (root.join("data/certs"), KEKRU),
        ];
        certs.extend(home.map(|home| (home.join(".docker"), GUIDE)));
        Self {
            config_file: root.join("etc/dockgate/dockgate.toml"),
            certs,
        }
    }

    /// The first directory that has all three files.
    pub fn find_certs(&self) -> Option<&(PathBuf, Layout)> {
        self.certs.iter().find(|(dir, layout)| {
            [layout.ca, layout.cert, layout.key]
                .iter()
                .all(|name| dir.join(name).exists())
        })
    }

    /// The first directory that has the server's certificate or key without the rest: what it has, and what it lacks.
    pub fn find_some_certs(&self) -> Option<(&Path, Vec<&'static str>, Vec<&'static str>)> {
        self.certs.iter().find_map(|(dir, layout)| {
            let there = |name: &&'static str| dir.join(name).exists();
            let names = [layout.ca, layout.cert, layout.key];
            let (has, lacks) = names.into_iter().partition(there);
            let is_begun = [layout.cert, layout.key].iter().any(there);
            is_begun.then_some((dir.as_path(), has, lacks))
        })
    }

    /// For the error message: what was looked for.
    pub fn describe_certs(&self) -> String {
        let line = |(dir, l): &(PathBuf, Layout)| {
            format!("{}/{{{},{},{}}}", dir.display(), l.ca, l.cert, l.key)
        };
        self.certs.iter().map(line).collect::<Vec<_>>().join(", ")
    }
}

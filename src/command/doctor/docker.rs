//! Where the docker CLI of this user would connect to, by the same variables and files, in the same order: `DOCKER_HOST`,
//! `DOCKER_CONTEXT`, `currentContext` of its `config.json`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::Deserialize;

use crate::command::doctor::client::DoctorTarget;
use crate::finding::Finding;
use text::escape;

/// How many contexts are looked at.
const MOST_CONTEXTS: usize = 1000;

/// Longest file of docker's that is read.
const LONGEST: u64 = 1 << 20;

/// What docker would use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The engine's socket of this machine.
    Local,
    /// An address, with where it was named and the directory of the certificates.
    Remote {
        /// As it was written.
        host: String,
        /// The variable or the context that names it.
        by: String,
        /// Where ca.pem, cert.pem and key.pem are.
        directory: PathBuf,
        /// What docker would do with it that is not what one would expect.
        doubt: Option<Finding>,
    },
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct CliConfig {
    current_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize, Default)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// The environment as docker reads it.
pub(super) struct DockerEnv<'e>(pub(super) &'e [(OsString, OsString)]);

impl DockerEnv<'_> {
    fn var(&self, name: &str) -> Option<PathBuf> {
        let mut variables = self.0.iter();
        let found = variables.find(|(own, value)| own == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.var(name).map(|value| value.display().to_string())
    }

    /// docker's own directory.
    fn directory(&self) -> PathBuf {
        self.var("DOCKER_CONFIG")
            .unwrap_or_else(|| self.var("HOME").unwrap_or_default().join(".docker"))
    }

    /// Where the certificates are that belong to no context.
    pub(super) fn certificates(&self) -> PathBuf {
        self.var("DOCKER_CERT_PATH")
            .unwrap_or_else(|| self.directory())
    }

    /// The certificates for an address: of the docker context for it, where `DOCKER_CERT_PATH` names no others; the name of
    /// that context. Of several it is the first by name.
    pub(super) fn certificates_for(&self, address: &DoctorTarget) -> (PathBuf, Option<String>) {
        let own = (self.certificates(), None);
        if self.var("DOCKER_CERT_PATH").is_some() {
            return own;
        }
        let contexts = self.directory().join("contexts");
        let listed = std::fs::read_dir(contexts.join("meta"));
        let mut fitting: Vec<_> = (listed.into_iter().flatten().flatten().take(MOST_CONTEXTS))
            .filter_map(|entry| {
                let bytes = read(&entry.path().join("meta.json")).ok()??;
                let meta: ContextMeta = serde_json::from_slice(&bytes).ok()?;
                let host = DoctorTarget::parse(&meta.endpoints.docker?.host).ok()?;
                let directory = contexts.join("tls").join(entry.file_name()).join("docker");
                (host == *address && directory.is_dir()).then_some((meta.name, directory))
            })
            .collect();
        fitting.sort();
        let found = fitting.into_iter().next();
        found.map_or(own, |(name, directory)| (directory, Some(name)))
    }

    /// What docker would use.
    ///
    /// # Errors
    /// When docker itself could not tell.
    pub(super) fn chosen(&self) -> Result<Chosen, Finding> {
        if let Some(host) = self.text("DOCKER_HOST") {
            return Ok(self.by_host(host));
        }
        let (name, by) = match self.text("DOCKER_CONTEXT") {
            Some(name) => (name, "DOCKER_CONTEXT".to_owned()),
            None => {
                let file = self.directory().join("config.json");
                let by = format!("currentContext of {}", file.display());
                (self.current(&file)?, by)
            }
        };
        match name.as_str() {
            "" | "default" => Ok(Chosen::Local),
            name => self.context(name, &by),
        }
    }

    fn by_host(&self, host: String) -> Chosen {
        if host.starts_with("unix://") {
            return Chosen::Local;
        }
        let plain = self.text("DOCKER_TLS_VERIFY").is_none() && self.text("DOCKER_TLS").is_none();
        let doubt = plain.then(|| {
            Finding::warning(
                "DOCKER_TLS_VERIFY is not set: docker would speak to DOCKER_HOST without TLS",
            )
            .hint("export DOCKER_TLS_VERIFY=1")
        });
        Chosen::Remote {
            by: "DOCKER_HOST".to_owned(),
            directory: self.certificates(),
            host,
            doubt,
        }
    }

    fn current(&self, file: &Path) -> Result<String, Finding> {
        match read(file) {
            Ok(None) => Ok(String::new()),
            Ok(Some(bytes)) => serde_json::from_slice::<CliConfig>(&bytes)
                .map(|config| config.current_context)
                .map_err(|error| unread(file, &error.to_string())),
            Err(why) => Err(unread(file, &why)),
        }
    }

    /// A context lies under the SHA-256 of its name.
    fn context(&self, name: &str, by: &str) -> Result<Chosen, Finding> {
        let id = HEXLOWER.encode(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
        let contexts = self.directory().join("contexts");
        let file = contexts.join("meta").join(&id).join("meta.json");
        let shown = escape::quoted(name);
        let bytes = read(&file)
            .map_err(|why| unread(&file, &why))?
            .ok_or_else(|| {
                Finding::error(format!(
                    "{by} names the docker context {shown}, which does not exist: there is no {}",
                    file.display()
                ))
                .hint("`docker context ls` lists those that do")
            })?;
        let meta: ContextMeta =
            serde_json::from_slice(&bytes).map_err(|error| unread(&file, &error.to_string()))?;
        let endpoint = meta
            .endpoints
            .docker
            .filter(|endpoint| !endpoint.host.is_empty());
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.host.starts_with("unix://"))
        else {
            return Ok(Chosen::Local);
        };
        let doubt = endpoint.skip_tls_verify.then(|| {
            Finding::warning(format!(
                "the docker context {shown} skips the check of the server's certificate"
            ))
            .hint("make it again without skip-tls-verify: a machine in between could read all")
        });
        Ok(Chosen::Remote {
            host: endpoint.host,
            by: format!("the docker context {shown}, by {by}"),
            directory: contexts.join("tls").join(&id).join("docker"),
            doubt,
        })
    }
}

fn unread(file: &Path, why: &str) -> Finding {
    Finding::error(format!("{} cannot be read: {why}", file.display()))
        .hint("docker reads it too: mend it, or name the gate as tcp://HOST:PORT")
}

/// A file of docker's; `None` if there is none.
fn read(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    let read = opened.take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() as u64 > LONGEST {
        true => Err("it is over 1 MiB".to_owned()),
        false => Ok(Some(bytes)),
    }
}

//! Docker contexts as the docker CLI keeps them: `contexts/meta/ID/meta.json` and `contexts/tls/ID/docker/*.pem` below its
//! configuration directory, where ID is the SHA-256 of the name.
//!
//! The TLS directory is a symbolic link to the directory that `dockgate renew` looks after. (The CLI does not follow a link
//! one level below.)

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use pki::CertsError;
use pki::event::IssuedKind;
use pki::identity::sha256;
use pki::write::{self, Existing, FileMode};

use super::EnrolError;
use super::home::Home;

/// A context that is made or kept current here.
#[derive(Clone, Debug)]
pub struct DockerContext {
    config: PathBuf,
    name: String,
}

impl DockerContext {
    /// A context of that name below a configuration directory.
    ///
    /// # Errors
    /// When it is not a name of a context.
    pub fn new(config: &Path, name: &str) -> Result<Self, CertsError> {
        let good = name.len() >= 2
            && name.len() <= 128
            && name != "default"
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
        if !good {
            return Err(CertsError::refused(
                format!("{name:?} cannot be the name of a docker context"),
                "write --context with letters, digits, dots and dashes, such as --context office",
            ));
        }
        Ok(Self {
            config: config.into(),
            name: name.into(),
        })
    }

    /// The name for a host's context.
    #[must_use]
    pub fn name_of(host: &str) -> String {
        let plain = |c: char| match c.is_ascii_alphanumeric() || "_.-".contains(c) {
            true => c,
            false => '-',
        };
        let name: String = host.chars().map(plain).collect();
        let name = name.trim_start_matches(['-', '.', '_']);
        match name.len() {
            0 | 1 => format!("host-{name}"),
            _ => name.to_owned(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its key and certificates are.
    #[must_use]
    pub fn home(&self) -> Home {
        let dir = self.config.join("dockgate").join(&self.name);
        Home::new(&dir, IssuedKind::Client)
    }

    /// That nothing here belongs to somebody else. Asked before an invitation is used.
    ///
    /// # Errors
    /// When there is a context of this name that was not made here.
    pub fn is_free(&self) -> Result<(), EnrolError> {
        let ours = self.home().state().is_ok()
            && fs::read_link(self.tls()).is_ok_and(|target| target == self.target());
        let taken = [self.meta(), self.tls(), self.home().files()]
            .iter()
            .any(|path| path.symlink_metadata().is_ok());
        match taken && !ours {
            true => Err(EnrolError::Foreign {
                name: self.name.clone(),
            }),
            false => Ok(()),
        }
    }

    /// The gate that it is for; nothing if there is no such context yet, or it says something else.
    #[must_use]
    pub fn gate(&self) -> Option<String> {
        let meta = write::read(&self.meta()).ok()?;
        let meta: serde_json::Value = serde_json::from_slice(&meta).ok()?;
        let host = meta.pointer("/Endpoints/docker/Host")?.as_str()?;
        Some(host.to_owned())
    }

    /// Writes the context for a gate.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn write(&self, gate: &str) -> Result<(), CertsError> {
        let (meta, tls) = (self.meta(), self.tls());
        for path in [&meta, &tls] {
            write::create_private_dir(path.parent().unwrap_or(path))?;
        }
        if tls.symlink_metadata().is_err() {
            symlink(self.target(), &tls).map_err(|source| CertsError::io("link", &tls, source))?;
        }
        let text = serde_json::json!({
            "Name": self.name,
            "Metadata": { "Description": "made by dockgate join" },
            "Endpoints": { "docker": { "Host": gate, "SkipTLSVerify": false } },
        });
        let text = text.to_string();
        write::write(&meta, text.as_bytes(), FileMode::Public, Existing::Replace)
    }

    /// Makes it the current context, unless another one was chosen; whether it is the current one then.
    ///
    /// # Errors
    /// When the CLI's configuration cannot be read or written.
    pub fn choose(&self) -> Result<bool, CertsError> {
        let path = self.config.join("config.json");
        let bytes = match path.is_file() {
            true => write::read(&path)?.to_vec(),
            false => b"{}".to_vec(),
        };
        let read = serde_json::from_slice(&bytes).ok();
        let Some(serde_json::Value::Object(mut config)) = read else {
            return Err(CertsError::Unexpected {
                path,
                expected: "the docker CLI's configuration in JSON",
                found: "something else".into(),
                hint: Some(format!(
                    "use the context with `docker --context {}`",
                    self.name
                )),
            });
        };
        let current = config
            .get("currentContext")
            .and_then(serde_json::Value::as_str);
        match current.unwrap_or_default() {
            current if current == self.name => return Ok(true),
            "" | "default" => {}
            _ => return Ok(false),
        }
        config.insert("currentContext".into(), self.name.clone().into());
        let text = serde_json::to_vec_pretty(&config).map_err(|source| {
            CertsError::crypto("encode the docker CLI's configuration", source)
        })?;
        write::write(&path, &text, FileMode::Secret, Existing::Replace)?;
        Ok(true)
    }

    fn id(&self) -> String {
        HEXLOWER.encode(&sha256(self.name.as_bytes()))
    }

    fn meta(&self) -> PathBuf {
        self.config
            .join("contexts/meta")
            .join(self.id())
            .join("meta.json")
    }

    fn tls(&self) -> PathBuf {
        self.config.join("contexts/tls").join(self.id())
    }

    /// From the TLS directory to ours; relative, so that the whole configuration can be moved or mounted elsewhere.
    fn target(&self) -> PathBuf {
        Path::new("../../dockgate").join(&self.name)
    }
}

/// The docker CLI's configuration directory.
///
/// # Errors
/// When there is neither `DOCKER_CONFIG` nor `HOME`.
pub fn config_dir() -> Result<PathBuf, CertsError> {
    let var = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var("DOCKER_CONFIG")
        .or_else(|| Some(var("HOME")?.join(".docker")))
        .ok_or_else(|| {
            CertsError::refused(
                "neither DOCKER_CONFIG nor HOME is set, so there is no place for a docker context",
                "set HOME, or DOCKER_CONFIG to the directory that the docker CLI reads",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_gives_a_name_that_docker_takes() {
        for host in ["docker.example.com", "192.0.2.1", "2001:db8::1", "::1", "h"] {
            let name = DockerContext::name_of(host);
            assert!(
                DockerContext::new(Path::new("/c"), &name).is_ok(),
                "{host} {name}"
            );
        }
        for name in ["", "x", "default", "-a", "a/b", "a b", ".."] {
            assert!(
                DockerContext::new(Path::new("/c"), name).is_err(),
                "{name:?}"
            );
        }
    }
}

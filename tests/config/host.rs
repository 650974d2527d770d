//! A host that has only what a test puts there, and `serve` on it.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use dockgate::cli::{self, Command, ServeArgs};
use dockgate::config::error::ConfigError;
use dockgate::config::search::Places;
use dockgate::config::{self, Config};
use tempfile::TempDir;

/// A root directory of its own, so that nothing on the machine is found.
pub(crate) struct EmptyHost {
    pub(crate) root: TempDir,
}

impl EmptyHost {
    pub(crate) fn new() -> Self {
        Self {
            root: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn load(&self, args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let root = self.root.path();
        config::load_within(
            &serve(args),
            env,
            &Places::below(root, &root.join("work"), Some(&root.join("home"))),
        )
    }

    /// With certificates, which are not the subject of most tests.
    pub(crate) fn load_with_certs(
        &self,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Config, ConfigError> {
        self.write("certs/server/ca.pem", "");
        self.write("certs/server/cert.pem", "");
        self.write("certs/server/key.pem", "");
        self.load(args, env)
    }
}

fn serve(args: &[&str]) -> ServeArgs {
    let line = ["dockgate", "serve"]
        .iter()
        .chain(args)
        .map(ToString::to_string);
    match cli::parse(line).unwrap().into_command() {
        Command::Serve(args) => *args,
        other => panic!("{other:?}"),
    }
}

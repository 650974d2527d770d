//! Where the engine and the clients are: the directory that `.ci/engine` fills, or else the machine's own.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The programs the suite can use. A missing one turns its scenarios into ignored ones, or into failures.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    found: HashMap<&'static str, PathBuf>,
    /// The folders that hold the docker CLI's plugins.
    pub(crate) plugins: Vec<PathBuf>,
}

/// The names in the environment file, and the program that serves where the file is missing.
const NAMES: &[(&str, &str)] = &[
    ("DOCKERD", "dockerd"),
    ("DOCKER", "docker"),
    ("CONTAINERD", "containerd"),
    ("PYTHON", ""),
    ("COMPOSE1", ""),
    ("NODE", ""),
    ("NODE_PATH", ""),
    ("CURL", "curl"),
    ("OPENSSL", "openssl"),
    ("BUSYBOX", "busybox"),
    ("BOLLARD", ""),
];

impl Tools {
    /// Looks in `DOCKGATE_ENGINE_DIR`, then in `~/.cache/dockgate-engine`, then along `PATH`.
    pub(crate) fn find() -> Self {
        let directory = env::var_os("DOCKGATE_ENGINE_DIR").map_or_else(
            || {
                PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into()))
                    .join(".cache/dockgate-engine")
            },
            PathBuf::from,
        );
        let listed = fs::read_to_string(directory.join("env")).unwrap_or_default();
        let listed: HashMap<&str, &str> = listed
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let mut tools = Self::default();
        for (name, program) in NAMES {
            let path = match listed.get(name) {
                Some(path) => Some(PathBuf::from(path)),
                None => on_path(program),
            };
            if let Some(path) = path.filter(|path| path.is_absolute() && path.exists()) {
                tools.found.insert(name, path);
            }
        }
        tools.plugins = match listed.get("DOCKER_PLUGINS") {
            Some(path) => vec![PathBuf::from(path)],
            None => [
                "/usr/libexec/docker/cli-plugins",
                "/usr/lib/docker/cli-plugins",
                "/usr/local/lib/docker/cli-plugins",
            ]
            .iter()
            .map(PathBuf::from)
            .filter(|path| path.is_dir())
            .collect(),
        };
        for (name, file) in [("BUILDX", "docker-buildx"), ("COMPOSE", "docker-compose")] {
            if let Some(path) = tools
                .plugins
                .iter()
                .map(|folder| folder.join(file))
                .find(|path| path.exists())
            {
                tools.found.insert(name, path);
            }
        }
        tools
    }

    /// The path of a tool that the suite cannot do without in the scenario that asks.
    pub(crate) fn get(&self, name: &str) -> Result<&Path, String> {
        self.found
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| format!("{} is not installed", name.to_lowercase()))
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

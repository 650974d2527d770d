//! Where the engine and the clients are: the directory that `.ci/engine` fills, or else the machine's own.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs the suite can use. A missing one turns its scenarios into ignored ones, or into failures.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    found: HashMap<&'static str, PathBuf>,
    /// Why a program that is there cannot be used.
    lacking: HashMap<&'static str, String>,
    /// The folders that hold the docker CLI's plugins.
    pub(crate) plugins: Vec<PathBuf>,
}

/// Which engine was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineSource {
    /// What `.ci/engine` unpacked there.
    Unpacked(PathBuf),
    /// This dockerd, and what else is installed.
    Program(PathBuf),
    /// The dockerd on `PATH`, and what else is installed.
    System,
    /// One that runs, by its socket.
    Running(PathBuf),
}

impl EngineSource {
    /// What `DOCKGATE_ENGINE` says; `required` asks for what `.ci/engine` unpacked where it says nothing.
    pub(crate) fn asked_for(required: bool) -> Option<Self> {
        let text = env::var("DOCKGATE_ENGINE").unwrap_or_default();
        let unpacked = || {
            let home = env::var_os("HOME").unwrap_or_else(|| "/root".into());
            let directory = env::var_os("DOCKGATE_ENGINE_DIR").map(PathBuf::from);
            Self::Unpacked(
                directory.unwrap_or_else(|| PathBuf::from(home).join(".cache/dockgate-engine")),
            )
        };
        Some(match text.as_str() {
            "" | "0" if required => unpacked(),
            "" | "0" => return None,
            "1" | "unpacked" => unpacked(),
            "system" => Self::System,
            address if address.starts_with("unix://") => Self::Running(address[7..].into()),
            path if Path::new(path).is_dir() => Self::Unpacked(path.into()),
            path => Self::Program(path.into()),
        })
    }
}

/// The names in the environment file, the program that serves where the file is missing, and what proves that it can.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("DOCKERD", "dockerd", &[]),
    ("DOCKER", "docker", &[]),
    ("CONTAINERD", "containerd", &[]),
    (
        "PYTHON",
        "python3",
        &["-c", "import docker, aiodocker, testcontainers"],
    ),
    ("COMPOSE1", "", &[]),
    (
        "NODE",
        "node",
        &["-e", "require('dockerode'); require('ws')"],
    ),
    ("NODE_PATH", "", &[]),
    ("CURL", "curl", &[]),
    ("OPENSSL", "openssl", &[]),
    ("BUSYBOX", "busybox", &[]),
    ("BOLLARD", "", &[]),
    ("REGISTRY", "docker-registry", &[]),
    ("GIT", "git", &[]),
    ("FAKETIME", "faketime", &[]),
];

impl Tools {
    /// Looks in the directory that `.ci/engine` filled, where that was asked for, and along `PATH` for what is not there.
    pub(crate) fn find(source: &EngineSource) -> Self {
        let listed = match source {
            EngineSource::Unpacked(directory) => fs::read_to_string(directory.join("env")),
            _ => Ok(String::new()),
        };
        let listed = listed.unwrap_or_default();
        let listed: HashMap<&str, &str> = listed
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let mut tools = Self::default();
        for (name, program, proof) in NAMES {
            let path = match (listed.get(name), source) {
                (Some(path), _) => Some(PathBuf::from(path)),
                (None, EngineSource::Program(dockerd)) if *name == "DOCKERD" => {
                    Some(dockerd.clone())
                }
                // An engine of one's own comes from where it was asked for, and from nowhere else.
                (None, EngineSource::Unpacked(_)) if *name == "DOCKERD" => None,
                (None, _) => on_path(program),
            };
            let Some(path) = path.filter(|path| path.is_absolute() && path.exists()) else {
                continue;
            };
            if listed.contains_key(name) || can(&path, proof) {
                tools.found.insert(name, path);
            } else {
                let lacks = format!("{program} is installed, but cannot `{}`", proof.join(" "));
                tools.lacking.insert(name, lacks);
            }
        }
        tools.plugins = match listed.get("DOCKER_PLUGINS") {
            Some(path) => vec![PathBuf::from(path)],
            None => plugin_folders().filter(|path| path.is_dir()).collect(),
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
            .ok_or_else(|| match self.lacking.get(name) {
                Some(lacks) => lacks.clone(),
                None => format!("{} is not installed", name.to_lowercase()),
            })
    }
}

/// Where the docker CLI looks for plugins.
fn plugin_folders() -> impl Iterator<Item = PathBuf> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker/cli-plugins"));
    let system = [
        "/usr/local/lib/docker/cli-plugins",
        "/usr/local/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/libexec/docker/cli-plugins",
    ];
    home.into_iter()
        .chain(system.into_iter().map(PathBuf::from))
}

/// Whether a program does what the scenarios need of it.
fn can(program: &Path, proof: &[&str]) -> bool {
    if proof.is_empty() {
        return true;
    }
    let mut command = Command::new(program);
    command
        .args(proof)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
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

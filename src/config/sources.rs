//! Where settings are written: flags, environment, `dockgate.toml`, `daemon.json`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::args::ServeArgs;
use crate::config::error::{ConfigProblem, Wrong};
use crate::config::layer::{self, Layer};
use crate::config::origin::Origin;
use crate::config::search::Places;
use crate::config::{daemon_json, file};
use crate::error::{FileUse, file_hint};
use text::escape;

/// The environment as text. What is not UTF-8 is dropped unless it is ours.
pub(super) struct Variables {
    ours: BTreeMap<String, String>,
    pub(super) home: Option<PathBuf>,
    problems: Vec<ConfigProblem>,
}

/// Takes from the environment what is ours, and where the home is.
pub(super) fn variables(env: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    let mut vars = Variables {
        ours: BTreeMap::new(),
        home: None,
        problems: Vec::new(),
    };
    for (name, value) in env {
        let Some(name) = name.to_str().map(str::to_owned) else {
            continue;
        };
        if name == "HOME" && !value.is_empty() {
            vars.home = Some(value.into());
        } else if name.starts_with("DOCKGATE_") {
            match value.into_string() {
                Ok(value) => _ = vars.ours.insert(name, value),
                Err(_) => vars.problems.push(ConfigProblem::new(
                    Origin::Env(name.clone()),
                    format!("{name}: expected UTF-8 text"),
                )),
            }
        }
    }
    vars
}

/// Everything written, highest precedence first, and what is wrong with it.
pub(super) struct Sources {
    pub(super) layers: Vec<Layer>,
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) notes: Vec<String>,
    pub(super) files: Vec<PathBuf>,
    pub(super) config_file: Option<PathBuf>,
    /// Whether every file named was read to its end: if not, what is missing may be in the rest.
    pub(super) whole: bool,
}

impl Sources {
    /// Reads flags, environment and the files they name, or that are found in `places`.
    pub(super) fn read(cli: &ServeArgs, vars: &Variables, places: &Places) -> Self {
        let (env, mut problems) = layer::from_env(&vars.ours);
        problems.extend(vars.problems.iter().cloned());
        let mut sources = Self {
            layers: vec![layer::from_flags(cli.settings()), env],
            problems,
            notes: Vec::new(),
            files: Vec::new(),
            config_file: None,
            whole: true,
        };
        let named = |flag: &Option<PathBuf>, variable: &str| {
            let written = || {
                vars.ours
                    .get(variable)
                    .filter(|value| !value.trim().is_empty())
            };
            let from_env =
                || written().map(|value| (PathBuf::from(value), Origin::Env(variable.to_owned())));
            flag.clone()
                .map(|path| (path, Origin::Flag))
                .or_else(from_env)
        };

        let file = named(&cli.config_file, layer::CONFIG_FILE).or_else(|| {
            places
                .config_file
                .exists()
                .then(|| (places.config_file.clone(), Origin::Default))
        });
        if let Some((path, origin)) = file {
            sources.config_file(&path, &origin);
            sources.config_file = Some(path.clone());
            sources.files.push(path);
        }
        if let Some((path, origin)) = named(&cli.from_daemon_json, layer::FROM_DAEMON_JSON) {
            sources.daemon_json(&path, &origin);
            sources.files.push(path);
        }
        sources
    }

    fn config_file(&mut self, path: &Path, origin: &Origin) {
        let Some(bytes) = self.contents(path, origin, "config-file") else {
            return;
        };
        let parsed = file::parse(path, &bytes);
        self.layers.push(parsed.layer);
        self.problems.extend(parsed.problems);
        self.whole &= parsed.whole;
    }

    fn daemon_json(&mut self, path: &Path, origin: &Origin) {
        let Some(bytes) = self.contents(path, origin, "from-daemon-json") else {
            return;
        };
        match daemon_json::parse(path, &bytes) {
            Ok((layer, notes)) => {
                self.layers.push(layer);
                self.notes.extend(notes);
            }
            Err(problem) => self.unread(problem),
        }
    }

    /// The bytes of a file that `flag` names, if they can be read.
    fn contents(&mut self, path: &Path, origin: &Origin, flag: &str) -> Option<Vec<u8>> {
        match read_bounded(path) {
            Ok(bytes) => Some(bytes),
            Err(wrong) => {
                self.unread(unreadable(origin, flag, path, wrong));
                None
            }
        }
    }

    fn unread(&mut self, problem: ConfigProblem) {
        self.problems.push(problem);
        self.whole = false;
    }
}

fn unreadable(origin: &Origin, flag: &str, path: &Path, wrong: Wrong) -> ConfigProblem {
    let Wrong { message, hint } = wrong;
    let who = match origin {
        Origin::Flag => format!("--{flag} "),
        Origin::Env(name) => format!("{name}="),
        _ => String::new(),
    };
    // The file is at fault rather than the command line that names it, hence exit code 78.
    let origin = if *origin == Origin::Flag {
        Origin::Env(format!("--{flag}"))
    } else {
        origin.clone()
    };
    let text = format!(
        "{who}{}: {message}",
        escape::quoted(&path.to_string_lossy())
    );
    ConfigProblem {
        hint,
        ..ConfigProblem::new(origin, text)
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            file.take(file::MAX_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|err| Wrong {
            message: format!("cannot read it: {err}"),
            hint: file_hint(path, &err, FileUse::Read),
        })?;
    if bytes.len() > file::MAX_BYTES {
        return Err(format!("larger than {} bytes", file::MAX_BYTES).into());
    }
    Ok(bytes)
}

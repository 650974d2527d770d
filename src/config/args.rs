//! The options of `serve`: one for each row of `config`'s table, with its environment variable and its default in the help.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::key::{KEYS, Key, SettingKind};

const CONFIG_FILE: &str = "config-file";
const FROM_DAEMON_JSON: &str = "from-daemon-json";

/// Every setting that was given on the command line, as text; see `config/dockgate.toml` for what each one means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServeArgs {
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    /// dockerd's `daemon.json`.
    pub from_daemon_json: Option<PathBuf>,
    /// The settings by the names of their keys in the file; [`ServeArgs::with`] adds one.
    pub given: BTreeMap<&'static str, Vec<String>>,
}

/// How to reach the running gate.
#[derive(Debug, Clone, Default, Args)]
pub struct ControlArgs {
    /// The running gate's control socket [env: DOCKGATE_CONTROL_SOCKET]
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<String>,
    /// The running gate's configuration file [env: DOCKGATE_CONFIG_FILE]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

impl ServeArgs {
    /// Adds a value of a setting, by the name its key has in the file.
    ///
    /// # Panics
    /// When there is no such setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let key = Key::named(name).expect("a setting must be in the table of keys");
        let values = self.given.entry(key.name).or_default();
        if !matches!(key.kind, SettingKind::List { .. }) {
            values.clear();
        }
        values.push(value.into());
        self
    }

    /// What was given for a setting, by the name its key has in the file; empty when it was not.
    pub fn all(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one value that was given for a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// Each setting that was given.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        self.given
            .iter()
            .map(|(name, values)| (*name, values.as_slice()))
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let file = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help_heading("Files")
                .help(help)
        };
        let command = command
            .arg(file(
                CONFIG_FILE,
                "Configuration file (TOML); without it /etc/dockgate/dockgate.toml is read when it exists [env: DOCKGATE_CONFIG_FILE]",
            ))
            .arg(file(
                FROM_DAEMON_JSON,
                "Take over tlscacert, tlscert, tlskey and the tcp hosts from dockerd's daemon.json [env: DOCKGATE_FROM_DAEMON_JSON]",
            ));
        command.args(KEYS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        self.config_file = path(CONFIG_FILE).or(self.config_file.take());
        self.from_daemon_json = path(FROM_DAEMON_JSON).or(self.from_daemon_json.take());
        for key in KEYS {
            if let Some(values) = matches.get_many::<String>(key.flag) {
                self.given.insert(key.name, values.cloned().collect());
            }
        }
        Ok(())
    }
}

fn option(key: &'static Key) -> Arg {
    let default = if key.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", key.default)
    };
    let arg = Arg::new(key.flag)
        .long(key.flag)
        .value_name(key.placeholder)
        .help_heading(key.group.title())
        .help(format!("{} [env: {}]{default}", key.help, key.env()))
        .action(match key.kind {
            SettingKind::List { .. } => ArgAction::Append,
            _ => ArgAction::Set,
        });
    let arg = match key.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match key.kind {
        // As dockerd has it: `--tlsverify`, `--tlsverify=true`.
        SettingKind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        // So that `-1` is refused as the number that it is.
        _ => arg.allow_negative_numbers(true),
    }
}

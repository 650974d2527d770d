//! The command line as clap types: what may be written, not what it does.
//!
//! Values of settings stay text here: `config` parses flags, environment and file by the same rules, so that a mistake
//! gets the same words wherever it was made. The options of `serve` come from `config`'s table
//! of keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

pub mod certs;
pub mod enrol;
mod number;
pub mod policy;
pub mod store;

pub use crate::config::args::{ControlArgs, ServeArgs};

/// What the binary was made of; the build script knows.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit  ",
    env!("BUILT_FROM"),
    "\ntarget  ",
    env!("BUILT_FOR"),
    "\nTLS     ",
    env!("BUILT_WITH"),
);

/// A mutual-TLS gate in front of the Docker Engine API.
#[derive(Debug, Parser)]
#[command(
    name = "dockgate",
    version,
    long_version = LONG_VERSION,
    propagate_version = true,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The options of `serve`, accepted without its name.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// What to do, with `serve` filled in.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(Box::new(self.serve)))
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the Docker Engine API over mutual TLS (its options work without its name)
    Serve(Box<ServeArgs>),
    /// Validate configuration, certificates and policy without serving, and print where each value came from
    Check(Box<CheckArgs>),
    /// Make, show, renew and revoke certificates
    Certs(certs::CertsArgs),
    /// Hand out certificates over the network, by invitation: holds the CA's key, in a process of its own
    Signer(Box<enrol::SignerArgs>),
    /// Invite somebody to get a certificate; prints one token
    Invite(enrol::InviteArgs),
    /// Use an invitation: make a key here, get its certificate, make a docker context
    Join(enrol::JoinArgs),
    /// Renew a certificate that came by `join`
    Renew(enrol::RenewArgs),
    /// Check, explain and learn policies
    Policy(policy::PolicyArgs),
    /// Walk from the socket to the client and name the one thing to fix
    Doctor(Box<DoctorArgs>),
    /// Have the running gate read certificates, lists, policy and configuration again, and wait for what comes of it
    Reload(ReloadArgs),
    /// List the live connections of the running gate
    Ps(PsArgs),
    /// Watch the live connections of the running gate
    Top(TopArgs),
    /// Cut live connections of the running gate
    Kick(KickArgs),
    /// Ask the running gate whether it is ready; exit 0 or 1
    Healthcheck(HealthcheckArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages, one for each command
    Man(ManArgs),
}

/// `dockgate completions`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "bash: dockgate completions bash > /usr/share/bash-completion/completions/dockgate\n\
zsh:  dockgate completions zsh > /usr/share/zsh/vendor-completions/_dockgate\n\
fish: dockgate completions fish > /usr/share/fish/vendor_completions.d/dockgate.fish"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `dockgate man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The directory to write to, which must exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `dockgate check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// Look at configuration and files only: do not try the listening addresses nor the engine
    #[arg(long)]
    pub offline: bool,
    /// Exit 1 when something leaves clients out or keeps them from the engine, although the gate would start
    #[arg(long)]
    pub strict: bool,
    /// What `serve` would be given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// `dockgate doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// A gate or engine to examine from here as a client would, tcp://HOST:PORT; without it DOCKER_HOST, DOCKER_CONTEXT or the
    /// current docker context, as docker takes them, and where they name none this host
    #[arg(value_name = "tcp://HOST:PORT")]
    pub target: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
    /// Longest wait for each step, such as 5s
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// On the host what `serve` would be given; with a target --tlscacert, --tlscert and --tlskey are the client's.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// `dockgate reload`.
#[derive(Debug, Clone, Default, Args)]
pub struct ReloadArgs {
    /// Print JSON instead of sentences
    #[arg(long)]
    pub json: bool,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate ps`.
#[derive(Debug, Clone, Default, Args)]
pub struct PsArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Only connections of this client (common name, serial or fingerprint)
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// What clients of roles with a scope have on the engine, against their budgets
    #[arg(long, conflicts_with = "client")]
    pub owners: bool,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate top`.
#[derive(Debug, Clone, Default, Args)]
pub struct TopArgs {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = number::number::<u64>("a number of seconds", 1..=3600))]
    pub interval: u64,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate kick`.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
#[command(
    override_usage = "dockgate kick [OPTIONS] [CONNECTION]... [--client <CLIENT>] [--serial <HEX>] [--cn <NAME>]\n       dockgate kick [OPTIONS] --all",
    after_help = "At least one selector is needed. Several together mean the connections that fit all of them."
)]
pub struct KickTargets {
    /// Connection numbers as `dockgate ps` shows them
    #[arg(value_name = "CONNECTION", value_parser = number::connection)]
    pub connections: Vec<u64>,
    /// Every connection of this client (common name, serial or fingerprint)
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// Every connection of the certificate with this serial number
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// Every connection of this subject common name
    #[arg(long, value_name = "NAME")]
    pub cn: Option<String>,
    /// Every connection
    #[arg(long)]
    pub all: bool,
}

/// `dockgate kick`.
#[derive(Debug, Clone, Default, Args)]
pub struct KickArgs {
    /// Whom to cut.
    #[command(flatten)]
    pub targets: KickTargets,
    /// Print JSON instead of sentences
    #[arg(long)]
    pub json: bool,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// `dockgate healthcheck`.
#[derive(Debug, Clone, Default, Args)]
pub struct HealthcheckArgs {
    /// Longest wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = number::number::<u64>("a number of seconds", 1..=60))]
    pub timeout: u64,
    /// How to reach the running gate.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// The clap command.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses arguments (the program's name first); the error knows its text, its stream and its exit code (2, or 0 for help).
pub fn parse(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let command = match args.len() {
        0 | 1 => overview(),
        _ => command(),
    };
    let matches = command.try_get_matches_from(args);
    Cli::from_arg_matches(&matches.map_err(explained)?)
}

/// What `dockgate` alone prints: the commands on one screen, without the options of `serve`.
fn overview() -> clap::Command {
    let first = "A first gate, with certificates of its own:  dockgate serve --auto-certs ./certs\n\
                 The options of a command:                    dockgate COMMAND --help";
    command().mut_args(|arg| arg.hide(true)).after_help(first)
}

/// An error with a better tip than the nearest spelling, where one is known.
fn explained(mut error: clap::Error) -> clap::Error {
    let unknown = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let usage = error.get(ContextKind::Usage).map(ToString::to_string);
    if error.kind() == ErrorKind::UnknownArgument
        && unknown.is_some_and(|name| name == "--policy" || name == "-p")
        && usage.is_some_and(|usage| usage.contains("dockgate policy "))
    {
        let tip = "the policy file is named without an option, as the first argument";
        error.remove(ContextKind::SuggestedArg);
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    if let Some(word) = error.get(ContextKind::InvalidSubcommand)
        && let Some(path) = elsewhere(&command(), &word.to_string())
    {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = format!("did you mean {path}?");
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// The commands of this name that groups of commands have.
fn elsewhere(root: &clap::Command, name: &str) -> Option<String> {
    let groups = root.get_subcommands();
    let groups = groups.filter(|group| group.find_subcommand(name).is_some());
    let found: Vec<_> = groups
        .map(|group| format!("`dockgate {} {name}`", group.get_name()))
        .collect();
    (!found.is_empty()).then(|| found.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `look` with each command and the words that lead to it.
    fn walk(
        command: &clap::Command,
        path: &[String],
        look: &mut impl FnMut(&clap::Command, &[String]),
    ) {
        look(command, path);
        for sub in command.get_subcommands() {
            let path = [path, &[sub.get_name().to_owned()]].concat();
            walk(sub, &path, look);
        }
    }

    #[test]
    fn without_arguments_the_commands_are_on_one_screen_and_the_whole_help_is_asked_for() {
        let alone = parse(["dockgate"]).expect_err("help").to_string();
        let whole = parse(["dockgate", "--help"]).expect_err("help").to_string();
        for name in command().get_subcommands().map(clap::Command::get_name) {
            assert!(alone.contains(&format!("  {name} ")), "{name}: {alone}");
        }
        assert!(alone.lines().count() <= 40, "{alone}");
        assert!(alone.contains("serve --auto-certs ./certs"), "{alone}");
        assert!(
            whole.contains("--tlscacert") && !alone.contains("--tlscacert"),
            "{alone}"
        );
    }

    #[test]
    fn an_option_for_the_policy_file_is_answered_with_its_place() {
        for words in [
            "explain --policy a.toml GET /_ping",
            "check --policy a.toml",
        ] {
            let words = ["dockgate", "policy"].into_iter().chain(words.split(' '));
            let error = parse(words).expect_err("no such option").to_string();
            assert!(
                error.contains("the policy file is named without an option"),
                "{error}"
            );
            assert!(!error.contains("similar"), "{error}");
        }
        // Another option keeps the tip of the nearest spelling, and `serve` has this one.
        let error = parse(["dockgate", "policy", "check", "a.toml", "--jso"]);
        let error = error.expect_err("no such option").to_string();
        assert!(
            error.contains("--json") && !error.contains("without an option"),
            "{error}"
        );
        assert!(parse(["dockgate", "serve", "--policy", "a.toml"]).is_ok());
    }

    #[test]
    fn selectors_of_kick_can_be_given_together_and_its_usage_says_so() {
        assert!(parse(["dockgate", "kick", "--client", "bob", "--cn", "bob"]).is_ok());
        assert!(parse(["dockgate", "kick"]).is_err());
        let help = parse(["dockgate", "kick", "--help"]).expect_err("help");
        let help = help.to_string();
        assert!(
            help.contains("[--client <CLIENT>] [--serial <HEX>]"),
            "{help}"
        );
        assert!(!help.contains("|--"), "{help}");
    }

    #[test]
    fn a_command_of_a_group_is_answered_with_its_group() {
        let error = |word: &str| parse(["dockgate", word]).expect_err(word).to_string();
        for (word, tip) in [
            ("show", "`dockgate certs show`"),
            ("learn", "`dockgate policy learn`"),
            (
                "revoke",
                "`dockgate certs revoke` or `dockgate invite revoke`",
            ),
        ] {
            assert!(error(word).contains(tip), "{}", error(word));
            assert!(!error(word).contains("similar"), "{}", error(word));
        }
        // A misspelt command keeps the tip of the nearest spelling.
        assert!(error("serv").contains("serve"), "{}", error("serv"));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_answered_with_what_was_expected() {
        let mut refused = Vec::new();
        walk(
            &command(),
            &["dockgate".to_owned()],
            &mut |command, path| {
                for arg in command
                    .get_arguments()
                    .filter(|arg| arg.get_action().takes_values())
                {
                    let given = match arg.get_long() {
                        Some(long) => format!("--{long}=lots"),
                        None => "lots".to_owned(),
                    };
                    let words = path.iter().cloned().chain([given.clone()]);
                    let Err(error) = parse(words) else { continue };
                    let text = error.to_string();
                    if error.kind() == clap::error::ErrorKind::ValueValidation {
                        assert!(text.contains(": expected "), "{path:?} {given}: {text}");
                        refused.push(format!("{} {given}", path.join(" ")));
                    }
                }
            },
        );
        for wanted in [
            "dockgate kick lots",
            "dockgate top --interval=lots",
            "dockgate healthcheck --timeout=lots",
            "dockgate certs crl --days=lots",
            "dockgate certs init --ca-days=lots",
        ] {
            assert!(
                refused.iter().any(|own| own == wanted),
                "{wanted} is not in {refused:#?}"
            );
        }
        assert!(parse(["dockgate", "kick", "7"]).is_ok());
        assert!(parse(["dockgate", "top", "--interval", "3601"]).is_err());
        assert!(parse(["dockgate", "certs", "crl", "--days", "30"]).is_ok());
    }
}
